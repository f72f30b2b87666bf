"""Work handed on, as people see it: the tree of a task, what is handed on, and a hop that is revoked."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from hopward.model import Budget, Capability, Chain, Narrowing, Outcome, ToolCall
from hopward.testing.samples import NOTE
from hopward.wiring import Guard

from .conftest import DESK
from .shell import Shell

READING = Capability(
    tools=("desk/read_ticket",), actions=("read",), sensitivity="internal", destinations=("desk",)
)
READ = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "7"})
DELEGABLE = '[{ tools = ["desk/*"], actions = ["read"], sensitivity = "internal", destinations = ["desk"] }]'
CLERK = f"""
[agents.clerk]
owner = "bo@example.com"
purpose = "Reads tickets"
ceiling = {DELEGABLE}
"""


def asked(purpose: str = "read ticket 7") -> Narrowing:
    return Narrowing(
        purpose=purpose, capabilities=(READING,), budget=Budget(calls=3, writes=0), expires_in=60
    )


@dataclass(frozen=True)
class Handed:
    """A guard, a task of the assistant, and the chain of the clerk that it has handed work to."""

    guard: Guard
    task: str
    chain: Chain


@pytest.fixture
def handed(desk: Shell) -> Iterator[Handed]:
    purpose = 'purpose = "Answer one ticket"'
    more = f"{purpose}\ndelegable = {DELEGABLE}\ndepth = 1\nfan_out = 2"
    text = DESK.replace("ceiling = [", f"delegable = {DELEGABLE}\nceiling = [", 1).replace(purpose, more)
    desk.write("hopward.toml", text + CLERK)
    with closing(Guard.open(desk.folder / "hopward.toml")) as guard:
        task = guard.open_task("tickets", "ines@example.com")
        chain = guard.delegate(guard.enter(task.id), "clerk", asked()).chain
        assert chain is not None
        yield Handed(guard, task.id, chain)


def test_the_tree_of_a_task_has_a_branch_for_each_hop(desk: Shell, handed: Handed) -> None:
    guard, chain = handed.guard, handed.chain
    permitted = guard.authorize(READ, chain)
    guard.settle(permitted, Outcome(status="ok", duration=1500))
    guard.authorize(ToolCall(server="desk", tool="refund", arguments={"amount": 5}), chain)
    refused = guard.delegate(guard.enter(handed.task), "clerk", asked(" "))
    guard.complete_hop(chain)
    lines = desk(f"log chain {handed.task}").out.splitlines()
    branch = next(number for number, line in enumerate(lines) if "hop assistant -> clerk" in line)
    assert lines[branch].startswith(
        "├── hop assistant -> clerk: read ticket 7 completed, 1 of 3 calls, 0 of 0 writes"
    )
    assert lines[branch + 1].startswith("│   ├── permit desk/read_ticket")
    assert "credential token for urn:example:desk" in lines[branch + 2]
    assert "outcome ok after 1.5 ms" in lines[branch + 3]
    assert lines[branch + 4].startswith("│   └── deny desk/refund")
    assert "does not cover it" in lines[branch + 4]
    (denied,) = (line for line in lines if "deny delegate:clerk" in line)
    assert denied.startswith("└── deny delegate:clerk")
    assert refused.decision.id in denied


def test_the_tree_shows_where_work_that_was_broken_off_goes_on(desk: Shell, handed: Handed) -> None:
    guard, chain = handed.guard, handed.chain
    above = guard.enter(handed.task)
    found = guard.delegate(above, "clerk", asked(), continues=chain.hops[-1])
    guard.settle(found.decision, Outcome(status="ok", duration=1500))
    lines = desk(f"log chain {handed.task}").out.splitlines()
    (branch,) = (number for number, line in enumerate(lines) if "hop assistant -> clerk" in line)
    assert f"goes on: permit delegate:clerk {found.decision.id}" in lines[branch + 1]
    assert lines[branch + 1].startswith("    └── ")
    assert "outcome ok after 1.5 ms" in lines[branch + 2]


def test_a_tree_of_rows_that_somebody_changed_is_drawn_all_the_same(desk: Shell, handed: Handed) -> None:
    odd = replace(NOTE, kind="hop", record={"event": "opened", "hop": "gone"}, task=handed.task)
    chainless = replace(NOTE, kind="decision", record={"chain": 3}, task=handed.task, decision="dec_x")
    handed.guard.ledger.record([odd, chainless])
    assert "hop assistant -> clerk" in desk(f"log chain {handed.task}").out


def test_tail_and_show_tell_of_hops(desk: Shell, handed: Handed) -> None:
    told = desk("log tail").out
    assert "delegate:clerk" in told
    assert "assistant -> clerk" in told
    decision = next(row for row in handed.guard.ledger.rows() if row.tool == "delegate:clerk")
    shown = desk(f"log show {decision.decision}").out
    assert "delegation.asked.purpose" in shown
    assert "read ticket 7" in shown


def test_task_and_agent_show_tell_what_may_be_handed_on(desk: Shell, handed: Handed) -> None:
    shown = desk(f"task show {handed.task}").out
    assert "1 deep, 2 at once" in shown
    assert f"assistant -> clerk open, 0 of 3 calls, 0 of 0 writes, {handed.chain.hops[0]}" in shown
    assert "may hand on" in desk("agent show assistant").out
    assert "may hand on" not in desk("agent show clerk").out


def test_a_revoked_hop_refuses_its_next_call_in_a_process_that_runs(desk: Shell, handed: Handed) -> None:
    assert handed.guard.authorize(READ, handed.chain).permitted
    told = desk(f"revoke hop {handed.chain.hops[0]} --why lost --by ana")
    assert "is refused its next call" in told.out
    assert handed.guard.authorize(READ, handed.chain).verdict.reason == "hop_revoked"
    assert handed.guard.authorize(READ, handed.guard.enter(handed.task)).permitted


def test_a_hop_that_is_not_there_cannot_be_revoked(desk: Shell, handed: Handed) -> None:
    assert "There is no hop hop_9" in desk.fails("revoke hop hop_9 --why lost").err


def test_a_revoked_hop_is_shown_as_revoked_and_not_as_open(desk: Shell, handed: Handed) -> None:
    told = desk(f"revoke hop {handed.chain.hops[0]} --why lost")
    assert f"hopward log chain {handed.task}" in told.err
    assert "completed already" not in told.err
    assert "read ticket 7 revoked, 0 of 3 calls" in desk(f"log chain {handed.task}").out
    assert "clerk revoked, 0 of 3 calls" in desk(f"task show {handed.task}").out


def test_revoking_a_completed_hop_says_that_it_was_over(desk: Shell, handed: Handed) -> None:
    handed.guard.complete_hop(handed.chain)
    assert "completed already" in desk(f"revoke hop {handed.chain.hops[0]} --why late").err
    assert "read ticket 7 completed" in desk(f"log chain {handed.task}").out
    assert not handed.guard.authorize(READ, handed.chain).permitted
