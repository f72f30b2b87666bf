"""Hops as rows beside the log, and what is true of several of them together.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from hopward.errors import NotFoundError
from hopward.ledger import allowances, tables
from hopward.model import Hop, Usage
from hopward.record import StandingHop

_hops = msgspec.json.Decoder(Hop)

_PUT = "INSERT INTO hops (id, task, parent, state, expires_at, body) VALUES (?, ?, ?, ?, ?, ?)"
_SIBLINGS = """SELECT count(*) FROM hops
    WHERE task = ? AND parent = ? AND state = 'open' AND expires_at > ?"""


def put_hop(connection: sqlite3.Connection, hop: Hop) -> None:
    """Store a new hop and its budget."""
    values = (hop.id, hop.task, hop.parent, hop.state, hop.expires_at, tables.body(hop))
    connection.execute(_PUT, values)
    tables.put_budget(connection, hop.id, hop.budget)


def fan_out_reached(connection: sqlite3.Connection, hop: Hop) -> bool:
    """Whether the delegator of a new hop has as many open as it may have. A task or hop that is gone has."""
    above = find_hop(connection, hop.parent) if hop.parent else tables.find_task(connection, hop.task)
    count: int = connection.execute(_SIBLINGS, (hop.task, hop.parent, hop.opened_at)).fetchone()[0]
    return above is None or count >= above.fan_out


def all_open(connection: sqlite3.Connection, ids: Sequence[str]) -> bool:
    """Whether all of these hops are open."""
    query = "SELECT 1 FROM hops WHERE id = ? AND state = 'open'"
    return all(connection.execute(query, (one,)).fetchone() is not None for one in ids)


def find_hop(connection: sqlite3.Connection, hop_id: str) -> Hop | None:
    """The hop as stored, or None."""
    row = connection.execute("SELECT body FROM hops WHERE id = ?", (hop_id,)).fetchone()
    return None if row is None else tables.decoded(_hops, row[0])


def get_hop(connection: sqlite3.Connection, hop_id: str) -> Hop:
    """The hop as stored; raises `NotFoundError`."""
    hop = find_hop(connection, hop_id)
    if hop is None:
        raise NotFoundError(f"There is no hop {hop_id}.")
    return hop


def list_hops(connection: sqlite3.Connection, task: str) -> list[Hop]:
    """The hops of a task, in the order they were opened."""
    query = "SELECT body FROM hops WHERE task = ? ORDER BY rowid"
    return [tables.decoded(_hops, row[0]) for row in connection.execute(query, (task,))]


def standing(connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[StandingHop, ...]:
    """Those of these hops that exist, as they are now, each with what it has reserved."""
    found: list[StandingHop] = []
    for one in ids:
        hop = find_hop(connection, one)
        if hop is not None:
            found.append(StandingHop(hop, tables.usage(connection, one)))
    return tuple(found)


def complete(connection: sqlite3.Connection, hop_id: str) -> None:
    """End a hop. What was set aside for it and not used goes back to where it came from.

    Raises `NotFoundError`, and `StateError` if it has ended before: an end is final.
    """
    hop = get_hop(connection, hop_id)
    tables.require_open(hop)
    ended = msgspec.structs.replace(hop, state="completed")
    connection.execute(
        "UPDATE hops SET state = ?, body = ? WHERE id = ?", (ended.state, tables.body(ended), hop_id)
    )
    if not hop.shared:
        used = tables.usage(connection, hop_id)
        left = Usage(calls=hop.budget.calls - used.calls, writes=hop.budget.writes - used.writes)
        payers = _payers(connection, hop)
        tables.give_back(connection, payers, left.calls, left.writes)
        allowances.give_back_rest(connection, hop, payers)


def _payers(connection: sqlite3.Connection, hop: Hop) -> list[str]:
    """The accounts that a hop's own budget was set aside from."""
    accounts: list[str] = []
    above = find_hop(connection, hop.parent)
    while above is not None:
        accounts.append(above.id)
        if not above.shared:
            return accounts
        above = find_hop(connection, above.parent)
    return [*accounts, hop.task]
