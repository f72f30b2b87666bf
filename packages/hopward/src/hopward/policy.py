"""Policies as values: annotations, which calls a policy can be about, and what makes one unusable.

A policy is read here from the JSON form that Cedar gives it. Some mistakes that Cedar's validator accepts
would leave a `forbid` silently without effect, so they are found here and the policy set is refused: a tool
or server that is not configured, an argument that no tool in question declares, a label that does not exist,
and a question about an entity other than the call's own agent, tool and server (Cedar is given no other).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from hopward.model import ACTIONS, SENSITIVITIES, Tool

AGENT = "Hopward::Agent"
ACTION = "Hopward::Action"
TOOL = "Hopward::Tool"
SERVER = "Hopward::Server"
DELEGATE = "delegate"
"""The Cedar types of the schema (`hopward.cedarschema`), and the id of the action of handing on."""

Effect: TypeAlias = Literal["permit", "forbid"]
Names: TypeAlias = "frozenset[tuple[str, str]] | None"
"""Entities a scope names, each as (type, id)."""

_Form: TypeAlias = Mapping[str, Any]

ANNOTATIONS = ("id", "reason", "control", "step_up")
"""`@id("NAME")`, `@reason("Sentence.")`, `@control("NAME")`, `@step_up("GROUP")`; no other is accepted."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "principal": frozenset({"owner", "purpose"}),
    "resource": frozenset({"server", "name", "action", "sensitivity", "integrity", "destination"}),
    "context": frozenset(
        {
            "arguments",
            "subject",
            "task",
            "purpose",
            "workflow",
            "depth",
            "actors",
            "path",
            "hop_purpose",
            "hops",
            "calls_left",
            "writes_left",
        }
    ),
}
"""What a policy about calls can ask of the variables of a request, the schema's attributes."""

HOP_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "principal": ATTRIBUTES["principal"],
    "resource": ATTRIBUTES["principal"],
    "context": ATTRIBUTES["context"] - {"arguments"} | {"handed"},
}
"""Likewise for a policy about handing on."""

_LABELS: Mapping[str, tuple[str, ...]] = {
    "action": ACTIONS,
    "sensitivity": SENSITIVITIES,
    "integrity": ("trusted", "untrusted"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of the set in force.

    `id` is its `@id`, or `FILE#N` (the Nth of its file). `text` is the policy as written, `form` the JSON
    form Cedar gives it. `agents`, `actions` and `resources` are what its scope names, None for any. `reason`
    is the sentence a refused caller reads; `step_up` names the group whose approval lifts this `forbid`.
    """

    id: str
    effect: Effect
    file: str
    line: int
    text: str
    form: _Form
    agents: Names
    actions: Names
    resources: Names
    reason: str = ""
    control: str = ""
    step_up: str = ""


def read_policy(form: _Form, text: str, file: str, index: int, line: int) -> tuple[Policy, list[str]]:
    """The `index`th policy of a file (from 1) and every problem with its annotations."""
    effect: Effect = "forbid" if form["effect"] == "forbid" else "permit"
    known, problems = _annotations(form.get("annotations", {}))
    if "step_up" in known and effect != "forbid":
        problems.append("@step_up belongs on a forbid: it names who may lift it")
    policy = Policy(
        id=known.pop("id", f"{file}#{index}"),
        effect=effect,
        file=file,
        line=line,
        text=text,
        form=form,
        agents=_named(form["principal"]),
        actions=_named(form["action"]),
        resources=_named(form["resource"]),
        **known,
    )
    return policy, problems


def _named(scope: _Form) -> Names:
    match scope:
        case {"op": "==" | "in", "entity": entity} | {"op": "is", "in": {"entity": entity}}:
            return frozenset({_uid(entity)})
        case {"op": "in", "entities": entities}:
            return frozenset(map(_uid, entities))
        case _:
            return None


def _uid(entity: Any) -> tuple[str, str]:
    return (entity["type"], entity["id"])


def _annotations(annotations: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    known: dict[str, str] = {}
    problems: list[str] = []
    for name, value in annotations.items():
        if name not in ANNOTATIONS:
            problems.append(f"@{name} is no annotation of Hopward{nearest(name, ANNOTATIONS, '@{}')}")
        elif not value or not value.isprintable():
            problems.append(f'@{name} needs a printable text on one line: @{name}("...")')
        elif name == "id" and not _ID.fullmatch(value):
            problems.append(f"@id {value!r} may hold letters, digits and _ . : / - only, 128 at most")
        else:
            known[name] = value
    return known, problems


def nearest(name: str, candidates: Iterable[str], form: str = "{}") -> str:
    """`; did you mean X?` for the nearest candidate, or nothing."""
    found = difflib.get_close_matches(name, list(candidates), n=1)
    return f"; did you mean {form.format(found[0])}?" if found else ""


def may_apply(policy: Policy, tool: Tool) -> bool:
    """False only if no call of this tool can lie in the policy's scope."""
    return (
        policy.actions is None
        or (ACTION, tool.full_name) in policy.actions
        or (ACTION, tool.action) in policy.actions
    ) and (
        policy.resources is None
        or (TOOL, tool.full_name) in policy.resources
        or (SERVER, tool.server) in policy.resources
    )


def delegates(policy: Policy) -> bool:
    """Whether the policy says of itself that it is about handing on: it names that action."""
    return policy.actions is not None and (ACTION, DELEGATE) in policy.actions


def may_act(policy: Policy, agent: str) -> bool:
    """False only if no call of this agent can lie in the policy's scope."""
    return policy.agents is None or (AGENT, agent) in policy.agents


def faults(policy: Policy, tools: Sequence[Tool]) -> Iterator[tuple[str, str]]:
    """What Cedar's validator lets pass although the policy cannot mean it: (name at fault, problem)."""
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
        match node:
            case _Literal(kind, name, compared):
                yield from _unknown(kind, name, tools)
                if not compared:
                    yield name, f'{kind}::"{name}" may only stand beside == and !=, or right of `in`'
            case _Asked(of, attribute):
                yield from _never_there(policy, of, attribute, tools)
            case _Label(attribute, value) if value not in _LABELS[attribute]:
                whose = "context.handed" if delegates(policy) else "resource"
                yield value, f"{whose}.{attribute} is never {value!r}{nearest(value, _LABELS[attribute])}"
            case _:
                pass


@dataclass(frozen=True, slots=True)
class _Literal:
    """An entity named in a condition; `compared` if it stands where only its identity counts."""

    kind: str
    name: str
    compared: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    """`of has attribute`, where `of` is a variable or `context.arguments`."""

    of: str
    attribute: str


@dataclass(frozen=True, slots=True)
class _Label:
    """`resource.attribute == value`, for an attribute with a closed set of values."""

    attribute: str
    value: str


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


def _nodes(conditions: Sequence[_Form]) -> Iterator[_Literal | _Asked | _Label]:
    # A stack, because conditions may nest deeper than Python calls.
    stack: list[tuple[_Form, bool]] = [(condition["body"], False) for condition in conditions]
    while stack:
        form, compared = stack.pop()
        for operator, operand in form.items():
            match operator, operand:
                case "Value", {"__entity": entity}:
                    yield _Literal(*_uid(entity), compared)
                case "has", {"left": left, "attr": str(attribute)}:
                    if (of := _path(left)) is not None:
                        yield _Asked(of, attribute)
                case (("==" | "!="), {"left": left, "right": right}):
                    yield from _labels(left, right)
                    yield from _labels(right, left)
                case "contains", {
                    "left": {".": {"left": of, "attr": "actions"}},
                    "right": {"Value": str(value)},
                }:
                    if of == _HANDED:
                        yield _Label("action", value)
                case _:
                    pass
            if operator != "Value":
                stack.extend(_children(operator, operand))


def _children(operator: str, operand: Any) -> Iterator[tuple[_Form, bool]]:
    """The expressions an operator is applied to, each with whether only its identity counts there."""
    parts: list[tuple[Any, Any]] = []
    if isinstance(operand, dict):
        parts = list(cast("dict[Any, Any]", operand).items())
    elif isinstance(operand, list):
        parts = list(enumerate(cast("list[Any]", operand)))
    for place, part in parts:
        if isinstance(part, dict):
            yield cast("_Form", part), operator == "Set" or (operator, place) in _IDENTITY_COUNTS


_HANDED: _Form = {".": {"left": {"Var": "context"}, "attr": "handed"}}
_LABELLED = ({"Var": "resource"}, _HANDED)
"""What has labels: the tool that is called, and what is handed on."""


def _labels(left: _Form, right: _Form) -> Iterator[_Label]:
    match left, right:
        case {".": {"left": of, "attr": attribute}}, {"Value": str(value)} if (
            attribute in _LABELS and of in _LABELLED
        ):
            yield _Label(attribute, value)
        case _:
            pass


def _path(form: _Form) -> str | None:
    match form:
        case {"Var": str(variable)} if variable in ATTRIBUTES:
            return variable
        case {".": {"left": {"Var": "context"}, "attr": "arguments"}}:
            return "context.arguments"
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


def _never_there(policy: Policy, of: str, attribute: str, tools: Iterable[Tool]) -> Iterator[tuple[str, str]]:
    if of != "context.arguments":
        attributes = (HOP_ATTRIBUTES if delegates(policy) else ATTRIBUTES)[of]
        if attribute not in attributes:
            yield attribute, f"{of} never has {attribute!r}{nearest(attribute, attributes)}"
        return
    declared = [tool.arguments for tool in tools if may_apply(policy, tool)]
    if declared and not any(attribute in arguments for arguments in declared):
        told = f"no tool this policy can be about declares an argument {attribute!r}"
        yield attribute, told + nearest(attribute, {name for arguments in declared for name in arguments})
