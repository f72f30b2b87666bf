"""Where in a task the code that runs now is: a context variable, so what loses its context is nowhere."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from hopward import Chain


@dataclass(slots=True, eq=False)
class Handover:
    """Work handed on by a run that only the handler sees, or taken up by a graph node.

    `runs` are the runs below it and its own, `before` is where its delegator was.
    """

    run: UUID
    chain: Chain
    before: "Place | None"
    runs: set[UUID] = field(default_factory=set[UUID])
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A chain to act with, and the innermost hand-over that the handler has seen, if any.

    `entered` is false between the start of a hand-over and the first run below it: whatever is called there
    without LangChain telling of it has no authority, neither the delegator's nor the other agent's.
    """

    chain: Chain
    below: Handover | None = None
    entered: bool = True


def settled(place: Place | None, parent: UUID | None) -> Place | None:
    """Where a run with this parent is, once hand-overs that began in its context and have ended are left out.

    LangChain tells of an end in a context of its own when it runs asynchronously, so what the start has left
    in the delegator's context is cleared up here. What ran below the hand-over stays below it.
    """
    while place is not None and place.below is not None and not place.entered and place.below.ended:
        if parent in place.below.runs:
            return place
        place = place.below.before
    return place


PlaceVariable = ContextVar[Place | None]
