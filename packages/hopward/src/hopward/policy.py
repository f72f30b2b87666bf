"""Policies as values: annotations, and which calls and delegations a policy can be about.

A policy is read here from the JSON form that Cedar gives it. What it asks about, `hopward.cedar` checks.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hopward.model import Tool

AGENT = "Hopward::Agent"
ACTION = "Hopward::Action"
TOOL = "Hopward::Tool"
SERVER = "Hopward::Server"
DELEGATE = "delegate"
"""The Cedar types of the schema (`hopward.cedarschema`), and the id of the action of handing on."""

Effect: TypeAlias = Literal["permit", "forbid"]
Names: TypeAlias = "frozenset[tuple[str, str]] | None"
"""Entities a scope names, each as (type, id)."""

Form: TypeAlias = Mapping[str, Any]
"""Cedar's JSON form of a policy, or of a part of one."""

ANNOTATIONS = ("id", "reason", "control", "step_up")
"""`@id("NAME")`, `@reason("Sentence.")`, `@control("NAME")`, `@step_up("GROUP")`; no other is accepted."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "principal": frozenset({"owner", "purpose"}),
    "resource": frozenset({"server", "name", "action", "sensitivity", "integrity", "ceiling", "destination"}),
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
            "taken_sensitivity",
            "taken_integrity",
            "untrusted_servers",
            "risk",
            "risk_points",
            "signals",
            "destinations",
            "above_ceiling",
            "pin",
            "provenance",
            "names_known",
            "names_untrusted",
            "step",
            "carried_untrusted",
            "amount",
            "money_left",
            "currency",
            "bytes_left",
            "destinations_left",
        }
    ),
}
"""What a policy about calls can ask of the variables of a request, the schema's attributes."""

_OF_CALL = (
    *("destinations", "above_ceiling", "pin", "provenance", "names_known", "names_untrusted"),
    *("carried_untrusted", "amount", "money_left", "currency", "bytes_left", "destinations_left"),
)

HOP_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "principal": ATTRIBUTES["principal"],
    "resource": ATTRIBUTES["principal"],
    "context": ATTRIBUTES["context"] - {"arguments", *_OF_CALL} | {"handed"},
    "context.handed": frozenset(
        {
            "purpose",
            "tools",
            "actions",
            "sensitivity",
            "destinations",
            "calls",
            "writes",
            "seconds",
            "shared",
            "delegable",
            "depth",
        }
    ),
}
"""Likewise for a policy about handing on."""


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
    form: Form
    agents: Names
    actions: Names
    resources: Names
    reason: str = ""
    control: str = ""
    step_up: str = ""


def read_policy(form: Form, text: str, file: str, index: int, line: int) -> tuple[Policy, list[str]]:
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


def _named(scope: Form) -> Names:
    match scope:
        case {"op": "==" | "in", "entity": entity} | {"op": "is", "in": {"entity": entity}}:
            return frozenset({uid(entity)})
        case {"op": "in", "entities": entities}:
            return frozenset(map(uid, entities))
        case _:
            return None


def uid(entity: Any) -> tuple[str, str]:
    """An entity as (type, id)."""
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
    """False only if nothing this agent calls or hands on can lie in the policy's scope."""
    return policy.agents is None or (AGENT, agent) in policy.agents


def may_receive(policy: Policy, agent: str) -> bool:
    """False only if nothing handed on to this agent can lie in the policy's scope."""
    return policy.resources is None or (AGENT, agent) in policy.resources
