"""Where in a task the code that runs now is: a context variable, so what loses its context is nowhere."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.runnables.config import var_child_runnable_config

from hopward import Chain, Guard


@dataclass(slots=True, eq=False)
class Handover:
    """Work handed on by a run that only the handler sees, or taken up by a graph node.

    `runs` are the runs below it and its own. `before` is where its delegator was, `around` the run that the
    delegator was in.
    """

    run: UUID
    chain: Chain
    before: "Place | None"
    around: UUID | None
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


def run_around() -> UUID | None:
    """The run whose body this is, as LangChain's own context variable has it; None outside any run.

    Unlike the parent that a run is told to have, it does not change with `callbacks=[]`.
    """
    config: Any = var_child_runnable_config.get() or {}
    found: Any = getattr(config.get("callbacks"), "parent_run_id", None)
    return found if isinstance(found, UUID) else None


def settled(place: Place | None, parent: UUID | None) -> Place | None:
    """Where a run with this parent is, as far as hand-overs go that the handler has seen.

    In the body of a hand-over, it is the other agent's: for good, also when the hand-over has ended.
    Where it began, it is the delegator's again once it has ended: LangChain tells of an end in a context of
    its own when it runs asynchronously, so what the start has left behind is cleared up here. Anywhere else
    it cannot be told.
    """
    around = run_around()
    while place is not None and place.below is not None and not place.entered:
        if parent in place.below.runs or around in place.below.runs:
            return Place(place.chain, place.below)
        if not place.below.ended or around != place.below.around:
            return place
        place = place.below.before
    return place


PlaceVariable = ContextVar[Place | None]
_variables: dict[str, PlaceVariable] = {}


def place_of(guard: Guard) -> PlaceVariable:
    """The one variable of an installation in this process, whoever opens it: nobody is at two places."""
    root = str(guard.settings.root.resolve())
    return _variables.setdefault(root, ContextVar("hopward_place", default=None))
