"""What Cedar's validator lets pass although a policy cannot mean it.

Some mistakes would leave a `forbid` silently without effect, so the policy set is refused for them: a tool or
server that is not configured, an argument that no tool in question declares, a label that does not exist,
and a question about an entity other than the request's own (Cedar is given no other). Agents are free: a
policy may be about one that is not registered yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hopward import pattern
from hopward.model import ACTIONS, SENSITIVITIES, Tool
from hopward.policy import (
    ACTION,
    ATTRIBUTES,
    DELEGATE,
    HOP_ATTRIBUTES,
    SERVER,
    TOOL,
    Form,
    Policy,
    delegates,
    may_apply,
    nearest,
    uid,
)

NAME_IT = f'; a policy about handing on says so in its scope: `action == {ACTION}::"{DELEGATE}"`'
"""What a policy is told that asks about handing on, but does not say that it is about that."""

_LABELS: Mapping[str, tuple[str, ...]] = {
    "action": ACTIONS,
    "actions": ACTIONS,
    "sensitivity": SENSITIVITIES,
    "integrity": ("trusted", "untrusted"),
}


def faults(policy: Policy, tools: Sequence[Tool]) -> Iterator[tuple[str, str]]:
    """Every mistake that Cedar's validator does not find: (name at fault, problem)."""
    for kind, name in (policy.agents or frozenset()) | (policy.resources or frozenset()):
        yield from _unknown(kind, name, tools)
    if delegates(policy) and len(policy.actions or ()) > 1:
        yield DELEGATE, "it is about calls and about handing on; write one policy for each"
    match policy.form["action"]:
        case {"op": "==", "entity": {"id": name}} if name in ACTIONS:
            yield name, f'no call has the action {name!r} itself: write `action in {ACTION}::"{name}"`'
        case _:
            pass
    for node in _nodes(policy.form["conditions"]):
        yield from _wrong(node, policy, tools)


@dataclass(frozen=True, slots=True)
class _Literal:
    """An entity named in a condition; `compared` if it stands where only its identity counts."""

    kind: str
    name: str
    compared: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """`of has attribute`, where `of` is a variable, `context.arguments` or `context.handed`."""

    of: str
    attribute: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A text that `of.attribute` is compared with, or that it is asked to contain."""

    of: str
    attribute: str
    value: str


_Node = _Literal | _Asked | _Value


def _wrong(node: _Node, policy: Policy, tools: Sequence[Tool]) -> Iterator[tuple[str, str]]:
    match node:
        case _Literal(kind, name, compared):
            yield from _unknown(kind, name, tools)
            if not compared:
                yield name, f'{kind}::"{name}" may only stand beside == and !=, or right of `in`'
        case _Asked("context.arguments", attribute):
            yield from _undeclared(policy, attribute, tools)
        case _Asked(of, attribute):
            attributes = (HOP_ATTRIBUTES if delegates(policy) else ATTRIBUTES).get(of)
            if attributes is not None and attribute not in attributes:
                hint = NAME_IT if (of, attribute) == ("context", "handed") else nearest(attribute, attributes)
                yield attribute, f"{of} never has {attribute!r}{hint}"
        case _Value("context.handed", "tools", name) if not name.endswith("*"):
            known = [tool.full_name for tool in tools]
            if not any(pattern.matches(one, name) or one == name for one in known):
                yield name, f"there is no tool called {name!r}{nearest(name, known)}"
        case _Value(of, attribute, value) if value not in _LABELS.get(attribute, (value,)):
            yield value, f"{of}.{attribute} is never {value!r}{nearest(value, _LABELS[attribute])}"
        case _:
            pass


_IDENTITY_COUNTS = frozenset(
    {
        ("==", "left"),
        ("==", "right"),
        ("!=", "left"),
        ("!=", "right"),
        ("in", "right"),
        ("is", "in"),
        ("contains", "right"),
    }
)

_COMPARING = frozenset({"==", "!=", "contains", "containsAll", "containsAny"})
_LABELLED = frozenset({"resource", "context.handed"})
"""What has labels: the tool that is called, and what is handed on."""


def _nodes(conditions: Sequence[Form]) -> Iterator[_Node]:
    # A stack, because conditions may nest deeper than Python calls.
    stack: list[tuple[Form, bool]] = [(condition["body"], False) for condition in conditions]
    while stack:
        form, compared = stack.pop()
        for operator, operand in form.items():
            match operand:
                case {"__entity": entity} if operator == "Value":
                    yield _Literal(*uid(entity), compared)
                case {"left": left, "attr": str(attribute)} if operator == "has":
                    if (of := _path(left)) is not None:
                        yield _Asked(of, attribute)
                case {"left": left, "right": right} if operator in _COMPARING:
                    yield from _values(left, right)
                    yield from _values(right, left)
                case _:
                    pass
            if operator != "Value":
                stack.extend(_children(operator, operand))


def _children(operator: str, operand: Any) -> Iterator[tuple[Form, bool]]:
    """The expressions an operator is applied to, each with whether only its identity counts there."""
    parts: list[tuple[Any, Any]] = []
    if isinstance(operand, dict):
        parts = list(cast("dict[Any, Any]", operand).items())
    elif isinstance(operand, list):
        parts = list(enumerate(cast("list[Any]", operand)))
    for place, part in parts:
        if isinstance(part, dict):
            yield cast("Form", part), operator == "Set" or (operator, place) in _IDENTITY_COUNTS


def _values(asked: Form, other: Form) -> Iterator[_Value]:
    match asked:
        case {".": {"left": left, "attr": str(attribute)}} if (of := _path(left)) in _LABELLED:
            parts: list[Any] = other.get("Set", [other])
            for part in parts:
                match part:
                    case {"Value": str(value)}:
                        yield _Value(of, attribute, value)
                    case _:
                        pass
        case _:
            pass


def _path(form: Form) -> str | None:
    match form:
        case {"Var": str(variable)} if variable in ATTRIBUTES:
            return variable
        case {".": {"left": {"Var": "context"}, "attr": "arguments" | "handed" as record}}:
            return f"context.{record}"
        case _:
            return None


def _unknown(kind: str, name: str, tools: Sequence[Tool]) -> Iterator[tuple[str, str]]:
    """Cedar knows the actions of the schema, but takes any id for a tool or a server."""
    known = {
        TOOL: [tool.full_name for tool in tools],
        SERVER: [tool.server for tool in tools],
    }.get(kind)
    if known is not None and name not in known:
        what = "tool" if kind == TOOL else "server with a classified tool"
        yield name, f"there is no {what} called {name!r}{nearest(name, known)}"


def _undeclared(policy: Policy, argument: str, tools: Iterable[Tool]) -> Iterator[tuple[str, str]]:
    declared = [tool.arguments for tool in tools if may_apply(policy, tool)]
    if declared and not any(argument in arguments for arguments in declared):
        told = f"no tool this policy can be about declares an argument {argument!r}"
        yield argument, told + nearest(argument, {name for arguments in declared for name in arguments})
