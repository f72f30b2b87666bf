"""Standing is read over the connection that writes while nobody does: that of the moment all the same."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

from hopward.model import Budget, Usage
from hopward.record import Draft, Reservation
from hopward.testing.samples import NOTE, a_chain, a_draft, a_revocation, a_task, an_agent

from .conftest import Open


def permit() -> Draft:
    return a_draft(reserve=Reservation(("task_1",), calls=1, writes=0))


def test_what_another_ledger_changes_between_rows_of_this_one_is_in_the_next_standing(
    open_ledger: Open,
) -> None:
    one, other = open_ledger(), open_ledger()
    one.put_task(a_task(budget=Budget(calls=100, writes=0)), NOTE)
    one.put_agent(an_agent(), NOTE)
    for used in range(0, 40, 2):
        assert one.standing(a_chain()).usage == Usage(calls=used, writes=0)
        one.record([permit()])
        other.record([permit()])
    other.revoke(a_revocation("agent", "helper"), NOTE)
    assert one.standing(a_chain()).revocations == (a_revocation("agent", "helper"),)
    other.set_task_state("task_1", "completed", NOTE)
    task = one.standing(a_chain()).task
    assert task is not None
    assert task.state == "completed"


def test_standing_does_not_wait_for_a_thread_that_waits_to_write(open_ledger: Open, path: Path) -> None:
    ledger = open_ledger(busy_timeout=60)
    ledger.put_task(a_task(), NOTE)
    with ThreadPoolExecutor(1) as pool, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(ledger.record, [a_draft()])
        time.sleep(0.1)
        assert ledger.standing(a_chain()).task == a_task()
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert waiting.result(30)[0].seq == 2


def test_threads_that_read_and_write_at_once_see_what_is_committed_and_nothing_else(
    open_ledger: Open,
) -> None:
    ledger, over = open_ledger(), Event()
    ledger.put_task(a_task(budget=Budget(calls=1000, writes=0)), NOTE)

    def watch() -> list[int]:
        seen: list[int] = []
        while not over.is_set():
            seen.append(ledger.standing(a_chain()).usage.calls)
        return seen

    # Two calls at a time: half of a transaction would show as an odd number.
    pair = a_draft(reserve=Reservation(("task_1",), calls=2, writes=0))
    with ThreadPoolExecutor(3) as pool:
        watching = [pool.submit(watch) for _ in range(2)]
        for written in range(2, 402, 2):
            ledger.record([pair, NOTE])
            assert ledger.standing(a_chain()).usage.calls == written
        over.set()
    for watched in watching:
        seen = watched.result()
        assert seen == sorted(seen)
        assert all(calls % 2 == 0 for calls in seen)
