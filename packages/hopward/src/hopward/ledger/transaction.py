"""One write transaction at the end of the chain."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from hopward.behaviour import UNSEEN, States, Watch, is_stale
from hopward.errors import LedgerCorruptError
from hopward.ledger import allowances, approvals, behaviours, flows, hops, paths, tables
from hopward.ledger.chain import DECISION, TASK, Columns, Entry, row_hash
from hopward.ledger.failure import KEEP
from hopward.record import Lack, Receipt, Refused, Reservation

_T = TypeVar("_T")

_HEAD = "SELECT epoch, seq, count, hash FROM head WHERE id = 1"
_SET_HEAD = "UPDATE head SET epoch = ?, seq = ?, count = ?, hash = ? WHERE id = 1"
_APPEND = """INSERT INTO log
    (seq, kind, at, task, agent, server, tool, verdict, reason, decision, record, hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class Tail:
    """The end of the chain as it stands in this transaction, and the epoch.

    Both are read after the write lock was taken, never kept from before: another process may have appended.
    """

    __slots__ = ("_changed", "_connection", "_count", "_cursor", "_epoch", "_hash", "_seq")

    def __init__(self, connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> None:
        row = cursor.execute(_HEAD).fetchone()
        if row is None:
            raise LedgerCorruptError("The decision log has lost its head.", advice=KEEP)
        self._connection = connection
        self._cursor = cursor
        self._epoch, self._seq, self._count, self._hash = row
        self._changed = False

    def append(self, entry: Entry) -> Receipt:
        """Write an entry and what comes with it, unless what it stands on is over or a budget is used up."""
        watch, states, moved = entry.watch, UNSEEN, None
        if watch is not None:
            # Whatever changes what detectors remember, or a label, has a row.
            states, moved = (watch.seen, entry.moved) if entry.head == self._seq else self._seen(watch)
        # Before anything is reserved: what is refused takes nothing.
        stale = watch is not None and is_stale(watch, states)
        refused, lack = ("stale", None) if stale else self._refusal(entry, moved)
        if refused:
            return Receipt(0, "", refused, lack)
        if entry.opens is not None:
            hops.put_hop(self._connection, entry.opens)
        if entry.consumes:
            approvals.consume(self._connection, entry)
        if entry.asks is not None:
            approvals.put(self._connection, entry.asks.approval)
        receipt = self._insert(entry.columns)
        for columns in entry.follow:
            self._insert(columns)
        self._move(entry)
        if watch is not None:
            behaviours.remember(self._connection, watch, states)
        return receipt

    def _seen(self, watch: Watch) -> tuple[States, int]:
        return behaviours.seen(self._connection, watch.agent, watch.task)

    def change_standing(self) -> None:
        """Begin a new epoch: decisions taken on the standing before are stale."""
        self._epoch += 1
        self._changed = True

    def touch(self) -> None:
        """Have the head written as it is."""
        self._changed = True

    def store(self) -> None:
        """Write the head, if anything was appended or changed."""
        if self._changed:
            self._cursor.execute(_SET_HEAD, (self._epoch, self._seq, self._count, self._hash))

    def _move(self, entry: Entry) -> None:
        share = entry.reserve
        if share is not None and share.takes and entry.opens is None:
            allowances.hold(self._connection, entry.columns[DECISION], share)
        if entry.settles:
            give_back = entry.settles == "given_back"
            allowances.settle(self._connection, entry.columns[DECISION], give_back=give_back)
        task = entry.columns[TASK]
        if entry.takes is not None:
            paths.take(self._connection, task, entry.takes)
        if entry.labels:
            flows.raise_labels(self._connection, task, entry.labels)
        if entry.values:
            flows.remember(self._connection, task, entry.values)

    def _refusal(self, entry: Entry, moved: int | None) -> tuple[Refused, Lack | None]:
        gone = self._gone(entry, moved)
        if gone or entry.reserve is None:
            return gone, None
        return self._reserve(entry.reserve)

    def _reserve(self, share: Reservation) -> tuple[Refused, Lack | None]:
        more = bool(share.takes or share.reaching)
        lack, found = allowances.lacking(self._connection, share) if more else (None, None)
        if lack is not None:
            return "budget_other", lack
        if not tables.reserve(self._connection, share):
            calls = tables.calls_exhausted(self._connection, share)
            return "budget_calls" if calls else "budget_writes", None
        if found is not None:
            allowances.take(self._connection, share, found)
        return "", None

    def _gone(self, entry: Entry, moved: int | None) -> Refused:
        """`moved` is how often a label of the task of `entry.watch` has risen, if it has one."""
        if entry.epoch is not None and entry.epoch != self._epoch:
            return "stale"
        task = entry.columns[TASK]
        if entry.watch is None or entry.watch.task != task:
            moved = None if entry.moved is None else flows.moved(self._connection, task)
        if entry.moved is not None and entry.moved != moved:
            return "stale"
        if entry.hops and not hops.all_open(self._connection, entry.hops):
            return "stale"
        read = entry.head == self._seq
        if entry.takes and not read and not paths.takeable(self._connection, task, entry.takes):
            return "stale"
        if entry.opens is not None and hops.fan_out_reached(self._connection, entry.opens):
            return "fan_out"
        if entry.consumes and not approvals.consumable(self._connection, entry):
            return "unapproved"
        return approvals.why_unasked(self._connection, entry.asks) if entry.asks is not None else ""

    def _insert(self, columns: Columns) -> Receipt:
        seq = self._seq + 1
        digest = row_hash(self._hash, seq, columns)
        self._cursor.execute(_APPEND, (seq, *columns, digest))
        self._seq, self._hash = seq, digest
        self._count += 1
        self._changed = True
        return Receipt(seq, digest)


def committed(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection, Tail], _T]) -> _T:
    """Take the write lock, do the work at the tail, commit; anything raised inside undoes all of it."""
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    try:
        tail = Tail(connection, cursor)
        result = work(connection, tail)
        tail.store()
        cursor.execute("COMMIT")
    finally:
        if connection.in_transaction:
            # SQLite may have rolled back by itself; the error that led here is the one to tell.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
    return result
