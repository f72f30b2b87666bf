"""What is quarantined, and whether everything is stopped, as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3

import msgspec

from hopward.errors import NotFoundError, StateError
from hopward.ledger.tables import body, decoded
from hopward.model import Chain, Containment

_containments = msgspec.json.Decoder(Containment)

_ONE = "SELECT body FROM containments WHERE kind = ? AND id = ?"
_OF_ANYBODY = "SELECT body FROM containments WHERE kind IN ('all', 'server', 'tool') ORDER BY kind, id"


def put(connection: sqlite3.Connection, containment: Containment) -> None:
    """Store a containment. Raises `StateError` where the same thing is contained already."""
    if _find(connection, containment) is not None:
        raise StateError(f"The {containment.kind} {containment.id} is contained already.")
    query = "INSERT INTO containments (kind, id, body) VALUES (?, ?, ?)"
    connection.execute(query, (containment.kind, containment.id, body(containment)))


def remove(connection: sqlite3.Connection, containment: Containment) -> None:
    """Take exactly this containment back; raises `NotFoundError` where it stands no more."""
    if _find(connection, containment) != containment:
        raise NotFoundError(f"The {containment.kind} {containment.id} is not contained as it was.")
    query = "DELETE FROM containments WHERE kind = ? AND id = ?"
    connection.execute(query, (containment.kind, containment.id))


def every(connection: sqlite3.Connection) -> tuple[Containment, ...]:
    """All of them, the oldest first."""
    found = [decoded(_containments, row[0]) for row in connection.execute("SELECT body FROM containments")]
    return tuple(sorted(found, key=lambda one: (one.at, one.kind, one.id)))


def touching(connection: sqlite3.Connection, chain: Chain) -> tuple[Containment, ...]:
    """Those that could concern a call of a chain. Almost always there are none at all: one look says so."""
    if connection.execute("SELECT 1 FROM containments LIMIT 1").fetchone() is None:
        return ()
    rows = connection.execute(_OF_ANYBODY).fetchall()
    named = [("task", chain.task), ("subject", chain.subject), *(("agent", one) for one in chain.actors)]
    for kind, identity in dict.fromkeys(named):
        rows += connection.execute(_ONE, (kind, identity)).fetchall()
    return tuple(decoded(_containments, row[0]) for row in rows)


def _find(connection: sqlite3.Connection, containment: Containment) -> Containment | None:
    row = connection.execute(_ONE, (containment.kind, containment.id)).fetchone()
    return None if row is None else decoded(_containments, row[0])
