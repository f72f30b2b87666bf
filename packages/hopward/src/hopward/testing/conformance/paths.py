"""Steps of a task's path are taken with the row that takes them, at most so often, and not after others."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

import pytest

from hopward.errors import LedgerError
from hopward.model import Step
from hopward.record import Reservation, Taking
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task

_PAY = Taking("pay", 2, ("refuse",))
_REFUSE = Taking("refuse", 1, ("pay",))
_STEPS = (
    Step(name="pay", agent="helper", tool="desk/pay", times=2, unless=("refuse",)),
    Step(name="refuse", agent="helper", tool="desk/refuse", unless=("pay",)),
)


class PathConformance(LedgerOpening):
    """Which steps of its path a task has taken."""

    def test_a_task_has_taken_no_step_at_first(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        assert dict(ledger.taken("task_1")) == dict(ledger.standing(a_chain()).taken) == {}

    def test_a_row_takes_a_step_and_standing_tells_it_at_once(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        ledger.standing(a_chain())
        ledger.record([a_draft(takes=_PAY)])
        assert dict(ledger.taken("task_1")) == dict(ledger.standing(a_chain()).taken) == {"pay": 1}

    def test_a_step_is_taken_at_most_so_often(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        receipts = ledger.record([a_draft(takes=_PAY)] * 3)
        assert [receipt.refused for receipt in receipts] == ["", "", "stale"]
        assert dict(ledger.taken("task_1")) == {"pay": 2}

    def test_what_was_read_before_another_row_is_looked_at_again(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        head = ledger.standing(a_chain()).head
        once = Taking("pay", 1, ())
        receipts = ledger.record([a_draft(takes=once, head=head)] * 2)
        receipts += ledger.record([a_draft(takes=once, head=head)])
        assert [receipt.refused for receipt in receipts] == ["", "stale", "stale"]
        assert dict(ledger.taken("task_1")) == {"pay": 1}

    def test_a_step_is_not_taken_after_one_that_rules_it_out(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        receipts = ledger.record([a_draft(takes=_REFUSE), a_draft(takes=_PAY)])
        assert [receipt.refused for receipt in receipts] == ["", "stale"]
        assert dict(ledger.taken("task_1")) == {"refuse": 1}

    def test_a_step_begins_no_epoch(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        epoch = ledger.standing(a_chain()).epoch
        ledger.record([a_draft(takes=_PAY)])
        assert ledger.standing(a_chain()).epoch == epoch

    def test_a_row_that_is_refused_takes_no_step(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        greedy = Reservation(("task_1",), calls=99, writes=0)
        assert ledger.record([a_draft(takes=_PAY, reserve=greedy)])[0].refused == "budget_calls"
        assert dict(ledger.taken("task_1")) == {}

    def test_a_step_that_may_not_be_taken_uses_up_no_budget(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(steps=_STEPS), NOTE)
        ledger.record([a_draft(takes=_REFUSE)])
        ledger.record([a_draft(takes=_PAY, reserve=Reservation(("task_1",), calls=1, writes=1))])
        assert ledger.usage("task_1").calls == 0

    def test_steps_are_of_one_task_and_outlast_it(self, ledger: CompleteLedger) -> None:
        for task in ("task_1", "task_2"):
            ledger.put_task(a_task(task, steps=_STEPS), NOTE)
        ledger.record([a_draft(takes=_REFUSE)])
        assert dict(ledger.taken("task_2")) == {}
        ledger.set_task_state("task_1", "completed", NOTE)
        assert dict(ledger.taken("task_1")) == {"refuse": 1}

    def test_a_row_that_follows_another_takes_no_step(self, ledger: CompleteLedger) -> None:
        with pytest.raises(LedgerError, match="no condition or effect of its own"):
            ledger.record([a_draft(follow=(a_draft(takes=_PAY),))])
