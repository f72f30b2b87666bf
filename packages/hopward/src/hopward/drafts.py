"""The rows of the decision log that the guard writes, from what it has evaluated."""

from typing import Any

import msgspec

from hopward import money
from hopward.approval import Answer, Approval
from hopward.behaviour import REACTIONS, Event, Watch, Watching, evidence
from hopward.canonical import is_plain
from hopward.clock import Instant
from hopward.delegation import Handing
from hopward.errors import HopwardError
from hopward.model import Chain, Credential, Decision, Hop, Label, Outcome, Tool, ToolCall, Verdict, plain
from hopward.record import UNREAD, Asking, Draft, Facts, Reservation, Taking
from hopward.thresholds import RiskSettings


class Asked(msgspec.Struct, frozen=True):
    """One call a chain wants to make."""

    call: ToolCall
    chain: Chain


class Evaluation(msgspec.Struct, frozen=True):
    """A verdict before it is logged, with all that its row will say and stand on.

    `about` is what was asked for, as its row tells it. `share` is what a permit takes out of which budgets,
    `epoch` the standing and `moved` the labels it holds for, `hop` what a permitted delegation opens, or goes
    on with where it is `continued`, `labels` what a permitted call raises, `takes` the step of the path that
    a permit takes. `binding` is what an approval of it is bound to, `alike` what one for several such calls
    is, `consumes` the one a permit uses, `asks` the one a step-up asks for. `observed` says that the call
    goes on although it would have been refused. `watching` is what detectors see, None where the chain
    counts for nothing. `plain` says that `about` `is_plain`, `head` as of which row all this was read.
    """

    asked: Asked | Handing
    server: str
    tool: str
    digest: str
    about: dict[str, Any]
    verdict: Verdict
    at: Instant
    epoch: int = 0
    classification: Tool | None = None
    facts: Facts | None = None
    share: Reservation | None = None
    credential: Credential | None = None
    hop: Hop | None = None
    continued: bool = False
    moved: int = 0
    labels: tuple[Label, ...] = ()
    binding: str = ""
    alike: str = ""
    consumes: str = ""
    asks: Asking | None = None
    watching: Watching | None = None
    takes: Taking | None = None
    plain: bool = False
    observed: bool = False
    head: int = UNREAD

    @property
    def chain(self) -> Chain:
        """The chain that asks."""
        return self.asked.chain

    @property
    def permits(self) -> bool:
        """Whether it is a permit, once it is logged."""
        return self.verdict.name == "permit" and self.share is not None

    @property
    def proceeds(self) -> bool:
        """Whether the call goes on, once this is logged: permitted, or observed."""
        return self.permits or self.observed


def decision_of(decision_id: str, evaluation: Evaluation) -> Decision:
    """The decision an evaluation has become once its row is durable."""
    return Decision(
        id=decision_id,
        at=evaluation.at,
        verdict=evaluation.verdict,
        call_digest=evaluation.digest,
        server=evaluation.server,
        tool=evaluation.tool,
        chain=evaluation.chain,
        credential=evaluation.credential,
        observed=evaluation.observed,
        holds=_holds(evaluation),
    )


def _holds(evaluation: Evaluation) -> bool:
    """Whether something is reserved that is given back where the call never leaves."""
    share = evaluation.share
    return share is not None and bool(share.takes) and evaluation.hop is None and evaluation.permits


def decision_draft(decision_id: str, evaluation: Evaluation) -> Draft:
    """The row of a decision; of one that lets a call go on, with what it holds on to and what follows."""
    chain, verdict = evaluation.chain, evaluation.verdict
    record: dict[str, Any] = {**evaluation.about, "chain": plain(chain), "verdict": plain(verdict)}
    if evaluation.classification is not None:
        record["classification"] = plain(evaluation.classification)
    if evaluation.facts is not None:
        record["facts"] = _facts_record(evaluation.facts)
    if evaluation.observed:
        record["observed"] = True
    permit = evaluation.permits
    proceeds = permit or evaluation.observed
    asks = _asking(decision_id, evaluation)
    follow = _following(decision_id, evaluation) if proceeds else ()
    return Draft(
        kind="decision",
        at=evaluation.at,
        record=record,
        verdict=verdict.name,
        reason=verdict.reason,
        task=chain.task,
        agent=chain.actors[-1] if chain.actors else "",
        server=evaluation.server,
        tool=evaluation.tool,
        decision=decision_id,
        epoch=evaluation.epoch if proceeds else None,
        hops=_standing_on(evaluation) if proceeds else (),
        reserve=evaluation.share if permit else None,
        opens=evaluation.hop if permit and not evaluation.continued else None,
        consumes=evaluation.consumes if permit else "",
        binding=evaluation.binding if permit and evaluation.consumes else "",
        asks=asks,
        follow=follow if asks is None else (approval_draft("requested", asks.approval, evaluation.at),),
        moved=evaluation.moved if proceeds else None,
        labels=evaluation.labels if proceeds else (),
        watch=_watch(evaluation, permit=permit),
        takes=evaluation.takes if proceeds else None,
        plain=evaluation.plain,
        head=evaluation.head,
    )


def _standing_on(evaluation: Evaluation) -> tuple[str, ...]:
    """The hops that must be open as the row is written."""
    hop = evaluation.hop if evaluation.continued else None
    return evaluation.chain.hops if hop is None else (*evaluation.chain.hops, hop.id)


def _watch(evaluation: Evaluation, *, permit: bool) -> Watch | None:
    if evaluation.watching is None:
        return None
    permitted = permit or (None if evaluation.verdict.reason in REACTIONS else False)
    expires_at = evaluation.hop.expires_at if evaluation.hop and not evaluation.continued else 0
    return evaluation.watching.watch(permitted=permitted, expires_at=expires_at)


def _following(decision_id: str, evaluation: Evaluation) -> tuple[Draft, ...]:
    if evaluation.continued:
        return ()
    if evaluation.hop is not None:
        return (hop_draft("opened", evaluation.hop, evaluation.at, decision_id),)
    credential, asked = evaluation.credential, evaluation.asked
    # A remote authority's credential has its row once it is there, before the call goes out.
    if credential is None or credential.kind == "exchanged" or isinstance(asked, Handing):
        return ()
    return (credential_draft(credential, evaluation.at, evaluation.chain, asked.call, decision_id),)


def _asking(decision_id: str, evaluation: Evaluation) -> Asking | None:
    asks = evaluation.asks
    if asks is None or evaluation.verdict.name != "step-up":
        return None
    approval = msgspec.structs.replace(asks.approval, decision=decision_id)
    return msgspec.structs.replace(asks, approval=approval)


def approval_draft(event: str, approval: Approval, at: Instant, answer: Answer | None = None) -> Draft:
    """The row of an approval that is asked for or answered; `approval` is as it is from then on."""
    record: dict[str, Any] = {"event": event, "approval": plain(approval)}
    if answer is not None:
        record |= {"by": answer.by, "why": answer.why}
    return Draft(
        kind="approval",
        at=at,
        record=record,
        task=approval.chain.task,
        agent=approval.chain.actor,
        server=approval.server,
        tool=approval.tool,
        decision=approval.decision,
    )


def hop_draft(event: str, hop: Hop, at: Instant, decision: str = "") -> Draft:
    """The row of a hop that begins or ends."""
    record = {"event": event, "hop": plain(hop)}
    return Draft(kind="hop", at=at, record=record, task=hop.task, agent=hop.agent, decision=decision)


def hop_end_draft(hop: Hop, at: Instant, rules: RiskSettings) -> Draft:
    """The row of a hop that is completed: one less is open."""
    watch = Watch("", hop.task, (Event("ended", at, expires_at=hop.expires_at),), rules)
    return msgspec.structs.replace(hop_draft("completed", hop, at), watch=watch)


def credential_draft(
    credential: Credential, at: Instant, chain: Chain, call: ToolCall, decision: str
) -> Draft:
    """The row of a credential, which stands before the credential is minted."""
    return Draft(
        kind="credential",
        at=at,
        record={"credential": plain(credential)},
        task=chain.task,
        agent=chain.actor,
        server=call.server,
        tool=call.tool,
        decision=decision,
        plain=True,
    )


def outcome_draft(decision: Decision, outcome: Outcome, at: Instant, rules: RiskSettings) -> Draft:
    """The row of what became of a permit; raises `HopwardError` where there was none."""
    if not decision.permitted:
        raise HopwardError(f"decision {decision.id} is no permit", error="not_permitted")
    told = plain(outcome)
    del told["values"]
    if outcome.forwarded:
        del told["forwarded"]
    record = {"outcome": told}
    return Draft(
        kind="outcome",
        at=at,
        record=record,
        task=decision.chain.task,
        agent=decision.chain.actor,
        server=decision.server,
        tool=decision.tool,
        decision=decision.id,
        reason=outcome.status,
        values=outcome.values,
        watch=_failed(decision, at, rules) if outcome.status in ("tool_error", "error") else None,
        settles=("spent" if outcome.forwarded else "given_back") if decision.holds else "",
        # Outcomes come from outside, and no one has looked at their numbers.
        plain=is_plain(record),
    )


def _failed(decision: Decision, at: Instant, rules: RiskSettings) -> Watch:
    return Watch(decision.chain.actor, decision.chain.task, (Event("error", at),), rules)


def refusal_draft(
    server: str, reason: str, sentence: str, chain: Chain | None, at: Instant, count: int = 1
) -> Draft:
    """The row of a caller or message turned away before any decision, or of `count` of them."""
    record: dict[str, Any] = {"sentence": sentence}
    if count != 1:
        record["count"] = count
    if chain is not None and not chain.actors:
        chain = None
    if chain is not None:
        record["chain"] = plain(chain)
    return Draft(
        kind="refusal",
        at=at,
        record=record,
        server=server,
        reason=reason,
        verdict="deny",
        task=chain.task if chain else "",
        agent=chain.actor if chain else "",
    )


def _facts_record(facts: Facts) -> dict[str, Any]:
    told: dict[str, Any] = {
        "purpose": facts.purpose,
        "workflow": facts.workflow,
        "calls_left": facts.calls_left,
        "writes_left": facts.writes_left,
        "taken_sensitivity": facts.taken_sensitivity,
        "taken_integrity": facts.taken_integrity,
        "above_ceiling": facts.above_ceiling,
    }
    if facts.step:
        told["step"] = facts.step
    if facts.untrusted_servers:
        told["untrusted_servers"] = list(facts.untrusted_servers)
    if facts.destinations:
        told["destinations"] = list(facts.destinations)
    if facts.pin != "none":
        told |= {"pin": facts.pin, "pin_digest": facts.pin_digest}
    if facts.currency:
        amounts = {"amount": facts.amount, "money_left": facts.money_left}
        told |= {name: money.write(units, facts.currency) for name, units in amounts.items()}
        told["currency"] = facts.currency
    if facts.bytes_out is not None:
        told |= {"bytes_out": facts.bytes_out, "bytes_left": facts.bytes_left}
    if facts.new_destinations is not None:
        told |= {"destinations_new": facts.new_destinations, "destinations_left": facts.destinations_left}
    if facts.provenance:
        told["provenance"] = dict(facts.provenance)
    if facts.risk.level != "low":
        told |= evidence(facts.risk)
    if facts.carried_untrusted:
        told["carried_untrusted"] = facts.carried_untrusted
    return told
