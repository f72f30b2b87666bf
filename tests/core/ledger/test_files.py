"""How the file comes to be, who may read it, and what opening it costs."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from hopward.errors import LedgerError
from hopward.ledger import SqliteLedger
from hopward.ledger.store import Store
from hopward.testing.clock import FixedClock
from hopward.testing.samples import a_draft

from .conftest import Open


@pytest.fixture
def careless_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("careless_umask")
def test_only_the_owner_may_read_the_files_and_enter_the_folder(open_ledger: Open, path: Path) -> None:
    open_ledger().record([a_draft()])
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert modes == {"log.db": 0o600, "log.db-wal": 0o600, "log.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_log_that_everyone_may_change_is_not_opened(open_ledger: Open, path: Path) -> None:
    """Tasks and revocations stand in it: who can change it can open tasks and take revocations back."""
    open_ledger().close()
    for place, mode in ((path, 0o602), (path, 0o666), (path.parent, 0o703), (path.parent, 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        with pytest.raises(LedgerError, match="can be changed by everyone") as refused:
            open_ledger()
        assert (refused.value.error, str(place) in refused.value.advice) == ("log_exposed", True)
        place.chmod(before)
    path.parent.chmod(0o1777)
    path.chmod(0o664)
    assert open_ledger().record([a_draft()])


@pytest.mark.parametrize(
    ("durability", "synchronous"), [("process", 1), ("power", 2)], ids=["process", "power"]
)
def test_power_durability_syncs_every_commit_and_process_durability_only_checkpoints(
    open_ledger: Open, path: Path, durability: Literal["process", "power"], synchronous: int
) -> None:
    """In WAL mode synchronous NORMAL (1) syncs at checkpoints, FULL (2) at every commit."""
    open_ledger().close()
    with closing(Store(path, durability, 1.0).connect(write=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_a_connection_for_reading_cannot_write(open_ledger: Open, path: Path) -> None:
    open_ledger().close()
    with (
        closing(Store(path, "process", 1.0).connect()) as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("UPDATE head SET seq = 0")


def test_a_log_that_exists_is_opened_not_made_again(open_ledger: Open) -> None:
    open_ledger().record([a_draft()])
    assert open_ledger(create=True).head()[0] == 1


def test_of_several_that_make_the_log_at_once_all_use_the_same(path: Path) -> None:
    def make(_: int) -> SqliteLedger:
        return SqliteLedger.open(path, clock=FixedClock(), create=True)

    with ThreadPoolExecutor(6) as pool:
        ledgers = list(pool.map(make, range(6)))
    receipts = [ledger.record([a_draft()])[0].seq for ledger in ledgers]
    assert receipts == [1, 2, 3, 4, 5, 6]
    assert ledgers[0].verify().ok
    for ledger in ledgers:
        ledger.close()
    assert [entry.name for entry in path.parent.iterdir()] == ["log.db"]


def test_a_relative_path_names_the_same_file_after_the_folder_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    monkeypatch.chdir(path.parent)
    ledger = SqliteLedger.open(Path("log.db"), clock=FixedClock(), create=True)
    monkeypatch.chdir("/")
    ledger.record([a_draft()])
    assert ledger.verify().rows == 1
    ledger.close()
    assert path.exists()


@pytest.mark.parametrize("name", ["a b.db", "log?mode=memory", "50%25.db", "#log.db"])
def test_any_file_name_is_taken_literally(path: Path, name: str) -> None:
    odd = path.with_name(name)
    ledger = SqliteLedger.open(odd, clock=FixedClock(), create=True)
    ledger.record([a_draft()])
    ledger.close()
    assert [entry.name for entry in odd.parent.iterdir()] == [name]


def test_opening_a_log_of_the_present_schema_does_not_load_sqlite_utils(
    open_ledger: Open, path: Path
) -> None:
    """Importing it takes longer than a proxy may take to start."""
    open_ledger().close()
    program = (
        "import sys; from pathlib import Path; from hopward.clock import SystemClock;"
        "from hopward.ledger import SqliteLedger;"
        "ledger = SqliteLedger.open(Path(sys.argv[1]), clock=SystemClock()); ledger.close();"
        "sys.exit('sqlite_utils' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 0


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_reading_a_copy_changes_no_byte_of_it_and_leaves_nothing_beside_it(
    open_ledger: Open, path: Path, tmp_path: Path, mode: str
) -> None:
    with closing(open_ledger()) as ledger:
        head = ledger.record([a_draft()])[0]
    folder = tmp_path / "evidence"
    folder.mkdir()
    copy = folder / "copy.db"
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    copy.chmod(0o444)
    before = copy.read_bytes(), copy.stat().st_mtime_ns
    with closing(SqliteLedger.open_untouched(copy, clock=FixedClock())) as ledger:
        assert ledger.head() == (1, head.hash)
        assert ledger.verify().ok
        assert ledger.row(1).decision == "dec_1"
        for write in (lambda: ledger.record([a_draft()]), lambda: ledger.seen_once("jti", "x", 2**60)):
            with pytest.raises(LedgerError, match="only to be read"):
                write()
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == before
    assert list(folder.iterdir()) == [copy]


def test_a_log_in_use_can_be_read_untouched_and_shows_what_is_written(open_ledger: Open, path: Path) -> None:
    writing = open_ledger()
    writing.record([a_draft()])
    with closing(SqliteLedger.open_untouched(path, clock=FixedClock())) as reading:
        assert reading.head()[0] == 1
        writing.record([a_draft()])
        assert reading.head()[0] == 2
        assert reading.verify().ok


def test_what_is_no_log_is_not_read_untouched(tmp_path: Path) -> None:
    for content in (b"", b"x" * 5000):
        (tmp_path / "x.db").write_bytes(content)
        with pytest.raises(LedgerError):
            SqliteLedger.open_untouched(tmp_path / "x.db", clock=FixedClock())
    with pytest.raises(LedgerError):
        SqliteLedger.open_untouched(tmp_path / "y.db", clock=FixedClock())
    assert not (tmp_path / "y.db").exists()
