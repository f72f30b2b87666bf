"""Sends security events of our own to those who are configured to hear them (RFC 8935), one after another.

Only to the address that is configured: no redirect is followed, no proxy of the environment is used, and
nothing of the answer but its status is read.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx2

from hopward import ConfigError, Guard
from hopward_authority.fetching import LONGEST_TRY, FetchError, bearer, posted
from hopward_authority.metadata import well_known

LOOKS = 1.0
"""Seconds from one look for something to tell to the next."""

_FIRST_WAIT, _LONGEST_WAIT = 5.0, 3_600.0
_CONTENT_TYPE = "application/secevent+jwt"
_PUSH = "urn:ietf:rfc:8935"

_log = logging.getLogger("hopward.authority")


class Announcements:
    """Tells each receiver of a guard what it is to hear."""

    def __init__(self, guard: Guard, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Raises `ConfigError` where the bearer token for a receiver cannot be read."""
        self._announcing = guard.announcing
        self._root = guard.settings.root
        self.receivers = tuple(guard.announcing.receivers)
        try:
            for name in self.receivers:
                self._headers(name)
        except FetchError as error:
            raise ConfigError(f"[events.receivers] cannot be used: {error}") from error
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=LONGEST_TRY, follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def run(self, name: str) -> None:
        """Tell one receiver, again and again, until cancelled."""
        tries = 0
        while True:
            wait = LOOKS
            try:
                tries = await self.tell(name, tries)
                if tries:
                    wait = min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT)
            except Exception as error:  # noqa: BLE001 - named boundary: what could not be told is told later
                _log.warning("%s cannot be told of events at the moment: %s", name, type(error).__name__)
            await asyncio.sleep(wait)

    async def tell(self, name: str, tries: int = 0) -> int:
        """Tell one receiver everything there is, as far as it takes it; how often the one that it does not
        take has been tried now, 0 if there is none. `tries` is how often that was before."""
        while (announcement := self._announcing.next(name)) is not None:
            why = await self._post(name, announcement.url, announcement.token)
            if not why:
                self._announcing.told(announcement)
                tries = 0
                continue
            tries += 1
            if tries < self._announcing.most_tries:
                return tries
            self._announcing.given_up(announcement, f"in {tries} tries; the last one: {why}")
            tries = 0
        return 0

    async def _post(self, name: str, url: str, token: str) -> str:
        """Why an event has not arrived, empty if it has."""
        try:
            headers = self._headers(name)
        except FetchError as error:
            return str(error)
        return (await posted(self._client, url, headers, token.encode()))[0]

    def _headers(self, name: str) -> dict[str, str]:
        headers = {"Content-Type": _CONTENT_TYPE, "Accept": "application/json", "User-Agent": "hopward"}
        file = self._announcing.receivers[name].token_file
        return {**headers, "Authorization": f"Bearer {bearer(Path(self._root), file)}"} if file else headers


def transmitter_metadata(issuer: str) -> dict[str, Any]:
    """The transmitter's configuration (SSF 1.0 section 7.1): streams are configured here, by hand."""
    return {
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": f"{issuer.rstrip('/')}/jwks",
        "delivery_methods_supported": [_PUSH],
        "default_subjects": "ALL",
    }


def transmitter_path(issuer: str) -> str:
    """Where it stands: the well-known path, before the issuer's own."""
    return well_known("ssf-configuration", issuer)
