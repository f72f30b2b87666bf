"""Whatever is wrong with the file, the answer is a `LedgerError` that says what, why and what to do."""

import os
import resource
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from hopward.errors import LedgerCorruptError, LedgerError
from hopward.ledger import SqliteLedger
from hopward.ledger.failure import ledger_error
from hopward.testing.clock import FixedClock
from hopward.testing.samples import NOTE, a_chain, a_draft, a_task, an_agent

from .conftest import Open, Tamper


@pytest.fixture
def ledger_with_task(open_ledger: Open) -> SqliteLedger:
    ledger = open_ledger()
    ledger.put_task(a_task(), NOTE)
    ledger.standing(a_chain())
    return ledger


def refusal(error: pytest.ExceptionInfo[LedgerError], code: str) -> LedgerError:
    assert error.value.error == code
    assert "decision log" in error.value.message
    assert error.value.advice
    return error.value


def test_a_missing_file_is_an_error_and_is_not_made(open_ledger: Open, path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(LedgerError) as error:
        open_ledger(create=False)
    refusal(error, "log_missing")
    assert list(path.parent.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_an_error(open_ledger: Open, path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerError):
        open_ledger()


def test_a_folder_that_cannot_be_made_is_an_error(open_ledger: Open, path: Path) -> None:
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(LedgerError) as error:
        open_ledger()
    refusal(error, "log_missing")


def test_an_emptied_file_is_an_error_even_where_a_file_may_be_made(open_ledger: Open, path: Path) -> None:
    open_ledger().close()
    os.truncate(path, 0)
    with pytest.raises(LedgerCorruptError) as error:
        open_ledger()
    refusal(error, "log_corrupt")


def test_another_programs_database_is_an_error(open_ledger: Open, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY)")
    with pytest.raises(LedgerCorruptError, match="holds no decision log"):
        open_ledger()


def test_a_file_that_is_no_database_is_an_error(open_ledger: Open, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff" * 8192)
    with pytest.raises(LedgerCorruptError) as error:
        open_ledger()
    refusal(error, "log_corrupt")


def test_a_damaged_page_is_an_error_for_readers_and_a_finding_of_verify(
    open_ledger: Open, path: Path
) -> None:
    ledger = open_ledger()
    ledger.record([a_draft() for _ in range(40)])
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'log'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    damaged = open_ledger(create=False)
    with pytest.raises(LedgerCorruptError) as error:
        list(damaged.rows())
    refusal(error, "log_corrupt")
    with pytest.raises(LedgerCorruptError):
        damaged.record([a_draft()])
    found = damaged.verify()
    assert [problem.seq for problem in found.problems] == [1]
    assert "cannot be read" in found.problems[0].what


def test_a_read_only_file_is_an_error_when_opened(unprivileged_path: Path) -> None:
    SqliteLedger.open(unprivileged_path, clock=FixedClock(), create=True).close()
    unprivileged_path.chmod(0o400)
    with pytest.raises(LedgerError) as error:
        SqliteLedger.open(unprivileged_path, clock=FixedClock())
    refusal(error, "log_read_only")


def test_a_read_only_folder_is_an_error_when_opened(unprivileged_path: Path) -> None:
    SqliteLedger.open(unprivileged_path, clock=FixedClock(), create=True).close()
    unprivileged_path.parent.chmod(0o500)
    with pytest.raises(LedgerError) as error:
        SqliteLedger.open(unprivileged_path, clock=FixedClock())
    refusal(error, "log_read_only")


def test_a_folder_closed_to_the_user_is_an_error_when_the_log_is_made(unprivileged_path: Path) -> None:
    unprivileged_path.parent.parent.chmod(0o500)
    with pytest.raises(LedgerError) as error:
        SqliteLedger.open(unprivileged_path, clock=FixedClock(), create=True)
    refusal(error, "log_missing")


def test_a_locked_log_is_an_error_and_usable_when_the_lock_is_gone(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger(busy_timeout=0.01)
    ledger.put_task(a_task(), NOTE)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError) as error:
            ledger.record([a_draft()])
        refusal(error, "log_locked")
        with pytest.raises(LedgerError):
            ledger.put_agent(an_agent(), NOTE)
        with pytest.raises(LedgerError):
            ledger.seen_once("jti", "value", 2**62)
        assert ledger.standing(a_chain()).task == a_task()
        assert ledger.verify().ok
    assert ledger.record([a_draft()])[0].seq == 2


def test_every_waiting_thread_is_told_of_a_failure_by_an_error_of_its_own(
    open_ledger: Open, path: Path
) -> None:
    ledger = open_ledger(busy_timeout=0.01)
    errors: list[LedgerError] = []

    def write() -> None:
        try:
            ledger.record([a_draft()])
        except LedgerError as error:
            errors.append(error)

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [Thread(target=write) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [error.error for error in errors] == ["log_locked"] * 5
    assert len({id(error) for error in errors}) == 5
    assert ledger.head()[0] == 0


def test_a_deleted_folder_is_an_error_for_the_next_row(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    shutil.rmtree(path.parent)
    for write in (
        lambda: ledger.record([a_draft()]),
        lambda: ledger.put_task(a_task(), NOTE),
        lambda: ledger.seen_once("jti", "value", 2**62),
    ):
        with pytest.raises(LedgerError) as error:
            write()
        refusal(error, "log_missing")


def test_a_deleted_write_ahead_log_is_an_error_for_the_next_row(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    path.with_name("log.db-wal").unlink()
    with pytest.raises(LedgerError) as error:
        ledger.record([a_draft()])
    refusal(error, "log_missing")


def test_a_file_replaced_while_in_use_is_an_error_for_the_next_row(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    copy.replace(path)
    with pytest.raises(LedgerError) as error:
        ledger.record([a_draft()])
    refusal(error, "log_replaced")


def test_a_disk_that_takes_no_more_is_an_error_and_the_log_goes_on_afterwards(
    open_ledger: Open, path: Path
) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("log.db-wal").stat().st_size, hard))
    try:
        with pytest.raises(LedgerError) as error:
            ledger.record([a_draft()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refusal(error, "log_io")
    assert ledger.record([a_draft()])[0].seq == 2
    assert ledger.verify().ok


def test_a_full_disk_is_told_as_such(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    told = ledger_error(full.value, path, "written")
    assert told.error == "log_full"
    assert "the disk is full" in told.message
    assert "Free some space" in told.advice


def test_a_closed_ledger_is_an_error(open_ledger: Open) -> None:
    ledger = open_ledger()
    ledger.close()
    ledger.close()
    for use in (
        lambda: ledger.record([a_draft()]),
        lambda: ledger.standing(a_chain()),
        lambda: list(ledger.rows()),
        lambda: ledger.put_task(a_task(), NOTE),
    ):
        with pytest.raises(LedgerError) as error:
            use()
        assert error.value.error == "log_closed"


def test_a_row_where_the_next_one_belongs_stops_the_log(open_ledger: Open, tamper: Tamper) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    tamper("INSERT INTO log VALUES (2, '', '', '', '', '', '', '', '', '', '{}', '')")
    with pytest.raises(LedgerCorruptError):
        ledger.record([a_draft()])


def test_a_lost_head_stops_the_log(open_ledger: Open, tamper: Tamper) -> None:
    ledger = open_ledger()
    tamper("DELETE FROM head")
    for use in (lambda: ledger.record([a_draft()]), lambda: ledger.standing(a_chain()), ledger.head):
        with pytest.raises(LedgerCorruptError) as error:
            use()
        refusal(error, "log_corrupt")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "{}",
        "replace(body, '\"open\"', '\"ajar\"')",
        'replace(body, \'{"agent"\', \'{"x":1,"agent"\')',
    ],
)
def test_a_stored_task_that_cannot_be_read_stops_its_chain(
    ledger_with_task: SqliteLedger, tamper: Tamper, body: str
) -> None:
    tamper(f"UPDATE tasks SET body = {body if body.startswith('replace') else repr(body)}")  # noqa: S608 - constants
    tamper("UPDATE head SET epoch = epoch + 1")
    with pytest.raises(LedgerCorruptError):
        ledger_with_task.standing(a_chain())


@pytest.mark.parametrize("text", ["'{'", "x'00'", "''"])
def test_a_record_that_cannot_be_read_is_an_error(open_ledger: Open, tamper: Tamper, text: str) -> None:
    ledger = open_ledger()
    ledger.record([a_draft()])
    tamper(f"UPDATE log SET record = {text}")  # noqa: S608 - constants
    with pytest.raises(LedgerCorruptError, match="Row 1 "):
        list(ledger.rows())
