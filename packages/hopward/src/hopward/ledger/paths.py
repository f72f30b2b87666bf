"""How often each step of a task's path has been taken, as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Mapping

from hopward.record import Taking

_TAKEN = "SELECT step, taken FROM steps WHERE task = ?"
_COUNT = "SELECT taken FROM steps WHERE task = ? AND step = ?"
_TAKE = """INSERT INTO steps (task, step, taken) VALUES (?, ?, 1)
    ON CONFLICT (task, step) DO UPDATE SET taken = taken + 1"""


def taken(connection: sqlite3.Connection, task_id: str) -> Mapping[str, int]:
    """How often each step of a task has been taken; one that never was is left out."""
    return dict(connection.execute(_TAKEN, (task_id,)).fetchall())


def takeable(connection: sqlite3.Connection, task_id: str, taking: Taking) -> bool:
    """Whether a step may still be taken; what must come before it only ever grows, so it is not looked at."""
    if _count(connection, task_id, taking.step) >= taking.times:
        return False
    return not any(_count(connection, task_id, one) for one in taking.unless)


def take(connection: sqlite3.Connection, task_id: str, taking: Taking) -> None:
    """Count a step as taken once more."""
    connection.execute(_TAKE, (task_id, taking.step))


def _count(connection: sqlite3.Connection, task_id: str, step: str) -> int:
    row: tuple[int] | None = connection.execute(_COUNT, (task_id, step)).fetchone()
    return row[0] if row else 0
