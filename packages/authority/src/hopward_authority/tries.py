"""How often somebody may be wrong: guesses of one address within a time."""

import time
from collections.abc import Callable

MOST = 10
"""Wrong codes of one address within `WITHIN`."""

WITHIN = 600.0
"""Seconds."""

_MOST_ADDRESSES = 4_096


class Tries:
    """Counts wrong tries by address, in this process. `now` is seconds of any steady clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: dict[str, tuple[float, int]] = {}

    def exhausted(self, address: str) -> bool:
        """Whether this address has been wrong too often; when too many have been wrong, all of them have."""
        self._forget()
        _, count = self._wrong.get(address, (0.0, 0))
        return count >= MOST or (address not in self._wrong and len(self._wrong) >= _MOST_ADDRESSES)

    def wrong(self, address: str) -> None:
        """One more wrong try."""
        since, count = self._wrong.get(address, (self._now(), 0))
        self._wrong[address] = (since, count + 1)

    def _forget(self) -> None:
        begun = self._now() - WITHIN
        self._wrong = {name: one for name, one in self._wrong.items() if one[0] > begun}
