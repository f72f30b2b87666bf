"""Whether a decision log is what was written: every row is hashed again from its columns."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from hopward.ledger.chain import GENESIS, row_hash

Progress: TypeAlias = Callable[[int, int], None]
"""Called now and then with the rows checked so far and the rows the head speaks of."""

Head: TypeAlias = tuple[int, int, str]
"""Number, count and hash: what the head says about the last row."""

_MOST_PROBLEMS = 100
_PROGRESS_ROWS = 10_000

_HEAD = "SELECT seq, count, hash FROM head WHERE id = 1"
_ROWS = """SELECT seq, hash, kind, at, task, agent, server, tool, verdict, reason, decision, record
    FROM log ORDER BY seq"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a row. `what` is a sentence for people."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the whole log found.

    `rows` were read; `head_seq` and `head_hash` are of the last one. `problems` is in row order; where a log
    has more than a hundred, the first hundred.
    """

    rows: int
    head_seq: int
    head_hash: str
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """True if the log is exactly what was written, as far as the file itself can show."""
        return not self.problems


def verify(connection: sqlite3.Connection, progress: Progress | None = None) -> Verification:
    """Check the whole log in one read transaction, a row at a time.

    What SQLite cannot read is a problem like any other, so that no damage ends the check without a finding.
    """
    check = _Check(progress)
    try:
        connection.execute("BEGIN")
        check.expect(connection.execute(_HEAD).fetchone())
        check.follow(connection.execute(_ROWS))
        check.compare()
    except sqlite3.Error as error:
        check.give_up(error)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return check.result()


def verify_rows(
    rows: Iterable[tuple[Any, ...]], head: Head, progress: Progress | None = None
) -> Verification:
    """Check rows given oldest first as (seq, hash, kind, at, task ... record) against the head."""
    check = _Check(progress)
    check.expect(head)
    check.follow(rows)
    check.compare()
    return check.result()


class _Check:
    """One pass over the log."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._head: Head | None = None
        self._problems: list[Problem] = []
        self._rows = 0
        self._seq = 0
        self._hash = GENESIS

    def expect(self, head: tuple[Any, ...] | None) -> None:
        """Take note of what the head says."""
        if head is not None and tuple(map(type, head)) == (int, int, str):
            self._head = (head[0], head[1], head[2])

    def follow(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Follow the chain. After a bad row it goes on from the hash stored there, to find the next one."""
        for row in rows:
            seq, stored, columns = row[0], row[1], row[2:]
            if seq != self._seq + 1:
                self._found(self._seq + 1, _gap(self._seq + 1, seq))
            elif not _genuine(self._hash, seq, columns, stored):
                self._found(seq, _CHANGED)
            self._seq, self._hash = seq, stored
            self._rows += 1
            if self._rows % _PROGRESS_ROWS == 0:
                self._report()

    def compare(self) -> None:
        """Compare the last row with the head."""
        self._report()
        if self._head is None:
            self._found(self._seq, "The head of the log is missing or not readable.")
            return
        seq, count, digest = self._head
        if seq > self._seq:
            self._found(self._seq + 1, f"The end of the log is missing: its head is row {seq}.")
        elif seq < self._seq:
            self._found(seq + 1, f"The log goes on to row {self._seq}, but its head is row {seq}.")
        elif digest != self._hash:
            self._found(seq, "The head of the log has another hash than the last row.")
        elif count != self._rows and not self._problems:
            self._found(seq, f"The head of the log counts {count} rows, but there are {self._rows}.")

    def give_up(self, error: sqlite3.Error) -> None:
        """Name the row that could not be read; nothing after it was checked."""
        self._found(self._seq + 1, f"This row cannot be read, so the rest was not checked: {error}.")

    def result(self) -> Verification:
        """What was found."""
        return Verification(self._rows, self._seq, self._hash, tuple(self._problems))

    def _found(self, seq: int, what: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(Problem(seq, what))

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._rows, self._head[1] if self._head else self._rows)


_CHANGED = "This row is not what was written: its content, its hash or the hash before it has been changed."


def _genuine(previous: Any, seq: int, columns: tuple[Any, ...], stored: Any) -> bool:
    try:
        return row_hash(previous, seq, columns) == stored  # pyright: ignore[reportArgumentType] - ten columns, as selected
    except (TypeError, UnicodeEncodeError):
        # A column that holds a number, bytes or nothing was not written by Hopward.
        return False


def _gap(expected: int, found: int) -> str:
    if found < expected:
        return f"There is a row numbered {found}; the first row is number 1."
    missing = f"Row {expected} is" if found == expected + 1 else f"Rows {expected} to {found - 1} are"
    return f"{missing} missing, so row {found} cannot be checked."
