"""A remote authority's token endpoint, asked over HTTP for every credential (RFC 8693).

Imported only where `authority.mode` is remote. Time and answer are bounded, nothing is followed or taken from
the environment; what the answer is worth, the guard says.
"""

import asyncio
import logging

import aiohttp

from hopward import ExchangeRefusedError, Guard, HopwardError, TokenRequest
from hopward_mcp.authority import Asking, Obtained

_log = logging.getLogger(__name__)

_LARGEST_ANSWER = 65_536
_CONNECTIONS = 64
_KEEP_ALIVE = 4.0
"""Seconds a connection is kept unused: less than servers keep theirs, so that none is used as it closes."""


class TokenEndpoint:
    """Asks for credentials; one per process, made on the loop everything runs on."""

    def __init__(self, guard: Guard) -> None:
        """Raises `ConfigError` without the key that the proxy authenticates with."""
        self._guard = guard
        self._url = guard.token_endpoint
        self._seconds = guard.settings.authority.token_timeout_seconds
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
        """A credential, its row durable. Raises `HopwardError`: `authority_unreachable`,
        `authority_timed_out`, or what the guard says about the request or the answer."""
        try:
            async with asyncio.timeout(self._seconds):
                request, response = await self._answered(asking)
                async with response:
                    body = await _body(response)
        except TimeoutError as error:
            told = f"The authority did not answer within {self._seconds} s."
            raise ExchangeRefusedError(told, error="authority_timed_out") from error
        except aiohttp.ClientError as error:
            told = "The authority cannot be reached."
            raise ExchangeRefusedError(told, error="authority_unreachable") from error
        return self._guard.credential_received(request, response.status, body)

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

    async def _answered(self, asking: Asking) -> tuple[TokenRequest, aiohttp.ClientResponse]:
        """The answer, its body unread. A connection that fails before there is one is tried once more: an
        exchange that was made in vain harms nothing."""
        request = asking()
        try:
            return request, await self._posted(request)
        except aiohttp.ClientConnectionError as error:
            _log.info("the authority is asked again: %s", error)
        request = asking()
        return request, await self._posted(request)

    async def _posted(self, request: TokenRequest) -> aiohttp.ClientResponse:
        return await self._client.post(self._url, data=request.form, allow_redirects=False)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise ExchangeRefusedError("The authority's answer is too large.", error="server_error")
    return bytes(body)
