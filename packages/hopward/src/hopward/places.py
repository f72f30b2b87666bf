"""Patterns of destinations: as other name patterns, and for hosts and private networks a little more.

    mail                 exactly that
    account:DE*          what begins with account:DE
    *                    anything, but nothing private
    host:api.example     one host
    host:*.example       every host below example, at any depth, and not example itself
    private:*            a host that is no public one, such as an address of a local network

Of two patterns one lies within the other or they share no name: so a prefix of hosts, `host:api*`, is none.
"""

from collections.abc import Iterable
from functools import lru_cache

from hopward import pattern
from hopward.order import maximal, meets

HOST = "host:"
PRIVATE = "private:"
_BELOW = "host:*."


def check(place: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if place.startswith(_BELOW):
        domain = place.removeprefix(_BELOW)
        if domain and "*" not in domain and domain == domain.strip(".").lower():
            return None
        return f"{place!r} must name a domain after `host:*.`, in lower case"
    if place.startswith(HOST) and place.endswith("*") and place != HOST + "*":
        return f"{place!r} is a prefix of hosts; write host:*.DOMAIN or host:*"
    return pattern.check(place)


def matches(place: str, name: str) -> bool:
    """Whether a destination is among those that a pattern stands for; none is for what is no pattern."""
    if name.startswith(PRIVATE) and not place.startswith(PRIVATE):
        return False
    if place.startswith(HOST) and place.endswith("*") and place != HOST + "*":
        return False
    if place.startswith(_BELOW):
        return check(place) is None and name.startswith(HOST) and name.endswith(place[len(_BELOW) - 1 :])
    return pattern.matches(place, name)


@lru_cache(maxsize=4096)
def matches_any(places: tuple[str, ...], name: str) -> bool:
    """Whether at least one of the patterns matches the destination."""
    return any(matches(place, name) for place in places)


def within(child: str, parent: str) -> bool:
    """True if every destination of the child is one of the parent's; False for what is no pattern."""
    if check(child) is not None or check(parent) is not None:
        return False
    if child.startswith(PRIVATE) != parent.startswith(PRIVATE):
        return False
    if parent.startswith(_BELOW):
        return child.startswith(HOST) and child.endswith(parent[len(_BELOW) - 1 :])
    if child.startswith(_BELOW):
        return pattern.within(HOST + "*", parent)
    return pattern.within(child, parent)


def normal(places: Iterable[str]) -> tuple[str, ...]:
    """The smallest set that stands for the same destinations, sorted."""
    return tuple(sorted(maximal((place for place in places if check(place) is None), within)))


def meet(a: Iterable[str], b: Iterable[str]) -> tuple[str, ...]:
    """The patterns of the destinations that both sets stand for, in normal form."""
    return tuple(sorted(meets(a, b, within)))
