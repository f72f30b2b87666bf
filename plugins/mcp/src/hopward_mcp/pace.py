"""How much of the event loop one stream of a server may take with what answers nobody.

Everything in the process shares the loop. A server that sends notifications, events or refused messages
without end would have it all: so each stream has a small credit of time, and a small share of what passes.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

SHARE: Final = 0.05
_CREDIT: Final = 0.001
_LEAST: Final = 0.002
"""Seconds of work that may be done at once, and of rest that is worth a timer."""

UNSEEN: Final = 0.00003
"""Seconds for what is not measured: sending an event on, or throwing one away."""
LINE: Final = 0.000001
PIECE: Final = 0.000004
"""Seconds for cutting a line out of a stream, and for taking a small piece of an answer out of HTTP."""


class Pace:
    """The pace of one stream. `clock` is in seconds and only ever goes on; the loop's own may stand still
    during a turn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._credit = _CREDIT
        self._at = clock()
        self._rest = 0.0

    def charge(self, seconds: float) -> float:
        """Note work that answered nobody; for how many seconds there should be no more of it now."""
        now = self.clock()
        self._credit = min(_CREDIT, self._credit + (now - self._at) * SHARE) - seconds
        self._at = now
        self._rest = 0.0 if self._credit >= 0 else max(_LEAST, -self._credit / SHARE)
        return self._rest

    async def rest(self) -> None:
        """Wait until there may be more of it."""
        if self._rest:
            seconds, self._rest = self._rest, 0.0
            await asyncio.sleep(seconds)
