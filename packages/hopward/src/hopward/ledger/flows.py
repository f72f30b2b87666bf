"""What tasks have taken in and given out, and which values stood in trusted results, as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from hopward.errors import LedgerCorruptError
from hopward.labels import INTEGRITIES
from hopward.model import SENSITIVITIES, Label

_LABELS = "SELECT flow, name, sensitivity, integrity FROM labels WHERE task = ? ORDER BY flow, name"
_STANDING = """SELECT flow, name, sensitivity, integrity FROM labels WHERE task = :task AND flow != 'out'
    UNION ALL SELECT * FROM
    (SELECT flow, name, sensitivity, integrity FROM labels WHERE task = :task AND flow = 'out' LIMIT 16)"""
_RAISE = """INSERT INTO labels (task, flow, name, sensitivity, integrity) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (task, flow, name) DO UPDATE
    SET sensitivity = max(sensitivity, excluded.sensitivity), integrity = max(integrity, excluded.integrity)
    WHERE excluded.sensitivity > sensitivity OR excluded.integrity > integrity"""
_STOOD = "SELECT 1 FROM stood WHERE task = ? AND value = ?"
_STAND = "INSERT OR IGNORE INTO stood (task, value) VALUES (?, ?)"


def labels_of(connection: sqlite3.Connection, task_id: str) -> tuple[Label, ...]:
    """What a task has moved, each way. Raises `LedgerCorruptError` for a label there is none of."""
    return _read(connection.execute(_LABELS, (task_id,)))


def standing_labels(connection: sqlite3.Connection, task_id: str) -> tuple[Label, ...]:
    """What is decided on, and a few of what has gone out, perhaps to many places: what is known is not
    written again. Raises as `labels_of`.
    """
    return _read(connection.execute(_STANDING, {"task": task_id}))


def _read(rows: Iterable[tuple[str, str, int, int]]) -> tuple[Label, ...]:
    try:
        return tuple([_label(*row) for row in rows])
    except (IndexError, TypeError, msgspec.ValidationError) as error:
        raise LedgerCorruptError(f"A label stored in the decision log cannot be read: {error}.") from error


def _label(flow: str, name: str, sensitivity: int, integrity: int) -> Label:
    found = {
        "flow": flow,
        "name": name,
        "sensitivity": SENSITIVITIES[sensitivity],
        "integrity": INTEGRITIES[integrity],
    }
    return msgspec.convert(found, Label)


def raise_labels(connection: sqlite3.Connection, task_id: str, labels: Iterable[Label]) -> None:
    """Raise the labels of a task to at least these, and count it if any that is decided on was lower."""
    changed = 0
    for one in labels:
        rank = (SENSITIVITIES.index(one.sensitivity), INTEGRITIES.index(one.integrity))
        risen = connection.execute(_RAISE, (task_id, one.flow, one.name, *rank)).rowcount > 0
        changed += risen and one.flow != "out"
    if changed:
        connection.execute("UPDATE usage SET moved = moved + 1 WHERE account = ?", (task_id,))


def moved(connection: sqlite3.Connection, task_id: str) -> int:
    """How often a label of a task has risen that is decided on."""
    row = connection.execute("SELECT moved FROM usage WHERE account = ?", (task_id,)).fetchone()
    return 0 if row is None else row[0]


def remember(connection: sqlite3.Connection, task_id: str, values: Iterable[str]) -> None:
    """Remember digests of values that stood in a trusted result of a task."""
    connection.executemany(_STAND, [(task_id, value) for value in values])


def stood(connection: sqlite3.Connection, task_id: str, values: Iterable[str]) -> frozenset[str]:
    """Which of some digests are remembered of a task."""
    return frozenset(
        value for value in values if connection.execute(_STOOD, (task_id, value)).fetchone() is not None
    )


def forget(connection: sqlite3.Connection, task_id: str) -> None:
    """Forget the digests of a task; its labels stay."""
    connection.execute("DELETE FROM stood WHERE task = ?", (task_id,))
