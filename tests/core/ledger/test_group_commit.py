"""Threads that write at the same time share a commit, and each gets its own receipts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hopward.ledger import RowFilter
from hopward.record import Receipt
from hopward.testing.samples import a_draft

from .conftest import Open

HEADER, FRAME_HEADER, PAGE = 32, 24, 4096


def commits(path: Path) -> int:
    """Commit frames in the write-ahead log: those whose header gives the size of the database."""
    data = path.with_name("log.db-wal").read_bytes()
    starts = range(HEADER, len(data) - FRAME_HEADER + 1, FRAME_HEADER + PAGE)
    return sum(data[start + 4 : start + 8] != bytes(4) for start in starts)


def test_one_thread_makes_one_commit_per_record(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger(durability="power")
    before = commits(path)
    for _ in range(30):
        ledger.record([a_draft(), a_draft()])
    assert commits(path) - before == 30


@pytest.mark.parametrize("durability", ["process", "power"])
def test_threads_share_commits_and_each_gets_its_own_receipts(
    open_ledger: Open, path: Path, durability: str
) -> None:
    ledger = open_ledger(durability=durability)
    before = commits(path)

    def write(thread: int) -> list[tuple[str, Receipt]]:
        names = [f"{thread}.{number}" for number in range(40)]
        return [(name, ledger.record([a_draft(decision=name)])[0]) for name in names]

    with ThreadPoolExecutor(8) as pool:
        written = [pair for pairs in pool.map(write, range(8)) for pair in pairs]
    rows = {row.decision: (row.seq, row.hash) for row in ledger.rows(RowFilter())}
    assert {name: (receipt.seq, receipt.hash) for name, receipt in written} == rows
    assert 0 < commits(path) - before < 320
    assert ledger.verify().ok


def test_the_rows_of_one_record_stand_together(open_ledger: Open) -> None:
    ledger = open_ledger()

    def write(thread: int) -> None:
        for _ in range(20):
            ledger.record([a_draft(decision=str(thread), reason=str(place)) for place in range(3)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    rows = list(ledger.rows(RowFilter(oldest_first=True)))
    triples = [rows[start : start + 3] for start in range(0, len(rows), 3)]
    assert all(len({row.decision for row in triple}) == 1 for triple in triples)
    assert all([row.reason for row in triple] == ["0", "1", "2"] for triple in triples)
