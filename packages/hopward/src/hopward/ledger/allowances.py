"""What is counted of tasks and hops beside calls and writes: money, bytes, destinations, as rows.

An allowance is a row for each account and what is counted. `held` says what a permit has reserved until it
is settled, so that what never left can be given back, once. Every function works inside the transaction of
its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from hopward import budget
from hopward.model import Budget, Hop, Usage
from hopward.record import Lack, Reservation, Spent

_PUT = """INSERT INTO allowances (account, of, used, most) VALUES (?, ?, 0, ?)
    ON CONFLICT (account, of) DO UPDATE SET most = excluded.most"""
_NONE_LEFT = "UPDATE allowances SET most = 0 WHERE account = ?"
_OF = "SELECT of, used, most FROM allowances WHERE account = ?"
_ONE = "SELECT used, most FROM allowances WHERE account = ? AND of = ?"
_ADD = "UPDATE allowances SET used = used + ? WHERE account = ? AND of = ?"
_REACHED = "SELECT 1 FROM reached WHERE account = ? AND place = ?"
_REACH = "INSERT INTO reached (account, place) VALUES (?, ?)"
_HOLD = "INSERT INTO held (decision, account, of, amount) VALUES (?, ?, ?, ?)"
_HELD = "DELETE FROM held WHERE decision = ? RETURNING account, of, amount"


def put(connection: sqlite3.Connection, account: str, given: Budget) -> None:
    """Give a task or hop what its budget says, or change it. What it has used stays counted."""
    connection.execute(_NONE_LEFT, (account,))
    connection.executemany(_PUT, [(account, of, most) for of, most in budget.allowances(given).items()])


def used(connection: sqlite3.Connection, account: str, counted: Usage) -> Usage:
    """How much a task or hop has reserved; `counted` are its calls and writes."""
    return budget.usage_of(counted, {of: spent for of, spent, _ in connection.execute(_OF, (account,))})


def spent(connection: sqlite3.Connection, accounts: Sequence[str], places: Iterable[str]) -> Spent:
    """What several accounts have used of everything, and which of these places each has reached."""
    sought = tuple(places)
    reached = {account: _reached(connection, account, sought) for account in accounts}
    return Spent(_counted(connection, accounts), reached)


def lacking(connection: sqlite3.Connection, share: Reservation) -> tuple[Lack | None, Spent]:
    """What there is no room for now, and what that was found out from."""
    accounts = dict.fromkeys((*(one.account for one in share.takes), *share.reaching))
    reached = {account: _reached(connection, account, share.places) for account in share.reaching}
    found = Spent(_counted(connection, accounts), reached)
    return budget.lacking(share, found), found


def take(connection: sqlite3.Connection, share: Reservation, found: Spent) -> None:
    """Take a share that there is room for, which `lacking` has found out in this transaction."""
    if share.takes:
        connection.executemany(_ADD, [(one.amount, one.account, one.of) for one in share.takes])
    for account, places in budget.new_places(share, found):
        if not places:
            continue
        connection.executemany(_REACH, [(account, place) for place in places])
        connection.execute(_ADD, (len(places), account, budget.PLACES))


def hold(connection: sqlite3.Connection, decision: str, share: Reservation) -> None:
    """Remember what a permit has taken, until it is settled."""
    connection.executemany(_HOLD, [(decision, one.account, one.of, one.amount) for one in share.takes])


def settle(connection: sqlite3.Connection, decision: str, *, give_back: bool) -> None:
    """A permit is settled: what it has taken is spent, or, with `give_back`, is there again. Only once."""
    held = connection.execute(_HELD, (decision,)).fetchall()
    if give_back:
        connection.executemany(_ADD, [(-amount, account, of) for account, of, amount in held])


def give_back_rest(connection: sqlite3.Connection, hop: Hop, payers: Iterable[str]) -> None:
    """Of the money that was set aside for a hop, give what is left back to where it came from."""
    for currency in hop.budget.money:
        row = connection.execute(_ONE, (hop.id, currency)).fetchone()
        left = 0 if row is None else row[1] - row[0]
        connection.executemany(_ADD, [(-left, account, currency) for account in payers])


def _counted(
    connection: sqlite3.Connection, accounts: Iterable[str]
) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (account, of): (amount, most)
        for account in accounts
        for of, amount, most in connection.execute(_OF, (account,))
    }


def _reached(connection: sqlite3.Connection, account: str, places: Sequence[str]) -> frozenset[str]:
    return frozenset([one for one in places if connection.execute(_REACHED, (account, one)).fetchone()])
