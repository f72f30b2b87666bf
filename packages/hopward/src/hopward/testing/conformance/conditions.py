"""A draft is written only if its epoch lasts and its budget suffices."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from threading import Thread

import pytest

from hopward.errors import LedgerError
from hopward.ledger import RowFilter
from hopward.model import Budget, Usage
from hopward.record import Reservation
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_revocation, a_task


class ConditionConformance(LedgerOpening):
    """Epochs, budgets, and rows that follow others."""

    def test_a_draft_of_a_past_epoch_is_stale_and_not_written(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        epoch = ledger.standing(a_chain()).epoch
        ledger.revoke(a_revocation("agent", "helper"), NOTE)
        stale, fresh = ledger.record([a_draft(epoch=epoch), a_draft(epoch=epoch + 1)])
        assert (stale.seq, stale.hash, stale.refused) == (0, "", "stale")
        assert (fresh.seq, fresh.refused) == (3, "")

    def test_a_stale_draft_reserves_nothing_and_nothing_follows_it(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        share = Reservation(("task_1",), calls=1, writes=1)
        ledger.record([a_draft(epoch=99, reserve=share, follow=(a_draft(kind="credential"),))])
        assert ledger.usage("task_1") == Usage(calls=0, writes=0)
        assert ledger.head()[0] == 1

    def test_a_budget_of_calls_ends_exactly_where_it_says(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=Budget(calls=3, writes=9)), NOTE)
        share = Reservation(("task_1",), calls=1, writes=0)
        receipts = ledger.record([a_draft(reserve=share) for _ in range(5)])
        assert [receipt.refused for receipt in receipts] == ["", "", "", "budget_calls", "budget_calls"]
        assert ledger.usage("task_1") == Usage(calls=3, writes=0)
        assert ledger.standing(a_chain()).usage == Usage(calls=3, writes=0)

    def test_a_budget_of_writes_is_separate_and_a_refusal_takes_no_call(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=Budget(calls=9, writes=1)), NOTE)
        write = Reservation(("task_1",), calls=1, writes=1)
        receipts = ledger.record([a_draft(reserve=write), a_draft(reserve=write)])
        assert [receipt.refused for receipt in receipts] == ["", "budget_writes"]
        assert ledger.usage("task_1") == Usage(calls=1, writes=1)

    def test_a_task_that_does_not_exist_has_no_budget(self, ledger: CompleteLedger) -> None:
        share = Reservation(("task_9",), calls=1, writes=0)
        assert ledger.record([a_draft(reserve=share)])[0].refused == "budget_calls"

    def test_a_reservation_never_gives_budget_back(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        with pytest.raises(LedgerError, match="less than nothing"):
            ledger.record([a_draft(reserve=Reservation(("task_1",), calls=-1, writes=0))])

    def test_a_refused_draft_does_not_hold_up_the_others(self, ledger: CompleteLedger) -> None:
        receipts = ledger.record([a_draft(decision="a"), a_draft(epoch=99), a_draft(decision="b")])
        assert [receipt.seq for receipt in receipts] == [1, 0, 2]
        assert [row.decision for row in ledger.rows()] == ["b", "a"]

    def test_following_rows_stand_right_behind_their_parent(self, ledger: CompleteLedger) -> None:
        last = a_draft(kind="outcome")
        parent = a_draft(follow=(a_draft(kind="credential", follow=(last,)), a_draft(kind="key")))
        receipts = ledger.record([parent, a_draft(kind="refusal")])
        assert [receipt.seq for receipt in receipts] == [1, 5]
        kinds = [row.kind for row in ledger.rows(RowFilter(oldest_first=True))]
        assert kinds == ["decision", "credential", "outcome", "key", "refusal"]

    def test_a_following_row_has_no_condition_of_its_own(self, ledger: CompleteLedger) -> None:
        for child in (a_draft(epoch=1), a_draft(reserve=Reservation(("task_1",), calls=1, writes=0))):
            with pytest.raises(LedgerError, match="no condition or effect of its own"):
                ledger.record([a_draft(follow=(child,))])

    def test_threads_share_one_budget_and_one_chain(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(budget=Budget(calls=50, writes=0)), NOTE)
        share = Reservation(("task_1",), calls=1, writes=0)
        refused: list[str] = []

        def work() -> None:
            for _ in range(20):
                refused.extend(receipt.refused for receipt in ledger.record([a_draft(reserve=share)]))

        threads = [Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(refused) == [""] * 50 + ["budget_calls"] * 70
        assert ledger.head()[0] == 51
        assert ledger.verify().ok
