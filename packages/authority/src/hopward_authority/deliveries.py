"""Sends what a webhook is to be told: only to the address that is configured, in the background.

At least once each, under an id that stays the same (`guard.notices`). No redirect is followed, no proxy of
the environment is used, nothing of the answer but its head is read, and each try takes at most `LONGEST_TRY`.
"""

import asyncio
import logging
from collections.abc import Mapping

import httpx2

from hopward import Guard

LONGEST_TRY = 20.0
"""Seconds; Standard Webhooks recommends 15 to 30 (section "Request timeouts")."""

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
            failed, wait = await self._post(notice.url, notice.headers, notice.body)
            if failed:
                self._notices.failed(notice, failed, wait)
            else:
                self._notices.told(notice)
                arrived += 1
        return arrived

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, int]:
        """Why a message has not arrived, empty if it has, and for how many seconds to leave it."""
        try:
            async with (
                asyncio.timeout(LONGEST_TRY),
                self._client.stream("POST", url, headers=dict(headers), content=body) as answer,
            ):
                status, wait = answer.status_code, answer.headers.get("retry-after", "")
        except TimeoutError:
            return f"no answer within {LONGEST_TRY:.0f} seconds", 0
        except httpx2.HTTPError as error:
            return type(error).__name__, 0
        if 200 <= status < 300:
            return "", 0
        return f"the answer was {status}", int(wait) if wait.isascii() and wait.isdecimal() else 0
