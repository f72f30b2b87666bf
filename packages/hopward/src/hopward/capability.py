"""Capabilities: what one covers, and how the capabilities of parent and child become the child's.

A constraint's key names a top-level argument, or, as a JSON Pointer, a member of nested objects
(`hopward.constraint.arguments`). A key without conditions constrains nothing. A `closed` capability covers no
call with an argument, or a member of an object on the way of a pointer, that has no conditions.

`attenuate` is the meet: it covers a call if and only if parent and child both do. It is associative,
commutative, and idempotent on normal forms, as equality of values. Capabilities that cover no call at all
have one normal form, `NOTHING`, as far as names, classes and the meet of constraints show it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from hopward import constraint, destination, pattern, places
from hopward.constraint import MISSING, Constraint, describe, satisfies
from hopward.constraint.arguments import check_key, find, normal_by_key, unnamed
from hopward.model import ACTIONS, SENSITIVITIES, Action, Capability, Tool, ToolCall
from hopward.order import maximal

NOTHING: Final = Capability(tools=(), actions=(), sensitivity="public", destinations=(), closed=True)
"""The capability that covers no call."""

CONTRADICTION: Final = "it covers no call: its conditions exclude each other"
"""What `check` says of a capability that is well written and still covers nothing."""

_RANKS: dict[str, int] = {name: rank for rank, name in enumerate(SENSITIVITIES)}


def covers(capability: Capability, call: ToolCall, tool: Tool) -> bool:
    """True if the capability covers the call of a tool classified so. Never raises for any arguments.

    `tool` may classify a family of names (`resource:ticket://*`), and its `destination` is where the call
    leads (`hopward.destination`). A classification that is not the call's covers nothing, nor does a server
    whose name has a `/`, which would make `SERVER/TOOL` ambiguous.
    """
    return _obstacle(capability, call, tool) is None


def covers_any(capabilities: Iterable[Capability], call: ToolCall, tool: Tool) -> Capability | None:
    """The first capability that covers the call, or None."""
    for capability in capabilities:
        if _obstacle(capability, call, tool) is None:
            return capability
    return None


def lines(capabilities: Iterable[Capability]) -> Iterator[str]:
    """Capabilities in words for people, one on each line."""
    for granted in capabilities:
        parts = [
            "/".join(granted.actions),
            "with " + ", ".join(granted.tools),
            f"up to {granted.sensitivity}",
            "at " + ", ".join(granted.destinations),
        ]
        for argument, conditions in granted.constraints.items():
            parts.append(f"{argument} " + " and ".join(describe(condition) for condition in conditions))
        if granted.closed:
            parts.append("no other arguments")
        yield "; ".join(parts)


def explain(capability: Capability, call: ToolCall, tool: Tool) -> str | None:
    """Why the capability does not cover the call: the first reason, a sentence; None if it does.

    The sentence holds names and the capability's conditions, never the value of an argument.
    """
    obstacle = _obstacle(capability, call, tool)
    return None if obstacle is None else obstacle.sentence()


def explain_any(capabilities: Iterable[Capability], call: ToolCall, tool: Tool) -> str:
    """Why none of the capabilities covers the call, told of the one that comes closest; empty if one does."""
    obstacles = [_obstacle(capability, call, tool) for capability in capabilities]
    if not obstacles:
        return "No capability is granted."
    nearest: _Obstacle | None = None
    for obstacle in obstacles:
        if obstacle is None:
            return ""
        if nearest is None or obstacle.passed > nearest.passed:
            nearest = obstacle
    return "" if nearest is None else nearest.sentence()


def reaches(capabilities: Iterable[Capability], tool: Tool) -> bool:
    """True if some call of the tool, or of one tool of the family it classifies, could be covered."""
    return any(
        _class_obstacle(capability, tool) is None
        and _leads_to_one_of(capability, tool)
        and _names_one_of(capability, tool)
        and (not capability.constraints or normal_by_key(capability.constraints) is not None)
        for capability in capabilities
    )


def _names_one_of(capability: Capability, tool: Tool) -> bool:
    if tool.name.endswith("*"):
        return pattern.meet(capability.tools, (tool.full_name,)) != ()
    return pattern.matches_any(capability.tools, tool.full_name)


def _leads_to_one_of(capability: Capability, tool: Tool) -> bool:
    if not destination.argument_of(tool.destination):
        return _destination_obstacle(capability, tool) is None
    return any(destination.may_lead(tool.destination, place) for place in capability.destinations)


def normal(capability: Capability) -> Capability:
    """The one spelling of a capability: sets sorted and without subsumed members, constraints normal."""
    tools = pattern.normal(capability.tools)
    actions: tuple[Action, ...] = tuple(action for action in ACTIONS if action in capability.actions)
    destinations = places.normal(capability.destinations)
    constraints = normal_by_key(capability.constraints)
    if (
        not (tools and actions and destinations)
        or constraints is None
        or capability.sensitivity not in _RANKS
    ):
        return NOTHING
    return Capability(
        tools=tools,
        actions=actions,
        sensitivity=capability.sensitivity,
        destinations=destinations,
        constraints=constraints,
        closed=capability.closed,
    )


def attenuate(parent: Capability, child: Capability) -> Capability:
    """The meet of two capabilities, in normal form: it covers exactly the calls that both cover."""
    a, b = normal(parent), normal(child)
    # A condition needs its argument to be there; a closed side that does not name it needs it not to be.
    if (a.closed and not b.constraints.keys() <= a.constraints.keys()) or (
        b.closed and not a.constraints.keys() <= b.constraints.keys()
    ):
        return NOTHING
    both = a.constraints.keys() | b.constraints.keys()
    return normal(
        Capability(
            tools=pattern.meet(a.tools, b.tools),
            actions=tuple(action for action in a.actions if action in b.actions),
            sensitivity=min(a.sensitivity, b.sensitivity, key=_RANKS.__getitem__),
            destinations=places.meet(a.destinations, b.destinations),
            constraints={key: (*a.constraints.get(key, ()), *b.constraints.get(key, ())) for key in both},
            closed=a.closed or b.closed,
        )
    )


def within(child: Capability, parent: Capability) -> bool:
    """True only if every call that the child covers is covered by the parent.

    May be False where that holds but cannot be computed, as between two different patterns.
    """
    return attenuate(parent, child) == normal(child)


def normal_all(capabilities: Iterable[Capability]) -> tuple[Capability, ...]:
    """The one spelling of alternatives: normal forms, sorted, without `NOTHING` and those within another."""
    some = [c for c in map(normal, capabilities) if c != NOTHING]
    return tuple(sorted(maximal(some, within), key=repr))


def attenuate_all(parents: Iterable[Capability], children: Iterable[Capability]) -> tuple[Capability, ...]:
    """The meet of alternatives: covers exactly the calls that some parent and some child cover."""
    inherited = tuple(parents)
    return normal_all(attenuate(parent, child) for child in children for parent in inherited)


def check(capability: Capability) -> tuple[str, ...]:
    """What is wrong with a capability that someone wrote, one line per mistake."""
    found = tuple(_problems(capability))
    if not found and normal(capability) == NOTHING:
        return (CONTRADICTION,)
    return found


def _problems(capability: Capability) -> Iterator[str]:
    for name, entries, wrong in (
        ("tools", capability.tools, pattern.check),
        ("destinations", capability.destinations, places.check),
    ):
        if not entries:
            yield f"{name} is empty"
        yield from (problem for problem in map(wrong, entries) if problem is not None)
    if not capability.actions:
        yield "actions is empty"
    for key, conditions in capability.constraints.items():
        wrong_key = check_key(key)
        if wrong_key is not None:
            yield wrong_key
        if not conditions:
            yield f"the argument {key!r} has no conditions"
        yield from (f"{key}: {wrong}" for wrong in map(constraint.check, conditions) if wrong is not None)


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """What keeps a capability from covering a call; `passed` counts the kinds of check before it."""

    passed: int
    wording: str
    parts: tuple[str | Constraint, ...]

    def sentence(self) -> str:
        return self.wording.format(*(_quote(p) if isinstance(p, str) else describe(p) for p in self.parts))


def _quote(name: str) -> str:
    return repr(name) if len(name) <= 120 else repr(name[:120]) + "..."


def _obstacle(capability: Capability, call: ToolCall, tool: Tool) -> _Obstacle | None:
    if call.server != tool.server or "/" in call.server or not pattern.matches(tool.name, call.tool):
        return _Obstacle(0, "The classification of {} is not that of {}.", (tool.full_name, call.name))
    name = call.name
    if not pattern.matches_any(capability.tools, name):
        return _Obstacle(1, "The tool {} is not granted.", (name,))
    return (
        _class_obstacle(capability, tool)
        or _destination_obstacle(capability, tool)
        or _argument_obstacle(capability, call)
    )


def _class_obstacle(capability: Capability, tool: Tool) -> _Obstacle | None:
    if tool.action not in capability.actions:
        return _Obstacle(2, "The action {} of {} is not granted.", (tool.action, tool.full_name))
    if _RANKS.get(tool.sensitivity, len(_RANKS)) > _RANKS.get(capability.sensitivity, -1):
        wording = "Data that is {} is not granted, at most {}."
        return _Obstacle(3, wording, (tool.sensitivity, capability.sensitivity))
    return None


def _destination_obstacle(capability: Capability, tool: Tool) -> _Obstacle | None:
    if not places.matches_any(capability.destinations, tool.destination):
        return _Obstacle(4, "The destination {} is not granted.", (tool.destination,))
    return None


def _argument_obstacle(capability: Capability, call: ToolCall) -> _Obstacle | None:
    for key, conditions in capability.constraints.items():
        value = find(call.arguments, key)
        for condition in conditions:
            if not satisfies(condition, value):
                wording = "The argument {} is missing; it {}." if value is MISSING else "The argument {} {}."
                return _Obstacle(5, wording, (key, condition))
    if capability.closed:
        named = (key for key, conditions in capability.constraints.items() if conditions)
        stranger = unnamed(call.arguments, named)
        if stranger is not None:
            return _Obstacle(6, "The argument {} may not be given.", (stranger,))
    return None
