"""Approvals as rows beside the log, and what is true of several of them together.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

import msgspec

from hopward.approval import LIVE, STATES, Approval, Which
from hopward.errors import LedgerCorruptError, NotFoundError, StateError
from hopward.grant import used
from hopward.ledger import tables
from hopward.ledger.chain import DECISION, Entry
from hopward.record import Asking, Refused

_approvals = msgspec.json.Decoder(Approval)

_PUT = """INSERT INTO approvals
    (id, binding, task, agent, subject, alike, state, requested_at, expires_at, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CHANGE = "UPDATE approvals SET state = ?, expires_at = ?, alike = ?, body = ? WHERE id = ?"
_STANDING = """SELECT 1 FROM approvals
    WHERE binding = ? AND state IN ('pending', 'approved', 'rejected') AND expires_at > ?"""
_PENDING = """SELECT count(*) FROM approvals
    WHERE task = ? AND agent = ? AND state = 'pending' AND expires_at > ?"""
_OF_SUBJECT = """SELECT count(*) FROM approvals
    WHERE subject = ? AND state = 'pending' AND expires_at > ?
    AND task IN (SELECT id FROM tasks WHERE state = 'open')"""
_ASKED = "SELECT count(*) FROM approvals WHERE task = ? AND requested_at > ?"
_GRANTS = """SELECT body FROM approvals WHERE alike = ? AND alike <> '' AND state = 'approved'
    ORDER BY number"""
_CONSUMED = "SELECT 1 FROM approvals WHERE binding = ? AND state = 'consumed' AND alike = ''"
_USED = "SELECT body FROM approvals WHERE alike = ? AND alike <> ''"


def put(connection: sqlite3.Connection, approval: Approval) -> None:
    """Store a new approval."""
    chain = approval.chain
    times = (approval.requested_at, approval.expires_at)
    whose = (chain.task, chain.actor, chain.subject)
    told = (approval.id, approval.binding, *whose, _alike(approval), approval.state, *times)
    connection.execute(_PUT, (*told, tables.body(approval)))


def answer(connection: sqlite3.Connection, before: Approval, after: Approval) -> None:
    """Change an approval from what it was when it was read; raises `StateError` if it has changed since."""
    if get(connection, before.id) != before:
        raise StateError(f"Approval {before.id} has changed meanwhile.", advice="Look at it again.")
    _change(connection, after)


def consumable(connection: sqlite3.Connection, entry: Entry) -> bool:
    """Whether the approval that an entry uses is approved, and has not expired when the entry was made."""
    approval = find(connection, entry.consumes)
    return approval is not None and approval.state == "approved" and approval.expires_at > entry.at


def consume(connection: sqlite3.Connection, entry: Entry) -> None:
    """Use a `consumable` approval: once it has been as often as it holds for, it is never approved again."""
    approval = get(connection, entry.consumes)
    _change(connection, used(approval, entry.columns[DECISION], entry.at, entry.binding))


def why_unasked(connection: sqlite3.Connection, asking: Asking) -> Refused:
    """Why a new approval cannot be asked for, or empty."""
    approval, chain = asking.approval, asking.approval.chain
    now = approval.requested_at
    if connection.execute(_STANDING, (approval.binding, now)).fetchone() is not None:
        return "asked"
    counted = (
        (asking.most_pending, _PENDING, (chain.task, chain.actor, now)),
        (asking.most_of_subject, _OF_SUBJECT, (chain.subject, now)),
        (asking.most, _ASKED, (chain.task, asking.since)),
    )
    for most, query, values in counted:
        if connection.execute(query, values).fetchone()[0] >= most:
            return "approvals"
    return ""


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


def grants(connection: sqlite3.Connection, alike: str) -> list[Approval]:
    """Approved ones that hold for several such calls, the oldest first."""
    return [tables.decoded(_approvals, row[0]) for row in connection.execute(_GRANTS, (alike,))]


def was_consumed(connection: sqlite3.Connection, binding: str, alike: str) -> bool:
    """Whether a call with this binding has ever used an approval: its own, or one for several such."""
    if connection.execute(_CONSUMED, (binding,)).fetchone() is not None:
        return True
    found = (tables.decoded(_approvals, row[0]) for row in connection.execute(_USED, (alike,)))
    return any(use.binding == binding for one in found for use in one.uses)


def list_approvals(connection: sqlite3.Connection, which: Which) -> list[Approval]:
    """As `SqliteLedger.approvals`."""
    states = which.states or STATES
    # What has expired is stored as it was before.
    asked = [one for one in states if one not in LIVE or not which.at]
    conditions = [f"state IN ({', '.join('?' * len(asked))})"] if asked else []
    values: list[str | int] = [*asked]
    for compared, wanted in (
        (">", [one for one in states if one in LIVE and which.at]),
        ("<=", LIVE if "expired" in states and which.at else ()),
    ):
        if wanted:
            conditions.append(f"state IN ({', '.join('?' * len(wanted))}) AND expires_at {compared} ?")
            values += [*wanted, which.at]
    where = f"WHERE ({' OR '.join(conditions)})"
    if which.task:
        where, values = f"{where} AND task = ?", [*values, which.task]
    if which.before:
        where += " AND number < (SELECT number FROM approvals WHERE id = ?)"
        values.append(which.before)
    query = f"SELECT body FROM approvals {where} ORDER BY number DESC"  # noqa: S608 - constants
    return list(islice(_readable(connection.execute(query, values)), which.limit))


def _readable(rows: Iterable[tuple[str]]) -> Iterator[Approval]:
    """What can be read; one row that cannot does not hide the others."""
    for (body,) in rows:
        with suppress(LedgerCorruptError):
            yield tables.decoded(_approvals, body)


def _change(connection: sqlite3.Connection, after: Approval) -> None:
    values = (after.state, after.expires_at, _alike(after), tables.body(after), after.id)
    connection.execute(_CHANGE, values)


def _alike(approval: Approval) -> str:
    """Only what holds for several calls is found by what they have in common."""
    return approval.alike if approval.times > 1 else ""
