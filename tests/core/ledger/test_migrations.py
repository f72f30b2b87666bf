"""A log written under an older schema goes on under the present one, and its old rows still verify."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from hopward.errors import LedgerError
from hopward.ledger import SqliteLedger
from hopward.ledger.migrations import migrate
from hopward.ledger.schema import VERSION
from hopward.testing.clock import FixedClock
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task

from .conftest import Open, Tamper

HASHES = (
    "888df38af16df60a8504c70d19f34a7959d619b2e56e2c28ecc16137d5df5e9b",
    "3f6a8f7c21ef80112aa15240b4667ddf5edc176d1bd07c8af2a47ed4e309df99",
)
"""Spelled out, not computed: the form of the chain must never change."""

OLD_ROWS = (
    ("policy", "2026-11-25T12:00:00.000000Z", "", "", "", "", "", "", "", '{"set":"sha-256:0"}'),
    (
        *("decision", "2026-11-25T12:00:01.000000Z", "task_1", "helper", "desk", "read_ticket"),
        *("deny", "outside_task", "dec_1", '{"call":{"arguments":{"id":7}}}'),
    ),
)
"""Rows as version 1 wrote them: kind, at, task, agent, server, tool, verdict, reason, decision, record."""


@pytest.fixture
def old_log(path: Path) -> Path:
    """A log of schema version 1."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, 1)
        for seq, (row, digest) in enumerate(zip(OLD_ROWS, HASHES, strict=True), 1):
            connection.execute("INSERT INTO log VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (seq, *row, digest))
        connection.execute("UPDATE head SET seq = 2, count = 2, hash = ?", HASHES[-1:])
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'tasks'").fetchall()
        assert tables == []
    return path


@pytest.mark.usefixtures("old_log")
def test_old_rows_verify_and_the_chain_goes_on(open_ledger: Open) -> None:
    ledger = open_ledger(create=False)
    assert ledger.verify().problems == ()
    assert ledger.row("dec_1").reason == "outside_task"
    ledger.put_task(a_task(), NOTE)
    assert ledger.record([a_draft(epoch=ledger.standing(a_chain()).epoch)])[0].seq == 4
    found = ledger.verify()
    assert (found.problems, found.rows) == ((), 4)


def test_of_several_that_open_an_old_log_at_once_one_brings_it_up_to_date(old_log: Path) -> None:
    def open_log(_: int) -> SqliteLedger:
        return SqliteLedger.open(old_log, clock=FixedClock())

    with ThreadPoolExecutor(4) as pool:
        ledgers = list(pool.map(open_log, range(4)))
    assert [ledger.record([a_draft()])[0].seq for ledger in ledgers] == [3, 4, 5, 6]
    for ledger in ledgers:
        assert ledger.verify().ok
        ledger.close()


def test_a_migration_that_fails_leaves_the_log_as_it_was(
    old_log: Path, open_ledger: Open, tamper: Tamper
) -> None:
    tamper("CREATE TABLE agents (in_the_way)")
    before = _schema(old_log)
    with pytest.raises(LedgerError):
        open_ledger(create=False)
    assert _schema(old_log) == before
    tamper("DROP TABLE agents")
    assert open_ledger(create=False).verify().ok


def test_a_log_of_a_newer_schema_is_refused(open_ledger: Open, tamper: Tamper) -> None:
    open_ledger().close()
    tamper(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(LedgerError, match="Upgrade Hopward") as refused:
        open_ledger(create=False)
    assert refused.value.error == "log_version"


def test_an_old_log_has_the_same_schema_as_a_new_one_afterwards(old_log: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.db"
    for path, create in ((old_log, False), (new, True)):
        SqliteLedger.open(path, clock=FixedClock(), create=create).close()
    assert _schema(old_log) == _schema(new)


def _schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def test_an_old_log_read_untouched_keeps_its_schema(old_log: Path) -> None:
    before = old_log.read_bytes()
    with closing(SqliteLedger.open_untouched(old_log, clock=FixedClock())) as ledger:
        assert ledger.verify().problems == ()
        assert ledger.row("dec_1").reason == "outside_task"
    assert old_log.read_bytes() == before
