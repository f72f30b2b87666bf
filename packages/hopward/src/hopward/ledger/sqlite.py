"""`SqliteLedger`: the decision log, and what stands in it, in one SQLite file."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from hopward.approval import EVERY, Approval, Which
from hopward.behaviour import States
from hopward.clock import Clock, Instant
from hopward.device import Device
from hopward.errors import LedgerError, NotFoundError
from hopward.ledger import (
    allowances,
    approvals,
    behaviours,
    containments,
    definitions,
    devices,
    flows,
    hops,
    logins,
    outbox,
    paths,
    statuses,
    streams,
    tables,
)
from hopward.ledger.chain import entry
from hopward.ledger.failure import headless, ledger_error
from hopward.ledger.reader import Reader
from hopward.ledger.rows import RowFilter, stream
from hopward.ledger.store import Durability, Store
from hopward.ledger.transaction import Tail
from hopward.ledger.verification import Progress, Verification, verify
from hopward.ledger.writer import Writer
from hopward.login import Login
from hopward.model import (
    Agent,
    Chain,
    Containment,
    Hop,
    Label,
    Revocation,
    RevocationKind,
    Task,
    TaskState,
    Usage,
)
from hopward.pins import Changes, Page, Pin, Sighting, Status, judged
from hopward.record import Draft, Outbox, Receipt, Row, Spent, Standing, Waiting

_BUSY_TIMEOUT = 5.0
_FAR = 2**63
"""No row has this number: SQLite cannot hold it."""


class SqliteLedger:
    """The ledger of the guard. Safe to share between threads; several processes may open one file.

    Every method raises `LedgerError` when the file cannot be read or written, `LedgerCorruptError` when its
    content cannot be right. Never carry an open ledger across a fork.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        """Use `SqliteLedger.open`, which prepares the store first."""
        self._store = store
        self._clock = clock
        self._writing: Writer | None = None
        with ExitStack() as opened:
            try:
                if not store.untouched:
                    self._writing = Writer(store)
                    opened.callback(self._writing.close)
                self._reader = Reader(store, self._writing.peek if self._writing else None)
            except sqlite3.Error as error:
                raise ledger_error(error, store.path, "read") from error
            opened.pop_all()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        durability: Durability = "process",
        create: bool = False,
        busy_timeout: float = _BUSY_TIMEOUT,
    ) -> "SqliteLedger":
        """Open the decision log at `path`.

        With `create` a missing file is made, mode 0600, in a folder made with mode 0700 if it is missing too;
        otherwise a missing file is an error. An older schema is brought up to date. `busy_timeout`
        is how many seconds a write waits for another process.
        """
        store = Store(path.absolute(), durability, busy_timeout)
        store.prepare(create=create)
        return cls(store, clock)

    @classmethod
    def open_untouched(
        cls, path: Path, *, clock: Clock, busy_timeout: float = _BUSY_TIMEOUT
    ) -> "SqliteLedger":
        """Open a decision log, such as a copy kept as evidence, only to read it: no byte of it changes.

        Whatever would write raises `LedgerError`. An older schema stays as it is.
        """
        store = Store(path.absolute(), "process", busy_timeout, untouched=True)
        store.prepare(create=False)
        return cls(store, clock)

    @property
    def _writer(self) -> Writer:
        if self._writing is None:
            raise LedgerError(
                f"The decision log {self._store.path} has been opened only to be read.", error="log_read_only"
            )
        return self._writing

    def close(self) -> None:
        """Close the file; every later call but `verify`, which opens it by itself, raises `LedgerError`."""
        if self._writing is not None:
            self._writing.close()
        self._reader.close()

    def standing(self, chain: Chain) -> Standing:
        """Task, hops, usage, actors and matching revocations of a chain, as of now in any process."""
        return self._reader.standing(chain)

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts in order in one transaction, durable when this returns; one receipt per draft.

        A draft whose epoch is over or whose budget is used up is not written, and its receipt says so; the
        others are.
        """
        return self._writer.record(drafts)

    def check_writable(self) -> None:
        """Raise `LedgerError` unless a row could be appended now; it takes a commit, and leaves no row."""
        self._writer.check()

    def put_task(self, task: Task, draft: Draft) -> Receipt:
        """Store a task, new or changed, and append its row. Raises `StateError` if it has ended."""
        return self._writer.change(draft, lambda connection: tables.put_task(connection, task))

    def set_task_state(self, task_id: str, state: TaskState, draft: Draft) -> Receipt:
        """End a task and append its row. Raises `NotFoundError`, and `StateError` if it has ended before."""
        return self._writer.change(
            draft, lambda connection: tables.set_task_state(connection, task_id, state)
        )

    def complete_hop(self, hop_id: str, draft: Draft) -> Receipt:
        """End a hop and append its row; a split budget's rest goes back to where it was set aside.

        Raises `NotFoundError`, and `StateError` if it has ended before.
        """

        def work(connection: sqlite3.Connection, tail: Tail) -> Receipt:
            hops.complete(connection, hop_id)
            return tail.append(entry(draft))

        return self._writer.run(work)

    def fan_out_reached(self, hop: Hop) -> bool:
        """Whether the delegator of a hop that would be opened has as many open as it may have."""
        return self._reader.read(lambda connection: hops.fan_out_reached(connection, hop))

    def pin_status(self, server: str, tool: str, epoch: int) -> Status:
        """How a tool's definition stands, as of that epoch or later."""
        return self._reader.pin_status(server, tool, epoch)

    def see(
        self, page: Page, at: Instant, rows: Callable[[Changes], Sequence[Draft]], *, trusting: bool
    ) -> None:
        """Note what a page of a `tools/list` changes (`hopward.pins`), with the rows that tell of it; a new
        epoch begins then. Where it changes nothing, nothing is written."""
        if not self._reader.read(
            lambda connection: judged(definitions.book(connection, page.server), page, at, trusting=trusting)
        ):
            return

        def work(connection: sqlite3.Connection, tail: Tail) -> None:
            known = definitions.book(connection, page.server)
            changes = judged(known, page, at, trusting=trusting)
            if changes:
                definitions.change(connection, page.server, changes)
                for draft in rows(changes):
                    tail.append(entry(draft))
                tail.change_standing()

        self._writer.run(work)

    def accept(self, pins: Sequence[Pin], rows: Sequence[Draft]) -> None:
        """Store accepted definitions and append their rows; a new epoch begins.

        Raises `StateError`, and stores none, where one is neither pinned nor the last that was seen.
        """

        def work(connection: sqlite3.Connection, tail: Tail) -> None:
            definitions.accept(connection, pins)
            for draft in rows:
                tail.append(entry(draft))
            tail.change_standing()

        self._writer.run(work)

    def pins(self, server: str = "") -> tuple[Pin, ...]:
        """The pinned definitions, all or of one server, by server and tool."""
        return self._reader.read(lambda connection: definitions.list_pins(connection, server))

    def sightings(self, server: str = "") -> tuple[Sighting, ...]:
        """The definitions that wait for somebody to accept them, likewise."""
        return self._reader.read(lambda connection: definitions.list_sightings(connection, server))

    def labels(self, task_id: str) -> tuple[Label, ...]:
        """How sensitive and how far from trusted what a task has taken in and given out is."""
        return self._reader.read(lambda connection: flows.labels_of(connection, task_id))

    def stood(self, task_id: str, values: frozenset[str]) -> frozenset[str]:
        """Which of some digests (`hopward.provenance`) are of values that stood in the task's results."""
        return self._reader.read(lambda connection: flows.stood(connection, task_id, values))

    def behaviour(self, agent: str, task_id: str) -> States:
        """What detectors (`hopward.behaviour`) remember of an agent and of a task."""
        return self._reader.read(lambda connection: behaviours.states_of(connection, agent, task_id))

    def taken(self, task_id: str) -> Mapping[str, int]:
        """How often each step of a task's path has been taken; one that never was is left out."""
        return self._reader.read(lambda connection: paths.taken(connection, task_id))

    def hop(self, hop_id: str) -> Hop:
        """The hop as stored; raises `NotFoundError`."""
        return self._reader.read(lambda connection: hops.get_hop(connection, hop_id))

    def hops(self, task_id: str) -> list[Hop]:
        """The hops of a task, in the order they were opened."""
        return self._reader.read(lambda connection: hops.list_hops(connection, task_id))

    def put_agent(self, agent: Agent, draft: Draft) -> Receipt:
        """Store an agent, new or changed, and append its row."""
        return self._writer.change(draft, lambda connection: tables.put_agent(connection, agent))

    def revoke(self, revocation: Revocation, draft: Draft) -> Receipt:
        """Store a revocation and append its row. The next `standing` of any process sees it.

        Its cut-off lies at or after the opening of every task that is open, whatever the clock said then.
        """
        return self._writer.change(draft, lambda connection: tables.add_revocation(connection, revocation))

    def answer(self, before: Approval, after: Approval, draft: Draft) -> Receipt:
        """Change an approval from what it was when it was read, and append the row that tells of it.

        Raises `NotFoundError`, and `StateError` if it has changed since. An `asks` of the draft comes to be
        with it.
        """

        def work(connection: sqlite3.Connection, tail: Tail) -> Receipt:
            receipt = tail.append(entry(draft))
            if not receipt.refused:
                approvals.answer(connection, before, after)
            return receipt

        return self._writer.run(work)

    def approval(self, approval_id: str) -> Approval:
        """The approval as stored; raises `NotFoundError`."""
        return self._reader.read(lambda connection: approvals.get(connection, approval_id))

    def approvals(self, which: Which = EVERY) -> list[Approval]:
        """Approvals as stored, the latest first. A row that cannot be read is left out."""
        return self._reader.read(lambda connection: approvals.list_approvals(connection, which))

    def latest_approval(self, binding: str) -> Approval | None:
        """The approval with this binding that was asked for last."""
        return self._reader.read(lambda connection: approvals.latest(connection, binding))

    def grants(self, alike: str) -> list[Approval]:
        """Approved ones that hold for several such calls (`Approval.alike`), the oldest first."""
        return self._reader.read(lambda connection: approvals.grants(connection, alike))

    def was_consumed(self, binding: str, alike: str = "") -> bool:
        """Whether a call with this binding has ever used an approval: its own, or one for several such."""
        return self._reader.read(lambda connection: approvals.was_consumed(connection, binding, alike))

    def put_device(self, device: Device, draft: Draft) -> None:
        """Store a new device and append its row; devices whose time is over by then are forgotten."""
        self._beside(draft, lambda connection: devices.put(connection, device))

    def change_device(self, before: Device, after: Device, draft: Draft | None = None) -> None:
        """Change a device from what it was when it was read, with the row that tells of it, if one does.

        Raises `NotFoundError`, and `StateError` if it has changed since.
        """
        self._beside(draft, lambda connection: devices.change(connection, before, after))

    def remove_device(self, device_id: str, draft: Draft) -> None:
        """Forget a device and append the row that tells of it; raises `NotFoundError`."""
        self._beside(draft, lambda connection: devices.remove(connection, device_id))

    def device(self, secret: str) -> Device | None:
        """The device whose secret has this digest."""
        return self._reader.read(lambda connection: devices.with_secret(connection, secret))

    def devices(self) -> tuple[Device, ...]:
        """Every device, the oldest first."""
        return self._reader.read(devices.every)

    def put_login(self, login: Login, draft: Draft) -> None:
        """Store a new login and append its row; logins whose time is over by then are forgotten."""
        self._beside(draft, lambda connection: logins.put(connection, login))

    def change_login(self, before: Login, after: Login, draft: Draft | None = None) -> None:
        """Change a login from what it was when it was read, with the row that tells of it, if one does.

        Raises `NotFoundError`, and `StateError` if it has changed since.
        """
        self._beside(draft, lambda connection: logins.change(connection, before, after))

    def login(self, secret: str) -> Login | None:
        """The login that has, or has had, a secret with this digest."""
        return self._reader.read(lambda connection: logins.with_secret(connection, secret))

    def logins(self) -> tuple[Login, ...]:
        """Every login, the oldest first."""
        return self._reader.read(logins.every)

    def take_waiting(self, at: Instant, until: Instant) -> Waiting | None:
        """A row that is due to be told outside, which nobody else gets before `until`."""
        if not self._reader.read(lambda connection: outbox.has_due(connection, at)):
            return None
        return self._writer.run(lambda connection, _: outbox.take(connection, at, until))

    def end_waiting(self, taken: Waiting, draft: Draft | None = None) -> None:
        """Nobody waits for this row any more; `draft` is the row that says why, if it was not told."""
        self._beside(draft, lambda connection: outbox.end(connection, taken))

    def put_off_waiting(self, taken: Waiting, due_at: Instant, why: str) -> None:
        """It could not be told, and is due again then, unless somebody else has taken it meanwhile."""
        self._beside(None, lambda connection: outbox.put_off(connection, taken, due_at, why))

    def outbox(self) -> Outbox:
        """What waits to be told outside."""
        return self._reader.read(outbox.state)

    def told_up_to(self, name: str) -> int | None:
        """Up to which row somebody outside has been told of everything; None if nobody ever asked."""
        return self._reader.read(lambda connection: outbox.told_up_to(connection, name))

    def set_told(self, name: str, seq: int) -> None:
        """They have been told up to this row."""
        self._beside(None, lambda connection: outbox.set_told(connection, name, seq))

    def _beside(self, draft: Draft | None, apply: Callable[[sqlite3.Connection], None]) -> None:
        """Change what stands beside the log and leaves standing as it is, with its row, both or neither."""
        row = None if draft is None else entry(draft)

        def work(connection: sqlite3.Connection, tail: Tail) -> None:
            apply(connection)
            if row is not None:
                tail.append(row)

        self._writer.run(work)

    def contain(self, containment: Containment, draft: Draft) -> Receipt:
        """Store a quarantine, or the stop of everything, and append its row. The next `standing` of any
        process sees it. Raises `StateError` where it stands already."""
        return self._writer.change(draft, lambda connection: containments.put(connection, containment))

    def release(self, containment: Containment, draft: Draft) -> Receipt:
        """Take a containment back and append its row. Raises `NotFoundError` where it stands no more, or is
        not the one that was read."""
        return self._writer.change(draft, lambda connection: containments.remove(connection, containment))

    def containments(self) -> tuple[Containment, ...]:
        """Everything that is quarantined or stopped, the oldest first."""
        return self._reader.read(containments.every)

    def subjects(self) -> frozenset[str]:
        """Everyone for whom a task was ever opened."""
        return self._reader.read(tables.subjects)

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        """True the first time a value is presented as this kind, in any process; False ever after.

        It is remembered, as a digest, until `expires_at`; a value that has expired already is never fresh.
        """
        now = self._clock.now()

        def work(connection: sqlite3.Connection, _: Tail) -> bool:
            return tables.use_once(connection, kind, value, expires_at, now)

        return self._writer.run(work)

    def seen(self, kind: str, value: str) -> bool:
        """Whether `seen_once` has been told of a value, in any process; False once that is forgotten."""
        return self._reader.read(lambda connection: tables.is_used(connection, kind, value))

    def hear(self, source: str, at: Instant) -> None:
        """Note that a transmitter of security events was heard then."""
        self._beside(None, lambda connection: streams.hear(connection, source, at))

    def heard_at(self, source: str) -> Instant | None:
        """When a transmitter of security events was heard last; None for never."""
        return self._reader.read(lambda connection: streams.heard_at(connection, source))

    def list_status(self, size: int, expires_at: Instant, body: str) -> int:
        """A random index of the status list that no other token has, in any process, until it expires."""
        now = self._clock.now()
        return self._writer.run(lambda connection, _: statuses.put(connection, size, expires_at, body, now))

    def statuses(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and description of every token in the status list."""
        now = self._clock.now()
        return self._reader.read(lambda connection: statuses.every(connection, now))

    def task(self, task_id: str) -> Task:
        """The task as stored; raises `NotFoundError`."""
        return self._reader.read(lambda connection: tables.get_task(connection, task_id))

    def tasks(self, state: TaskState | None = None, limit: int = 100) -> list[Task]:
        """Tasks as stored, the latest opened first; only those in `state` if one is given."""
        return self._reader.read(lambda connection: tables.list_tasks(connection, state, limit))

    def usage(self, account: str) -> Usage:
        """How much of its budget a task or hop has reserved, with everything below it."""
        return self._reader.read(
            lambda connection: allowances.used(connection, account, tables.usage(connection, account))
        )

    def spent(self, accounts: Sequence[str], places: Sequence[str]) -> Spent:
        """What tasks and hops have used beside calls and writes, and which of these places reached."""
        return self._reader.read(lambda connection: allowances.spent(connection, accounts, places))

    def agent(self, agent_id: str) -> Agent:
        """The agent as stored; raises `NotFoundError`."""
        agent = self._reader.read(lambda connection: tables.find_agent(connection, agent_id))
        if agent is None:
            raise NotFoundError(f"There is no agent {agent_id}.")
        return agent

    def agents(self) -> list[Agent]:
        """Every agent, by id."""
        return self._reader.read(tables.list_agents)

    def revocations(self, kind: RevocationKind, identity: str) -> tuple[Revocation, ...]:
        """Every revocation of one thing, in the order they were made."""
        return self._reader.read(lambda connection: tables.list_revocations(connection, kind, identity))

    def rows(self, asked: RowFilter | None = None) -> Iterator[Row]:
        """The rows asked for, newest first unless asked otherwise; read in pages, as they are used."""
        return stream(asked or RowFilter(), self._reader.read)

    def row(self, name: int | str) -> Row:
        """The row of that number, or the decision row of that decision id; raises `NotFoundError`."""
        if isinstance(name, int):
            asked = RowFilter(after=name - 1, limit=1, oldest_first=True)
        else:
            asked = RowFilter(decision=name, kind="decision", limit=1)
        could_be = name != "" if isinstance(name, str) else 0 < name < _FAR
        found = next(self.rows(asked), None) if could_be else None
        if found is None or (isinstance(name, int) and found.seq != name):
            raise NotFoundError(f"The decision log has no row {name}.")
        return found

    def head(self) -> tuple[int, str]:
        """Number and hash of the last row; 0 and 64 zeros for an empty log."""
        row = self._reader.read(lambda c: c.execute("SELECT seq, hash FROM head WHERE id = 1").fetchone())
        if row is None:
            raise headless(self._store.path)
        return row

    def verify(self, progress: Progress | None = None) -> Verification:
        """Check every row of the log; `progress` is called with rows checked and rows in all."""
        try:
            with closing(self._store.connect()) as connection:
                return verify(connection, progress)
        except sqlite3.Error as error:
            raise ledger_error(error, self._store.path, "read") from error
