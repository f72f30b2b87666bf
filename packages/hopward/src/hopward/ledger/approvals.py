"""Approvals as rows beside the log, and what is true of several of them together.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from hopward.approval import Approval, ApprovalState
from hopward.errors import NotFoundError, StateError
from hopward.ledger import tables
from hopward.ledger.chain import Entry
from hopward.record import Asking, Refused

_approvals = msgspec.json.Decoder(Approval)

_PUT = """INSERT INTO approvals (id, binding, task, agent, state, requested_at, expires_at, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_CHANGE = "UPDATE approvals SET state = ?, expires_at = ?, body = ? WHERE id = ?"
_STANDING = """SELECT 1 FROM approvals
    WHERE binding = ? AND state IN ('pending', 'approved', 'rejected') AND expires_at > ?"""
_PENDING = """SELECT count(*) FROM approvals
    WHERE task = ? AND agent = ? AND state = 'pending' AND expires_at > ?"""
_ASKED = "SELECT count(*) FROM approvals WHERE task = ? AND agent = ? AND requested_at > ?"


def put(connection: sqlite3.Connection, approval: Approval) -> None:
    """Store a new approval."""
    chain = approval.chain
    times = (approval.requested_at, approval.expires_at)
    told = (approval.id, approval.binding, chain.task, chain.actor, approval.state, *times)
    connection.execute(_PUT, (*told, tables.body(approval)))


def answer(connection: sqlite3.Connection, before: Approval, after: Approval) -> None:
    """Change an approval from what it was when it was read; raises `StateError` if it has changed since."""
    if get(connection, before.id) != before:
        raise StateError(f"Approval {before.id} has changed meanwhile.", advice="Look at it again.")
    _change(connection, after)


def consumable(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether the approval that an entry uses up is approved, and has not expired when the entry was made."""
    approval = find(connection, entry.consumes)
    return approval is not None and approval.state == "approved" and approval.expires_at > entry.at


def consume(connection: sqlite3.Connection, entry: Entry) -> None:
    """Use up a `consumable` approval: it is never approved again."""
    approval = get(connection, entry.consumes)
    decision = entry.columns[8]
    _change(connection, msgspec.structs.replace(approval, state="consumed", consumed_by=decision))


def why_unasked(connection: sqlite3.Connection, asking: Asking) -> Refused:
    """Why a new approval cannot be asked for, or empty."""
    approval, chain = asking.approval, asking.approval.chain
    now = approval.requested_at
    if connection.execute(_STANDING, (approval.binding, now)).fetchone() is not None:
        return "asked"
    pending: int = connection.execute(_PENDING, (chain.task, chain.actor, now)).fetchone()[0]
    asked: int = connection.execute(_ASKED, (chain.task, chain.actor, asking.since)).fetchone()[0]
    return "approvals" if pending >= asking.most_pending or asked >= asking.most else ""


def find(connection: sqlite3.Connection, approval_id: str) -> Approval | None:
    """The approval as stored, or None."""
    row = connection.execute("SELECT body FROM approvals WHERE id = ?", (approval_id,)).fetchone()
    return None if row is None else tables.decoded(_approvals, row[0])


def get(connection: sqlite3.Connection, approval_id: str) -> Approval:
    """The approval as stored; raises `NotFoundError`."""
    approval = find(connection, approval_id)
    if approval is None:
        raise NotFoundError(f"There is no approval {approval_id}.")
    return approval


def latest(connection: sqlite3.Connection, binding: str) -> Approval | None:
    """The approval with this binding that was asked for last."""
    query = "SELECT body FROM approvals WHERE binding = ? ORDER BY number DESC LIMIT 1"
    row = connection.execute(query, (binding,)).fetchone()
    return None if row is None else tables.decoded(_approvals, row[0])


def was_consumed(connection: sqlite3.Connection, binding: str) -> bool:
    """Whether an approval with this binding has ever been used up."""
    query = "SELECT 1 FROM approvals WHERE binding = ? AND state = 'consumed'"
    return connection.execute(query, (binding,)).fetchone() is not None


def list_approvals(
    connection: sqlite3.Connection, states: Sequence[ApprovalState], task: str, limit: int
) -> list[Approval]:
    """Approvals as stored, the latest first; only those in one of `states`, or of `task`, if given."""
    conditions = [f"state IN ({', '.join('?' * len(states))})"] if states else []
    conditions += ["task = ?"] if task else []
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    query = f"SELECT body FROM approvals {where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - constants
    values = (*states, *([task] if task else []), limit)
    return [tables.decoded(_approvals, row[0]) for row in connection.execute(query, values)]


def _change(connection: sqlite3.Connection, after: Approval) -> None:
    values = (after.state, after.expires_at, tables.body(after), after.id)
    connection.execute(_CHANGE, values)
