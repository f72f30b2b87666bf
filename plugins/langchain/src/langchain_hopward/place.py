"""Where in a task the code that runs now is: a context variable, so what loses its context is nowhere."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from hopward import Chain


@dataclass(slots=True, eq=False)
class Handover:
    """Work handed on by a run that only the handler sees, or taken up by a graph node: open until it ends."""

    run: UUID
    chain: Chain


@dataclass(frozen=True, slots=True)
class Place:
    """A chain to act with, and the innermost hand-over that the handler has seen, if any.

    `entered` is false between the start of a hand-over and the first run below it: whatever is called there
    without LangChain telling of it has no authority, neither the delegator's nor the other agent's.
    """

    chain: Chain
    below: Handover | None = None
    entered: bool = True


PlaceVariable = ContextVar[Place | None]
