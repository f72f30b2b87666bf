"""What was acknowledged is in the log, whenever the process dies."""

import random
import subprocess

from hopward.ledger import RowFilter
from hopward.model import Budget
from hopward.testing.samples import NOTE, a_task

from .conftest import Open, Start

ROUNDS = 5


def test_rows_acknowledged_before_a_kill_9_are_there_afterwards(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(budget=Budget(calls=10**9, writes=0)), NOTE)
    ledger.close()
    for kill_after in random.Random(7).sample(range(1, 300), ROUNDS):
        child = start("append-for-ever")
        acknowledged = _acknowledged(child, kill_after)
        assert len(acknowledged) >= kill_after
        ledger = open_ledger()
        found = {row.seq: row.hash for row in ledger.rows()}
        assert acknowledged.items() <= found.items()
        assert ledger.verify().problems == ()
        ledger.close()


def test_a_kill_9_leaves_no_permit_without_its_credential_and_its_share_of_the_budget(
    open_ledger: Open, start: Start
) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(budget=Budget(calls=10**9, writes=0)), NOTE)
    _acknowledged(start("append-for-ever"), 40)
    permits = [row.seq for row in ledger.rows(RowFilter(kind="decision"))]
    credentials = [row.seq for row in ledger.rows(RowFilter(kind="credential"))]
    assert [seq + 1 for seq in permits] == credentials
    assert ledger.usage("task_1").calls == len(permits)


def _acknowledged(child: "subprocess.Popen[str]", kill_after: int) -> dict[int, str]:
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(kill_after)]
    child.kill()
    # What was in the pipe when it died had been acknowledged too; the last line may be cut short.
    lines += child.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {int(seq): digest for seq, digest in whole}
