"""Sets kept small: only the members that no other member includes."""

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def maximal(items: Iterable[T], within: Callable[[T, T], bool]) -> list[T]:
    """The items, without repeats and without those that lie within another.

    `within(a, b)` must be a partial order: of two different items, at most one lies within the other.
    """
    distinct: list[T] = []
    for item in items:
        if item not in distinct:
            distinct.append(item)
    return [a for a in distinct if not any(a != b and within(a, b) for b in distinct)]


def meets(a: Iterable[T], b: Iterable[T], within: Callable[[T, T], bool]) -> list[T]:
    """What two sets have in common, where of two items one lies within the other or they share nothing."""
    right = tuple(b)
    common = [x if within(x, y) else y for x in a for y in right if within(x, y) or within(y, x)]
    return maximal(common, within)
