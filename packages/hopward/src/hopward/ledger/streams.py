"""When each transmitter of security events was heard last.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3

from hopward.clock import Instant

_HEAR = """INSERT INTO streams (name, heard_at) VALUES (?, ?)
    ON CONFLICT (name) DO UPDATE SET heard_at = max(heard_at, excluded.heard_at)"""


def hear(connection: sqlite3.Connection, name: str, at: Instant) -> None:
    """It was heard then, if not later."""
    connection.execute(_HEAR, (name, at))


def heard_at(connection: sqlite3.Connection, name: str) -> Instant | None:
    """When it was heard last."""
    row = connection.execute("SELECT heard_at FROM streams WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]
