"""Where people answer what a step-up asks: who may, what their answer changes, and what an edit leads to.

An answer is durable, with its row in the decision log, before it is returned. Who a person is, the caller of
this module must know: names are compared, not proved.
"""

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from hopward import grant, revocation
from hopward.approval import LIVE, Answer, Approval, ApprovalState, Which
from hopward.batch import SameAnswered, asks_the_same
from hopward.clock import SECOND, Clock, Instant
from hopward.containment import why_tool_contained
from hopward.counting import is_enough
from hopward.drafts import Asked, approval_draft
from hopward.errors import HopwardError, StateError
from hopward.evaluation import DELEGATE, Evaluator, Sources, call_digest
from hopward.harmless import harmless
from hopward.lifting import address
from hopward.model import Chain, ToolCall
from hopward.pattern import folded, one_person
from hopward.record import Asking
from hopward.strictjson import parse
from hopward.summary import HIDDEN, Summary, summary_of

_UNBOUNDED = 2**31
_QUOTED = "Text stands in quotation marks."
_FOR_EVER = 2**62
_EVERY = 10_000
"""How many approvals that wait, the latest, are looked through for those that ask the same."""
MOST = 10_000
"""How many approvals are found at most, unless more are asked for."""
_PAGE = 500
_ROUNDS = 10


class Approvals:
    """What people have been asked to approve. Safe to share between threads; holds no state of its own."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._ledger = sources.ledger
        self._policies = sources.policies
        self._settings = sources.approvals
        self._counting = sources.counting
        self._evaluator = Evaluator(sources, clock)
        self._clock = clock

    def get(self, approval_id: str) -> Approval:
        """One approval as it is now, `expired` and `void` included; raises `NotFoundError`."""
        return self._as_of_now(self._ledger.approval(approval_id))

    def find(
        self, states: tuple[ApprovalState, ...] = ("pending",), task: str = "", limit: int = MOST
    ) -> list[Approval]:
        """Approvals as they are now, the latest first; only those in one of `states`, or of `task`, if given.

        At most `limit`: where there are as many, there may be more.
        """
        return list(islice(self._found(states, task), limit))

    def why_void(self, approval: Approval) -> str:
        """Why an approval does not count, although it has not been answered or has not expired; or empty.

        What is quarantined counts again once it is released.
        """
        if approval.state == "void" and approval.replaced_by:
            return f"A yes to several calls covers it: {approval.replaced_by}."
        if approval.policy_set != self._policies.current().policy_set:
            return "The policies have changed since it was asked for."
        chain = _lasting(approval.chain)
        standing = self._ledger.standing(chain)
        fallen = revocation.why_fallen(standing, chain, self._clock.now())
        fallen = fallen or why_tool_contained(standing.containments, approval.server, approval.tool)
        if fallen is not None:
            return fallen[1]
        return self._counting.why_lost(approval) if approval.state in ("approved", "void") else ""

    def approve(
        self,
        approval_id: str,
        *,
        by: str,
        why: str = "",
        arguments: dict[str, Any] | None = None,
        times: int = 1,
    ) -> Approval:
        """One person's yes: the approval as it is then, approved once enough people have said so.

        With `arguments`, those of the call instead of what it had, the yes is for the call with these: what
        was asked for is rejected, and the approval of the other call is returned. With `times`, it is for as
        many such calls of the task (`hopward.grant`); where several people have to say yes, for the least
        that any of them has said. Raises `NotFoundError`, and `StateError` where it is not pending, or not
        this person's to give.
        """
        approval = self._pending(approval_id)
        yes = self._said(yes=True, by=by, why=why, times=times)
        if arguments is not None and arguments != approval.arguments:
            return self._edited(approval, yes, arguments)
        return self._agreed(approval, yes)

    def reject(self, approval_id: str, *, by: str, why: str) -> Approval:
        """One person's no, which is final: until it expires, the same call is refused without asking again.

        A yes can be taken back so, as long as it has not been used up. Besides those who may approve, the
        subject may say no. Raises as `approve`, and without a reason.
        """
        no = self._said(yes=False, by=by, why=why)
        for left in reversed(range(_ROUNDS)):
            approval = self._standing(approval_id, "pending", "approved")
            try:
                return self._rejected(approval, no)
            except StateError:
                # A grant may be used in the very moment in which it is taken back.
                if not left or self._ledger.approval(approval_id) == approval:
                    raise
        raise AssertionError("unreachable")

    def same(self, approval: Approval) -> list[Approval]:
        """What else waits and asks the same (`hopward.batch`), in whichever task and of whichever agent, the
        latest first."""
        others = (one for one in self._waiting() if one.id != approval.id and asks_the_same(one, approval))
        return [one for one in map(self._as_of_now, others) if one.state == "pending"]

    def answer_same(
        self, approval_id: str, *, among: Collection[str], yes: bool, by: str, why: str = ""
    ) -> SameAnswered:
        """One person's yes or no to an approval and to those `among` others that ask the same, each with its
        own row.

        `among` are the ids of what the person has been shown beside it (`same`). What of it asks the same no
        more, or is not theirs to answer, stays as it is; raises as `approve` and `reject` where that is true
        of all.
        """
        asked = self._pending(approval_id)
        answered: list[Approval] = []
        left: list[tuple[Approval, StateError]] = []
        shown = [one for one in self.same(asked) if one.id in among]
        for gone in {*among} - {asked.id, *(one.id for one in shown)}:
            left.append(
                (self.get(gone), StateError(f"It does not wait any more for the same as {asked.id}."))
            )
        for one in (asked, *shown):
            same_as = "" if one.id == asked.id else asked.id
            said = self._said(yes=yes, by=by, why=why, same_as=same_as)
            try:
                answered.append((self._agreed if yes else self._rejected)(one, said))
            except StateError as error:
                left.append((one, error))
        if not answered:
            raise next(error for one, error in left if one.id == asked.id)
        return SameAnswered(tuple(answered), tuple((one, error.message) for one, error in left))

    def most_times(self, approval: Approval) -> int:
        """For how many such calls one yes may hold; 1 where it cannot be a grant."""
        return 1 if self.why_once(approval) else self._most(approval)

    def why_once(self, approval: Approval) -> str:
        """Why a yes can be to nothing but the call that was asked for; empty where it can be a grant."""
        if not self.shows_all(approval):
            return "The decision log does not keep all of its arguments, so nobody knows what it is."
        told = grant.why_once(approval)
        if told or self._most(approval) > 1:
            return told
        least = [one.group for one in approval.needed if grant.most_times(self._settings, [one.group]) == 1]
        return (
            f"A yes of {' and '.join(least)} is to one call: [approvals.groups] most_times in hopward.toml."
        )

    def summary(self, approval: Approval) -> Summary:
        """What a person is shown who is asked: who wants what and why, and who may say yes."""
        void = self.why_void(approval) if approval.state == "void" else ""
        return summary_of(
            approval,
            self._settings.groups,
            shows_all=self.shows_all(approval),
            void=void,
            most_times=self.most_times(approval),
        )

    def address(self, approval_id: str) -> str:
        """Where people answer it in a browser (`[approvals] page`); empty where no page is configured."""
        return address(self._settings, approval_id)

    def why_not(self, approval: Approval, by: str, *, yes: bool = True) -> str:
        """Why this person may not say yes, or no, to an approval that is pending; empty if they may."""
        if not yes and self._is_subject(approval, by):
            return ""
        try:
            self._counted(approval, by, self._clock.now())
        except StateError as error:
            return error.message
        if yes and any(one_person(one.by, by) for one in approval.answers):
            return f"{by} has said yes already; another person has to."
        return ""

    def concerns(self, approval: Approval, person: str) -> bool:
        """Whether this person is to see an approval: they may answer it, have done so, or it is theirs."""
        if folded(person) in {folded(approval.chain.subject), *(folded(one.by) for one in approval.answers)}:
            return True
        known = (self._settings.groups.get(one.group) for one in approval.needed)
        return any(group is not None and person in group.members for group in known)

    def edited(self, approval: Approval, texts: Mapping[int, str]) -> dict[str, Any]:
        """The arguments with what a person has written over them, by their place in the summary.

        A text that is as the summary shows it changes nothing; any other is the value as JSON, or as it is
        where a text is declared. Raises `StateError` where it is neither, or the place is not there.
        """
        if not self.shows_all(approval):
            raise StateError(f"The arguments of {approval.id} cannot be changed. {HIDDEN}")
        arguments, shown = dict(approval.arguments), self.summary(approval).arguments
        declared = approval.classification.arguments if approval.classification else {}
        names = list(arguments)
        for place, text in texts.items():
            if not 0 <= place < len(names):
                raise StateError("There is no such argument any more.", advice="Look at it again.")
            name, written = names[place], text.strip()
            if written != shown[place].value:
                arguments[name] = _value(name, written, declared.get(name, ""))
        return arguments

    def shows_all(self, approval: Approval) -> bool:
        """Whether its arguments are all there, not left out of the decision log by configuration."""
        if approval.tool.startswith(DELEGATE):
            return True
        call = ToolCall(server=approval.server, tool=approval.tool, arguments=approval.arguments)
        return call_digest(call) == approval.call_digest

    def _said(self, **said: Any) -> Answer:
        """An answer as of now; raises `StateError` where it is none that could be stored and read again."""
        try:
            answer = msgspec.json.encode(Answer(**said, at=self._clock.now()))
            return msgspec.json.decode(answer, type=Answer)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise StateError(f"This is no answer: {error}.") from error

    def _found(self, states: tuple[ApprovalState, ...], task: str) -> Iterator[Approval]:
        # What counts no more is stored as it was before.
        stored = (*states, *LIVE) if "void" in states else states
        which = Which(stored, task, _PAGE, self._clock.now())
        page = self._ledger.approvals(which)
        while page:
            for one in map(self._as_of_now, page):
                if not states or one.state in states:
                    yield one
            page = self._ledger.approvals(replace(which, before=page[-1].id)) if len(page) == _PAGE else []

    def _waiting(self, task: str = "") -> list[Approval]:
        """Questions as stored that have not expired, the latest first."""
        return self._ledger.approvals(Which(("pending",), task, _EVERY, self._clock.now()))

    def _as_of_now(self, stored: Approval) -> Approval:
        if stored.state not in ("pending", "approved"):
            return stored
        if stored.expires_at <= self._clock.now():
            return replace(stored, state="expired")
        return replace(stored, state="void") if self.why_void(stored) else stored

    def _most(self, approval: Approval) -> int:
        return grant.most_times(self._settings, (one.group for one in approval.needed))

    def _pending(self, approval_id: str) -> Approval:
        return self._standing(approval_id, "pending")

    def _standing(self, approval_id: str, *states: ApprovalState) -> Approval:
        stored = self._ledger.approval(approval_id)
        found = self._as_of_now(stored)
        if found.state == "void":
            raise StateError(f"Approval {found.id} is void. {self.why_void(stored)}")
        if found.state not in states:
            advice = "The agent can make the call again, which asks anew." if found.state == "expired" else ""
            raise StateError(f"Approval {found.id} is {found.state}.", advice=advice)
        return stored

    def _counted(self, approval: Approval, by: str, at: Instant) -> tuple[str, ...]:
        return self._counting.groups(approval.needed, approval.chain, by, at)

    def _is_subject(self, approval: Approval, by: str) -> bool:
        return one_person(by, approval.chain.subject) and not self._counting.is_agent(by)

    def _agreed(self, approval: Approval, yes: Answer) -> Approval:
        yes = self._checked(approval, yes)
        _refuse_again(approval, yes.by)
        after = self._with(approval, yes)
        self._ledger.answer(approval, after, approval_draft(_event(after), after, yes.at, yes))
        self._end_needless(after)
        return after

    def _end_needless(self, given: Approval) -> None:
        """End what else waits and is covered by a grant, as far as it reaches; the call is made again."""
        if given.state != "approved" or given.times == 1:
            return
        with suppress(HopwardError):
            # Whatever of it fails waits on, as it would have without.
            covered = [
                one for one in reversed(self._waiting(given.chain.task)) if grant.makes_needless(given, one)
            ]
            for one in covered[: given.times - 1]:
                after = replace(one, state="void", replaced_by=given.id)
                self._ledger.answer(one, after, approval_draft("covered", after, self._clock.now()))

    def _rejected(self, approval: Approval, no: Answer) -> Approval:
        if not no.why.strip():
            raise StateError("A rejection needs a reason: the agent is told, and it stands in the log.")
        if not self._is_subject(approval, no.by):
            self._counted(approval, no.by, no.at)
        after = replace(approval, state="rejected", answers=(*approval.answers, no))
        event = "taken_back" if approval.state == "approved" else "rejected"
        self._ledger.answer(approval, after, approval_draft(event, after, no.at, no))
        return after

    def _checked(self, approval: Approval, yes: Answer) -> Answer:
        """A yes with the groups it counts for; raises `StateError` where there is none, or it is too wide."""
        groups = self._counted(approval, yes.by, yes.at)
        if yes.times < 1:
            raise StateError(f"A yes to {yes.times} calls is none.")
        why = self.why_once(approval) if yes.times > 1 else ""
        if why:
            raise StateError(f"{approval.id} can only be approved once. {why}")
        if yes.times > 1 and yes.times > self._most(approval):
            raise StateError(f"A yes may hold for {self._most(approval)} calls at most (most_times).")
        return replace(yes, groups=groups)

    def _with(self, approval: Approval, yes: Answer) -> Approval:
        answers = (*approval.answers, yes)
        given = [answer for answer in answers if answer.yes]
        agreed = replace(approval, answers=answers, times=min(answer.times for answer in given))
        if not is_enough(approval.needed, self._counting.still(agreed)):
            return agreed
        return replace(agreed, state="approved", expires_at=self._until(yes.at))

    def _until(self, now: Instant) -> Instant:
        return now + self._settings.expires_in * SECOND

    def _edited(self, approval: Approval, yes: Answer, arguments: dict[str, Any]) -> Approval:
        self._counted(approval, yes.by, yes.at)
        _refuse_again(approval, yes.by)
        new = self._asked_anew(approval, arguments)
        now, yes = yes.at, self._checked(new, yes)
        new = self._with(replace(new, expires_at=self._until(now)), yes)
        no = replace(yes, yes=False, times=1)
        answers = (*approval.answers, no)
        old = replace(
            approval, state="rejected", answers=answers, replaced_by=new.id, expires_at=new.expires_at
        )
        asks = Asking(new, most_pending=_UNBOUNDED, most=_UNBOUNDED, since=now, most_of_subject=_UNBOUNDED)
        draft = replace(
            approval_draft("edited", old, now, no),
            asks=asks,
            follow=(approval_draft(_event(new), new, now, yes),),
        )
        if self._ledger.answer(approval, old, draft).refused:
            raise StateError(f"Approval {approval.id} was not changed: another one stands for such a call.")
        self._end_needless(new)
        return new

    def _asked_anew(self, approval: Approval, arguments: dict[str, Any]) -> Approval:
        """What would be asked for the call with other arguments; raises `StateError` where nothing would."""
        if approval.tool.startswith(DELEGATE):
            raise StateError("What is handed on cannot be changed here; reject it, and say what to change.")
        call = ToolCall(server=approval.server, tool=approval.tool, arguments=arguments)
        evaluation = self._evaluator.evaluate(Asked(call, _lasting(approval.chain)))
        verdict, asks = evaluation.verdict, evaluation.asks
        if verdict.name == "deny":
            raise StateError(f"With these arguments the call would be refused. {verdict.sentence}")
        if asks is None and verdict.approval:
            raise StateError(
                f"With these arguments the call is {verdict.approval} already; approve that one."
            )
        if asks is None:
            told = "With these arguments the call needs no approval."
            raise StateError(told, advice="Reject this one, and say in --why what to call instead.")
        new = replace(asks.approval, decision=approval.decision, chain=approval.chain)
        if not self.shows_all(new):
            told = (
                "The decision log does not keep all arguments, so the agent could not be told which to use."
            )
            raise StateError(told, advice='`[log] arguments = "full"` keeps them.')
        return new


def _refuse_again(approval: Approval, by: str) -> None:
    if any(one_person(one.by, by) for one in approval.answers):
        raise StateError(f"{by} has approved {approval.id} already; another person has to.")


def _event(approval: Approval) -> str:
    return "approved" if approval.state == "approved" else "agreed"


_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-f]{2})|U(?P<long>[0-9a-f]{8})|.)")
"""One escape of JSON, or of `hopward.harmless`, which has two that JSON does not know."""


def _value(name: str, text: str, declared: str) -> Any:
    """A value as JSON, strictly read; the text as it is, where one is declared and this is none in JSON."""
    try:
        value = parse(_ESCAPE.sub(_as_json, text).encode())
    except ValueError as error:
        quoted = len(text) > 1 and text[0] == text[-1] == '"'
        if declared == "string" and not quoted:
            return text
        told = f"What stands for {harmless(name)} is no JSON."
        advice = "Write it without quotation marks, or with JSON's escapes." if quoted else _QUOTED
        raise StateError(told, advice=advice) from error
    return text if declared == "string" and not isinstance(value, str) else value


def _as_json(found: re.Match[str]) -> str:
    """An escape as JSON knows it."""
    code = found["byte"] or found["long"]
    return json.dumps(chr(int(code, 16)))[1:-1] if code and int(code, 16) <= sys.maxunicode else found[0]


def _lasting(chain: Chain) -> Chain:
    """The chain without an end of its own: a token that presented it ends before the task does."""
    return replace(chain, expires_at=_FOR_EVER)
