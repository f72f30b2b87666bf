"""`hopward approve --for-task` and `--same`: one answer to several calls, or to several questions"""

from collections.abc import Iterator
from contextlib import closing

import pytest

from hopward.model import ToolCall
from hopward.osuser import os_user
from hopward.wiring import Guard

from .shell import Shell

HELD = """
@id("large") @step_up("bosses") forbid (principal, action == Hopward::Action::"desk/refund", resource);
@id("noted") @step_up("bosses") forbid (principal, action == Hopward::Action::"desk/note", resource);
"""
NOTE = """
[servers.desk.tools.note]
action = "send"
sensitivity = "internal"
integrity = "trusted"
ceiling = "internal"
destination = "desk"
arguments = { text = "string", board = "string" }
names = ["board"]
"""
REFUND = ToolCall(server="desk", tool="refund", arguments={"amount": 5})


@pytest.fixture
def held(desk: Shell) -> Iterator[Guard]:
    """A desk where whoever runs the tests, and carol, approve refunds and notes."""
    config = (desk.folder / "hopward.toml").read_text()
    group = f'[approvals.groups.bosses]\nmembers = ["{os_user()}", "local:carol"]\nmost_times = 5\n\n'
    more = config.replace('"pay"]', '"pay", "send"]').replace("writes = 1", "writes = 5")
    desk.write("hopward.toml", group + more + NOTE)
    desk.write("policies/held.cedar", HELD)
    with closing(Guard.open(desk.folder / "hopward.toml")) as guard:
        yield guard


def refund(guard: Guard, subject: str = "ana") -> str:
    return guard.authorize(REFUND, guard.enter(guard.open_task("tickets", subject).id)).approval


def noted(text: str = "hello") -> ToolCall:
    return ToolCall(server="desk", tool="note", arguments={"text": text})


def note(guard: Guard) -> str:
    return guard.authorize(noted(), guard.enter(guard.open_task("tickets", "ana").id)).approval


def test_a_yes_holds_for_several_calls_of_the_task_where_the_person_says_so(desk: Shell, held: Guard) -> None:
    approval = note(held)
    shown = desk(f"approve {approval}")
    assert "this call, or up to 5 such calls of this task: any text; all else as shown" in shown.out
    printed = desk(f"approve {approval} --yes --for-task --times 2")
    assert f"Approved {approval}: up to 2 such calls of this task, until" in printed.out
    assert "They may differ in this: any text; all else as shown." in printed.err
    (line,) = desk("approve").out.splitlines()[1:]
    assert "approved, 2 of 2 left" in line
    chain = held.approvals.get(approval).chain
    assert held.authorize(noted("another"), chain).verdict.reason == "granted"
    assert "approved, 1 of 2 left" in desk("approve").out
    (used,) = held.approvals.get(approval).uses
    assert used.decision in desk(f"approve {approval}").out
    assert "granted" in desk("approve --report").out or desk("approve --report --json").json["grants"] == 1
    assert f"Taken back {approval}" in desk(f"approve {approval} --reject --why enough").out
    assert held.authorize(noted("a third"), chain).verdict.reason == "approval_required"


def test_what_cannot_be_granted_is_refused_with_the_reason(desk: Shell, held: Guard) -> None:
    told = desk.fails(f"approve {refund(held)} --yes --for-task --times 2").err
    assert "does not say how much" in told
    assert "5 calls at most" in desk.fails(f"approve {note(held)} --yes --for-task --times 6").err


def test_what_asks_the_same_is_one_line_and_is_answered_together(desk: Shell, held: Guard) -> None:
    first, second, own = refund(held, "ana"), refund(held, "bert"), refund(held, os_user())
    other = note(held)
    lines = desk("approve").out.splitlines()[1:]
    assert len(lines) == 2
    assert f"{own}  pending, 3 the same  assistant  desk/refund" in lines[1]
    assert len(desk("approve --json").json_lines) == 4
    shown = " ".join(desk(f"approve {first}").out.split())
    assert f"asked too {own}: assistant: Answer one ticket, on behalf of {os_user()}" in shown
    assert f"asked too {second}: assistant: Answer one ticket, on behalf of bert" in shown
    printed = desk(f"approve {first} --yes --and {second} --and {own} --why 'all three are lost'")
    assert f"Approved {first}: assistant, on behalf of ana" in printed.out
    assert f"Approved {second}: assistant, on behalf of bert" in printed.out
    assert f"Left {own}: This is done on behalf of {os_user()}" in printed.err
    states = [held.approvals.get(one).state for one in (first, second, own, other)]
    assert states == ["approved", "approved", "pending", "pending"]
    assert held.approvals.get(second).answers[0].same_as == first
    assert desk("approve --report --json").json["together"] == 1


def test_one_no_ends_all_that_ask_the_same(desk: Shell, held: Guard) -> None:
    first, second = refund(held, "ana"), refund(held, "bert")
    assert "needs a reason" in desk.fails(f"approve {first} --reject --and {second}").err
    printed = desk(f"approve {first} --reject --and {second} --why 'too much' --json")
    assert [(one["id"], one["state"]) for one in printed.json_lines] == [
        (first, "rejected"),
        (second, "rejected"),
    ]


def test_what_has_not_been_shown_is_not_answered_along(desk: Shell, held: Guard) -> None:
    first, second, late = refund(held, "ana"), refund(held, "bert"), refund(held, "cleo")
    assert "name what you have seen" in desk.fails(f"approve {first} --yes --same", status=2).err
    assert "goes with --yes" in desk.fails(f"approve {first} --and {second}", status=2).err
    desk(f"approve {first} --yes --and {second}")
    assert [held.approvals.get(one).state for one in (first, second, late)] == [
        "approved",
        "approved",
        "pending",
    ]


def test_a_question_that_waits_is_never_on_the_line_of_an_answered_one(desk: Shell, held: Guard) -> None:
    granted, waits = note(held), note(held)
    held.approvals.approve(granted, by="local:carol", times=3)
    told = {line.split()[0]: line for line in desk("approve").out.splitlines()[1:]}
    assert told[waits].split()[1:3] == ["pending", "assistant"]
    assert "approved, 3 of 3 left" in told[granted]
    no, yes, open_one = refund(held, "ana"), refund(held, "bert"), refund(held, "cleo")
    held.approvals.reject(no, by="local:carol", why="no")
    held.approvals.approve(yes, by="local:carol")
    lines = desk("approve --all").out.splitlines()[1:]
    states = {
        one: next(line for line in lines if line.startswith(one)).split()[1] for one in (no, yes, open_one)
    }
    assert states == {no: "rejected", yes: "approved", open_one: "pending"}
