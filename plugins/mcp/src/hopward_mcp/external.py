"""An external authorization server, asked over HTTP for the credentials of the servers that trust it.
 Imported only where `hopward.toml` has one. One call may take several questions: published keys, an exchange
for each hop. All of them together have `timeout_seconds`; each is asked again at most twice, a little later,
where that can do no harm; and a server that is not there is not asked at all for a while.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import aiohttp

from hopward import ExchangeRefusedError, Guard, HopwardError, TokenRequest
from hopward_mcp.authority import Asking
from hopward_mcp.breaker import Breaker
from hopward_mcp.http_authority import HttpAuthority, body_of

_log = logging.getLogger(__name__)

_ATTEMPTS = 3
_BACKOFF = 0.1
"""Seconds before the second attempt at most, twice that before the third: at random, so that many callers do
not come back at once."""
_BUSY = frozenset({429, 500, 502, 503, 504})
"""Answers that may be another one a little later. To ask again harms nothing: what was issued in vain is
unused."""
_LARGEST_KEYS = 262_144
_SWEEP = 1.0
"""Seconds between two looks at whether the chains of kept tokens still stand."""

Answer: TypeAlias = tuple[int, bytes]
Pause: TypeAlias = Callable[[float], Awaitable[None]]

_random = random.SystemRandom()


class ExternalAuthority(HttpAuthority):
    """One authorization server. `pause` waits before a question is asked again."""

    def __init__(self, guard: Guard, name: str, pause: Pause = asyncio.sleep) -> None:
        """Raises `ConfigError` without the keys it takes."""
        guard.external_check()
        self.name = name
        self._guard = guard
        self._seconds = guard.settings.authorization_servers[name].timeout_seconds
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self.breaker = Breaker(self._loop.time)
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._fetches: dict[str, asyncio.Task[Answer]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        super().__init__()

    async def token(self, asking: Asking) -> str:
        """A credential, its row durable. Raises `HopwardError`: `authority_unreachable`,
        `authority_timed_out`, `authority_circuit_open`, or what the guard says about the answers."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._alone(asking)
        except TimeoutError as error:
            self.breaker.failed()
            told = f"The authorization server {self.name} did not answer within {self._seconds} s."
            raise ExchangeRefusedError(told, error="authority_timed_out") from error

    async def close(self) -> None:
        """Give up what is under way, and close every connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        await super().close()

    async def _alone(self, asking: Asking) -> str:
        """One at a time of those who would get the very same token; the others then use it too."""
        found = asking()
        while not isinstance(found, str):
            before = self._flights.get(found.flight)
            if before is None:
                return await self._flown(found)
            await asyncio.shield(before)
            found = asking()
        return found

    async def _flown(self, request: TokenRequest) -> str:
        if not request.flight:
            return await self._obtained(request)
        flight = self._flights[request.flight] = self._loop.create_future()
        try:
            token = await self._obtained(request)
            self._watch()
            return token
        except HopwardError as error:
            # Whoever has waited was asking for the same, in the same name.
            flight.set_exception(error)
            flight.exception()
            raise
        finally:
            del self._flights[request.flight]
            if not flight.done():
                flight.set_result(None)

    async def _obtained(self, request: TokenRequest) -> str:
        found: TokenRequest | str = request
        while not isinstance(found, str):
            asked, (status, body) = await self._answered(found)
            found = self._guard.external_received(asked, status, body)
        return found

    async def _answered(self, request: TokenRequest) -> tuple[TokenRequest, Answer]:
        if not request.form:
            return request, await self._fetched(request.url)
        return await self._asked(request)

    async def _fetched(self, url: str) -> Answer:
        """The published keys, fetched once for all who wait for them; status 0 where there are none."""
        fetch = self._fetches.get(url)
        if fetch is None:
            fetch = self._fetches[url] = self._loop.create_task(self._fetch(url))
            fetch.add_done_callback(lambda _: self._fetches.pop(url, None))
        return await asyncio.shield(fetch)

    async def _fetch(self, url: str) -> Answer:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._once(url, {}, _LARGEST_KEYS)
        except (HopwardError, aiohttp.ClientError, TimeoutError) as error:
            _log.warning("the keys of %s could not be fetched: %s", self.name, error)
            return 0, b""

    async def _asked(self, request: TokenRequest) -> tuple[TokenRequest, Answer]:
        """An answer, asked for again where there is none, or one that says to come back."""
        failure: aiohttp.ClientError | None = None
        answer: Answer | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._pause(_random.uniform(0, _BACKOFF * 2 ** (attempt - 1)))
                request = self._guard.external_again(request)
            if not self.breaker.enter():
                break
            try:
                answer = await self._counted(request)
            except aiohttp.ClientError as error:
                failure = error
                continue
            if answer[0] not in _BUSY:
                return request, answer
        if answer is not None:
            return request, answer
        if failure is None:
            left = max(1, round(self.breaker.seconds_left))
            told = (
                f"The authorization server {self.name} has failed too often; it is tried again in {left} s."
            )
            raise ExchangeRefusedError(told, error="authority_circuit_open")
        told = f"The authorization server {self.name} cannot be reached."
        raise ExchangeRefusedError(told, error="authority_unreachable") from failure

    async def _counted(self, request: TokenRequest) -> Answer:
        """One attempt, of which the circuit breaker hears."""
        try:
            answer = await self._once(request.url, request.form)
        except aiohttp.ClientError:
            self.breaker.failed()
            raise
        except BaseException:
            self.breaker.given_up()
            raise
        if answer[0] >= 500:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        return answer

    async def _once(self, url: str, form: Mapping[str, str], largest: int = 65_536) -> Answer:
        async with await self._sent(url, form) as response:
            return response.status, await body_of(response, largest)

    def _watch(self) -> None:
        """Look after kept tokens from now on, while there are any."""
        if self._sweep is None:
            self._sweep = self._loop.call_later(_SWEEP, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        if self._guard.external_left():
            self._watch()
