"""Which rows about approvals somebody outside is still to hear of.

The log itself is what is told: a cursor says up to which row everything has been put into the outbox, so
that whoever writes a row needs to know nothing of it. Every function works inside the transaction of its
caller and lets `sqlite3.Error` pass.
"""

import sqlite3

from hopward.clock import Instant
from hopward.ledger.schema import FREQUENT
from hopward.record import Outbox, Waiting

_WEBHOOK = "webhook"
# The condition is that of the index log_by_kind, word for word.
_BEHIND = f"FROM log WHERE kind = 'approval' AND kind NOT IN {FREQUENT} AND seq > ?"
_DUE = """SELECT seq, attempts, due_at, why FROM outbox WHERE due_at <= ? ORDER BY due_at, seq LIMIT 1"""


def has_due(connection: sqlite3.Connection, at: Instant) -> bool:
    """Whether `take` would change anything."""
    cursor = told_up_to(connection, _WEBHOOK)
    if cursor is None or connection.execute(f"SELECT 1 {_BEHIND} LIMIT 1", (cursor,)).fetchone():
        return True
    return connection.execute(_DUE, (at,)).fetchone() is not None


def take(connection: sqlite3.Connection, at: Instant, until: Instant) -> Waiting | None:
    """Put new rows into the outbox; the one that is due first, which nobody else gets before `until`.

    What stood in the log when the first of all was asked for is left out.
    """
    cursor = told_up_to(connection, _WEBHOOK)
    head: int = connection.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0]
    if cursor is not None:
        fill = f"INSERT INTO outbox (seq, attempts, due_at, why) SELECT seq, 0, ?, '' {_BEHIND}"
        connection.execute(fill, (at, cursor))
    set_told(connection, _WEBHOOK, head)
    row = connection.execute(_DUE, (at,)).fetchone()
    if row is None:
        return None
    taken = Waiting(row[0], row[1] + 1, until, row[3])
    connection.execute(
        "UPDATE outbox SET attempts = ?, due_at = ? WHERE seq = ?", (taken.attempts, until, taken.seq)
    )
    return taken


def end(connection: sqlite3.Connection, taken: Waiting) -> None:
    """Nobody waits for this row any more."""
    connection.execute("DELETE FROM outbox WHERE seq = ?", (taken.seq,))


def put_off(connection: sqlite3.Connection, taken: Waiting, due_at: Instant, why: str) -> None:
    """It is due again then, unless somebody else has taken it meanwhile."""
    query = "UPDATE outbox SET due_at = ?, why = ? WHERE seq = ? AND attempts = ?"
    connection.execute(query, (due_at, why, taken.seq, taken.attempts))


def state(connection: sqlite3.Connection) -> Outbox:
    """What waits, the oldest first, and how many rows nobody has put there yet."""
    cursor = told_up_to(connection, _WEBHOOK)
    rows = connection.execute("SELECT seq, attempts, due_at, why FROM outbox ORDER BY seq")
    waiting = tuple(Waiting(*row) for row in rows)
    select = f"SELECT count(*), coalesce(min(seq), 0) {_BEHIND}"
    behind, oldest = connection.execute(select, (cursor or 0,)).fetchone()
    return Outbox(cursor is not None, waiting, behind, oldest)


def told_up_to(connection: sqlite3.Connection, name: str) -> int | None:
    """Up to which row somebody has been told of everything; None if nobody has ever asked."""
    row = connection.execute("SELECT seq FROM cursors WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def set_told(connection: sqlite3.Connection, name: str, seq: int) -> None:
    """They have been told up to this row, if not further."""
    query = """INSERT INTO cursors (name, seq) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET seq = max(seq, excluded.seq)"""
    connection.execute(query, (name, seq))
