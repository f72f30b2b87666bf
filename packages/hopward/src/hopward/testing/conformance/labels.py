"""Labels of a task only rise, with the row that raises them, and what was decided before is stale then."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from msgspec.structs import replace

from hopward.model import Flow, Integrity, Label, Sensitivity
from hopward.record import Reservation
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task, an_agent


def label(
    flow: Flow, name: str, sensitivity: Sensitivity = "internal", integrity: Integrity = "trusted"
) -> Label:
    """A label, internal and trusted unless it is said."""
    return Label(flow=flow, name=name, sensitivity=sensitivity, integrity=integrity)


class LabelConformance(LedgerOpening):
    """What tasks have taken in and given out."""

    def test_a_task_that_has_moved_nothing_has_no_labels(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        assert ledger.labels("task_1") == ledger.standing(a_chain()).labels == ()

    def test_a_row_raises_labels_and_standing_tells_them_at_once(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.standing(a_chain())
        moved = (label("from", "desk"), label("into", "desk"))
        ledger.record([a_draft(labels=moved)])
        assert ledger.standing(a_chain()).labels == ledger.labels("task_1") == moved

    def test_where_a_task_has_sent_something_is_kept_and_makes_nothing_stale(
        self, ledger: CompleteLedger
    ) -> None:
        ledger.put_task(a_task(), NOTE)
        before = ledger.standing(a_chain())
        sent = label("out", "account:7", "confidential")
        first, second = ledger.record([a_draft(moved=before.moved, labels=(sent,)) for _ in range(2)])
        assert (first.refused, second.refused) == ("", "")
        assert ledger.labels("task_1") == (sent,)
        assert replace(ledger.standing(a_chain()), head=before.head) == before

    def test_a_label_never_falls_in_either_dimension(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        for one in (
            label("from", "desk", "confidential", "trusted"),
            label("from", "desk", "public", "untrusted"),
            label("from", "desk", "internal", "trusted"),
        ):
            ledger.record([a_draft(labels=(one,))])
        assert ledger.labels("task_1") == (label("from", "desk", "confidential", "untrusted"),)

    def test_what_was_decided_before_a_label_rose_is_stale(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        moved = ledger.standing(a_chain()).moved
        first, second = ledger.record(
            [a_draft(moved=moved, labels=(label("from", "desk"),)), a_draft(moved=moved)]
        )
        assert (first.refused, second.refused) == ("", "stale")

    def test_what_raises_nothing_makes_nothing_stale(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        raising = a_draft(labels=(label("from", "desk"),))
        ledger.record([raising])
        moved = ledger.standing(a_chain()).moved
        ledger.record([raising])
        assert ledger.record([a_draft(moved=moved)])[0].refused == ""

    def test_what_one_task_moves_makes_nothing_of_another_stale(self, ledger: CompleteLedger) -> None:
        for task in ("task_1", "task_2"):
            ledger.put_task(a_task(task), NOTE)
        before = ledger.standing(a_chain())
        ledger.record([a_draft(task="task_2", labels=(label("from", "desk"),))])
        after = ledger.standing(a_chain())
        assert (after.epoch, after.moved) == (before.epoch, before.moved)
        assert ledger.record([a_draft(epoch=before.epoch, moved=before.moved)])[0].refused == ""

    def test_a_row_that_is_refused_raises_nothing(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.put_agent(an_agent(), NOTE)
        greedy = Reservation(("task_1",), calls=99, writes=0)
        receipts = ledger.record([a_draft(labels=(label("from", "desk"),), reserve=greedy)])
        assert receipts[0].refused == "budget_calls"
        assert ledger.labels("task_1") == ()

    def test_labels_are_of_one_task(self, ledger: CompleteLedger) -> None:
        for task in ("task_1", "task_2"):
            ledger.put_task(a_task(task), NOTE)
        ledger.record([a_draft(task="task_2", labels=(label("from", "desk"),))])
        assert ledger.labels("task_1") == ()

    def test_a_value_stood_in_the_task_that_it_is_remembered_of(self, ledger: CompleteLedger) -> None:
        for task in ("task_1", "task_2"):
            ledger.put_task(a_task(task), NOTE)
        ledger.record([a_draft(kind="outcome", values=("a" * 32, "b" * 32))])
        ledger.record([a_draft(kind="outcome", values=("b" * 32,))])
        sought = frozenset({"a" * 32, "c" * 32})
        assert ledger.stood("task_1", sought) == {"a" * 32}
        assert ledger.stood("task_2", sought) == frozenset()

    def test_a_task_that_has_ended_remembers_no_values_but_its_labels(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.record([a_draft(kind="outcome", values=("a" * 32,), labels=(label("from", "desk"),))])
        ledger.set_task_state("task_1", "completed", NOTE)
        assert ledger.stood("task_1", frozenset({"a" * 32})) == frozenset()
        assert ledger.labels("task_1") == (label("from", "desk"),)
