"""What asks an authorization server over HTTP, ours or another: time and answer are bounded, nothing is
followed or taken from the environment. What an answer is worth, the guard says.
"""

import asyncio
import logging
from collections.abc import Mapping

import aiohttp

from hopward import ExchangeRefusedError, HopwardError
from hopward_mcp.authority import Asking, Obtained

_log = logging.getLogger(__name__)

_LARGEST_ANSWER = 65_536
_CONNECTIONS = 64
_KEEP_ALIVE = 4.0
"""Seconds a connection is kept unused: less than servers keep theirs, so that none is used as it closes."""


class HttpAuthority:
    """Asks for credentials; made on the loop everything runs on."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            skip_auto_headers=("User-Agent",),
            auto_decompress=False,
            trust_env=False,
        )

    async def token(self, asking: Asking) -> str:
        """A credential, its row durable; raises `HopwardError`."""
        raise NotImplementedError

    def ask(self, asking: Asking, then: Obtained) -> None:
        """The same without waiting for it; `then` is not called any more once this is closed."""
        task = asyncio.get_running_loop().create_task(self._told(asking, then))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Give up what is under way, and close every connection."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.close()

    async def _told(self, asking: Asking, then: Obtained) -> None:
        try:
            answer: str | HopwardError = await self.token(asking)
        except HopwardError as error:
            answer = error
        except Exception:  # noqa: BLE001 - per-message boundary: there is no credential
            _log.exception("a credential could not be asked for")
            answer = HopwardError("The credential could not be asked for.", error="internal_error")
        then(answer)

    async def _sent(self, url: str, form: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer to a form, or to a GET where there is none, its body unread."""
        if not form:
            return await self._client.get(url, allow_redirects=False)
        return await self._client.post(url, data=form, allow_redirects=False)


async def body_of(response: aiohttp.ClientResponse, largest: int = _LARGEST_ANSWER) -> bytes:
    """The body of an answer; raises `ExchangeRefusedError` where it is too large."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > largest:
            raise ExchangeRefusedError("The authority's answer is too large.", error="server_error")
    return bytes(body)
