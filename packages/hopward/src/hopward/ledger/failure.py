"""What SQLite and the file system report, as `LedgerError`: what happened, why, and what to do."""

import sqlite3
from pathlib import Path
from typing import Literal

from hopward.errors import LedgerCorruptError, LedgerError

_REASONS: dict[int, tuple[str, str, str]] = {
    sqlite3.SQLITE_BUSY: (
        "log_locked",
        "another process kept its write lock for longer than the log waits",
        "Find the program that holds a transaction open (a backup, an SQLite shell) and let it finish.",
    ),
    sqlite3.SQLITE_READONLY: (
        "log_read_only",
        "the file or its folder is read-only",
        "Give the user running Hopward write permission for the file and its folder.",
    ),
    sqlite3.SQLITE_FULL: ("log_full", "the disk is full", "Free some space on the disk that holds it."),
    sqlite3.SQLITE_IOERR: (
        "log_io",
        "the disk reported an error",
        "Check the disk and its free space, then run `hopward log verify`.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "log_missing",
        "the file, or a file SQLite keeps beside it, cannot be opened",
        "Check that the file and its folder exist and may be written.",
    ),
}
_REASONS[sqlite3.SQLITE_LOCKED] = _REASONS[sqlite3.SQLITE_BUSY]
_REASONS[sqlite3.SQLITE_PERM] = _REASONS[sqlite3.SQLITE_READONLY]

_DAMAGED = {
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged or no SQLite database",
    sqlite3.SQLITE_CONSTRAINT: "its rows do not end where its head says",
}

_PRIMARY = 0xFF
"""The low byte of an extended SQLite result code is its primary code."""

KEEP = "Keep the file as it is for examination, run `hopward log verify`, and restore a backup."


def ledger_error(error: sqlite3.Error, path: Path, doing: Literal["read", "written"]) -> LedgerError:
    """The `LedgerError` for what SQLite raised while the log was being read or written."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    primary = -1 if code is None else code & _PRIMARY
    if primary in _DAMAGED:
        return corrupt(path, f"{_DAMAGED[primary]} ({error})")
    if isinstance(error, sqlite3.ProgrammingError):
        return LedgerError(f"The decision log {path} cannot be {doing}: {error}", error="log_closed")
    reason, why, advice = _REASONS.get(primary, ("log_unavailable", "SQLite failed", KEEP))
    return LedgerError(
        f"The decision log {path} cannot be {doing}: {why} ({error}).", error=reason, advice=advice
    )


def corrupt(path: Path, why: str) -> LedgerCorruptError:
    """The error for a decision log whose content cannot be right."""
    return LedgerCorruptError(f"The decision log {path} cannot be trusted: {why}.", advice=KEEP)


def headless(path: Path) -> LedgerCorruptError:
    """The error for a decision log without the row that says where it ends."""
    return corrupt(path, "its head is missing")


def unreachable(error: OSError, path: Path) -> LedgerError:
    """The error for a decision log whose file the operating system does not let us reach."""
    why = error.strerror or str(error)
    return LedgerError(
        f"The decision log {path} cannot be opened: {why}.",
        error="log_missing",
        advice="Check that its folder exists and may be written by the user running Hopward.",
    )
