"""Refusals of requests that may be anybody's: a bounded number of rows in the log, and none left uncounted.

Whoever can connect can be refused as often as he likes. In each span of time the first refusals have a row
each; the rest are counted, by reason, and have a row for each of those afterwards.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from hopward import Guard, LedgerError
from hopward_authority.alongside import alongside

SPAN = 10.0
"""Seconds."""

ROWS = 20
"""Refusals in a span that have a row each."""

_log = logging.getLogger("hopward.authority")


class Tally:
    """Records refusals before anybody is known, in this process. `now` is seconds of any steady clock."""

    def __init__(self, guard: Guard, now: Callable[[], float] = time.monotonic) -> None:
        self._guard = guard
        self._now = now
        self._since = now()
        self._rows = 0
        self._counted: Counter[str] = Counter()

    def note(self, reason: str, sentence: str) -> None:
        """Record a refusal now, or count it; `reason` is a code, so that there are only so many."""
        if self._now() - self._since >= SPAN:
            self.write()
            self._since, self._rows = self._now(), 0
        self._rows += 1
        if self._rows > ROWS or not self._written(reason, sentence):
            self._counted[reason] += 1

    def write(self) -> None:
        """Write the rows of what has been counted; what the log does not take stays counted."""
        for reason, count in list(self._counted.items()):
            sentence = f"The authority refused {count} more requests for this reason within a short time."
            if self._written(reason, sentence, count):
                del self._counted[reason]

    def _written(self, reason: str, sentence: str, count: int = 1) -> bool:
        try:
            self._guard.refuse("", reason, sentence, count=count)
        except LedgerError as failure:
            _log.error("%d refusals could not be logged: %s: %s", count, reason, failure.message)
            # Not for each of them: nothing more is tried in this span.
            self._rows = ROWS
            return False
        return True


@asynccontextmanager
async def counting(tally: Tally) -> AsyncGenerator[None]:
    """Write what is counted after each span for as long as something else goes on, and at its end."""
    try:
        async with alongside(_every_span(tally)):
            yield
    finally:
        tally.write()


async def _every_span(tally: Tally) -> None:
    while True:
        await asyncio.sleep(SPAN)
        tally.write()
