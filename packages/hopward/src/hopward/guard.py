"""The guard: one synchronous call that decides, records and plans the credential of one tool call.

    chain -> standing -> facts -> policy -> decision log (durable) -> credential -> forward -> outcome

Everything up to the decision log happens in `Guard.authorize`, without any network. A permit is returned
only after its row, and the row of the credential that may be minted for it, are durable. Whatever goes wrong
on the way is a deny: this module is one of the named boundaries that may catch every exception.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hopward import capability, revocation
from hopward.canonical import digest
from hopward.chain import METHOD, reaches
from hopward.classification import Classifications, lookalike
from hopward.clock import SECOND, Clock, Instant
from hopward.errors import ChainError, HopwardError, LedgerError
from hopward.model import (
    Agent,
    Capability,
    Chain,
    Credential,
    Decision,
    Outcome,
    Task,
    Tool,
    ToolCall,
    Verdict,
    plain,
)
from hopward.record import Draft, Facts, Receipt, Reservation, Standing
from hopward.redaction import Redaction

_ROUNDS = 4
"""How often a call is evaluated again when standing changed between evaluation and commit."""


class Engine(Protocol):
    """The policy engine in force: immutable, so a reload never changes a decision under way."""

    @property
    def policy_set(self) -> str:
        """Digest of policies and schema."""
        ...

    def evaluate(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up, with the policies that decided."""
        ...

    def could_permit(self, tool: Tool) -> bool:
        """False only if no call of this tool can be permitted, whatever the facts."""
        ...


class Policies(Protocol):
    """Where the engine in force comes from; `current` may reload."""

    def current(self) -> Engine:
        """The engine to decide with now."""
        ...


class Ledger(Protocol):
    """The decision log and what stands in it."""

    def standing(self, chain: Chain) -> Standing:
        """Everything known about a chain, as of now, in every process on the machine."""
        ...

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts in one durable transaction; raises `LedgerError` when it cannot."""
        ...


class Exchanger(Protocol):
    """Plans and mints the credential of one call (RFC 8693)."""

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        """What would be minted; raises `ExchangeRefusedError` where an exchange would be refused."""
        ...

    def mint(self, credential: Credential, decision: str, call: ToolCall) -> str:
        """The token itself; empty where an API key is brokered instead."""
        ...


@dataclass(frozen=True, slots=True)
class _Evaluation:
    call: ToolCall
    chain: Chain
    call_digest: str
    kept: Any
    verdict: Verdict
    at: Instant
    epoch: int = 0
    tool: Tool | None = None
    facts: Facts | None = None
    credential: Credential | None = None


class Guard:
    """Decides every tool call. Safe to share between threads; holds no state of its own."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        policies: Policies,
        classifications: Classifications,
        exchanger: Exchanger,
        agents: frozenset[str],
        redaction: Redaction,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._policies = policies
        self._classifications = classifications
        self._exchanger = exchanger
        self._agents = agents
        self._redaction = redaction
        self._clock = clock

    def authorize(self, call: ToolCall, chain: Chain) -> Decision:
        """Decide one call; durable before it returns. Never raises: what cannot be decided is denied."""
        try:
            return self.decide([(call, chain)])[0]
        except LedgerError as error:
            sentence = "The decision log cannot be written, so nothing may be called."
            verdict = _deny("log_unavailable", sentence, (error.error,))
        except Exception as error:  # noqa: BLE001 - named boundary: what cannot be decided is denied
            verdict = _deny("internal_error", _INTERNAL, (type(error).__name__,))
        return self._unrecorded(call, chain, verdict)

    def settle(self, decision: Decision, outcome: Outcome) -> None:
        """Record what happened after a permit.

        Raises `LedgerError` when it cannot be written, `HopwardError` where there was no permit.
        """
        self.decide([], [(decision, outcome)])

    def decide(
        self,
        asked: Sequence[tuple[ToolCall, Chain]],
        settled: Sequence[tuple[Decision, Outcome]] = (),
    ) -> list[Decision]:
        """Decide and settle many calls with one durable commit (group commit), answers in the order asked.

        Outcomes are written before the decisions. Raises `LedgerError` when the log cannot be written:
        then nothing of it has happened, and nothing of it may be forwarded or released.
        """
        outcomes = [self._outcome_draft(decision, outcome) for decision, outcome in settled]
        evaluations = [self._evaluate(call, chain) for call, chain in asked]
        ids = ["dec_" + secrets.token_hex(12) for _ in evaluations]
        open_rows = list(range(len(evaluations)))
        for round_number in range(_ROUNDS):
            drafts = outcomes + [self._decision_draft(ids[i], evaluations[i]) for i in open_rows]
            if not drafts:
                break
            receipts = self._ledger.record(drafts)[len(outcomes) :]
            outcomes = []
            refused = [
                (i, receipt) for i, receipt in zip(open_rows, receipts, strict=True) if receipt.refused
            ]
            for i, receipt in refused:
                evaluations[i] = self._again(evaluations[i], receipt, last=round_number == _ROUNDS - 2)
            open_rows = [i for i, _ in refused]
        return [_decision(ids[i], evaluation) for i, evaluation in enumerate(evaluations)]

    def visible(self, chain: Chain, server: str, names: Iterable[str]) -> frozenset[str]:
        """Which of a server's tools (`resource:URI`, `prompt:NAME`) this chain could be permitted to call.

        Advice for listings, never a decision. Empty whenever anything goes wrong.
        """
        try:
            standing = self._ledger.standing(chain)
            task = standing.task
            if task is None or self._fallen(standing, chain, self._clock.now()):
                return frozenset()
            bounds = (task.capabilities, *(standing.agents[actor].ceiling for actor in chain.actors))
            engine = self._policies.current()
            return frozenset(n for n in names if self._reachable(chain, bounds, engine, server, n))
        except Exception:  # noqa: BLE001 - named boundary: a listing that cannot be computed is empty
            return frozenset()

    def stands(self, chain: Chain) -> bool:
        """Whether a chain still counts, as of now: for what goes on without a call, such as an open stream.

        Never instead of `authorize`. False where the log cannot be read.
        """
        try:
            self._standing_task(chain, self._clock.now())
        except HopwardError:
            return False
        return True

    def mint(self, decision: Decision, call: ToolCall) -> str:
        """The token for a permitted call, which must be the one decided on: its digest is compared.

        Raises `HopwardError` for anything else, `ExchangeRefusedError` once the credential is over.
        """
        return self._exchanger.mint(planned(decision, call), decision.id, call)

    def introduce(self, chain: Chain, server: str, method: str) -> str:
        """A credential for one MCP request that calls nothing: `initialize`, `tools/list`, a notification.

        Servers behind OAuth want a token on every request (MCP authorization, 2025-11-25 and later). Its
        scope is `SERVER/method:METHOD`, so it opens no tool. No decision is taken, but its row is durable
        first. Empty where an API key is brokered instead. Raises `HopwardError` where none is due.
        """
        try:
            return self._introduced(chain, server, method)
        except HopwardError:
            raise
        except Exception as error:
            raise ChainError("The chain could not be checked.", error="internal_error") from error

    def refuse(self, server: str, reason: str, sentence: str, chain: Chain | None = None) -> None:
        """Record a caller or message turned away before any decision. Raises `LedgerError` if unwritable."""
        record: dict[str, Any] = {"sentence": sentence}
        if chain is not None:
            record["chain"] = plain(chain)
        draft = Draft(
            kind="refusal",
            at=self._clock.now(),
            record=record,
            server=server,
            reason=reason,
            verdict="deny",
            task=chain.task if chain else "",
            agent=chain.actor if chain else "",
        )
        self._ledger.record([draft])

    def _introduced(self, chain: Chain, server: str, method: str) -> str:
        call, credential, epoch = self._introduction(chain, server, method)
        if credential.kind != "exchanged" and not self._recorded(credential, chain, call, epoch):
            raise ChainError(UNSETTLED, error="standing_unsettled")
        return self._exchanger.mint(credential, "", call)

    def _introduction(self, chain: Chain, server: str, method: str) -> tuple[ToolCall, Credential, int]:
        """What a request that calls nothing would get, and the epoch of that; raises `HopwardError`."""
        call, now = ToolCall(server=server, tool=METHOD + method), self._clock.now()
        task, epoch = self._standing_task(chain, now)
        return call, self._exchanger.plan(call, chain, task, now), epoch

    def _standing_task(self, chain: Chain, now: Instant) -> tuple[Task, int]:
        """The task of a chain that has not fallen, and the epoch of that; raises `ChainError`."""
        standing = self._ledger.standing(chain)
        fallen = self._fallen(standing, chain, now)
        if fallen is not None or standing.task is None:
            reason, sentence = fallen or ("task_unknown", "There is no such task.")
            raise ChainError(sentence, error=reason)
        return standing.task, standing.epoch

    def _recorded(
        self, credential: Credential, chain: Chain, call: ToolCall, epoch: int, decision: str = ""
    ) -> bool:
        """Whether the row of a credential is durable; False if standing has changed since that epoch."""
        draft = _credential_draft(credential, self._clock.now(), chain, call, decision)
        return not self._ledger.record([replace(draft, epoch=epoch)])[0].refused

    def _evaluate(self, call: ToolCall, chain: Chain) -> _Evaluation:
        at = self._clock.now()
        try:
            return self._evaluated(call, chain, at)
        except HopwardError as error:
            verdict = _deny(error.error, f"The call could not be authorized: {error.message}")
        except Exception as error:  # noqa: BLE001 - named boundary: what fails while deciding is a deny
            verdict = _deny("internal_error", _INTERNAL, (type(error).__name__,))
        return self._denied(call, chain, at, verdict)

    def _denied(self, call: ToolCall, chain: Chain, at: Instant, verdict: Verdict) -> _Evaluation:
        try:
            digested, kept = call_digest(call), self._redaction.arguments(call)
        except (ValueError, TypeError, RecursionError):
            # The log cannot carry such arguments; the row must stand all the same, beside those of others.
            call, digested, kept = ToolCall(server=_carried(call.server), tool=_carried(call.tool)), "", {}
        return _Evaluation(call, chain, digested, kept, verdict, at)

    def _evaluated(self, call: ToolCall, chain: Chain, at: Instant) -> _Evaluation:
        standing = self._ledger.standing(chain)
        kept = self._redaction.arguments(call)
        base = _Evaluation(call, chain, call_digest(call), kept, _UNDECIDED, at, standing.epoch)
        fallen = self._fallen(standing, chain, at)
        task = standing.task
        if fallen is not None or task is None:
            return replace(base, verdict=_deny(*(fallen or ("task_unknown", "There is no such task."))))
        tool = self._classifications.find(call.server, call.tool)
        if tool is None:
            sentence = f"{call.name} has not been classified by the operator, so it may not be called."
            return replace(base, verdict=_deny("tool_unclassified", sentence))
        facts = _facts(task, chain, standing)
        base = replace(base, tool=tool, facts=facts)
        outside = _outside(call, tool, chain, task, standing.agents)
        if outside is not None:
            return replace(base, verdict=outside)
        engine = self._policies.current()
        verdict = engine.evaluate(call, tool, standing.agents[chain.actor], facts)
        if verdict.name != "permit":
            return replace(base, verdict=verdict)
        return replace(base, verdict=verdict, credential=self._exchanger.plan(call, chain, task, at))

    def _fallen(self, standing: Standing, chain: Chain, now: Instant) -> tuple[str, str] | None:
        strangers = [actor for actor in chain.actors if actor not in self._agents]
        if strangers or not chain.actors:
            return ("agent_unregistered", f"Agent {', '.join(strangers) or '(none)'} is not registered.")
        fallen = revocation.why_fallen(standing, chain, now)
        task = standing.task
        if fallen is None and task and min(chain.expires_at, task.expires_at) - now < SECOND:
            # Tokens count in whole seconds, so nothing could be minted any more.
            return ("task_expired", "Less than a second is left of the task.")
        return fallen

    def _reachable(
        self, chain: Chain, bounds: Iterable[tuple[Capability, ...]], engine: Engine, server: str, name: str
    ) -> bool:
        tool = self._classifications.find(server, name)
        return (
            tool is not None
            and reaches(chain.scope, f"{server}/{name}")
            and all(capability.reaches(bound, tool) for bound in bounds)
            and engine.could_permit(tool)
        )

    def _again(self, evaluation: _Evaluation, receipt: Receipt, *, last: bool) -> _Evaluation:
        if receipt.refused == "stale" and not last:
            return self._evaluate(evaluation.call, evaluation.chain)
        if receipt.refused == "stale":
            verdict = _deny("standing_unsettled", "Tasks or revocations keep changing; try the call again.")
        else:
            what = "calls" if receipt.refused == "budget_calls" else "calls that change something"
            verdict = _deny("budget_exhausted", f"The task has used up its budget of {what}.")
        return replace(evaluation, verdict=verdict, credential=None, epoch=0)

    def _decision_draft(self, decision_id: str, evaluation: _Evaluation) -> Draft:
        call, chain, verdict = evaluation.call, evaluation.chain, evaluation.verdict
        permit = verdict.name == "permit"
        record: dict[str, Any] = {
            "call": {"arguments": evaluation.kept, "digest": evaluation.call_digest},
            "chain": plain(chain),
            "verdict": plain(verdict),
        }
        if evaluation.tool is not None and evaluation.facts is not None:
            record["classification"] = plain(evaluation.tool)
            record["facts"] = _facts_record(evaluation.facts)
        draft = Draft(
            kind="decision",
            at=evaluation.at,
            record=record,
            verdict=verdict.name,
            reason=verdict.reason,
            task=chain.task,
            agent=chain.actor if chain.actors else "",
            server=call.server,
            tool=call.tool,
            decision=decision_id,
        )
        credential = evaluation.credential
        if not permit or credential is None or evaluation.tool is None:
            return draft
        writes = 0 if evaluation.tool.action == "read" else 1
        reserve = Reservation((chain.task,), calls=1, writes=writes)
        # A remote authority's credential has its row once it is there, before the call goes out.
        follow: tuple[Draft, ...] = ()
        if credential.kind != "exchanged":
            follow = (_credential_draft(credential, evaluation.at, chain, call, decision_id),)
        return replace(draft, epoch=evaluation.epoch, reserve=reserve, follow=follow)

    def _outcome_draft(self, decision: Decision, outcome: Outcome) -> Draft:
        if not decision.permitted:
            raise HopwardError(f"decision {decision.id} is no permit", error="not_permitted")
        return Draft(
            kind="outcome",
            at=self._clock.now(),
            record={"outcome": plain(outcome)},
            task=decision.chain.task,
            agent=decision.chain.actor,
            server=decision.server,
            tool=decision.tool,
            decision=decision.id,
            reason=outcome.status,
        )

    def _unrecorded(self, call: ToolCall, chain: Chain, verdict: Verdict) -> Decision:
        return Decision(
            id="dec_" + secrets.token_hex(12),
            at=self._clock.now(),
            verdict=verdict,
            call_digest="",
            server=call.server,
            tool=call.tool,
            chain=chain,
            recorded=False,
        )


def _credential_draft(
    credential: Credential, at: Instant, chain: Chain, call: ToolCall, decision: str
) -> Draft:
    return Draft(
        kind="credential",
        at=at,
        record={"credential": plain(credential)},
        task=chain.task,
        agent=chain.actor,
        server=call.server,
        tool=call.tool,
        decision=decision,
    )


def planned(decision: Decision, call: ToolCall) -> Credential:
    """The credential of a permit for exactly this call; raises `HopwardError` for anything else."""
    if not decision.permitted or decision.credential is None:
        raise HopwardError(f"decision {decision.id} is no permit", error="not_permitted")
    if call_digest(call) != decision.call_digest:
        raise HopwardError(f"decision {decision.id} is about another call", error="call_changed")
    return decision.credential


def call_digest(call: ToolCall) -> str:
    """The digest a decision is bound to: server, tool and arguments in canonical JSON."""
    return digest({"server": call.server, "tool": call.tool, "arguments": call.arguments})


_UNDECIDED = Verdict(name="deny", reason="undecided", sentence="No decision was reached.")
UNSETTLED = "Tasks or revocations are changing; try again."
_INTERNAL = "The call could not be authorized because of an internal error."


def _deny(reason: str, sentence: str, errors: tuple[str, ...] = ()) -> Verdict:
    return Verdict(name="deny", reason=reason, sentence=sentence, errors=errors)


def _carried(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _outside(
    call: ToolCall, tool: Tool, chain: Chain, task: Task, agents: Mapping[str, Agent]
) -> Verdict | None:
    """Why the call lies outside what the token, the task or the ceiling of any actor grants, or None.

    Every actor's ceiling counts: what an agent may never do, it may not have done by the next one either.
    """
    stranger = lookalike(call.arguments, tool)
    if stranger is not None:
        return _deny("argument_lookalike", f"The argument {stranger!r} could be taken for another one.")
    if not capability.covers_any(task.capabilities, call, tool):
        return _deny("outside_task", capability.explain_any(task.capabilities, call, tool))
    if not reaches(chain.scope, call.name):
        return _deny("outside_scope", f"The caller's token does not reach {call.name}.")
    for actor in chain.actors:
        ceiling = agents[actor].ceiling
        if not capability.covers_any(ceiling, call, tool):
            why = capability.explain_any(ceiling, call, tool)
            return _deny("over_ceiling", f"Agent {actor} may never do this: {why}")
    return None


def _facts(task: Task, chain: Chain, standing: Standing) -> Facts:
    return Facts(
        subject=chain.subject,
        task=task.id,
        purpose=task.purpose,
        workflow=task.workflow,
        actors=chain.actors,
        calls_left=task.budget.calls - standing.usage.calls,
        writes_left=task.budget.writes - standing.usage.writes,
    )


def _facts_record(facts: Facts) -> dict[str, Any]:
    return {
        "purpose": facts.purpose,
        "workflow": facts.workflow,
        "calls_left": facts.calls_left,
        "writes_left": facts.writes_left,
    }


def _decision(decision_id: str, evaluation: _Evaluation) -> Decision:
    return Decision(
        id=decision_id,
        at=evaluation.at,
        verdict=evaluation.verdict,
        call_digest=evaluation.call_digest,
        server=evaluation.call.server,
        tool=evaluation.call.tool,
        chain=evaluation.chain,
        credential=evaluation.credential,
    )
