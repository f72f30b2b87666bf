"""How often something happened lately: counts in six parts of a window, the newest first.

A counter is `(window, part, count, ... count)`; an empty one has counted nothing. What it counts has happened
within the window for certain; what happened in the window's first sixth may be forgotten already.
"""

from collections.abc import Sequence
from typing import TypeAlias

from hopward.clock import SECOND, Instant

Counter: TypeAlias = Sequence[int]

PARTS = 6
_MOST = 1_000_000
_NONE = (0,) * PARTS


def added(counter: Counter, at: Instant, window: int) -> Counter:
    """The counter with one more; `window` is seconds."""
    _, part, newest, *older = _moved(counter, at, window)
    return [window, part, newest + 1 if newest < _MOST else _MOST, *older]


def reaches(counter: Counter, least: int) -> bool:
    """Whether it can be that `least` were counted; where not, nothing has to be looked at more closely."""
    return sum(counter[2:]) >= least


def total(counter: Counter, at: Instant, window: int) -> int:
    """How many were counted within the window that ends now."""
    return sum(_moved(counter, at, window)[2:]) if counter else 0


def until(counter: Counter, at: Instant, window: int, least: int) -> Instant:
    """When the total falls below `least`, if nothing more is counted."""
    _, part, *counts = _moved(counter, at, window)
    left = sum(counts)
    for age in range(PARTS - 1, -1, -1):
        left -= counts[age]
        if left < least:
            return (part - age + PARTS) * (window * SECOND // PARTS)
    return at


def _moved(counter: Counter, at: Instant, window: int) -> Counter:
    part = at // (window * SECOND // PARTS)
    if not counter:
        return (window, part, *_NONE)
    if counter[0] == window and counter[1] == part:
        return counter
    known, latest, *counts = counter
    if known != window:
        # Somebody has changed the configuration: what was counted counts as of now.
        return (window, part, sum(counts), *_NONE[1:])
    passed = part - latest
    if passed < 0:
        return (window, part, *counts)
    return (window, part, *_NONE[:passed], *counts[: max(PARTS - passed, 0)])
