"""Whoever changes the file behind Hopward's back is found out by `verify`, and the row is named."""

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from hopward.ledger import RowFilter, SqliteLedger
from hopward.ledger.chain import row_hash
from hopward.testing.samples import a_draft

from .conftest import Open, Tamper

ROWS = 8


@pytest.fixture
def ledger(open_ledger: Open) -> SqliteLedger:
    ledger = open_ledger()
    ledger.record([a_draft(decision=f"dec_{number}") for number in range(1, ROWS + 1)])
    assert ledger.verify().ok
    return ledger


def bad_rows(ledger: SqliteLedger) -> list[int]:
    found = ledger.verify()
    assert found.ok == (not found.problems)
    return [problem.seq for problem in found.problems]


@pytest.mark.parametrize(
    "column",
    ["kind", "at", "task", "agent", "server", "tool", "verdict", "reason", "decision", "record"],
)
@pytest.mark.parametrize(
    "value", ["'x'", "''", "x'00ff'", "record || ' '"], ids=["other", "empty", "bytes", "longer"]
)
def test_an_edited_column_is_found_in_its_row(
    ledger: SqliteLedger, tamper: Tamper, column: str, value: str
) -> None:
    tamper(f"UPDATE log SET {column} = {value} WHERE seq = 5")  # noqa: S608 - the test's own constants
    assert bad_rows(ledger) == [5]
    assert "not what was written" in ledger.verify().problems[0].what


def test_a_record_that_reads_the_same_but_is_spelled_otherwise_is_found(
    ledger: SqliteLedger, tamper: Tamper
) -> None:
    tamper("UPDATE log SET record = replace(record, ':', ': ') WHERE seq = 5")
    assert bad_rows(ledger) == [5]


def test_text_moved_from_one_column_to_its_neighbour_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("UPDATE log SET task = '', agent = task || agent WHERE seq = 5")
    assert bad_rows(ledger) == [5]


def test_an_edited_hash_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("UPDATE log SET hash = ? WHERE seq = 5", "f" * 64)
    assert bad_rows(ledger)[0] == 5


def test_an_edited_row_with_a_matching_hash_breaks_the_link_of_the_next(
    ledger: SqliteLedger, tamper: Tamper
) -> None:
    before, row = ledger.row(4), ledger.row(5)
    columns = (
        "decision",
        row.at,
        "task_1",
        "mallory",
        "desk",
        "read_ticket",
        "permit",
        "policy",
        "dec_5",
        "{}",
    )
    forged = row_hash(before.hash, 5, columns)
    tamper("UPDATE log SET agent = 'mallory', record = '{}', hash = ? WHERE seq = 5", forged)
    assert bad_rows(ledger) == [6]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (4, 4), (3, 6)])
def test_deleted_rows_are_found_where_they_stood(
    ledger: SqliteLedger, tamper: Tamper, first: int, last: int
) -> None:
    tamper("DELETE FROM log WHERE seq BETWEEN ? AND ?", first, last)
    found = ledger.verify().problems
    assert [problem.seq for problem in found] == [first]
    assert "missing" in found[0].what


def test_a_deleted_row_closed_up_by_renumbering_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("DELETE FROM log WHERE seq = 4")
    tamper("UPDATE log SET seq = seq - 1 WHERE seq > 4")
    assert bad_rows(ledger)[0] == 4


def test_a_cut_tail_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("DELETE FROM log WHERE seq > 6")
    found = ledger.verify().problems
    assert [problem.seq for problem in found] == [7]
    assert "its head is row 8" in found[0].what


def test_a_cut_tail_stays_visible_when_the_log_goes_on(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("DELETE FROM log WHERE seq > 6")
    assert ledger.record([a_draft()])[0].seq == ROWS + 1
    assert bad_rows(ledger) == [7]


def test_an_emptied_log_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("DELETE FROM log")
    assert bad_rows(ledger) == [1]


_COPY = """INSERT INTO log
    SELECT ?, kind, at, task, agent, server, tool, verdict, reason, decision, record, hash
    FROM log WHERE seq = ?"""


def test_a_row_inserted_in_the_middle_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    for seq in (8, 7):
        tamper("UPDATE log SET seq = ? WHERE seq = ?", seq + 1, seq)
    tamper(_COPY, 7, 6)
    assert bad_rows(ledger)[0] == 7


def test_a_row_inserted_before_the_first_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper(_COPY, -5, 1)
    assert bad_rows(ledger)[0] == 1


def test_a_well_chained_row_behind_the_head_is_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    row = ledger.row(ROWS)
    columns = ("decision", row.at, "", "", "", "", "", "", "", "{}")
    digest = row_hash(row.hash, ROWS + 1, columns)
    tamper("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ROWS + 1, *columns, digest)
    found = ledger.verify().problems
    assert [problem.seq for problem in found] == [ROWS + 1]
    assert "its head is row 8" in found[0].what


def test_swapped_rows_are_found(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("UPDATE log SET seq = 99 WHERE seq = 3")
    tamper("UPDATE log SET seq = 3 WHERE seq = 4")
    tamper("UPDATE log SET seq = 4 WHERE seq = 99")
    assert bad_rows(ledger)[0] == 3


def test_two_edited_rows_are_both_named(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("UPDATE log SET agent = 'mallory' WHERE seq IN (2, 7)")
    assert bad_rows(ledger) == [2, 7]


def test_text_that_is_no_text_ends_the_check_at_its_row(ledger: SqliteLedger, tamper: Tamper) -> None:
    tamper("UPDATE log SET agent = CAST(x'ff' AS TEXT) WHERE seq = 5")
    found = ledger.verify()
    assert [problem.seq for problem in found.problems] == [5]
    assert "cannot be read" in found.problems[0].what


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("UPDATE head SET hash = 'f'", ROWS),
        ("UPDATE head SET count = 7", ROWS),
        ("UPDATE head SET seq = 9", ROWS + 1),
        ("UPDATE head SET seq = 7", ROWS),
        ("UPDATE head SET seq = 'x'", ROWS),
        ("DELETE FROM head", ROWS),
        ("DROP TABLE head", 1),
        ("DROP TABLE log", 1),
    ],
)
def test_an_edited_head_is_found(ledger: SqliteLedger, tamper: Tamper, sql: str, row: int) -> None:
    tamper(sql)
    assert bad_rows(ledger) == [row]


def test_at_most_a_hundred_problems_are_listed(open_ledger: Open, tamper: Tamper) -> None:
    ledger = open_ledger()
    ledger.record([a_draft() for _ in range(150)])
    tamper("UPDATE log SET agent = 'mallory'")
    assert bad_rows(ledger) == list(range(1, 101))


def test_a_chain_recomputed_to_its_end_together_with_the_head_is_not_found_out(
    ledger: SqliteLedger, path: Path
) -> None:
    """The limit the package states: nothing inside one file can show this."""
    rows = list(ledger.rows(RowFilter(oldest_first=True)))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER log_is_never_updated")
        previous = rows[3].hash
        for row in rows[4:]:
            text = connection.execute("SELECT record FROM log WHERE seq = ?", (row.seq,)).fetchone()[0]
            agent = "mallory" if row.seq == 5 else row.agent
            columns = (row.kind, row.at, row.task, agent, row.server, row.tool, row.verdict, row.reason)
            previous = row_hash(previous, row.seq, (*columns, row.decision, text))
            connection.execute("UPDATE log SET agent = ?, hash = ? WHERE seq = ?", (agent, previous, row.seq))
        connection.execute("UPDATE head SET hash = ?", (previous,))
    assert ledger.verify().ok


def test_a_check_of_a_log_in_use_sees_one_moment_of_it(ledger: SqliteLedger) -> None:
    def write() -> None:
        for _ in range(100):
            ledger.record([a_draft(), a_draft()])

    writer = Thread(target=write)
    writer.start()
    while writer.is_alive():
        found = ledger.verify()
        assert found.problems == ()
        assert found.rows % 2 == 0
    writer.join()
    assert ledger.verify().rows == ROWS + 200


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE log SET agent = 'mallory' WHERE seq = 5",
        "UPDATE OR REPLACE log SET seq = 4 WHERE seq = 5",
        "DELETE FROM log WHERE seq = 5",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log WHERE seq = 5",
        "REPLACE INTO log SELECT 5, kind, at, '', '', '', '', '', '', '', record, hash FROM log",
        "INSERT INTO log SELECT * FROM log WHERE seq = 5 ON CONFLICT (seq) DO UPDATE SET agent = 'mallory'",
    ],
)
def test_the_database_itself_refuses_to_change_a_row(ledger: SqliteLedger, path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(sql)
        connection.commit()
    assert ledger.verify().ok
