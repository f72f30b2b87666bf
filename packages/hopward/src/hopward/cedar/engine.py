"""The policy engine: policies and facts in, a verdict out.

Everything is parsed once and held. For each tool the engine keeps the policies whose scope a call of that
tool can lie in, and the part of the schema about it, so the cost of a decision does not grow with the size of
the set. A call is permitted only if Cedar answers Allow *and* reports no error: Cedar skips a `forbid` whose
condition fails to evaluate, and its third answer, NoDecision, is no permit either. Names reach Cedar as
objects, never as text.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cedarpy
from cedarpy import AuthzResult, Decision, Entities, PolicySet, Schema

from hopward.canonical import digest
from hopward.cedar.reading import Schemas, holds_for_hops, read_policies, read_schema
from hopward.cedar.schema import IllTyped, context_arguments, handed, schema_text
from hopward.model import Agent, Hop, Tool, ToolCall, Verdict
from hopward.policy import ACTION, AGENT, DELEGATE, SERVER, TOOL, Policy, may_act, may_apply
from hopward.record import Facts

_MOST_ENTITIES = 4096
"""How many pairs of agent and tool are held parsed; beyond that the store starts afresh."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy did about one call. `detail` is Cedar's own text, which may quote arguments."""

    policy: Policy
    result: Literal["applies", "does not apply", "error"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, what every policy in question did about it, and how many could not be about such a call."""

    verdict: Verdict
    steps: tuple[Step, ...]
    aside: int


@dataclass(frozen=True, slots=True)
class _Slice:
    """The policies one request is put to, parsed; `policyN` in an answer is the Nth of them."""

    policies: tuple[Policy, ...]
    handle: PolicySet


@dataclass(frozen=True, slots=True)
class _View:
    """What is held about one tool. `named` are the agents that some of its policies name in their scope."""

    tool: Tool
    schema: Schema
    policies: tuple[Policy, ...]
    named: frozenset[str]


@dataclass(frozen=True, slots=True)
class _HopView:
    """What is held about handing on."""

    schema: Schema
    policies: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    decision: Decision
    matched: tuple[Policy, ...]
    errors: tuple[str, ...]
    details: tuple[str, ...] = ()

    @property
    def permits(self) -> bool:
        """The one rule: Cedar says Allow, and nothing failed to evaluate."""
        return self.decision is Decision.Allow and not self.errors


class CedarEngine:
    """One policy set over one set of classified tools. Immutable: a reload makes another engine.

    Raises `ConfigError` listing every mistake of every file, each with file, line and policy.
    """

    def __init__(self, policy_text_by_file: Mapping[str, str], tools: Sequence[Tool]) -> None:
        self.tools = tuple(tools)
        self.schema = schema_text(self.tools, hops=True)
        schemas = Schemas(read_schema(schema_text(self.tools)), read_schema(schema_text([], hops=True)))
        self.policies = read_policies(policy_text_by_file, self.tools, schemas)
        self._about_hops = _HopView(
            schemas.hops, tuple(one for one in self.policies if holds_for_hops(one, schemas.hops))
        )
        self.policy_set = digest({"files": dict(policy_text_by_file), "schema": self.schema})
        self._known = {tool.full_name: tool for tool in self.tools}
        # What follows only remembers: an entry lost or made twice by two threads is the same entry.
        self._views: dict[str, _View] = {}
        self._slices: dict[tuple[str, str | None, bool], _Slice] = {}
        self._entities: dict[tuple[str, str, str, str], Entities] = {}

    def evaluate(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up for one call, with the policies that decided. No input makes it raise."""
        if self._known.get(tool.full_name) != tool:
            sentence = (
                f"{tool.full_name} is not among the classified tools the policies were checked against."
            )
            return self._deny("tool_unclassified", sentence)
        request = _request(call, tool, agent, facts)
        if isinstance(request, IllTyped):
            told = f"Argument {request.argument!r} must be {request.expected}; it is {request.found}."
            return self._deny("argument_type", told)
        view = self._view(tool)

        def ask(approved: bool) -> _Answer:
            return self._ask(request, self._slice(view, agent, approved=approved), view, agent)

        return self._judged(ask, call.name)

    def evaluate_hop(self, hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up for handing on what `hop` would carry. No input makes it raise."""
        request = _hop_request(hop, delegator, receiver, facts)
        schema, policies = self._about_hops.schema, self._about_hops.policies
        asked = tuple(policy for policy in policies if may_act(policy, delegator.id))

        def ask(approved: bool) -> _Answer:
            put = _sliced(tuple(policy for policy in asked if not (approved and policy.step_up)))
            return _asked(request, put, lambda: _loaded(_agents(delegator, receiver), schema), schema)

        return self._judged(ask, f"handing work to {receiver.id}")

    def _judged(self, ask: Callable[[bool], _Answer], what: str) -> Verdict:
        """The verdict on what `ask` puts to the policies; with True, without those an approval lifts."""
        answer = ask(False)
        if answer.errors:
            return self._unevaluated(answer)
        if answer.permits:
            ids = _ids(answer.matched)
            sentence = f"Permitted by policy {', '.join(ids)}."
            return self._verdict("permit", "permitted", sentence, ids)
        if not answer.matched:
            return self._deny("no_policy", f"No policy permits {what} in these circumstances.")
        return self._refused(answer, ask, what)

    def _refused(self, answer: _Answer, ask: Callable[[bool], _Answer], what: str) -> Verdict:
        hard = [policy for policy in answer.matched if not policy.step_up]
        if hard:
            sentence = f"Forbidden by policy {_because(hard)}"
            return self._deny("forbidden", sentence, _ids(answer.matched))
        if not ask(True).permits:
            return self._deny("no_policy", f"No policy permits {what}, with approval or without.")
        groups = " and ".join(sorted({policy.step_up for policy in answer.matched}))
        sentence = f"Needs approval by {groups} first, says policy {_because(answer.matched)}"
        return self._verdict("step-up", "approval_required", sentence, _ids(answer.matched))

    def could_permit(self, tool: Tool) -> bool:
        """False only if no call of this tool can be permitted, whatever the facts."""
        return any(policy.effect == "permit" for policy in self.in_question(tool))

    def in_question(self, tool: Tool, agent: str | None = None) -> tuple[Policy, ...]:
        """The policies that a call of this tool (by this agent) is put to."""
        if self._known.get(tool.full_name) != tool:
            return ()
        found = self._view(tool).policies
        return found if agent is None else tuple(policy for policy in found if may_act(policy, agent))

    def explain(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Explanation:
        """The verdict on one call, and what each policy did about it on its own."""
        verdict = self.evaluate(call, tool, agent, facts)
        asked = self.in_question(tool, agent.id)
        request = _request(call, tool, agent, facts)
        steps: list[Step] = []
        if asked and not isinstance(request, IllTyped):
            view = self._view(tool)
            steps = [_step(policy, self._ask(request, _sliced((policy,)), view, agent)) for policy in asked]
        return Explanation(verdict, tuple(steps), len(self.policies) - len(asked))

    def _view(self, tool: Tool) -> _View:
        view = self._views.get(tool.full_name)
        if view is None:
            policies = tuple(policy for policy in self.policies if may_apply(policy, tool))
            named = frozenset(name for policy in policies for _, name in policy.agents or ())
            view = _View(tool, read_schema(schema_text([tool])), policies, named)
            self._views[tool.full_name] = view
        return view

    def _slice(self, view: _View, agent: Agent, *, approved: bool = False) -> _Slice:
        """The policies for this tool and agent; with `approved`, without those that an approval lifts."""
        key = (view.tool.full_name, agent.id if agent.id in view.named else None, approved)
        found = self._slices.get(key)
        if found is None:
            asked = (policy for policy in view.policies if may_act(policy, agent.id))
            found = _sliced(tuple(policy for policy in asked if not (approved and policy.step_up)))
            self._slices[key] = found
        return found

    def _ask(self, request: "_Request", policies: _Slice, view: _View, agent: Agent) -> _Answer:
        return _asked(request, policies, lambda: self._entities_of(view, agent), view.schema)

    def _entities_of(self, view: _View, agent: Agent) -> Entities:
        key = (view.tool.full_name, agent.id, agent.owner, agent.purpose)
        found = self._entities.get(key)
        if found is None:
            if len(self._entities) >= _MOST_ENTITIES:
                self._entities.clear()
            found = _loaded(_entities(view.tool, agent), view.schema)
            self._entities[key] = found
        return found

    def _verdict(
        self, name: Literal["permit", "deny", "step-up"], reason: str, sentence: str, ids: tuple[str, ...]
    ) -> Verdict:
        return Verdict(name=name, reason=reason, sentence=sentence, policies=ids, policy_set=self.policy_set)

    def _deny(self, reason: str, sentence: str, ids: tuple[str, ...] = ()) -> Verdict:
        return self._verdict("deny", reason, sentence, ids)

    def _unevaluated(self, answer: _Answer) -> Verdict:
        return Verdict(
            name="deny",
            reason="policy_error",
            sentence="The policies could not be evaluated for this call, so it is refused.",
            policies=_ids(answer.matched),
            errors=answer.errors,
            policy_set=self.policy_set,
        )


_Request: TypeAlias = dict[str, Any]


def _asked(request: _Request, policies: _Slice, entities: Callable[[], Entities], schema: Schema) -> _Answer:
    try:
        # cedarpy types its dicts without parameters, here and for `Entities`.
        result = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType]
            request, policies.handle, entities(), schema
        )
    except ValueError as error:
        # Text that UTF-8 cannot carry, in the name of an agent.
        return _Answer(Decision.NoDecision, (), (_MISFIT,), (str(error),))
    return _answer(result, policies)


def _loaded(entities: list[dict[str, Any]], schema: Schema) -> Entities:
    return Entities.from_json_str(json.dumps(entities), schema)  # pyright: ignore[reportUnknownMemberType]


def _request(call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> _Request | IllTyped:
    arguments = context_arguments(tool, call.arguments)
    if isinstance(arguments, IllTyped):
        return arguments
    return {
        "principal": {"type": AGENT, "id": agent.id},
        "action": {"type": ACTION, "id": tool.full_name},
        "resource": {"type": TOOL, "id": tool.full_name},
        "context": json.dumps({"arguments": arguments, **_circumstances(facts)}),
    }


def _hop_request(hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> _Request:
    return {
        "principal": {"type": AGENT, "id": delegator.id},
        "action": {"type": ACTION, "id": DELEGATE},
        "resource": {"type": AGENT, "id": receiver.id},
        "context": json.dumps({"handed": handed(hop), **_circumstances(facts)}),
    }


def _circumstances(facts: Facts) -> dict[str, Any]:
    """What every request is told of the task and the whole chain."""
    return {
        "subject": facts.subject,
        "task": facts.task,
        "purpose": facts.purpose,
        "workflow": facts.workflow,
        "depth": len(facts.actors) - 1,
        "actors": facts.actors,
        "path": " > ".join(facts.actors),
        "hop_purpose": facts.purposes[-1] if facts.purposes else facts.purpose,
        "hops": [
            {"position": position, "agent": agent, "purpose": purpose}
            for position, (agent, purpose) in enumerate(
                zip(facts.actors[1:], facts.purposes, strict=False), 1
            )
        ],
        "calls_left": facts.calls_left,
        "writes_left": facts.writes_left,
    }


def _entities(tool: Tool, agent: Agent) -> list[dict[str, Any]]:
    server = {"type": SERVER, "id": tool.server}
    labels = {
        "server": tool.server,
        "name": tool.name,
        "action": tool.action,
        "sensitivity": tool.sensitivity,
        "integrity": tool.integrity,
        "destination": tool.destination,
    }
    return [
        *_agents(agent),
        {"uid": server, "attrs": {}, "parents": []},
        {"uid": {"type": TOOL, "id": tool.full_name}, "attrs": labels, "parents": [server]},
    ]


def _agents(*agents: Agent) -> list[dict[str, Any]]:
    return [
        {
            "uid": {"type": AGENT, "id": agent.id},
            "attrs": {"owner": agent.owner, "purpose": agent.purpose},
            "parents": [],
        }
        for agent in agents
    ]


def _sliced(policies: tuple[Policy, ...]) -> _Slice:
    # From the text as written: Cedar's JSON reader refuses nesting that its text parser takes.
    return _Slice(policies, PolicySet.from_str("\n".join(policy.text for policy in policies)))


_MISFIT = "the call does not fit the schema"

_ERROR = re.compile(r"error while evaluating policy `policy(\d+)`: ([^`]*)")


def _answer(result: AuthzResult, asked: _Slice) -> _Answer:
    matched = sorted(int(reason.removeprefix("policy")) for reason in result.diagnostics.reasons)
    details = tuple(result.diagnostics.errors)
    errors = tuple(sorted(_told(detail, asked) for detail in details))
    if result.decision is Decision.NoDecision:
        errors = (_MISFIT,)
    return _Answer(result.decision, tuple(asked.policies[n] for n in matched), errors, details)


def _told(detail: str, asked: _Slice) -> str:
    """An error without the values Cedar quotes in it, because those may be arguments."""
    match = _ERROR.match(detail)
    if match is None:
        return "a policy could not be evaluated"
    return f"{asked.policies[int(match[1])].id}: {match[2].strip()}"


def _step(policy: Policy, answer: _Answer) -> Step:
    if answer.errors:
        return Step(policy, "error", "; ".join(answer.details))
    return Step(policy, "applies" if answer.matched else "does not apply")


def _ids(policies: Sequence[Policy]) -> tuple[str, ...]:
    return tuple(policy.id for policy in policies)


def _because(policies: Sequence[Policy]) -> str:
    told = (f"{policy.id}: {policy.reason}" if policy.reason else policy.id for policy in policies)
    return "; ".join(told).removesuffix(".") + "."
