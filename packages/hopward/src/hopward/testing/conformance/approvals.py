"""Approvals come to be with the row that asks, are answered once, and are used up once."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from collections import Counter
from threading import Thread

import pytest
from msgspec.structs import replace

from hopward.approval import Answer, Approval, Which
from hopward.clock import SECOND
from hopward.errors import LedgerError, NotFoundError, StateError
from hopward.model import Budget, Usage
from hopward.record import Reservation
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task, an_approval, an_asking

ASKED = an_approval()
YES = Answer(by="carol", at=NOON, yes=True, why="", groups=("operators",))
APPROVED = replace(ASKED, state="approved", answers=(YES,))
ANSWERED = a_draft(kind="approval", verdict="", record={"event": "approved"})


def asked(ledger: CompleteLedger, approval: Approval = ASKED) -> str:
    return ledger.record([a_draft(verdict="step-up", asks=an_asking(approval))])[0].refused


def used_by_threads(ledger: CompleteLedger) -> Counter[str]:
    """What became of eight rows that use `apr_1`, each written by a thread of its own."""
    refused: list[str] = []

    def work() -> None:
        refused.extend(receipt.refused for receipt in ledger.record([a_draft(consumes="apr_1")]))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(refused)


class ApprovalConformance(LedgerOpening):
    """One approval that is asked for, answered, and used up."""

    @pytest.fixture
    def approved(self, ledger: CompleteLedger) -> None:
        asked(ledger)
        ledger.answer(ASKED, APPROVED, ANSWERED)

    def test_an_approval_comes_to_be_with_its_row(self, ledger: CompleteLedger) -> None:
        assert asked(ledger) == ""
        assert ledger.approval("apr_1") == ledger.latest_approval("sha256:1") == ASKED
        assert ledger.latest_approval("sha256:9") is None
        assert ledger.head()[0] == 1
        with pytest.raises(NotFoundError):
            ledger.approval("apr_9")

    def test_a_refused_row_asks_nothing(self, ledger: CompleteLedger) -> None:
        assert ledger.record([a_draft(epoch=99, asks=an_asking(ASKED))])[0].refused == "stale"
        assert ledger.approvals() == []

    @pytest.mark.parametrize("state", ["pending", "approved", "rejected"])
    def test_one_at_a_time_stands_for_what_it_is_bound_to(self, ledger: CompleteLedger, state: str) -> None:
        asked(ledger)
        if state != "pending":
            ledger.answer(ASKED, an_approval(state=state), ANSWERED)
        assert asked(ledger, an_approval("apr_2")) == "asked"
        assert asked(ledger, an_approval("apr_3", binding="sha256:4")) == ""
        later = an_approval("apr_4", requested_at=ASKED.expires_at)
        assert asked(ledger, later) == ""
        assert ledger.latest_approval("sha256:1") == later
        assert [one.id for one in ledger.approvals()] == ["apr_4", "apr_3", "apr_1"]

    @pytest.mark.usefixtures("approved")
    def test_approvals_are_found_by_state_and_task(self, ledger: CompleteLedger) -> None:
        other = an_approval("apr_2", binding="sha256:4", chain=a_chain(task="task_2"))
        asked(ledger, other)
        assert ledger.approvals(Which(("approved",))) == [APPROVED]
        assert ledger.approvals(Which(("approved", "pending"))) == [other, APPROVED]
        assert ledger.approvals(Which(task="task_1")) == [APPROVED]
        assert ledger.approvals(Which(("pending",), "task_1")) == []
        assert ledger.approvals(Which(limit=1)) == [other]
        assert ledger.approvals(Which(before="apr_2")) == [APPROVED]
        assert ledger.approvals(Which(before="apr_1")) == []

    @pytest.mark.usefixtures("approved")
    def test_approvals_are_found_by_the_state_that_time_has_brought(self, ledger: CompleteLedger) -> None:
        lasts = an_approval("apr_2", binding="sha256:4", expires_at=APPROVED.expires_at + 1)
        asked(ledger, lasts)
        end = APPROVED.expires_at
        assert ledger.approvals(Which(("expired",), at=end)) == [APPROVED]
        assert ledger.approvals(Which(("approved", "pending"), at=end)) == [lasts]
        assert ledger.approvals(Which(("approved", "expired"), at=end)) == [APPROVED]
        assert ledger.approvals(Which(("approved",), at=end - 1)) == [APPROVED]
        assert ledger.approvals(Which(("expired",), at=end - 1)) == []
        assert ledger.approvals(Which(at=end)) == ledger.approvals() == [lasts, APPROVED]
        assert ledger.approvals(Which(("rejected", "void"), at=end)) == []

    def test_so_many_may_wait_for_one_agent_of_one_task(self, ledger: CompleteLedger) -> None:
        def more(name: str, **changes: object) -> str:
            approval = an_approval(name, binding=name, **changes)
            return ledger.record([a_draft(asks=an_asking(approval, most_pending=2))])[0].refused

        assert [more("a"), more("b"), more("c")] == ["", "", "approvals"]
        assert more("d", chain=a_chain(task="task_2")) == ""
        assert more("e", chain=a_chain(actors=("helper", "other"))) == ""
        assert more("f", requested_at=ASKED.expires_at) == ""
        stored = ledger.approval("f")
        ledger.answer(stored, replace(stored, state="rejected"), ANSWERED)
        assert more("g", requested_at=ASKED.expires_at) == ""

    def test_so_many_may_wait_for_one_subject_in_all_its_open_tasks(self, ledger: CompleteLedger) -> None:
        def more(task: str, **changes: object) -> str:
            approval = an_approval(task, binding=task, chain=a_chain(task=task, **changes))
            return ledger.record([a_draft(asks=an_asking(approval, most_of_subject=2))])[0].refused

        for number in range(5):
            ledger.put_task(a_task(f"task_{number}"), NOTE)
        assert [more(f"task_{number}") for number in range(3)] == ["", "", "approvals"]
        assert more("task_3", subject="bob") == ""
        ledger.set_task_state("task_0", "completed", NOTE)
        assert more("task_4") == ""

    def test_so_many_are_asked_for_in_one_task_whichever_of_its_agents_asks(
        self, ledger: CompleteLedger
    ) -> None:
        def more(agent: str, task: str = "task_1") -> str:
            chain = a_chain(actors=("helper", agent), task=task)
            name = agent + task
            return ledger.record(
                [a_draft(asks=an_asking(an_approval(name, binding=name, chain=chain), most=2))]
            )[0].refused

        assert [more(agent) for agent in ("a", "b", "c")] == ["", "", "approvals"]
        assert more("a", "task_2") == ""

    def test_so_many_are_asked_for_in_a_while_answered_or_not(self, ledger: CompleteLedger) -> None:
        for number, approval in enumerate((ASKED, an_approval("b", binding="b"))):
            receipt = ledger.record([a_draft(asks=an_asking(approval, most=1))])[0]
            assert receipt.refused == ("approvals" if number else "")
        ledger.answer(ASKED, replace(ASKED, state="rejected"), ANSWERED)
        again = an_approval("b", binding="b")
        assert ledger.record([a_draft(asks=an_asking(again, most=1))])[0].refused == "approvals"
        assert ledger.record([a_draft(asks=an_asking(again, most=1, since=NOON))])[0].refused == ""

    def test_an_answer_changes_what_was_seen_and_nothing_else(self, ledger: CompleteLedger) -> None:
        asked(ledger)
        epoch = ledger.standing(a_chain()).epoch
        assert ledger.answer(ASKED, APPROVED, ANSWERED).seq == 2
        assert ledger.approval("apr_1") == APPROVED
        assert ledger.standing(a_chain()).epoch == epoch
        with pytest.raises(StateError):
            ledger.answer(ASKED, replace(ASKED, state="rejected"), ANSWERED)
        with pytest.raises(NotFoundError):
            ledger.answer(an_approval("apr_9"), an_approval("apr_9"), ANSWERED)
        assert ledger.approval("apr_1") == APPROVED
        assert ledger.head()[0] == 2

    def test_an_answer_may_ask_for_another_approval_or_change_nothing(self, ledger: CompleteLedger) -> None:
        asked(ledger)
        asked(ledger, an_approval("apr_2", binding="sha256:4"))
        rejected = replace(ASKED, state="rejected")
        taken = replace(ANSWERED, asks=an_asking(an_approval("apr_3", binding="sha256:4")))
        assert ledger.answer(ASKED, rejected, taken).refused == "asked"
        assert ledger.approval("apr_1") == ASKED
        free = an_approval("apr_3", binding="sha256:5", state="approved")
        assert ledger.answer(ASKED, rejected, replace(ANSWERED, asks=an_asking(free))).refused == ""
        assert (ledger.approval("apr_1"), ledger.approval("apr_3")) == (rejected, free)

    @pytest.mark.usefixtures("approved")
    def test_an_approval_is_used_up_once(self, ledger: CompleteLedger) -> None:
        assert not ledger.was_consumed("sha256:1")
        drafts = [a_draft(consumes="apr_1", decision=name) for name in ("dec_2", "dec_3")]
        assert [receipt.refused for receipt in ledger.record(drafts)] == ["", "unapproved"]
        used = ledger.approval("apr_1")
        assert (used.state, used.consumed_by) == ("consumed", "dec_2")
        assert ledger.was_consumed("sha256:1")
        assert asked(ledger, an_approval("apr_2")) == ""

    @pytest.mark.usefixtures("approved")
    def test_a_refused_row_uses_nothing_up(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=Budget(calls=0, writes=0)), NOTE)
        share = Reservation(("task_1",), calls=1, writes=0)
        refused = ledger.record([a_draft(consumes="apr_1", reserve=share)])[0].refused
        assert (refused, ledger.approval("apr_1").state) == ("budget_calls", "approved")

    @pytest.mark.parametrize("state", ["pending", "rejected", "consumed"])
    def test_only_what_is_approved_can_be_used_up(self, ledger: CompleteLedger, state: str) -> None:
        asked(ledger)
        ledger.answer(ASKED, an_approval(state=state), ANSWERED)
        ledger.put_task(a_task(), NOTE)
        share = Reservation(("task_1",), calls=1, writes=0)
        receipts = ledger.record([a_draft(consumes=name, reserve=share) for name in ("apr_1", "apr_9")])
        assert [receipt.refused for receipt in receipts] == ["unapproved", "unapproved"]
        assert ledger.usage("task_1") == Usage(calls=0, writes=0)

    @pytest.mark.usefixtures("approved")
    def test_an_approval_cannot_be_used_up_once_it_has_expired(self, ledger: CompleteLedger) -> None:
        late = a_draft(consumes="apr_1", at=ASKED.expires_at)
        assert ledger.record([late])[0].refused == "unapproved"
        assert ledger.record([replace(late, at=ASKED.expires_at - SECOND)])[0].refused == ""

    @pytest.mark.usefixtures("approved")
    def test_threads_use_an_approval_up_once(self, ledger: CompleteLedger) -> None:
        assert used_by_threads(ledger) == {"": 1, "unapproved": 7}
        assert ledger.verify().ok

    def test_a_row_that_follows_another_asks_nothing_and_uses_nothing_up(
        self, ledger: CompleteLedger
    ) -> None:
        for child in (a_draft(asks=an_asking(ASKED)), a_draft(consumes="apr_1")):
            with pytest.raises(LedgerError, match="no condition or effect of its own"):
                ledger.record([a_draft(follow=(child,))])
        assert ledger.approvals() == []
