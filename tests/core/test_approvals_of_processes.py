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

from .approving import office, opened, task_of, told, write

CHILD = Path(__file__).with_name("approving_child.py")
Start: TypeAlias = "Callable[[Chain, str], subprocess.Popen[str]]"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with closing(opened(office(tmp_path), SystemClock())) as guard:
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


def approve(guard: Guard, chain: Chain, text: str) -> str:
    approval = guard.authorize(write(text), chain).approval
    return guard.approvals.approve(approval, by="carol").id


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
