"""Reading, beside the writer and never blocked by it: SQLite's write-ahead log keeps the two apart."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from hopward.behaviour import States
from hopward.ledger import behaviours, containments, definitions, flows, paths, tables
from hopward.ledger.failure import headless, ledger_error
from hopward.ledger.hops import standing as standing_hops
from hopward.ledger.store import Store
from hopward.model import Agent, Chain, Containment, Label, Revocation, Task, Usage
from hopward.pins import Status
from hopward.record import Standing

_T = TypeVar("_T")

_NOW = """SELECT
    head.epoch, head.seq, usage.calls, usage.writes, usage.moved, behaviour.state, usage.behaviour
    FROM head LEFT JOIN usage ON usage.account = ?
    LEFT JOIN behaviour ON behaviour.agent = ? WHERE head.id = 1"""

_NOTHING: Mapping[str, int] = MappingProxyType({})

_MOST_CHAINS = 4096
"""Chains whose standing is kept; beyond that, all are forgotten and read again."""

Peek: TypeAlias = Callable[[str, tuple[Any, ...]], Any]
"""Reads the first row of a query, if it can do so at once; None otherwise."""

_Key: TypeAlias = tuple[str, str, tuple[str, ...], str, str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known about one chain for as long as an epoch lasts, and no label of its task rises."""

    task: Task | None
    agents: MappingProxyType[str, Agent]
    revocations: tuple[Revocation, ...]
    labels: tuple[Label, ...]
    moved: int
    containments: tuple[Containment, ...]


class Reader:
    """Reads from any number of threads over one connection."""

    def __init__(self, store: Store, peek: Peek | None = None) -> None:
        """`peek` is another way to read one row, asked first where it is about the present moment alone."""
        self._path = store.path
        self._connection = store.connect()
        self._peek = peek or self._first
        self._lock = Lock()
        self._epoch = 0
        self._known: dict[_Key, _Known] = {}
        self._statuses: dict[tuple[str, str], Status] = {}

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do some reading; its failure is a `LedgerError`."""
        with self._lock:
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                raise ledger_error(error, self._path, "read") from error

    def standing(self, chain: Chain) -> Standing:
        """What stands behind a chain, as of now and in every process.

        One small query a call, one for the steps of a path, and two for each hop: the epoch says whether
        what is kept about the chain still holds. Hops begin and end without a new epoch, so they are read
        each time.
        """
        key: _Key = (
            chain.task,
            chain.subject,
            chain.actors,
            chain.token,
            chain.key,
            chain.lineage,
            chain.hops,
        )
        with self._lock:
            try:
                now = (chain.task, chain.actor if chain.actors else "")
                row = self._peek(_NOW, now) or self._first(_NOW, now)
                epoch, head, usage, moved, behaviour = self._told(row)
                known = self._known.get(key) if epoch == self._epoch else None
                if known is None or known.moved != moved:
                    epoch, head, usage, behaviour, known = self._learn(key, chain)
                hops = standing_hops(self._connection, chain.hops) if chain.hops else ()
                # Steps are taken without a new epoch too: they are of one task, and an epoch is of all.
                stepped = known.task is not None and known.task.steps
                taken = paths.taken(self._connection, chain.task) if stepped else _NOTHING
            except sqlite3.Error as error:
                raise ledger_error(error, self._path, "read") from error
        of_task = (known.labels, known.moved, known.containments, behaviour, taken, head)
        return Standing(epoch, known.task, usage, known.agents, known.revocations, hops, *of_task)

    def pin_status(self, server: str, tool: str, epoch: int) -> Status:
        """How a tool's definition stands, as of that epoch or later: kept for as long as the epoch lasts.

        What is later makes no difference to a permit, which is refused once its epoch is over.
        """
        key = (server, tool)
        with self._lock:
            known = self._statuses.get(key) if epoch == self._epoch else None
            if known is None:
                try:
                    known = definitions.status(self._connection, server, tool)
                except sqlite3.Error as error:
                    raise ledger_error(error, self._path, "read") from error
                if epoch == self._epoch and len(self._statuses) < _MOST_CHAINS:
                    self._statuses[key] = known
        return known

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _first(self, query: str, parameters: tuple[Any, ...]) -> Any:
        return self._connection.execute(query, parameters).fetchone()

    def _told(self, row: tuple[Any, ...] | None) -> tuple[int, int, Usage, int, States]:
        if row is None:
            raise headless(self._path)
        epoch, head, calls, writes, moved, *states = row
        usage = Usage(calls=calls or 0, writes=writes or 0)
        return epoch, head, usage, moved or 0, behaviours.told(*states)

    def _learn(self, key: _Key, chain: Chain) -> tuple[int, int, Usage, States, _Known]:
        # One read transaction: epoch, usage and what is kept for that epoch are of the same moment.
        self._connection.execute("BEGIN")
        try:
            now = (chain.task, chain.actor if chain.actors else "")
            epoch, head, usage, moved, behaviour = self._told(self._first(_NOW, now))
            known = _look_up(self._connection, chain, moved)
        finally:
            self._connection.execute("ROLLBACK")
        if epoch != self._epoch or len(self._known) >= _MOST_CHAINS:
            self._known = {}
            self._statuses = {}
            self._epoch = epoch
        self._known[key] = known
        return epoch, head, usage, behaviour, known


def _look_up(connection: sqlite3.Connection, chain: Chain, moved: int) -> _Known:
    agents = {actor: tables.find_agent(connection, actor) for actor in chain.actors}
    named = [("task", chain.task), *(("agent", actor) for actor in agents), ("subject", chain.subject)]
    # A chain opened in this process was presented by no token and signed by no key.
    named += [(kind, name) for kind, name in (("token", chain.token), ("key", chain.key)) if name]
    named += [("hop", name) for name in chain.hops]
    named += [(kind, name) for kind, _, name in (entry.partition(":") for entry in chain.lineage)]
    return _Known(
        task=tables.find_task(connection, chain.task),
        agents=MappingProxyType({name: agent for name, agent in agents.items() if agent is not None}),
        revocations=tuple(
            found
            for kind, name in dict.fromkeys(named)
            for found in tables.list_revocations(connection, kind, name)
        ),
        labels=flows.standing_labels(connection, chain.task),
        moved=moved,
        containments=containments.touching(connection, chain),
    )
