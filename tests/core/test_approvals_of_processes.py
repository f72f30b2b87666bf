"""Approvals between processes: asked in one, answered in another, used up in one, gone after a crash."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from hopward import Chain, Guard
from hopward.clock import SystemClock
from hopward.ledger import RowFilter

from .approving import CONFIG, office, opened, task_of, told, write

CHILD = Path(__file__).with_name("approving_child.py")
Start: TypeAlias = "Callable[[Chain, str], subprocess.Popen[str]]"


EDITORS = 'members = ["carol", "alice", "ops"]'
TEXT = 'arguments = { text = "string" }'
GRANTING = CONFIG.replace(EDITORS, f"{EDITORS}\nmost_times = 100").replace(
    TEXT, 'arguments = { text = "string", board = "string" }, names = ["board"]'
)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with closing(opened(office(tmp_path, GRANTING), SystemClock())) as guard:
        yield guard


@pytest.fixture
def start(guard: Guard) -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def begin(chain: Chain, ending: str = "settle") -> "subprocess.Popen[str]":
        told_chain = msgspec.json.encode(chain).decode()
        config = str(guard.settings.root / "hopward.toml")
        command = [sys.executable, str(CHILD), config, told_chain, ending]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert said(child) == "ready"
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def try_call(child: "subprocess.Popen[str]", text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{text}\n")
    child.stdin.flush()


def approve(guard: Guard, chain: Chain, text: str, times: int = 1) -> str:
    approval = guard.authorize(write(text), chain).approval
    return guard.approvals.approve(approval, by="carol", times=times).id


def granted(guard: Guard) -> int:
    """How many permits a grant has been used for, by the log."""
    rows = guard.ledger.rows(RowFilter(kind="decision", verdict="permit"))
    return sum(row.reason == "granted" for row in rows)


def test_what_one_process_asks_another_answers_and_a_third_uses_up(guard: Guard, start: Start) -> None:
    chain = task_of(guard)
    asking, using = start(chain, "settle"), start(chain, "settle")
    try_call(asking, "hello")
    assert said(asking) == "step-up"
    (approval,) = guard.approvals.find()
    guard.approvals.approve(approval.id, by="carol")
    for expected in ("permit", "step-up"):
        try_call(using, "hello")
        assert said(using) == expected
    assert guard.approvals.get(approval.id).state == "consumed"


def test_of_several_processes_exactly_one_uses_an_approval_up(guard: Guard, start: Start) -> None:
    chain = task_of(guard)
    children = [start(chain, "settle") for _ in range(3)]
    for number in range(20):
        text = f"note {number}"
        approval = approve(guard, chain, text)
        for child in children:
            try_call(child, text)
        assert Counter(said(child) for child in children) == {"permit": 1, "step-up": 2}
        assert guard.approvals.get(approval).state == "consumed"
        # The two that came too late have asked again, and once.
        (again,) = guard.approvals.find()
        guard.approvals.reject(again.id, by="carol", why="once is enough")
    assert len(list(guard.ledger.rows(RowFilter(verdict="permit")))) == 20
    assert guard.ledger.verify().ok


def test_several_processes_that_ask_at_once_ask_once(guard: Guard, start: Start) -> None:
    chain = task_of(guard)
    children = [start(chain, "settle") for _ in range(3)]
    for child in children:
        try_call(child, "hello")
    assert {said(child) for child in children} == {"step-up"}
    assert len(guard.approvals.find(())) == 1


def test_an_approval_is_gone_with_the_process_that_was_killed_after_its_permit(
    guard: Guard, start: Start
) -> None:
    chain = task_of(guard)
    approval = approve(guard, chain, "hello")
    child = start(chain, "wait")
    try_call(child, "hello")
    assert said(child) == "permit"
    child.kill()
    child.wait()
    used = guard.approvals.get(approval)
    assert used.state == "consumed"
    assert guard.ledger.row(used.consumed_by).verdict == "permit"
    assert list(guard.ledger.rows(RowFilter(kind="outcome"))) == []
    assert told(guard.authorize(write(), chain)) == ("step-up", "approval_required")
    assert guard.ledger.verify().ok


def test_of_several_processes_a_grant_permits_as_many_calls_as_it_says(guard: Guard, start: Start) -> None:
    chain = task_of(guard)
    children = [start(chain, "settle") for _ in range(3)]
    for number in range(6):
        grant = approve(guard, chain, f"shown {number}", times=4)
        for text in range(2):
            for at, child in enumerate(children):
                try_call(child, f"note {number} {text} {at}")
        found = Counter(said(child) for _ in range(2) for child in children)
        assert found == {"permit": 4, "step-up": 2}
        assert guard.approvals.get(grant).state == "consumed"
        for one in guard.approvals.find():
            guard.approvals.reject(one.id, by="carol", why="four are enough")
    assert granted(guard) == 24
    assert guard.ledger.verify().ok


def test_a_grant_that_is_taken_back_is_used_by_no_process_any_more(guard: Guard, start: Start) -> None:
    chain = task_of(guard)
    child = start(chain, "settle")
    grant = approve(guard, chain, "shown", times=90)
    for number in range(20):
        try_call(child, f"note {number}")
    guard.approvals.reject(grant, by="carol", why="enough")
    before = granted(guard)
    found = [said(child) for _ in range(20)]
    assert found.count("permit") == before
    try_call(child, "afterwards")
    assert said(child) != "permit"
    assert granted(guard) == before == len(guard.approvals.get(grant).uses)
    assert guard.ledger.verify().ok


def test_a_grant_is_never_used_more_often_than_it_says_however_processes_are_killed(
    guard: Guard, start: Start
) -> None:
    chain = task_of(guard)
    grant = approve(guard, chain, "shown", times=7)
    for number, last in enumerate((1, 2, 1, 1)):
        child = start(chain, "settle")
        for text in range(10):
            try_call(child, f"note {number} {text}")
        for _ in range(last):
            assert said(child) == "permit"
        child.kill()
        child.wait()
        used = guard.approvals.get(grant)
        assert (len(used.uses), used.left) == (granted(guard), 7 - granted(guard))
        assert {guard.ledger.row(use.decision).verdict for use in used.uses} <= {"permit"}
        if used.state == "consumed":
            break
    while guard.authorize(write("the rest"), chain).permitted:
        pass
    assert granted(guard) == 7
    assert guard.ledger.verify().ok
