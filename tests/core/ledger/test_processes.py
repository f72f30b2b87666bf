"""Several processes on one file: one chain, exact budgets, and no change goes unseen."""

import subprocess
from collections import Counter

from hopward.clock import SystemClock
from hopward.ledger import RowFilter
from hopward.model import Budget, Usage
from hopward.testing.samples import NOTE, a_chain, a_draft, a_revocation, a_task, an_agent

from .conftest import Open, Start


def _together(children: "list[subprocess.Popen[str]]") -> list[str]:
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    return [word for words in said for word in words]


def test_two_processes_append_to_one_chain(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(budget=Budget(calls=10**9, writes=0)), NOTE)
    said = _together([start("append", "300", "1"), start("append", "300", "1")])
    assert sorted(map(int, said)) == list(range(2, 1202, 2))
    found = ledger.verify()
    assert (found.problems, found.rows) == ((), 1201)


def test_two_processes_of_four_threads_never_exceed_a_budget(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(budget=Budget(calls=150, writes=0)), NOTE)
    said = _together([start("append", "100", "4"), start("append", "100", "4")])
    assert Counter(word == "budget_calls" for word in said) == {False: 150, True: 50}
    assert ledger.usage("task_1") == Usage(calls=150, writes=0)
    assert len(list(ledger.rows(RowFilter(kind="credential")))) == 150
    assert ledger.verify().ok


def test_the_next_standing_sees_a_revocation_of_another_process(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(), NOTE)
    ledger.put_agent(an_agent(), NOTE)
    before = ledger.standing(a_chain())
    assert before.revocations == ()
    start("revoke").wait()
    after = ledger.standing(a_chain())
    assert after.revocations == (a_revocation("agent", "helper"),)
    assert after.epoch != before.epoch
    assert ledger.record([a_draft(epoch=before.epoch)])[0].refused == "stale"


def test_the_usage_in_standing_counts_what_another_process_reserved(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger()
    ledger.put_task(a_task(), NOTE)
    assert ledger.standing(a_chain()).usage.calls == 0
    _together([start("append", "4", "1")])
    assert ledger.standing(a_chain()).usage.calls == 4


def test_a_value_presented_to_one_process_is_not_fresh_in_another(open_ledger: Open, start: Start) -> None:
    ledger = open_ledger(clock=SystemClock())
    assert ledger.seen_once("jti", "value", SystemClock().now() + 10**9)
    assert start("present", "value").communicate()[0] == "False\n"
    assert start("present", "other").communicate()[0] == "True\n"
    assert not ledger.seen_once("jti", "other", SystemClock().now() + 10**9)


def test_a_revocation_survives_a_restart(open_ledger: Open) -> None:
    first = open_ledger()
    first.put_task(a_task(), NOTE)
    first.revoke(a_revocation("task", "task_1"), NOTE)
    first.close()
    again = open_ledger(create=False)
    assert again.standing(a_chain()).revocations == (a_revocation("task", "task_1"),)
    assert again.task("task_1") == a_task()


def test_a_ledger_that_was_idle_appends_behind_what_others_wrote(open_ledger: Open) -> None:
    one, other = open_ledger(), open_ledger()
    receipts = [ledger.record([a_draft()])[0].seq for ledger in (one, other, one, one, other)]
    assert receipts == [1, 2, 3, 4, 5]
    assert one.head() == other.head()
    assert one.verify().ok
