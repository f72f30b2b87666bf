"""Refusals of callers that may be anybody: a bounded number of rows in the log, and none left uncounted.

Whoever can connect can be refused as often as he likes. In each span of time the first refusals have a row
each; the rest are counted, by server and reason, and have a row for each of those at its end.
"""

import asyncio
import logging
from collections import Counter

from hopward import Chain, Guard, HopwardError

_log = logging.getLogger(__name__)

_SPAN = 10.0
"""Seconds."""
_ROWS = 20
"""Refusals in a span that have a row each."""


class Tally:
    """Records refusals before any decision; one per process, for all its endpoints."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._rows = 0
        self._counted: Counter[tuple[str, str]] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, server: str, reason: str, sentence: str, chain: Chain | None = None) -> None:
        """Record a refusal now, or count it; `reason` is a code, so that there are only so many."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SPAN, self._over)
        self._rows += 1
        if self._rows > _ROWS or not self._written(server, reason, sentence, chain):
            self._counted[server, reason] += 1

    def close(self) -> None:
        """Write the rows of what has been counted; what cannot be written is told on standard error."""
        self._end()
        for (server, reason), count in self._counted.items():
            _log.error("%d refusals at %s are not in the log: %s", count, server or "no server", reason)

    def _over(self) -> None:
        self._end()
        if self._counted:
            # The log cannot be written. It may be again.
            self._timer = asyncio.get_running_loop().call_later(_SPAN, self._over)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rows = None, 0
        for (server, reason), count in list(self._counted.items()):
            sentence = f"{count} more callers were turned away for this reason within {_SPAN:g} s."
            if self._written(server, reason, sentence, count=count):
                del self._counted[server, reason]

    def _written(
        self, server: str, reason: str, sentence: str, chain: Chain | None = None, count: int = 1
    ) -> bool:
        try:
            self.guard.refuse(server, reason, sentence, chain, count)
        except HopwardError as failure:
            _log.error("a refusal could not be logged: %s", failure.message)
            # Not for each of them: nothing more is written in this span.
            self._rows = _ROWS
            return False
        return True
