"""How many requests are answered at once: in all, and of one caller at one endpoint."""

from collections import Counter
from collections.abc import Hashable
from typing import Literal, TypeAlias

Full: TypeAlias = Literal["", "caller", "proxy"]
"""Who has too many requests under way; empty for nobody."""


class Admission:
    """Counts the requests under way; one per process, for all its endpoints. `most` is how many there may be
    in all, `most_per_caller` how many of one caller."""

    def __init__(self, most: int, most_per_caller: int) -> None:
        self.most = most
        self.most_per_caller = most_per_caller
        self._under_way: Counter[Hashable] = Counter()
        self._total = 0

    def enter(self, caller: Hashable) -> Full:
        """Count a request, unless there are too many; one that was counted must `leave`."""
        if self._under_way[caller] >= self.most_per_caller:
            return "caller"
        if self._total >= self.most:
            self._forget(caller)
            return "proxy"
        self._under_way[caller] += 1
        self._total += 1
        return ""

    def leave(self, caller: Hashable) -> None:
        """A request has been answered."""
        self._under_way[caller] -= 1
        self._total -= 1
        self._forget(caller)

    def _forget(self, caller: Hashable) -> None:
        if not self._under_way[caller]:
            del self._under_way[caller]
