"""The guard: one synchronous call that decides, records and plans the credential of one tool call.

    chain -> standing -> facts -> policy -> decision log (durable) -> credential -> forward -> outcome

Everything up to the decision log happens in `Guard.authorize`, without any network. A permit is returned
only after its row, and the row of the credential that may be minted for it, are durable. A hop of a
delegation is decided the same way, by `Guard.delegate`. Whatever goes wrong on the way is a deny: this module
is one of the named boundaries that may catch every exception.
"""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from hopward.behaviour import LOW, SUSPENDED, evidence, suspension
from hopward.budget import exhausted, lacking, too_little
from hopward.canonical import JSON
from hopward.chain import METHOD
from hopward.clock import Clock, Instant
from hopward.delegation import Handing, extended
from hopward.drafts import (
    Asked,
    Evaluation,
    credential_draft,
    decision_draft,
    decision_of,
    hop_end_draft,
    outcome_draft,
    refusal_draft,
)
from hopward.errors import ChainError, HopwardError, LedgerError, StateError
from hopward.evaluation import DELEGATE, INTERNAL, Evaluator, Sources, call_digest, deny
from hopward.model import (
    Chain,
    Credential,
    Decision,
    Delegation,
    Hop,
    Narrowing,
    Outcome,
    ToolCall,
    Verdict,
)
from hopward.record import Draft, Receipt

_ROUNDS = 4
"""In how many rounds nothing may be written because standing changed between evaluation and commit."""

WATCH = "hopward:risk"
"""Who quarantines what `[risk]` says is to be suspended."""

UNSETTLED = "Tasks or revocations are changing; try again."


class Guard:
    """Decides every tool call and every hop. Safe to share between threads; holds no state of its own.

    `pins` is told what servers list, and what of it a person accepts.
    """

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._ledger = sources.ledger
        self._exchanger = sources.exchanger
        self.pins = sources.pins
        self._clock = clock
        self._rules = sources.risk
        self._quarantines = sources.quarantines
        self._evaluator = Evaluator(sources, clock)

    @property
    def now(self) -> int:
        """The time this guard decides by: microseconds since 1970, UTC."""
        return self._clock.now()

    def authorize(self, call: ToolCall, chain: Chain) -> Decision:
        """Decide one call; durable before it returns. Never raises: what cannot be decided is denied."""
        server, tool = getattr(call, "server", ""), getattr(call, "tool", "")
        return self._surely(Asked(call, chain), server, tool)[0]

    def delegate(
        self, chain: Chain, to_agent: str, narrowed: Narrowing, key: str = "", *, continues: str = ""
    ) -> Delegation:
        """Decide one hop: whether the chain's acting agent may hand `narrowed` on to another agent.

        What lies beyond what it may hand on is cut off; the hop's row says what was left. On a permit the hop
        and its row are durable, and `chain` is the one the receiving agent acts with. `key` is the RFC 7638
        thumbprint of the receiver's key, which lets the chain leave this process (`hopward.link`).
        `continues` is a hop whose work was broken off. Where it is still open, and what would be opened now,
        the work goes on with it, decided anew: nothing is opened, set aside or taken of a path, and an
        approval of the hand-over that was used up counts on. Otherwise another hop is opened.
        Never raises: what cannot be decided is denied.
        """
        asked = Handing(chain, to_agent, narrowed, key, continues)
        decision, hop = self._surely(asked, "", DELEGATE + to_agent)
        if not decision.permitted or hop is None:
            return Delegation(decision=decision)
        return Delegation(decision=decision, chain=extended(chain, hop))

    def complete_hop(self, chain: Chain) -> None:
        """End the last hop of a chain: the chain, and every one that goes on from it, is refused from now on.

        What was set aside for it and not used is the delegator's again. Raises `StateError` for a chain
        without hops and for a hop that has ended, `LedgerError` when it cannot be recorded.
        """
        hops = self._ledger.standing(chain).hops
        if not chain.hops or not hops or hops[-1].hop.id != chain.hops[-1]:
            raise StateError("This chain has no hop that could end.")
        hop = msgspec.structs.replace(hops[-1].hop, state="completed")
        self._ledger.complete_hop(hop.id, hop_end_draft(hop, self._clock.now(), self._rules))

    def settle(self, decision: Decision, outcome: Outcome) -> None:
        """Record what happened after a permit.

        Raises `LedgerError` when it cannot be written, `HopwardError` where there was no permit.
        """
        self._ledger.record([outcome_draft(decision, outcome, self._clock.now(), self._rules)])

    def values(self, decision: Decision, call: ToolCall, result: JSON) -> tuple[str, ...]:
        """What the outcome of a permitted call says in `values`: digests of what stands in a trusted result.

        An argument of a later call of the task that has such a value is `trusted`. Nothing where the log
        cannot be read: then it stays untrusted.
        """
        try:
            return self._evaluator.values(decision, call, result)
        except LedgerError:
            return ()

    def decide(
        self,
        asked: Sequence[tuple[ToolCall, Chain]],
        settled: Sequence[tuple[Decision, Outcome]] = (),
    ) -> list[Decision]:
        """Decide and settle many calls with one durable commit (group commit), answers in the order asked.

        Outcomes are written before the decisions. Raises `LedgerError` when the log cannot be written:
        then nothing of it has happened, and nothing of it may be forwarded or released.
        """
        at = self._clock.now()
        outcomes = [outcome_draft(decision, outcome, at, self._rules) for decision, outcome in settled]
        return [decision for decision, _ in self._decided([Asked(*one) for one in asked], outcomes)]

    def visible(self, chain: Chain, server: str, names: Iterable[str]) -> frozenset[str]:
        """Which of a server's tools (`resource:URI`, `prompt:NAME`) this chain could be permitted to call.

        Advice for listings, never a decision. Empty whenever anything goes wrong.
        """
        try:
            return self._evaluator.visible(chain, server, names)
        except Exception:  # noqa: BLE001 - named boundary: a listing that cannot be computed is empty
            return frozenset()

    def would_permit(self, call: ToolCall, chain: Chain) -> bool:
        """Whether `authorize` would permit this call as things stand, its budget apart, or exactly this
        call has used an approval. Its step of the task's path may have been taken.

        For what has come of a call that was permitted before; never instead of `authorize`: nothing is
        recorded. False where anything goes wrong.
        """
        evaluation = self._evaluator.evaluate(Asked(call, chain), afterwards=True)
        if evaluation.proceeds or evaluation.verdict.name != "step-up":
            return evaluation.proceeds
        try:
            return self._ledger.was_consumed(evaluation.binding, evaluation.alike)
        except LedgerError:
            return False

    def delegable(self, chain: Chain, to_agent: str, narrowed: Narrowing) -> bool:
        """Whether `delegate` would permit this hop as things stand, budgets and fan-out included.

        Advice for listings, never a decision: nothing is recorded or set aside. False where the log cannot
        be read.
        """
        evaluation = self._evaluator.evaluate(Handing(chain, to_agent, narrowed))
        share, facts, hop = evaluation.share, evaluation.facts, evaluation.hop
        if share is None or facts is None or hop is None:
            return False
        if share.calls > facts.calls_left or share.writes > facts.writes_left:
            return False
        try:
            if share.takes and lacking(share, self._ledger.spent(share.accounts, ())):
                return False
            return not self._ledger.fan_out_reached(hop)
        except LedgerError:
            return False

    def withdrawn(self, decision: Decision) -> tuple[str, str] | None:
        """Why a permitted call that is under way should go on no longer, as a reason and a sentence; or None.

        What its chain stands on has ended, was revoked or quarantined, or everything was stopped. Neither
        does it count that time has run out since, nor what the configuration says by now. Raises
        `LedgerError` where the log cannot be read.
        """
        return self._evaluator.withdrawn(decision)

    def stands(self, chain: Chain, server: str = "") -> bool:
        """Whether a chain still counts, as of now, and the server may be spoken to, if one is named.

        For what goes on without a call, such as an open stream; never instead of `authorize`. False where the
        log cannot be read.
        """
        try:
            self._evaluator.standing_task(chain, server)
        except HopwardError:
            return False
        return True

    def mint(self, decision: Decision, call: ToolCall) -> str:
        """The token for a permitted call, which must be the one decided on: its digest is compared.

        Raises `HopwardError` for anything else, `ExchangeRefusedError` once the credential is over,
        `ChainError` once the call should go on no longer, as `withdrawn` says.
        """
        why = self._evaluator.withdrawn(decision)
        if why is not None:
            raise ChainError(why[1], error=why[0])
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

    def refuse(
        self, server: str, reason: str, sentence: str, chain: Chain | None = None, count: int = 1
    ) -> None:
        """Record a caller or message turned away before any decision, or `count` of them in one row.

        Raises `LedgerError` if unwritable.
        """
        self._ledger.record([refusal_draft(server, reason, sentence, chain, self._clock.now(), count)])

    def _surely(self, asked: Asked | Handing, server: str, tool: str) -> tuple[Decision, Hop | None]:
        try:
            return self._decided([asked], [])[0]
        except LedgerError as error:
            sentence = "The decision log cannot be written, so nothing may be called."
            verdict = deny("log_unavailable", sentence, (error.error,))
        except Exception as error:  # noqa: BLE001 - named boundary: what cannot be decided is denied
            verdict = deny("internal_error", INTERNAL, (type(error).__name__,))
        return self._unrecorded(asked.chain, server, tool, verdict), None

    def _decided(
        self, asked: Sequence[Asked | Handing], outcomes: list[Draft]
    ) -> list[tuple[Decision, Hop | None]]:
        evaluations = [self._evaluator.evaluate(one) for one in asked]
        ids = [_new_id(one.at) for one in evaluations]
        open_rows = list(range(len(evaluations)))
        fruitless = 0
        while fruitless < _ROUNDS:
            drafts = outcomes + [decision_draft(ids[i], evaluations[i]) for i in open_rows]
            if not drafts:
                break
            receipts = self._ledger.record(drafts)[len(outcomes) :]
            outcomes = []
            # Each row that is written may make those after it stale; each round that writes one is progress.
            fruitless += all(receipt.refused for receipt in receipts)
            written, open_rows = open_rows, list[int]()
            for i, receipt in zip(written, receipts, strict=True):
                if receipt.refused:
                    evaluations[i] = self._again(evaluations[i], receipt, last=fruitless == _ROUNDS - 1)
                    open_rows.append(i)
            if not open_rows:
                break
        decided = [decision_of(ids[i], one) for i, one in enumerate(evaluations)]
        for evaluation, decision in zip(evaluations, decided, strict=True):
            if decision.verdict.reason == SUSPENDED and not evaluation.observed:
                self._suspend(evaluation, decision)
        return [(decision, one.hop) for decision, one in zip(decided, evaluations, strict=True)]

    def _suspend(self, evaluation: Evaluation, decision: Decision) -> None:
        """Quarantine what the risk says is to be. Where that fails, the next call tries again."""
        found = evaluation.facts.risk if evaluation.facts else LOW
        kind, chain = suspension(found, self._rules), decision.chain
        if kind is None or self._quarantines is None:
            return
        why = f"the behaviour of agent {chain.actor} is of {found.level} risk ({found.points} points)"
        told = {**evidence(found), "decision": decision.id}
        with suppress(HopwardError):
            name = chain.actor if kind == "agent" else chain.task
            self._quarantines.quarantine(kind, name, by=WATCH, why=why, evidence=told)

    def _again(self, evaluation: Evaluation, receipt: Receipt, *, last: bool) -> Evaluation:
        meanwhile = receipt.refused in ("stale", "unapproved", "asked")
        if meanwhile and not last:
            return self._evaluator.evaluate(evaluation.asked)
        if meanwhile:
            verdict = deny("standing_unsettled", "Tasks or revocations keep changing; try the call again.")
        elif receipt.refused == "approvals":
            told = "Too many approvals have been asked for in this task; wait until people have answered."
            verdict = deny("approvals_exhausted", told)
        elif receipt.refused == "fan_out":
            told = f"Agent {evaluation.chain.actor} has as many hops open as it may have at once."
            verdict = deny("fan_out_exhausted", told)
        elif receipt.lack is not None:
            verdict = deny(*too_little(receipt.lack, handed=bool(evaluation.chain.hops)))
        else:
            handed = bool(evaluation.chain.hops)
            verdict = deny(*exhausted(calls=receipt.refused == "budget_calls", handed=handed))
        refused = msgspec.structs.replace(
            evaluation,
            verdict=verdict,
            share=None,
            credential=None,
            hop=None,
            consumes="",
            asks=None,
            takes=None,
        )
        return self._evaluator.observed(refused)

    def _introduced(self, chain: Chain, server: str, method: str) -> str:
        call, credential, epoch = self._introduction(chain, server, method)
        if credential.kind != "exchanged":
            self._record(credential, chain, call, epoch)
        return self._exchanger.mint(credential, "", call)

    def _introduction(self, chain: Chain, server: str, method: str) -> tuple[ToolCall, Credential, int]:
        """What a request that calls nothing would get, and the epoch of that; raises `HopwardError`."""
        call, now = ToolCall(server=server, tool=METHOD + method), self._clock.now()
        task, standing = self._evaluator.standing_task(chain, server)
        return call, self._exchanger.plan(call, chain, task, now), standing.epoch

    def _record(
        self, credential: Credential, chain: Chain, call: ToolCall, epoch: int, decision: str = ""
    ) -> None:
        """Have the row of a credential durable, of that epoch or a later one in which its chain stands.

        Raises `ChainError` where it has fallen, or standing keeps changing.
        """
        draft = credential_draft(credential, self._clock.now(), chain, call, decision)
        for _ in range(_ROUNDS):
            draft = msgspec.structs.replace(draft, epoch=epoch, hops=chain.hops)
            if not self._ledger.record([draft])[0].refused:
                return
            epoch = self._evaluator.standing_task(chain, call.server)[1].epoch
        raise ChainError(UNSETTLED, error="standing_unsettled")

    def _unrecorded(self, chain: Chain, server: str, tool: str, verdict: Verdict) -> Decision:
        return Decision(
            id=_new_id(self._clock.now()),
            at=self._clock.now(),
            verdict=verdict,
            call_digest="",
            server=server,
            tool=tool,
            chain=chain,
            recorded=False,
        )


def _new_id(at: Instant) -> str:
    """The id of a decision: 44 bits of its time in milliseconds, then 52 random ones.

    So the newest lie side by side in every index, and writing one touches no page of an old one.
    """
    return f"dec_{at // 1_000 & 0xFFF_FFFF_FFFF:011x}{secrets.token_hex(7)[:13]}"


def planned(decision: Decision, call: ToolCall) -> Credential:
    """The credential of a permit for exactly this call; raises `HopwardError` for anything else."""
    if not decision.permitted or decision.credential is None:
        raise HopwardError(f"decision {decision.id} is no permit", error="not_permitted")
    if call_digest(call) != decision.call_digest:
        raise HopwardError(f"decision {decision.id} is about another call", error="call_changed")
    return decision.credential
