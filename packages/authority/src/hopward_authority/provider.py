"""What is asked of the OpenID provider of `[people]`, over the network.

Each address is the configured issuer's, or one that its discovery document names. No redirect is followed, no
proxy of the environment is used, and no question takes longer than `LONGEST` or answers with more than the
core reads. Discovery and keys are asked for when they are needed, and no more often than `KeySet` lets them.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TypeAlias

import httpx2

from hopward import Guard, TokenError
from hopward_authority.fetching import read_up_to

LONGEST = 10.0
"""Seconds of one question."""

LOOKS = 1.0
"""Seconds from one look at which logins are to be asked about to the next."""

_LARGEST = 262_144
_MOST_AT_ONCE = 8

Transport: TypeAlias = httpx2.AsyncBaseTransport
"""What sends requests; tests have their own."""

_log = logging.getLogger("hopward.authority")


class Provider:
    """The provider of a guard's `[people]`, and the logins there. One event loop uses it."""

    def __init__(self, guard: Guard, transport: Transport | None = None) -> None:
        """Raises `ConfigError` where there is no such table, or no client secret."""
        logins = guard.provider_logins(os.environ)
        assert logins is not None, "only with [people]"  # noqa: S101 - the caller has looked
        self.logins = logins
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=LONGEST, follow_redirects=False, trust_env=False
        )

    async def run(self) -> None:
        """Ask about logins when they are due, again and again, until cancelled."""
        async with self._client:
            while True:
                try:
                    await self.ask_due()
                except Exception as error:  # noqa: BLE001 - named boundary: what could not be asked is asked later
                    _log.warning("Logins cannot be asked about at the moment: %s", type(error).__name__)
                await asyncio.sleep(LOOKS)

    async def ask_due(self) -> None:
        """Ask about every login that is due now. Raises `LedgerError`."""
        few = asyncio.Semaphore(_MOST_AT_ONCE)

        async def ask(device: str) -> None:
            async with few:
                await self._ask(device)

        await asyncio.gather(*(ask(device) for device in self.logins.due()))

    async def ready(self) -> None:
        """Know the provider and its keys; raises `TokenError` where that cannot be."""
        party = self.logins.party
        if party.provider is None:
            party.discovered(await self._get(party.discovery_url))
        await self.keys("")

    async def keys(self, kid: str) -> None:
        """Have the keys to verify a token with, where a look for newer ones is due; raises `TokenError`."""
        party = self.logins.party
        if party.provider is None or not party.keys.due(kid):
            return
        try:
            party.keys.take(await self._get(party.provider.jwks_uri))
        except TokenError:
            party.keys.failed()
            _ = party.keys.keys  # raises where those of before are too old

    async def post(self, form: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The token endpoint's answer, and the keys to verify it with; raises `TokenError`."""
        await self.ready()
        found = self.logins.party.provider
        if found is None:
            raise _unavailable("it is not known")
        status, body = await self._sent("POST", found.token_endpoint, dict(headers), dict(form))
        await self.keys(self.logins.party.kid(body))
        return status, body

    async def _ask(self, device: str) -> None:
        try:
            question = self.logins.question(device)
            if question is None:
                return
            status, body = await self.post(question.form, question.headers)
        except TokenError as error:
            _log.warning("The OpenID provider cannot be asked about a login: %s", error.message)
            self.logins.unanswered(device)
            return
        self.logins.answered(device, status, body)

    async def _get(self, url: str) -> bytes:
        status, body = await self._sent("GET", url, {"Accept": "application/json"}, None)
        if status != 200:
            raise _unavailable(f"the answer was {status}")
        return body

    async def _sent(
        self, method: str, url: str, headers: dict[str, str], form: dict[str, str] | None
    ) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(LONGEST),
                self._client.stream(method, url, headers=headers, data=form) as answer,
            ):
                body = await read_up_to(answer, _LARGEST)
                if body is None:
                    raise _unavailable("its answer is too large")
                return answer.status_code, body
        except TimeoutError as error:
            raise _unavailable(f"no answer within {LONGEST:.0f} seconds") from error
        except httpx2.HTTPError as error:
            raise _unavailable(type(error).__name__) from error


def _unavailable(why: str) -> TokenError:
    return TokenError(f"The OpenID provider cannot be reached: {why}.", error="provider_unavailable")
