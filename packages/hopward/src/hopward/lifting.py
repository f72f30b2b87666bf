"""What an approval is bound to, and what becomes of a step-up: permitted by one, refused by a no, or asked.

An approval holds for exactly what a person was shown: whatever of it changes, the binding changes with it,
and no approval is found. It is used up in the transaction of the permit (`hopward.record.Draft.consumes`).
"""

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from hopward.approval import Approval, ApproverNeed, Taken
from hopward.canonical import compact, digest
from hopward.clock import SECOND, Instant
from hopward.model import Chain, Tool, Verdict, plain
from hopward.ports import Ledger
from hopward.record import Asking, Facts
from hopward.settings import ApprovalSettings

_HOUR = 3600 * SECOND


class Question(msgspec.Struct, frozen=True):
    """What a person would be asked about: a call or delegation that policies hold back.

    `digest` is that of the call, `arguments` what of it the log keeps. `groups` are those whose approval is
    needed. `pin` says what the tool was when it was accepted; empty where nothing is pinned.
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


class Lifted(msgspec.Struct, frozen=True):
    """What became of a step-up. A permit uses up `consumes`; a step-up asks `asks`, or waits."""

    verdict: Verdict
    binding: str
    consumes: str = ""
    asks: Asking | None = None


class Lifting:
    """Looks for the approval of a step-up, as of now. Holds no state of its own."""

    def __init__(self, ledger: Ledger, settings: ApprovalSettings) -> None:
        self._ledger = ledger
        self._settings = settings

    def lifted(self, question: Question) -> Lifted:
        """The verdict on a step-up with what people have said about it; raises `LedgerError`."""
        needed = self._needed(question.groups)
        if needed is None:
            sentence = "Nobody is configured who could approve this."
            return Lifted(_verdict(question.verdict, "deny", "approvers_unknown", sentence), "")
        binding = bound_to(question, needed)
        found = self._ledger.latest_approval(binding)
        if found is None or found.expires_at <= question.at or found.state == "consumed":
            return self._asked(question, needed, binding)
        if found.state == "approved":
            sentence = f"Permitted: {_people(found)} approved exactly this call ({found.id})."
            verdict = _verdict(question.verdict, "permit", "approved", sentence, found.id)
            return Lifted(verdict, binding, consumes=found.id)
        if found.state == "rejected":
            return Lifted(self._refused(question, found), binding)
        return Lifted(self._waiting(question.verdict, found.id), binding)

    def _needed(self, groups: tuple[str, ...]) -> tuple[ApproverNeed, ...] | None:
        known: Mapping[str, Any] = self._settings.groups
        if not groups or not known.keys() >= set(groups):
            return None
        return tuple(ApproverNeed(group=name, people=self._settings.groups[name].people) for name in groups)

    def _asked(self, question: Question, needed: tuple[ApproverNeed, ...], binding: str) -> Lifted:
        facts, at = question.facts, question.at
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
            taken=Taken(facts.taken_sensitivity, facts.taken_integrity, facts.untrusted_servers),
        )
        limits = self._settings
        asks = Asking(approval, limits.most_pending, limits.most_per_hour, at - _HOUR)
        return Lifted(self._waiting(question.verdict, approval.id), binding, asks=asks)

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
    chain, verdict = question.chain, question.verdict
    return digest(
        {
            "task": chain.task,
            "subject": chain.subject,
            "actors": list(chain.actors),
            "hops": list(chain.hops),
            "server": question.server,
            "tool": question.tool,
            "call": question.digest,
            "classification": plain(question.classification),
            "pin": question.pin,
            "policy_set": verdict.policy_set,
            "policies": sorted(verdict.policies),
            "needed": plain(needed),
            "step": question.facts.step,
        }
    )


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
