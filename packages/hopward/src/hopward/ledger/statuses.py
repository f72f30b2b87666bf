"""Which index of the status list each token has, until it expires.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any

from hopward.clock import Instant
from hopward.errors import StateError

_ROUNDS = 64
_PUT = "INSERT INTO statuses (idx, expires_at, body) VALUES (?, ?, ?) ON CONFLICT (idx) DO NOTHING"


def put(connection: sqlite3.Connection, size: int, expires_at: Instant, body: str, now: Instant) -> int:
    """A random index that no other token has, for one that is described by `body`.

    Forgets what has expired. Raises `StateError` where none is found: the list is all but full.
    """
    connection.execute("DELETE FROM statuses WHERE expires_at <= ?", (now,))
    for _ in range(_ROUNDS):
        index = secrets.randbelow(size)
        if connection.execute(_PUT, (index, expires_at, body)).rowcount == 1:
            return index
    raise StateError("The status list is full.", error="status_list_full")


def every(connection: sqlite3.Connection, now: Instant) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and description of every token that has not expired."""
    rows = connection.execute("SELECT idx, body FROM statuses WHERE expires_at > ?", (now,)).fetchall()
    return ((index, json.loads(body)) for index, body in rows)
