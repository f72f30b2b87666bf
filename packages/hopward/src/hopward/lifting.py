"""What an approval is bound to, and what becomes of a step-up: permitted by one, refused by a no, or asked.

An approval holds for exactly what a person was shown: whatever of it changes, the binding changes with it,
and no approval is found. One that a person has given for several calls (`hopward.grant`) is found by what
they have in common, `alike`, where there is no answer to exactly this call. It is used in the
transaction of the permit (`hopward.record.Draft.consumes`).
"""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from hopward import grant
from hopward.approval import Approval, ApproverNeed
from hopward.canonical import JSON, compact, digest
from hopward.clock import SECOND, Instant
from hopward.counting import Counting
from hopward.model import Chain, Tool, Verdict, plain
from hopward.ports import Ledger
from hopward.record import Asking, Facts
from hopward.settings import ApprovalSettings

_HOUR = 3600 * SECOND


class Question(msgspec.Struct, frozen=True):
    """What a person would be asked about: a call or delegation that policies hold back.

    `digest` is that of the call, `arguments` what of it the log keeps. `groups` are those whose approval is
    needed. `pin` says what the tool was when it was accepted; empty where nothing is pinned. `given` are
    all arguments of a call as they are.
    """

    chain: Chain
    server: str
    tool: str
    digest: str
    arguments: dict[str, Any]
    verdict: Verdict
    facts: Facts
    groups: tuple[str, ...]
    at: Instant
    classification: Tool | None = None
    pin: str = ""
    given: Mapping[str, JSON] = {}


class Lifted(msgspec.Struct, frozen=True):
    """What became of a step-up. A permit uses `consumes`; a step-up asks `asks`, or waits."""

    verdict: Verdict
    binding: str
    alike: str = ""
    consumes: str = ""
    asks: Asking | None = None


class Lifting:
    """Looks for the approval of a step-up, as of now. Holds no state of its own."""

    def __init__(self, ledger: Ledger, settings: ApprovalSettings, counting: Counting) -> None:
        self._ledger = ledger
        self._counting = counting
        self._settings = settings

    def lifted(self, question: Question) -> Lifted:
        """The verdict on a step-up with what people have said about it; raises `LedgerError`."""
        needed = self._needed(question.groups)
        if needed is None:
            sentence = "Nobody is configured who could approve this."
            return Lifted(_verdict(question.verdict, "deny", "approvers_unknown", sentence), "")
        binding, alike = bound_to(question, needed), alike_to(question, needed)
        binding, found = self._latest(binding, question.at)
        if found is not None and (found.expires_at <= question.at or found.state in ("consumed", "void")):
            found = None
        if found is not None and found.state == "rejected":
            return Lifted(self._refused(question, found), binding, alike)
        yes = found if found is not None and found.state == "approved" else self._granted(question, alike)
        if yes is not None:
            return Lifted(_permitted(question.verdict, yes), binding, alike, consumes=yes.id)
        if found is None:
            return self._asked(question, needed, (binding, alike))
        return Lifted(self._waiting(question.verdict, found.id), binding, alike)

    def _granted(self, question: Question, alike: str) -> Approval | None:
        """The first grant that holds for a call."""
        most = grant.most_times(self._settings, question.groups)
        if most == 1 or not alike:
            return None
        held = (one for one in self._ledger.grants(alike) if one.times <= most)
        covering = (one for one in held if grant.covers(one, question.facts, question.at))
        return next((one for one in covering if not self._counting.why_lost(one)), None)

    def _latest(self, binding: str, at: Instant) -> tuple[str, Approval | None]:
        """The approval of exactly this call, and what it is bound to.

        Where people who have said yes may not do so any more, it is asked anew beside what they have said,
        bound to that as well; whatever is said then counts, even if they may again.
        """
        found = self._ledger.latest_approval(binding)
        while found is not None and found.state == "approved" and found.expires_at > at:
            anew = digest({"binding": binding, "beside": found.id})
            after = self._ledger.latest_approval(anew)
            if after is None and not self._counting.why_lost(found):
                break
            binding, found = anew, after
        return binding, found

    def _needed(self, groups: tuple[str, ...]) -> tuple[ApproverNeed, ...] | None:
        known: Mapping[str, Any] = self._settings.groups
        if not groups or not known.keys() >= set(groups):
            return None
        return tuple(ApproverNeed(group=name, people=self._settings.groups[name].people) for name in groups)

    def _asked(self, question: Question, needed: tuple[ApproverNeed, ...], bound: tuple[str, str]) -> Lifted:
        facts, at = question.facts, question.at
        binding, alike = bound
        approval = Approval(
            id="apr_" + secrets.token_hex(12),
            state="pending",
            binding=binding,
            decision="",
            chain=question.chain,
            server=question.server,
            tool=question.tool,
            arguments=question.arguments,
            call_digest=question.digest,
            policy_set=question.verdict.policy_set,
            policies=question.verdict.policies,
            sentence=question.verdict.sentence,
            purposes=(facts.purpose, *facts.purposes),
            needed=needed,
            requested_at=at,
            expires_at=at + self._settings.expires_in * SECOND,
            classification=question.classification,
            pin=question.pin,
            provenance=dict(facts.provenance),
            destinations=facts.destinations,
            risk=facts.risk.level,
            alike=alike,
            currency=facts.currency,
            amount=facts.amount,
            taken=facts.taken,
        )
        limits = self._settings
        asks = Asking(
            approval, limits.most_pending, limits.most_per_hour, at - _HOUR, limits.most_pending_of_subject
        )
        return Lifted(self._waiting(question.verdict, approval.id), binding, alike, asks=asks)

    def _waiting(self, verdict: Verdict, approval: str) -> Verdict:
        sentence = f"{verdict.sentence} {_advice(approval, address(self._settings, approval))}"
        return msgspec.structs.replace(verdict, sentence=sentence, approval=approval)

    def _refused(self, question: Question, found: Approval) -> Verdict:
        no = found.answers[-1]
        because = f": {no.why}" if no.why else "."
        if not found.replaced_by:
            sentence = f"{no.by} has refused this call ({found.id}){because}"
            return _verdict(question.verdict, "deny", "approval_rejected", sentence, found.id)
        edited = self._ledger.approval(found.replaced_by)
        told = compact(edited.arguments).decode()
        once = "once " if edited.state == "approved" else f"once {edited.id} is approved, and then once "
        sentence = f"{no.by} changed the arguments: the call may be made {once}with exactly {told}{because}"
        return _verdict(question.verdict, "deny", "approval_edited", sentence, edited.id)


def bound_to(question: Question, needed: tuple[ApproverNeed, ...]) -> str:
    """The digest of all that an approval holds for."""
    return digest({**_shared(question, needed), "call": question.digest})


def alike_to(question: Question, needed: tuple[ApproverNeed, ...]) -> str:
    """The digest of all that the calls have in common that a grant holds for; empty for a delegation."""
    facts, tool = question.facts, question.classification
    if tool is None:
        return ""
    where = {"destinations": sorted(facts.destinations), "currency": facts.currency}
    return digest({**_shared(question, needed), **where, "arguments": grant.fixed(tool, question.given)})


def _shared(question: Question, needed: tuple[ApproverNeed, ...]) -> dict[str, Any]:
    chain, verdict = question.chain, question.verdict
    return {
        "task": chain.task,
        "subject": chain.subject,
        "actors": list(chain.actors),
        "hops": list(chain.hops),
        "server": question.server,
        "tool": question.tool,
        "classification": plain(question.classification),
        "pin": question.pin,
        "policy_set": verdict.policy_set,
        "policies": sorted(verdict.policies),
        "needed": plain(needed),
        "step": question.facts.step,
    }


def _permitted(verdict: Verdict, yes: Approval) -> Verdict:
    if yes.times == 1:
        sentence = f"Permitted: {_people(yes)} approved exactly this call ({yes.id})."
        return _verdict(verdict, "permit", "approved", sentence, yes.id)
    sentence = f"Permitted: {_people(yes)} approved up to {yes.times} such calls of this task ({yes.id})."
    return _verdict(verdict, "permit", "granted", sentence, yes.id)


def unasked(verdict: Verdict) -> Verdict:
    """A verdict as it was before anybody was asked, or told to ask."""
    sentence = verdict.sentence.partition(f" {_ASK}{verdict.approval}`")[0]
    return msgspec.structs.replace(verdict, sentence=sentence, approval="")


def address(settings: ApprovalSettings, approval: str) -> str:
    """Where people answer an approval in a browser; empty where no page is configured."""
    return f"{settings.page}/approvals/{approval}" if settings.page else ""


_ASK = "Ask for `hopward approve "


def _advice(approval: str, page: str) -> str:
    where = f" or an answer at {page}" if page else ""
    return f"{_ASK}{approval}`{where}, then make exactly this call again."


def _verdict(verdict: Verdict, name: Any, reason: str, sentence: str, approval: str = "") -> Verdict:
    return msgspec.structs.replace(verdict, name=name, reason=reason, sentence=sentence, approval=approval)


def _people(approval: Approval) -> str:
    return " and ".join(answer.by for answer in approval.answers if answer.yes)
