"""What is written stands in the log, chained, and is found again."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from hashlib import sha256
from typing import Any

import pytest

from hopward.canonical import compact
from hopward.clock import SECOND, iso
from hopward.errors import LedgerError, NotFoundError
from hopward.ledger import RowFilter
from hopward.ledger.chain import GENESIS
from hopward.record import Draft
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import a_draft


class RowConformance(LedgerOpening):
    """Rows and their chain."""

    def test_an_empty_log_has_the_genesis_head_and_verifies(self, ledger: CompleteLedger) -> None:
        assert ledger.head() == (0, GENESIS)
        assert list(ledger.rows()) == []
        assert ledger.verify().ok

    def test_drafts_are_written_in_the_order_given_and_numbered_without_gaps(
        self, ledger: CompleteLedger
    ) -> None:
        receipts = ledger.record([a_draft(decision=f"dec_{n}") for n in range(5)])
        receipts += ledger.record([a_draft(decision="dec_5")])
        assert [receipt.seq for receipt in receipts] == [1, 2, 3, 4, 5, 6]
        rows = list(ledger.rows(RowFilter(oldest_first=True)))
        assert [row.decision for row in rows] == [f"dec_{n}" for n in range(6)]
        assert [row.hash for row in rows] == [receipt.hash for receipt in receipts]
        assert ledger.head() == (6, receipts[-1].hash)

    def test_a_row_comes_back_as_it_was_drafted(self, ledger: CompleteLedger) -> None:
        record = {
            "text": 'a"b\\c\n\u00e9\u2028\U0001f600',
            "big": 2**70,
            "float": 0.1,
            "none": None,
            "list": [1, [True]],
        }
        draft = a_draft(record=record, reason="over\tthe limit", agent="h\u00e9lper")
        ledger.record([draft])
        row = ledger.row(1)
        assert row.record == record
        columns = ("kind", "task", "agent", "server", "tool", "verdict", "reason", "decision")
        assert [getattr(row, name) for name in columns] == [getattr(draft, name) for name in columns]
        assert row.at == iso(draft.at)
        assert ledger.verify().ok

    def test_the_rows_verify_and_progress_is_told(self, ledger: CompleteLedger) -> None:
        last = ledger.record([a_draft() for _ in range(20)])[-1]
        told: list[tuple[int, int]] = []
        found = ledger.verify(lambda done, all_rows: told.append((done, all_rows)))
        assert (found.ok, found.rows, found.head_seq, found.head_hash) == (True, 20, 20, last.hash)
        assert told[-1] == (20, 20)

    @pytest.mark.parametrize(
        "record",
        [{"number": float("nan")}, {"text": "\ud800"}, {"value": object()}],
        ids=["not a number", "lone surrogate", "not JSON"],
    )
    def test_a_record_that_is_not_json_is_refused_and_nothing_is_written(
        self, ledger: CompleteLedger, record: dict[str, Any]
    ) -> None:
        with pytest.raises(LedgerError, match="cannot be written") as refused:
            ledger.record([a_draft(), a_draft(record=record)])
        assert refused.value.error == "row_invalid"
        assert ledger.head() == (0, GENESIS)

    def test_a_row_is_found_by_number_and_by_decision_id(self, ledger: CompleteLedger) -> None:
        credential = a_draft(kind="credential", verdict="")
        ledger.record([a_draft(decision="dec_0"), a_draft(follow=(credential,))])
        assert ledger.row(3).kind == "credential"
        assert ledger.row("dec_1").seq == 2
        for name in (0, 4, -1, "dec_2", ""):
            with pytest.raises(NotFoundError):
                ledger.row(name)

    def test_every_filter_selects_by_its_column(self, ledger: CompleteLedger) -> None:
        ledger.record(
            [
                a_draft(),
                a_draft(task="task_2", agent="other", server="files", tool="read", decision="dec_2"),
                a_draft(verdict="deny", at=NOON + SECOND, decision="dec_3"),
                a_draft(kind="outcome", verdict="", at=NOON + 2 * SECOND),
                Draft(kind="revocation", at=NOON + 3 * SECOND, record={}),
            ]
        )

        def numbers(**asked: Any) -> list[int]:
            return [row.seq for row in ledger.rows(RowFilter(**asked))]

        assert numbers() == [5, 4, 3, 2, 1]
        assert numbers(task="task_2") == [2]
        assert numbers(agent="helper") == [4, 3, 1]
        assert numbers(server="files") == [2]
        assert numbers(tool="read_ticket", server="desk") == [4, 3, 1]
        assert numbers(verdict="deny") == [3]
        assert numbers(verdict="permit") == [2, 1]
        assert numbers(kind="outcome") == [4]
        assert numbers(kind="revocation") == [5]
        assert numbers(decision="dec_1") == [4, 1]
        assert numbers(since=NOON + SECOND, before=NOON + 3 * SECOND) == [4, 3]
        assert numbers(limit=2) == [5, 4]
        assert numbers(limit=0) == []
        assert numbers(oldest_first=True, limit=2) == [1, 2]

    def test_a_reader_goes_on_after_the_last_row_it_saw(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft() for _ in range(3)])
        assert [row.seq for row in ledger.rows(RowFilter(after=1, oldest_first=True))] == [2, 3]
        assert list(ledger.rows(RowFilter(after=3, oldest_first=True))) == []
        ledger.record([a_draft()])
        assert [row.seq for row in ledger.rows(RowFilter(after=3, oldest_first=True))] == [4]

    def test_many_rows_stream_in_both_orders(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft() for _ in range(1203)])
        assert [row.seq for row in ledger.rows()] == list(range(1203, 0, -1))
        assert [row.seq for row in ledger.rows(RowFilter(oldest_first=True, limit=1001))] == list(
            range(1, 1002)
        )

    def test_the_hash_covers_the_row_before_and_every_column(self, ledger: CompleteLedger) -> None:
        from_first = ledger.record([a_draft(), a_draft(decision="dec_2")])
        row = ledger.row(2)
        names = (
            "seq",
            "kind",
            "at",
            "task",
            "agent",
            "server",
            "tool",
            "verdict",
            "reason",
            "decision",
            "record",
        )
        envelope = {name: getattr(row, name) for name in names}
        link = from_first[0].hash.encode() + b"\n" + compact(envelope)
        assert row.hash == sha256(link).hexdigest()
