"""What learned calls need: capabilities, budgets, and what their tools are where nobody has said so."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hopward import money
from hopward.canonical import compact
from hopward.classification import Classifications
from hopward.config import forms
from hopward.constraint import Constraint
from hopward.destination import destinations
from hopward.guess import action_told, names_told
from hopward.model import ArgumentType, Budget, Capability, Tool
from hopward.spending import Amount, amount_of
from hopward.suggestion.limits import limit
from hopward.suggestion.seen import Seen

_READ = ("resource:", "prompt:")

HEADROOM = 25
"""Percent that a suggested budget has beyond the most that a task was seen to use."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a line is based on: calls, oldest first."""

    seen: Sequence[Seen]

    @property
    def told(self) -> str:
        """`based on 14 calls in 3 tasks, first dec_..., last dec_...`."""
        tasks = len({one.chain.task for one in self.seen})
        calls = f"{len(self.seen)} call{'s' if len(self.seen) > 1 else ''}"
        where = f"{tasks} task{'s' if tasks > 1 else ''}"
        return f"based on {calls} in {where}, first {self.seen[0].decision}, last {self.seen[-1].decision}"


@dataclass(frozen=True, slots=True)
class Grant:
    """One capability that a workflow needs. `unbounded` are arguments about which nothing can be said."""

    workflow: str
    agent: str
    tool: Tool
    capability: Capability
    unbounded: tuple[str, ...]
    basis: Basis


@dataclass(frozen=True, slots=True)
class Proposed:
    """A tool that nobody has classified, as `hopward mcp classify` would propose it: a person must decide."""

    tool: Tool
    why: str
    basis: Basis


@dataclass(frozen=True, slots=True)
class Spent:
    """The most that one task of a workflow was seen to use, and a budget with headroom for it."""

    workflow: str
    most: Budget
    budget: Budget
    basis: Basis


def proposed(seen: Sequence[Seen], tools: Iterable[Tool]) -> list[Proposed]:
    """A proposal for every tool of these calls that is not classified."""
    known, found = Classifications(tools), dict[tuple[str, str], list[Seen]]()
    for one in seen:
        if known.find(one.call.server, one.call.tool) is None:
            found.setdefault((one.call.server, one.call.tool), []).append(one)
    return [_proposal(server, name, calls) for (server, name), calls in found.items() if _is_writable(name)]


def grants(seen: Sequence[Seen], tools: Iterable[Tool]) -> list[Grant]:
    """The narrowest capabilities that cover these calls, one for each set of arguments of each tool.

    With a set of its own, an argument that is sometimes left out is bounded where it is there, and absent
    where it is not.
    """
    known, groups = Classifications(tools), dict[tuple[str, str, str, frozenset[str]], list[Seen]]()
    for one in seen:
        key = (one.workflow, one.chain.actor, one.call.name, frozenset(one.call.arguments))
        groups.setdefault(key, []).append(one)
    found: list[Grant] = []
    for (workflow, agent, _, _), calls in groups.items():
        tool = known.find(calls[0].call.server, calls[0].call.tool)
        if tool is not None:
            found.append(_grant(workflow, agent, tool, calls))
    return found


def spent(seen: Sequence[Seen], tools: Iterable[Tool]) -> list[Spent]:
    """A budget for every workflow of these calls."""
    known, found = Classifications(tools), dict[str, list[Seen]]()
    for one in seen:
        found.setdefault(one.workflow, []).append(one)
    return [_spent(workflow, calls, known) for workflow, calls in found.items()]


def _grant(workflow: str, agent: str, tool: Tool, calls: Sequence[Seen]) -> Grant:
    limits = {name: limit(values) for name, values in sorted(_values(calls).items())}
    bounded: dict[str, tuple[Constraint, ...]] = {name: (one,) for name, one in limits.items() if one}
    unbounded = tuple(name for name, one in limits.items() if one is None)
    places = sorted({place for one in calls for place in destinations(tool, one.call.arguments)})
    capability = Capability(
        tools=(calls[0].call.name,),
        actions=(tool.action,),
        sensitivity=tool.sensitivity,
        destinations=tuple(places),
        constraints=bounded,
        # Closed, an argument without a condition would have to be absent.
        closed=not unbounded,
    )
    return Grant(workflow, agent, tool, capability, unbounded, Basis(tuple(calls)))


def _spent(workflow: str, calls: Sequence[Seen], known: Classifications) -> Spent:
    used: dict[str, list[Seen]] = {}
    for one in calls:
        used.setdefault(one.chain.task, []).append(one)
    most = _most([used_by(task, known) for task in used.values()])
    return Spent(workflow, most, _with_headroom(most), Basis(tuple(calls)))


def used_by(calls: Iterable[Seen], known: Classifications) -> Budget:
    """What the calls of one task have used up. What they spend where nobody can tell is not counted."""
    count = writes = size = 0
    units, places = Counter[str](), set[str]()
    for one in calls:
        tool = known.find(one.call.server, one.call.tool)
        count, writes = count + 1, writes + (tool is None or tool.action != "read")
        size += len(compact(one.call.arguments))
        amount = None if tool is None else amount_of(tool, one.call.arguments)
        if isinstance(amount, Amount):
            units[amount.currency] += amount.units
        places |= set() if tool is None else set(destinations(tool, one.call.arguments))
    spent = {currency: money.write(min(one, money.MOST), currency) for currency, one in units.items()}
    return Budget(calls=count, writes=writes, money=spent, bytes_out=size, destinations=len(places))


def _most(used: Sequence[Budget]) -> Budget:
    """The least budget that has room for each of these."""
    currencies = sorted({currency for one in used for currency in one.money})
    most = {name: max(money.of(one.money, name) for one in used) for name in currencies}
    return Budget(
        calls=max(one.calls for one in used),
        writes=max(one.writes for one in used),
        money={currency: money.write(units, currency) for currency, units in most.items()},
        bytes_out=max(one.bytes_out for one in used),
        destinations=max(one.destinations for one in used),
    )


def _with_headroom(most: Budget) -> Budget:
    return Budget(
        calls=_more(most.calls),
        writes=_more(most.writes),
        money={one: money.write(_more_money(most, one), one) for one in most.money},
        bytes_out=_more(most.bytes_out),
        destinations=_more(most.destinations),
    )


def _more(most: int) -> int:
    return -(-most * (100 + HEADROOM) // 100)


def _more_money(most: Budget, currency: str) -> money.Units:
    """In whole units of the smallest that the currency has, as all amounts are."""
    smallest = 10 ** (money.UNIT_DIGITS - money.digits(currency))
    return min(
        -(-_more(money.of(most.money, currency)) // smallest) * smallest, money.MOST // smallest * smallest
    )


def _values(calls: Iterable[Seen]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in calls:
        for name, value in one.call.arguments.items():
            found.setdefault(name, []).append(value)
    return found


def _is_writable(name: str) -> bool:
    """Whether hopward.toml takes a tool of this name; of what is no tool, MCP resources and prompts alone."""
    for prefix in _READ:
        if name.startswith(prefix):
            return not forms.wrong_pattern(name.removeprefix(prefix)) and "*" not in name
    return forms.TOOL_NAME.fullmatch(name) is not None


def _proposal(server: str, name: str, calls: Sequence[Seen]) -> Proposed:
    reading = name.startswith(_READ)
    action, why = ("read", "it is read") if reading else action_told(name)
    types: dict[str, ArgumentType] = {}
    for argument, values in sorted(_values(calls).items()):
        kind = _type(values)
        if kind is not None and argument.strip() and not forms.has_control(argument):
            types[argument] = kind
    tool = Tool(
        server=server,
        name=name,
        action=action,
        sensitivity="internal",
        integrity="untrusted",
        destination=server,
        ceiling="internal",
        arguments=types,
        names=names_told(types),
    )
    return Proposed(tool, why, Basis(tuple(calls)))


_TYPES: Mapping[type, ArgumentType] = {str: "string", bool: "boolean", int: "integer"}


def _type(values: Sequence[Any]) -> ArgumentType | None:
    """The type that policies may see an argument as; None where they cannot, or where it changes."""
    kinds: set[type] = set(map(type, values))
    if kinds == {list}:
        return "strings" if all(type(item) is str for value in values for item in value) else None
    if kinds in ({float}, {int, float}):
        return "decimal"
    return _TYPES.get(next(iter(kinds))) if len(kinds) == 1 else None
