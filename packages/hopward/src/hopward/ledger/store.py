"""The database file of a decision log: created whole, opened strictly, watched while in use."""

import importlib
import os
import secrets
import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hopward.errors import LedgerError
from hopward.ledger.failure import corrupt, ledger_error, unreachable
from hopward.ledger.schema import APPLICATION, VERSION

Durability: TypeAlias = Literal["process", "power"]

# The write-ahead log is copied into the file after this many pages (16 MiB): four times SQLite's default,
# so that a commit in 500 pays for the copy rather than one in 125.
_CHECKPOINT_PAGES = 4000

_CACHE_KIB = 16_384
"""Pages of the indices that rows go into are kept so far: in a log of a million rows, they are many."""

_EFFECTIVE_IDS = os.access in os.supports_effective_ids


@dataclass(frozen=True, slots=True)
class Store:
    """Where a decision log is and how to connect to it. `busy_timeout` is seconds to wait for a lock.

    With `untouched`, nothing about the file ever changes: it may be evidence, or somebody else's.
    """

    path: Path
    durability: Durability
    busy_timeout: float
    untouched: bool = False

    def connect(self, *, write: bool = False) -> sqlite3.Connection:
        """A connection in autocommit mode; it only reads unless `write`."""
        connection = _connected(self.path, self.busy_timeout, self._access())
        try:
            connection.execute(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
            if write:
                connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                power = self.durability == "power"
                connection.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                connection.execute(f"PRAGMA fullfsync = {'ON' if power else 'OFF'}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def prepare(self, *, create: bool) -> None:
        """See that the file exists, may be written, is ours, has the present schema and is in WAL mode.

        Raises `LedgerError` where it is not so, and where everyone could change the file, in which tasks and
        revocations stand. Without `create` a missing file is an error, and an empty one always is: a log that
        has vanished or was emptied must not come back without its revocations.
        """
        try:
            if create and not self.path.exists():
                _create(self.path)
            if not self.path.is_file():
                raise _missing(self.path)
            if not self.untouched:
                self._check_access()
        except OSError as error:
            raise unreachable(error, self.path) from error
        try:
            with closing(_connected(self.path, self.busy_timeout, self._access())) as connection:
                self._check_schema(connection)
                if not self.untouched:
                    _write_ahead(connection, self.path)
        except sqlite3.Error as error:
            raise ledger_error(error, self.path, "read") from error

    def _access(self) -> str:
        """How SQLite opens the file. Without `mode` it would create an empty file in place of a missing one.

        Even to read, it wants to create files beside a log in WAL mode, unless told that nobody writes: so it
        is where there is no write-ahead log.
        """
        if not self.untouched:
            return "mode=rw"
        return "mode=ro" if os.path.exists(f"{self.path}-wal") else "mode=ro&immutable=1"

    def _check_access(self) -> None:
        for place in (self.path, self.path.parent):
            if _anyone_may_change(os.stat(place).st_mode):
                raise _exposed(self.path, place)
        if not os.access(self.path, os.R_OK | os.W_OK, effective_ids=_EFFECTIVE_IDS):
            raise _read_only(self.path)

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise corrupt(self.path, "the file holds no decision log")
        if version > VERSION:
            raise LedgerError(
                f"The decision log {self.path} has schema {version}; this Hopward reads up to {VERSION}.",
                error="log_version",
                advice="Upgrade Hopward to the version that wrote it.",
            )
        if version < VERSION and not self.untouched:
            _migrate(connection)


class Presence:
    """Notices when the file was deleted or replaced under an open connection.

    SQLite goes on writing to a deleted file without a word; rows would be acknowledged and lost.
    """

    __slots__ = ("_names", "_numbers", "_path")

    def __init__(self, path: Path) -> None:
        """The files as they are now; the write-ahead log must exist already, so something was read before."""
        self._path = path
        self._names = (str(path), f"{path}-wal")
        try:
            self._numbers = [os.stat(name).st_ino for name in self._names]
        except OSError as error:
            raise unreachable(error, path) from error

    def check(self) -> None:
        """Raise `LedgerError` unless the files at the path are still those that were opened."""
        try:
            same = [os.stat(name).st_ino for name in self._names] == self._numbers
        except OSError as error:
            raise unreachable(error, self._path) from error
        if not same:
            raise LedgerError(
                f"The decision log {self._path} cannot be written: the file was replaced while in use.",
                error="log_replaced",
                advice="Restart Hopward so that it opens the file that is there now.",
            )


def _connected(path: Path, busy_timeout: float, access: str = "mode=rw") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?{access}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
    )


def _create(path: Path) -> None:
    """Build the file beside its place and link it in: no one ever sees half a log, and the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with closing(_connected(unfinished, busy_timeout=0)) as connection:
            _migrate(connection)
            _write_ahead(connection, unfinished)
        os.link(unfinished, path)
        _sync_folder(path.parent)
    except FileExistsError:
        return
    except sqlite3.Error as error:
        raise ledger_error(error, path, "written") from error
    finally:
        unfinished.unlink()


def _migrate(connection: sqlite3.Connection) -> None:
    # By name and only here: importing sqlite-utils costs more CPU than starting a whole proxy may.
    importlib.import_module("hopward.ledger.migrations").migrate(connection)


def _write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise LedgerError(
            f"The decision log {path} cannot be written: its file system allows no write-ahead log.",
            error="log_unavailable",
            advice="Keep the log on a local disk.",
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _missing(path: Path) -> LedgerError:
    return LedgerError(
        f"There is no decision log at {path}.",
        error="log_missing",
        advice="Run `hopward init` to make one, or restore it from a backup: it holds the revocations.",
    )


def _anyone_may_change(mode: int) -> bool:
    """Whether everyone may write a file, or put another in its place in a folder (not with a sticky bit)."""
    if os.name != "posix":
        return False
    return bool(mode & stat.S_IWOTH) and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)


def _exposed(path: Path, place: Path) -> LedgerError:
    return LedgerError(
        f"The decision log {path} can be changed by everyone on this machine.",
        error="log_exposed",
        advice=f"chmod o-w {place}, then run `hopward log verify`.",
    )


def _read_only(path: Path) -> LedgerError:
    return LedgerError(
        f"The decision log {path} cannot be written: this user has no write permission.",
        error="log_read_only",
        advice="Give the user running Hopward write permission for the file and its folder.",
    )
