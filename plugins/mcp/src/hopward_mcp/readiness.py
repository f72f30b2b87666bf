"""Whether a call could be permitted at this moment, for probes: anybody may ask, as often as he likes."""

import asyncio

from hopward import Guard

_KEPT = 1.0
"""Seconds for which an answer counts: to find it takes a commit."""


class Readiness:
    """Asks the guard what is missing, once in a while."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._now = asyncio.get_running_loop().time
        self._found: tuple[float, tuple[str, ...]] | None = None

    def lacking(self) -> tuple[str, ...]:
        """The names of the parts that are missing; none when ready."""
        if self._found is None or self._now() - self._found[0] > _KEPT:
            self._found = (self._now(), self._guard.lacking())
        return self._found[1]
