"""Tasks, agents and revocations change together with their rows."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

import pytest

from hopward.errors import NotFoundError, StateError
from hopward.ledger import RowFilter
from hopward.model import Budget, TaskState, Usage
from hopward.record import Reservation
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_draft, a_revocation, a_task, an_agent


class ChangeConformance(LedgerOpening):
    """Changes of standing."""

    def test_a_change_of_standing_appends_its_row(self, ledger: CompleteLedger) -> None:
        receipts = [
            ledger.put_task(a_task(), a_draft(kind="task", record={"n": 1})),
            ledger.put_agent(an_agent(), a_draft(kind="agent", record={"n": 2})),
            ledger.revoke(a_revocation("key", "k"), a_draft(kind="revocation", record={"n": 3})),
            ledger.set_task_state("task_1", "completed", a_draft(kind="task", record={"n": 4})),
        ]
        rows = list(ledger.rows(RowFilter(oldest_first=True)))
        assert [row.record["n"] for row in rows] == [1, 2, 3, 4]
        assert [row.hash for row in rows] == [receipt.hash for receipt in receipts]

    def test_a_stale_change_changes_nothing(self, ledger: CompleteLedger) -> None:
        receipt = ledger.put_agent(an_agent(), a_draft(kind="agent", epoch=99))
        assert receipt.refused == "stale"
        assert ledger.agents() == []
        assert ledger.head()[0] == 0

    def test_an_open_task_can_be_narrowed_and_keeps_its_usage(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        share = Reservation(("task_1",), calls=2, writes=0)
        ledger.record([a_draft(reserve=share)])
        narrowed = a_task(budget=Budget(calls=3, writes=0))
        ledger.put_task(narrowed, NOTE)
        assert ledger.task("task_1") == narrowed
        assert ledger.usage("task_1") == Usage(calls=2, writes=0)
        assert ledger.record([a_draft(reserve=share)])[0].refused == "budget_calls"

    @pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
    def test_an_ended_task_is_never_opened_again(self, ledger: CompleteLedger, state: TaskState) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.set_task_state("task_1", state, NOTE)
        head = ledger.head()
        with pytest.raises(StateError):
            ledger.set_task_state("task_1", "open", NOTE)
        with pytest.raises(StateError):
            ledger.put_task(a_task(), NOTE)
        assert ledger.task("task_1").state == state
        assert ledger.head() == head

    def test_what_does_not_exist_is_not_found(self, ledger: CompleteLedger) -> None:
        with pytest.raises(NotFoundError):
            ledger.task("task_9")
        with pytest.raises(NotFoundError):
            ledger.agent("nobody")
        with pytest.raises(NotFoundError):
            ledger.set_task_state("task_9", "completed", NOTE)
        assert ledger.head()[0] == 0

    def test_tasks_are_listed_latest_first_and_by_state(self, ledger: CompleteLedger) -> None:
        for number in range(3):
            ledger.put_task(a_task(f"task_{number}", opened_at=NOON + number), NOTE)
        ledger.set_task_state("task_1", "completed", NOTE)
        assert [task.id for task in ledger.tasks()] == ["task_2", "task_1", "task_0"]
        assert [task.id for task in ledger.tasks("open")] == ["task_2", "task_0"]
        assert [task.id for task in ledger.tasks("completed")] == ["task_1"]
        assert [task.id for task in ledger.tasks(limit=1)] == ["task_2"]

    def test_agents_are_stored_whole_and_listed_by_id(self, ledger: CompleteLedger) -> None:
        ledger.put_agent(an_agent("b"), NOTE)
        ledger.put_agent(an_agent("a", ceiling=a_task().capabilities), NOTE)
        assert ledger.agents() == [an_agent("a", ceiling=a_task().capabilities), an_agent("b")]
        assert ledger.agent("b") == an_agent("b")
