"""A remote authority's token endpoint, asked over HTTP for every credential (RFC 8693).

Imported only where `authority.mode` is remote.
"""

import asyncio
import logging

import aiohttp

from hopward import ExchangeRefusedError, Guard, HopwardError, TokenRequest
from hopward_mcp.authority import Asking
from hopward_mcp.http_authority import HttpAuthority, body_of

_log = logging.getLogger(__name__)


class TokenEndpoint(HttpAuthority):
    """Asks for credentials; one per process, made on the loop everything runs on."""

    def __init__(self, guard: Guard) -> None:
        """Raises `ConfigError` without the key that the proxy authenticates with."""
        self._guard = guard
        self._url = guard.token_endpoint
        self._seconds = guard.settings.authority.token_timeout_seconds
        super().__init__()

    async def token(self, asking: Asking) -> str:
        """A credential, its row durable. Raises `HopwardError`: `authority_unreachable`,
        `authority_timed_out`, or what the guard says about the request or the answer."""
        try:
            async with asyncio.timeout(self._seconds):
                request, response = await self._answered(asking)
                async with response:
                    body = await body_of(response)
        except TimeoutError as error:
            told = f"The authority did not answer within {self._seconds} s."
            raise ExchangeRefusedError(told, error="authority_timed_out") from error
        except aiohttp.ClientError as error:
            told = "The authority cannot be reached."
            raise ExchangeRefusedError(told, error="authority_unreachable") from error
        return self._guard.credential_received(request, response.status, body)

    async def _answered(self, asking: Asking) -> tuple[TokenRequest, aiohttp.ClientResponse]:
        """The answer, its body unread. A connection that fails before there is one is tried once more: an
        exchange that was made in vain harms nothing."""
        request = _question(asking)
        try:
            return request, await self._sent(self._url, request.form)
        except aiohttp.ClientConnectionError as error:
            _log.info("the authority is asked again: %s", error)
        request = _question(asking)
        return request, await self._sent(self._url, request.form)


def _question(asking: Asking) -> TokenRequest:
    request = asking()
    if isinstance(request, str):
        raise HopwardError("Our authority is asked for every credential.", error="internal_error")
    return request
