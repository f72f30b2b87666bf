"""What a detector is: events in, a small state kept, a signal out."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from hopward.clock import Instant
from hopward.thresholds import RiskSettings

EventKind: TypeAlias = Literal["attempt", "permit", "deny", "error", "opened", "ended"]
"""A call or hop is asked for; it is permitted; it is refused; a call has failed; a hop begins; a hop ends."""

Watched: TypeAlias = Literal["agent", "task"]
"""What a state is kept of."""

State: TypeAlias = Sequence[Any]
"""What a detector remembers: plain and small, whatever has happened. Empty at first."""


_BYTES = 8
_PERSON = b"hopward.watch"


class Event(msgspec.Struct, frozen=True):
    """One thing that happened, as detectors hear of it.

    `tool`, `places` and `call` stand for the tool (`SERVER/TOOL`, or `delegate:AGENT`), the destinations, and
    the digest of what was asked for (`token`). `expires_at` is the end of a hop. `at` never goes back for a
    detector: where the clock has been set back, it is so much `behind`.
    """

    kind: EventKind
    at: Instant
    tool: int = 0
    places: tuple[int, ...] = ()
    call: int = 0
    expires_at: Instant = 0
    behind: int = 0


def token(name: str) -> int:
    """What stands for a name: eight bytes of a digest, for which nobody finds another name.

    The same in every process.
    """
    found = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES, person=_PERSON)
    return int.from_bytes(found.digest())


def attempt(at: Instant, tool: str, digest: str, places: Iterable[str] = ()) -> Event:
    """The event that a call or hop is asked for."""
    return Event("attempt", at, _known(tool), tuple([_known(place) for place in places]), token(digest))


_known = lru_cache(maxsize=4096)(token)


class Signal(msgspec.Struct, frozen=True):
    """Something out of the ordinary, as of now. It is over at `until` if nothing more happens.

    Found for every call, told to few: `wording` and `values` become a sentence only where somebody reads it.
    """

    name: str
    weight: int
    wording: str
    until: Instant
    values: tuple[Any, ...] = ()

    @property
    def sentence(self) -> str:
        """What it says, for people."""
        return self.wording.format(*self.values)


class Detector(Protocol):
    """Watches for one thing. Pure: it keeps nothing itself, and tells the same of the same.

    No event makes it raise, in whatever order events come and whatever the clock does. What is seen again and
    again keeps its signal up; what is not seen for its window is forgotten.
    """

    @property
    def name(self) -> str:
        """What its signal is called; policies and `[risk]` know it by that."""
        ...

    @property
    def of(self) -> frozenset[Watched]:
        """What it watches."""
        ...

    @property
    def hears(self) -> frozenset[EventKind]:
        """The events that can change its state; it is given no other."""
        ...

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """The state after an event."""
        ...

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """What it has to say at a time."""
        ...
