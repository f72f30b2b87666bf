"""The policy engine: policies and facts in, a verdict out.

Everything is parsed once and held. For each tool, and for handing on, the engine keeps the policies whose
scope a request can lie in, and the part of the schema about it, so the cost of a decision does not grow with
the size of the set. A request is permitted only if Cedar answers Allow *and* reports no error: Cedar skips a
`forbid` whose condition fails to evaluate, and its third answer, NoDecision, is no permit either.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import cedarpy
from cedarpy import AuthzResult, Decision, Entities, PolicySet, Schema

from hopward.canonical import digest
from hopward.cedar.matter import Matter, matter
from hopward.cedar.reading import Schemas, holds_for_hops, read_policies, read_schema
from hopward.cedar.request import (
    BUDGET,
    CHAIN,
    CIRCUMSTANCES,
    OF_CALL,
    PATH,
    REACHED,
    RISK,
    TAKEN,
    Entity,
    Request,
    agent_entity,
    call_context,
    call_entities,
    call_request,
    hop_request,
)
from hopward.cedar.schema import IllTyped, request_schema, schema_text
from hopward.model import Agent, Hop, Tool, ToolCall, Verdict
from hopward.policy import Policy, delegates, may_act, may_apply, may_receive
from hopward.record import Facts

_MOST_HELD = 4096
"""How many of each are held: sets of policies, entities, verdicts; beyond that they start afresh."""

_LONGEST_HELD = 1024
"""Characters of a request whose verdict is held."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy did about one request. `detail` is Cedar's own text, which may quote arguments."""

    policy: Policy
    result: Literal["applies", "does not apply", "error"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, what every policy in question did about it, and how many could not be about it."""

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
    """What is held about the calls of one tool, or about handing on.

    `named` are the agents that some of its policies name in their scope, `matter` what they may ask about.
    """

    schema: Schema
    policies: tuple[Policy, ...]
    named: frozenset[str]
    matter: Matter

    def known(self, agent: str) -> str | None:
        """What tells the agent's slice from that of others: nothing, where no policy names it."""
        return agent if agent in self.named else None


About: TypeAlias = Literal["calls", "handing on", "both"]

_H = TypeVar("_H")
_Key: TypeAlias = tuple[str | bool | None, ...]
_Ask: TypeAlias = Callable[[_Slice], "_Answer"]
"""Puts one request to the policies of a slice."""


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

    def __init__(
        self, policy_text_by_file: Mapping[str, str], tools: Sequence[Tool], groups: Collection[str] = ()
    ) -> None:
        """`groups` are those that a policy may name in `@step_up`."""
        self.tools = tuple(tools)
        self.schema = schema_text(self.tools)
        schemas = Schemas(read_schema(schema_text(self.tools, hops=False)), read_schema(schema_text([])))
        self.policies = read_policies(policy_text_by_file, self.tools, schemas, groups)
        about_hops = [policy for policy in self.policies if holds_for_hops(policy, schemas.hops)]
        self._handing = _view(schemas.hops, about_hops, REACHED)
        self.policy_set = digest({"files": dict(policy_text_by_file), "schema": self.schema})
        self._known = {tool.full_name: tool for tool in self.tools}
        # What follows only remembers: an entry lost or made twice by two threads is the same entry.
        self._views: dict[str, _View] = {}
        self._slices: dict[_Key, _Slice] = {}
        self._entities: dict[_Key, Entities] = {}
        self._verdicts: dict[_Key, Verdict] = {}

    def evaluate(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up for one call, with the policies that decided. No input makes it raise."""
        if self._known.get(tool.full_name) != tool:
            sentence = (
                f"{tool.full_name} is not among the classified tools the policies were checked against."
            )
            return self._deny("tool_unclassified", sentence)
        view = self._view(tool)
        context = call_context(call, tool, facts, view.matter.asked)
        if isinstance(context, IllTyped):
            wrong = f"Argument {context.argument!r} must be {context.expected}; it is {context.found}."
            return self._deny("argument_type", wrong)
        # Policies see nothing else, and Cedar has no clock: what matters being the same, so is the verdict.
        told = view.matter.told(context)
        key = (call.tool, tool.full_name, agent.id, agent.owner, agent.purpose, told)
        verdict = self._verdicts.get(key)
        if verdict is None:
            request = call_request(tool, agent, context)
            verdict = self._evaluated(request, view, call, tool, agent)
            if len(told) <= _LONGEST_HELD:
                _hold(self._verdicts, key, verdict)
        return verdict

    def _evaluated(self, request: Request, view: _View, call: ToolCall, tool: Tool, agent: Agent) -> Verdict:
        def sliced(approved: bool) -> _Slice:
            key = (tool.full_name, view.known(agent.id), approved)
            return self._slice(key, lambda: self.in_question(tool, agent.id))

        return self._judged(self._asking(request, view, tool, agent), sliced, call.name)

    def evaluate_hop(self, hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up for handing on what `hop` would carry. No input makes it raise.

        `facts` are the delegator's: `actors` end with it. A `permit` counts only if its scope names the
        action `delegate`; a `forbid` that names no action counts unless it asks about a tool.
        """
        view = self._handing

        def sliced(approved: bool) -> _Slice:
            key = ("", view.known(delegator.id), view.known(receiver.id), approved)
            return self._slice(key, lambda: self.in_question_of_hop(delegator.id, receiver.id))

        ask = self._asking_hop(hop, delegator, receiver, facts)
        return self._judged(ask, sliced, f"handing work to {receiver.id}")

    def could_permit(self, tool: Tool) -> bool:
        """False only if no call of this tool can be permitted, whatever the facts."""
        return any(policy.effect == "permit" for policy in self.in_question(tool))

    def approvers(self, policies: Sequence[str]) -> tuple[str, ...]:
        """The groups whose approval lifts these policies of the set, sorted."""
        named = frozenset(policies)
        return tuple(sorted({one.step_up for one in self.policies if one.step_up and one.id in named}))

    def about(self, policy: Policy) -> About:
        """What a policy of the set is put to."""
        if delegates(policy):
            return "handing on"
        return "both" if policy in self._handing.policies else "calls"

    def could_permit_hop(self) -> bool:
        """False only if nothing can be handed on at all, whatever the facts."""
        return any(policy.effect == "permit" for policy in self._handing.policies)

    def in_question(self, tool: Tool, agent: str | None = None) -> tuple[Policy, ...]:
        """The policies that a call of this tool (by this agent) is put to."""
        if self._known.get(tool.full_name) != tool:
            return ()
        found = self._view(tool).policies
        return found if agent is None else tuple(policy for policy in found if may_act(policy, agent))

    def in_question_of_hop(self, delegator: str, receiver: str) -> tuple[Policy, ...]:
        """The policies that handing on work from one agent to another is put to."""
        return tuple(
            policy
            for policy in self._handing.policies
            if may_act(policy, delegator) and may_receive(policy, receiver)
        )

    def explain(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Explanation:
        """The verdict on one call, and what each policy did about it on its own."""
        verdict = self.evaluate(call, tool, agent, facts)
        policies = self.in_question(tool, agent.id)
        if not policies:
            return self._explained(verdict, (), None)
        view = self._view(tool)
        context = call_context(call, tool, facts, view.matter.asked)
        if isinstance(context, IllTyped):
            return self._explained(verdict, policies, None)
        ask = self._asking(call_request(tool, agent, context), view, tool, agent)
        return self._explained(verdict, policies, ask)

    def explain_hop(self, hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> Explanation:
        """The verdict on handing on, and what each policy did about it on its own."""
        verdict = self.evaluate_hop(hop, delegator, receiver, facts)
        policies = self.in_question_of_hop(delegator.id, receiver.id)
        return self._explained(verdict, policies, self._asking_hop(hop, delegator, receiver, facts))

    def _explained(self, verdict: Verdict, policies: tuple[Policy, ...], ask: _Ask | None) -> Explanation:
        steps = () if ask is None else tuple(_step(policy, ask(_sliced((policy,)))) for policy in policies)
        return Explanation(verdict, steps, len(self.policies) - len(policies))

    def _judged(self, ask: _Ask, sliced: Callable[[bool], _Slice], what: str) -> Verdict:
        """The verdict on a request put to `sliced(False)`; `sliced(True)` lacks what an approval lifts."""
        answer = ask(sliced(False))
        if answer.errors:
            return self._unevaluated(answer, what)
        if answer.permits:
            ids = _ids(answer.matched)
            sentence = f"Permitted by policy {', '.join(ids)}."
            return self._verdict("permit", "permitted", sentence, ids)
        if not answer.matched:
            return self._deny("no_policy", f"No policy permits {what} in these circumstances.")
        hard = [policy for policy in answer.matched if not policy.step_up]
        if hard:
            sentence = f"Forbidden by policy {_because(hard)}"
            return self._deny("forbidden", sentence, _ids(answer.matched))
        if not ask(sliced(True)).permits:
            return self._deny("no_policy", f"No policy permits {what}, with approval or without.")
        groups = " and ".join(sorted({policy.step_up for policy in answer.matched}))
        sentence = f"Needs approval by {groups} first, says policy {_because(answer.matched)}"
        return self._verdict("step-up", "approval_required", sentence, _ids(answer.matched))

    def _view(self, tool: Tool) -> _View:
        view = self._views.get(tool.full_name)
        if view is None:
            policies = [policy for policy in self.policies if may_apply(policy, tool)]
            view = _view(read_schema(request_schema(tool)), policies, frozenset(tool.arguments))
            self._views[tool.full_name] = view
        return view

    def _slice(self, key: _Key, policies: Callable[[], tuple[Policy, ...]]) -> _Slice:
        """The slice of a key, which ends with whether what an approval lifts is left out."""
        found = self._slices.get(key)
        if found is None:
            put = tuple(policy for policy in policies() if not (key[-1] and policy.step_up))
            found = _hold(self._slices, key, _sliced(put))
        return found

    def _asking(self, request: Request, view: _View, tool: Tool, agent: Agent) -> _Ask:
        return lambda policies: _asked(
            request, policies, lambda: self._entities_of(view, tool, agent), view.schema
        )

    def _asking_hop(self, hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> _Ask:
        tools = self.tools if self._handing.matter.asked & REACHED else ()
        request = hop_request(hop, delegator, receiver, facts, tools)
        schema = self._handing.schema
        agents = [agent_entity(agent) for agent in (delegator, receiver)]
        return lambda policies: _asked(request, policies, lambda: _loaded(agents, schema), schema)

    def _entities_of(self, view: _View, tool: Tool, agent: Agent) -> Entities:
        key = (tool.full_name, agent.id, agent.owner, agent.purpose)
        found = self._entities.get(key)
        if found is None:
            found = _hold(self._entities, key, _loaded(call_entities(tool, agent), view.schema))
        return found

    def _verdict(
        self, name: Literal["permit", "deny", "step-up"], reason: str, sentence: str, ids: tuple[str, ...]
    ) -> Verdict:
        return Verdict(name=name, reason=reason, sentence=sentence, policies=ids, policy_set=self.policy_set)

    def _deny(self, reason: str, sentence: str, ids: tuple[str, ...] = ()) -> Verdict:
        return self._verdict("deny", reason, sentence, ids)

    def _unevaluated(self, answer: _Answer, what: str) -> Verdict:
        return Verdict(
            name="deny",
            reason="policy_error",
            sentence=f"The policies could not be evaluated for {what}, so it is refused.",
            policies=_ids(answer.matched),
            errors=answer.errors,
            policy_set=self.policy_set,
        )


def _hold(held: dict[_Key, _H], key: _Key, value: _H) -> _H:
    if len(held) >= _MOST_HELD:
        held.clear()
    held[key] = value
    return value


def _asked(request: Request, policies: _Slice, entities: Callable[[], Entities], schema: Schema) -> _Answer:
    try:
        # cedarpy types its dicts without parameters, here and for `Entities`.
        result = cedarpy.is_authorized(  # pyright: ignore[reportUnknownMemberType]
            request, policies.handle, entities(), schema
        )
    except ValueError as error:
        # Text that UTF-8 cannot carry, in the name of an agent.
        return _Answer(Decision.NoDecision, (), (_MISFIT,), (str(error),))
    return _answer(result, policies)


def _loaded(entities: list[Entity], schema: Schema) -> Entities:
    return Entities.from_json_str(json.dumps(entities), schema)  # pyright: ignore[reportUnknownMemberType]


def _view(schema: Schema, policies: Sequence[Policy], attributes: frozenset[str]) -> _View:
    """`attributes` are what some policy may ask about, beside the chain."""
    scopes = (scope for policy in policies for scope in (policy.agents, policy.resources))
    named = frozenset(name for scope in scopes for _, name in scope or ())
    return _View(schema, tuple(policies), named, matter(policies, attributes | _ANY))


def _sliced(policies: tuple[Policy, ...]) -> _Slice:
    # From the text as written: Cedar's JSON reader refuses nesting that its text parser takes.
    return _Slice(policies, PolicySet.from_str("\n".join(policy.text for policy in policies)))


_ANY = CHAIN | CIRCUMSTANCES | TAKEN | PATH | RISK | OF_CALL | BUDGET

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
