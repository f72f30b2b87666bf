"""Sends what a webhook is to be told: only to the address that is configured, in the background.

At least once each, under an id that stays the same (`guard.notices`). No redirect is followed, no proxy of
the environment is used, nothing of the answer but its head is read, and each try takes at most `LONGEST_TRY`.
"""

import asyncio
import logging

import httpx2

from hopward import Guard
from hopward_authority.fetching import LONGEST_TRY, posted

_log = logging.getLogger("hopward.authority")

LOOKS = 1.0
"""Seconds from one look at the outbox to the next."""


class Deliveries:
    """What is due, sent to where it is to go."""

    def __init__(
        self, guard: Guard, transport: httpx2.AsyncBaseTransport | None = None, *, looks: float = LOOKS
    ) -> None:
        """Raises `ConfigError` where the webhook's secret cannot be read. `looks` is seconds."""
        self._looks = looks
        self._notices = guard.notices()
        self._client = httpx2.AsyncClient(
            transport=transport, timeout=LONGEST_TRY, follow_redirects=False, trust_env=False
        )

    async def run(self) -> None:
        """Send what is due, again and again, until cancelled."""
        async with self._client:
            while True:
                try:
                    await self.send_due()
                except Exception as error:  # noqa: BLE001 - named boundary: what could not be told is told later
                    _log.warning("The webhook cannot be told at the moment: %s", type(error).__name__)
                await asyncio.sleep(self._looks)

    async def send_due(self) -> int:
        """Send everything that is due now; how many have arrived. Raises `LedgerError`."""
        arrived = 0
        while (notice := self._notices.take()) is not None:
            failed, wait = await posted(self._client, notice.url, notice.headers, notice.body)
            if failed:
                self._notices.failed(notice, failed, wait)
            else:
                self._notices.told(notice)
                arrived += 1
        return arrived
