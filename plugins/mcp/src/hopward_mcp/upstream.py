"""A server behind HTTP: one client with pooled connections, kept for the life of the process.

Nothing is followed, unpacked, or taken from the environment: no redirects, no cookies, no compression, no
proxy variables. Bodies are bounded.
"""

from collections.abc import Mapping

import aiohttp

from hopward_mcp.endings import MALFORMED, Failure, failed, lost, oversized
from hopward_mcp.inflow import Inflow
from hopward_mcp.jsonrpc import TOO_LARGE, MessageError, too_large
from hopward_mcp.pace import Pace
from hopward_mcp.sse import StreamError, TooLargeError

_CONNECT = 10.0
_KEEP_ALIVE = 4.0
"""Seconds a connection is kept unused: less than servers keep theirs, so that none is used as it closes."""
_CONNECTIONS = 512
_READ = 16_384
"""Bytes taken out of HTTP at a time, about: in the smallest pieces these take the loop half a millisecond."""

LATER_STATUSES = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
"""How a server answers that may open a stream another time; others say that it has none (405)."""


class Upstream:
    """The HTTP side of one server. `headers` go with every request: a brokered API key, or nothing.

    An answer has at most `max_bytes`.
    """

    def __init__(self, url: str, headers: Mapping[str, str], max_bytes: int) -> None:
        self._url = url
        self.max_bytes = max_bytes
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", **headers},
            skip_auto_headers=("User-Agent",),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ,
        )

    async def request(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> aiohttp.ClientResponse:
        """Send one request; the answer's body is still unread. Raises `aiohttp.ClientError`."""
        return await self._client.request(
            method, self._url, headers=headers, data=body, allow_redirects=False
        )

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body of an answer; raises `MessageError` when it is too large."""
        inflow = Inflow(response, self.max_bytes, Pace())
        parts: list[bytes] = []
        size = 0
        while (part := await inflow.piece()) is not None:
            size += len(part)
            if size > self.max_bytes:
                response.close()
                raise too_large(self.max_bytes)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


def unreadable(error: StreamError | MessageError, max_bytes: int) -> Failure:
    """How a request ends whose answer cannot be read."""
    large = error.reason == TOO_LARGE if isinstance(error, MessageError) else isinstance(error, TooLargeError)
    return oversized(max_bytes) if large else MALFORMED


def broken(error: aiohttp.ClientError) -> Failure:
    """How a request ends that met this error: not sent, where it surely never reached the server."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return failed("The server cannot be reached.", "not_sent")
    return lost("The connection to the server broke.")
