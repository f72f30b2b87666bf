"""The one writer of a process: group commit for rows, whole transactions for changes of standing."""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

from hopward.errors import LedgerError
from hopward.ledger.chain import Entry, entry
from hopward.ledger.failure import ledger_error
from hopward.ledger.store import Presence, Store
from hopward.ledger.transaction import Tail, committed
from hopward.record import Draft, Receipt

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Group:
    """What one thread wants written, and what became of it."""

    entries: list[Entry]
    receipts: list[Receipt] | None = None
    failure: sqlite3.Error | LedgerError | None = None


class Writer:
    """Appends to the log from any number of threads over one connection."""

    def __init__(self, store: Store) -> None:
        self._path = store.path
        self._connection = store.connect(write=True)
        try:
            # Reading once makes SQLite open the write-ahead log, whose presence is watched too.
            self._connection.execute("SELECT seq FROM head").fetchone()
            self._presence = Presence(store.path)
        except (sqlite3.Error, LedgerError):
            self._connection.close()
            raise
        self._lock = Lock()
        self._waiting: deque[_Group] = deque()

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts in order, in one transaction, with those of other threads waiting at the moment.

        Whoever gets the lock leads: it writes for everyone who queued meanwhile. When the others get the
        lock, their rows are already durable.
        """
        group = _Group([entry(draft) for draft in drafts])
        self._waiting.append(group)
        with self._lock:
            if group.receipts is None and group.failure is None:
                self._lead()
        if group.receipts is None:
            raise self._told(group.failure)
        return group.receipts

    def change(self, draft: Draft, apply: Callable[[sqlite3.Connection], None]) -> Receipt:
        """Append a row and apply a change of standing, both or neither; a new epoch begins."""
        changed = entry(draft)

        def work(connection: sqlite3.Connection, tail: Tail) -> Receipt:
            receipt = tail.append(changed)
            if not receipt.refused:
                apply(connection)
                tail.change_standing()
            return receipt

        return self.run(work)

    def run(self, work: Callable[[sqlite3.Connection, Tail], _T]) -> _T:
        """Do some work in a write transaction of its own."""
        with self._lock:
            try:
                return self._durably(work)
            except sqlite3.Error as error:
                raise ledger_error(error, self._path, "written") from error

    def check(self) -> None:
        """Write what stands there already: it changes nothing, and fails where a row would."""
        with self._lock:
            try:
                self._durably(lambda _, tail: tail.touch())
            except sqlite3.Error as error:
                raise ledger_error(error, self._path, "written") from error

    def peek(self, query: str, parameters: tuple[Any, ...]) -> Any:
        """The first row of a query, read over the connection that writes; None while it does, or without one.

        What this process has written last is still in the page cache of that connection; any other connection
        has to read it again. A commit of another process empties the cache, as it does for every connection.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._connection.execute(query, parameters).fetchone()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Wait for the write under way and close the connection."""
        with self._lock:
            self._connection.close()

    def _lead(self) -> None:
        groups: list[_Group] = []
        while self._waiting:
            groups.append(self._waiting.popleft())

        def work(_: sqlite3.Connection, tail: Tail) -> list[list[Receipt]]:
            return [[tail.append(item) for item in group.entries] for group in groups]

        try:
            written = self._durably(work)
        except (sqlite3.Error, LedgerError) as error:
            for group in groups:
                group.failure = error
        else:
            for group, receipts in zip(groups, written, strict=True):
                group.receipts = receipts

    def _durably(self, work: Callable[[sqlite3.Connection, Tail], _T]) -> _T:
        result = committed(self._connection, work)
        # After the commit: what is acknowledged was in the file at this path when it was written.
        self._presence.check()
        return result

    def _told(self, failure: sqlite3.Error | LedgerError | None) -> LedgerError:
        # One failure is told to several threads, so each gets an exception of its own.
        if isinstance(failure, sqlite3.Error):
            told = ledger_error(failure, self._path, "written")
        elif failure is not None:
            told = type(failure)(failure.message, error=failure.error, advice=failure.advice)
        else:
            told = LedgerError(
                f"Writing to the decision log {self._path} was interrupted.", error="log_interrupted"
            )
        told.__cause__ = failure
        return told
