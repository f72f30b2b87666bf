"""The group `log`: appending to the decision log, from one thread and from eight, and to other logs."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import sqlite_utils
from msgspec.structs import replace

from bench.context import Context
from bench.errors import BenchError
from bench.project import Durability, example_rows
from bench.repeat import Subject, run_rounds
from bench.results import Entry, Rounds
from bench.stats import percentile
from hopward.clock import SystemClock
from hopward.ledger import SqliteLedger
from hopward.record import Draft

GROUP = "log"
_THREADS = 8


def measure(context: Context) -> list[Entry]:
    """One caller at a time, then eight threads at once; every row is looked for afterwards."""
    decision, credential, _ = example_rows(context.folder / "log-example")
    pair = replace(decision, follow=(credential,))
    with ExitStack() as stack:
        durabilities: tuple[Durability, ...] = ("process", "power")
        ledgers = {name: _ledger(context.folder, name, stack) for name in durabilities}
        single = _ledger(context.folder, "process", stack, "single")
        subjects = [
            *(
                Subject(GROUP, f"{name}, 1 thread", _append(ledger, pair, 2))
                for name, ledger in ledgers.items()
            ),
            Subject(GROUP, "one row, process, 1 thread", _append(single, decision, 1)),
            Subject(GROUP, "one row, sqlite-utils insert", _sqlite_utils(context.folder, decision, stack)),
            Subject(GROUP, "one line, Python logging", _logging(context.folder, decision, stack)),
        ]
        crowds = [_Crowd(f"{name}, {_THREADS} threads", ledger, pair) for name, ledger in ledgers.items()]
        context.expect((len(subjects) + len(crowds)) * context.plan.rounds)
        entries = run_rounds(subjects, context.plan.rounds, context.plan.appends, context.step)
        for _ in range(context.plan.rounds):
            for crowd in crowds:
                context.step(f"{GROUP}: {crowd.name}")
                crowd.run(context.plan.appends)
        for name, ledger in ledgers.items():
            _verified(name, ledger)
    return [*entries, *(crowd.rounds.entry(GROUP, crowd.name) for crowd in crowds)]


def _ledger(folder: Path, durability: Durability, stack: ExitStack, stem: str = "log") -> SqliteLedger:
    path = folder / f"{stem}-{durability}" / "decisions.db"
    ledger = SqliteLedger.open(path, clock=SystemClock(), durability=durability, create=True)
    stack.callback(ledger.close)
    return ledger


def _append(ledger: SqliteLedger, draft: Draft, rows: int) -> Callable[[], None]:
    last = ledger.head()[0]

    def append() -> None:
        nonlocal last
        (receipt,) = ledger.record([draft])
        if receipt.refused or receipt.seq != last + 1:
            raise BenchError(f"a row was not appended: {receipt}")
        last += rows

    return append


def _verified(name: str, ledger: SqliteLedger) -> None:
    found = ledger.verify()
    if not found.ok:
        raise BenchError(f"the {name} log does not verify after the run: {found}")


class _Crowd:
    """Threads that append to one ledger at once; whoever waits is written with the others (group commit)."""

    def __init__(self, name: str, ledger: SqliteLedger, draft: Draft) -> None:
        self.name, self.ledger, self.draft, self.rounds = name, ledger, draft, Rounds()

    def run(self, times: int) -> None:
        """One round."""
        walls: list[float] = []
        numbers = iter(range(times))
        lock = threading.Lock()

        def append() -> None:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                start = time.perf_counter_ns()
                if self.ledger.record([self.draft])[0].refused:
                    return
                walls.append((time.perf_counter_ns() - start) / 1_000)

        threads = [threading.Thread(target=append) for _ in range(_THREADS)]
        cpu, start = time.process_time_ns(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, spent = time.perf_counter() - start, time.process_time_ns() - cpu
        if len(walls) != times:
            raise BenchError(f"only {len(walls)} of {times} rows were appended")
        self.rounds.note("p50_us", percentile(walls, 0.50))
        self.rounds.note("p99_us", percentile(walls, 0.99))
        self.rounds.note("cpu_us", spent / times / 1_000)
        self.rounds.note("per_second", times / seconds)


def _flat(draft: Draft) -> dict[str, Any]:
    return {
        "kind": draft.kind,
        "at": draft.at,
        "task": draft.task,
        "agent": draft.agent,
        "server": draft.server,
        "tool": draft.tool,
        "verdict": draft.verdict,
        "reason": draft.reason,
        "decision": draft.decision,
        "record": json.dumps(draft.record),
    }


def _sqlite_utils(folder: Path, draft: Draft, stack: ExitStack) -> Callable[[], None]:
    """`table.insert` of the same row, in WAL mode with synchronous NORMAL like "process"; no chain."""
    connection = sqlite3.connect(folder / "sqlite-utils.db")
    stack.callback(connection.close)
    database = sqlite_utils.Database(connection)
    database.enable_wal()
    connection.execute("PRAGMA synchronous = NORMAL")
    table = database.table("log")
    numbers: Iterator[int] = count(1)

    def insert() -> None:
        number = next(numbers)
        table.insert({"seq": number, **_flat(draft)}, pk="seq")
        if connection.in_transaction or table.last_pk != number:
            raise BenchError("sqlite-utils did not commit the row")

    return insert


def _logging(folder: Path, draft: Draft, stack: ExitStack) -> Callable[[], None]:
    """The same row as one JSON line through `logging.FileHandler`: not durable, not chained."""
    handler = logging.FileHandler(folder / "python.log")
    stack.callback(handler.close)
    logger = logging.Logger("bench", level=logging.INFO)
    logger.addHandler(handler)
    return lambda: logger.info("%s", json.dumps(_flat(draft)))
