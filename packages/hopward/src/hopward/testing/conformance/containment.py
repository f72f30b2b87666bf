"""What is quarantined, and whether everything is stopped."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from typing import Any, Literal

import pytest

from hopward.errors import NotFoundError, StateError
from hopward.ledger import RowFilter
from hopward.model import Containment, QuarantineKind
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task


def _containment(kind: QuarantineKind | Literal["all"], identity: str, **changes: Any) -> Containment:
    fields: dict[str, Any] = {"kind": kind, "id": identity, "at": NOON, "by": "carol", "why": "an incident"}
    return Containment(**(fields | changes))


class ContainmentConformance(LedgerOpening):
    """Containments change standing together with their rows, and can be taken back."""

    @pytest.mark.parametrize(
        ("kind", "identity"),
        [
            ("all", "*"),
            ("task", "task_1"),
            ("agent", "first"),
            ("agent", "helper"),
            ("subject", "alice"),
            ("server", "desk"),
            ("tool", "desk/refund"),
        ],
    )
    def test_what_could_concern_a_chain_is_in_its_standing_until_it_is_released(
        self, ledger: CompleteLedger, kind: Any, identity: str
    ) -> None:
        chain, one = a_chain(actors=("first", "helper")), _containment(kind, identity)
        before = ledger.standing(chain)
        ledger.contain(one, NOTE)
        contained = ledger.standing(chain)
        assert (before.containments, contained.containments) == ((), (one,))
        ledger.release(one, NOTE)
        after = ledger.standing(chain)
        assert after.containments == ()
        assert before.epoch < contained.epoch < after.epoch

    def test_what_is_about_others_is_not_in_a_standing(self, ledger: CompleteLedger) -> None:
        ledger.contain(_containment("task", "task_2"), NOTE)
        ledger.contain(_containment("agent", "alice"), NOTE)
        ledger.contain(_containment("subject", "helper"), NOTE)
        assert ledger.standing(a_chain()).containments == ()

    def test_a_thing_is_contained_once(self, ledger: CompleteLedger) -> None:
        first = _containment("agent", "helper")
        ledger.contain(first, NOTE)
        head = ledger.head()
        with pytest.raises(StateError):
            ledger.contain(_containment("agent", "helper", at=NOON + 1, by="mallory"), NOTE)
        assert (ledger.containments(), ledger.head()) == ((first,), head)

    def test_only_what_was_read_is_released(self, ledger: CompleteLedger) -> None:
        first = _containment("agent", "helper")
        again = _containment("agent", "helper", at=NOON + 1)
        with pytest.raises(NotFoundError):
            ledger.release(first, NOTE)
        ledger.contain(again, NOTE)
        head = ledger.head()
        with pytest.raises(NotFoundError):
            ledger.release(first, NOTE)
        assert (ledger.containments(), ledger.head()) == ((again,), head)

    def test_containments_are_listed_oldest_first(self, ledger: CompleteLedger) -> None:
        last, first = _containment("all", "*", at=NOON + 2), _containment("tool", "desk/*")
        ledger.contain(last, NOTE)
        ledger.contain(first, NOTE)
        assert ledger.containments() == (first, last)

    def test_each_change_has_its_row_and_makes_earlier_decisions_stale(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        one = _containment("tool", "desk/refund")
        epoch = ledger.standing(a_chain()).epoch
        ledger.contain(one, a_draft(kind="containment", record={"event": "quarantined"}))
        assert ledger.record([a_draft(epoch=epoch)])[0].refused == "stale"
        epoch = ledger.standing(a_chain()).epoch
        ledger.release(one, a_draft(kind="containment", record={"event": "released"}))
        assert ledger.record([a_draft(epoch=epoch)])[0].refused == "stale"
        rows = ledger.rows(RowFilter(kind="containment", oldest_first=True))
        assert [row.record["event"] for row in rows] == ["quarantined", "released"]

    def test_everyone_for_whom_a_task_was_opened_is_known(self, ledger: CompleteLedger) -> None:
        ledger.put_task(a_task(), NOTE)
        ledger.put_task(a_task("task_2", subject="bob"), NOTE)
        ledger.put_task(a_task("task_3"), NOTE)
        assert ledger.subjects() == {"alice", "bob"}
