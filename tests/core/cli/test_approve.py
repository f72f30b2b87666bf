"""`hopward approve`"""

from collections.abc import Iterator
from contextlib import closing

import pytest

from hopward.model import ToolCall
from hopward.osuser import os_user
from hopward.wiring import Guard

from .shell import Shell

HELD = """
@id("large") @step_up("bosses") @reason("A refund is a person's decision.")
forbid (principal, action == Hopward::Action::"desk/refund", resource);
"""
REFUND = ToolCall(server="desk", tool="refund", arguments={"amount": 5, "note": "\x1b[2Jhi"})


@pytest.fixture
def held(desk: Shell) -> Iterator[Guard]:
    """A desk where whoever runs the tests, and carol, approve refunds."""
    config = (desk.folder / "hopward.toml").read_text()
    group = f'[approvals.groups.bosses]\nmembers = ["{os_user()}", "local:carol"]\n\n'
    desk.write("hopward.toml", group + config)
    desk.write("policies/held.cedar", HELD)
    with closing(Guard.open(desk.folder / "hopward.toml")) as guard:
        yield guard


def refund(guard: Guard, subject: str = "ana") -> str:
    chain = guard.enter(guard.open_task("tickets", subject).id)
    return guard.authorize(REFUND, chain).approval


def test_the_list_shows_what_waits_and_for_whom(desk: Shell, held: Guard) -> None:
    assert "Nothing is pending" in desk("approve").err
    approval = refund(held)
    printed = desk("approve")
    (line,) = printed.out.splitlines()[1:]
    for part in (approval, "pending", "assistant", "desk/refund", '"amount": 5', "1 of bosses"):
        assert part in line
    assert desk("approve --json").json["id"] == approval


def test_a_list_that_is_cut_says_so(desk: Shell, held: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopward.cli.approve._MOST", 2)
    for number in range(2):
        refund(held, f"ana{number}")
    assert "more than these" not in desk("approve").err
    refund(held, "cleo")
    for options in ("approve --json", "approve --all --json"):
        printed = desk(options)
        assert "There are more than these, the latest 2." in printed.err
        assert len(printed.json_lines) == 2


def test_at_a_terminal_what_was_changed_is_shown_before_it_is_asked_about(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    shown = " ".join(desk(f"approve {approval} --set amount=3").out.split())
    assert "amount 5" in shown
    assert "amount, changed 3" in shown
    assert "note, changed" not in shown


def test_one_shows_who_wants_what_why_and_who_may_approve_it(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    printed = desk(f"approve {approval}")
    assert "on behalf of ana" in printed.out
    assert "assistant: Answer one ticket" in printed.out
    assert "desk/refund" in printed.out
    assert "A refund is a person's decision." in printed.out
    assert f"1 of bosses: {os_user()}, local:carol" in printed.out
    assert "pay at desk" in printed.out
    assert "\x1b" not in printed.out
    assert "[2Jhi" in printed.out
    assert "--reject --why" in printed.err
    assert held.approvals.get(approval).state == "pending"


def test_yes_is_that_of_the_user_who_runs_the_command(
    desk: Shell, held: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "carol")
    monkeypatch.setenv("USER", "carol")
    approval = refund(held)
    assert f"Approved {approval}" in desk(f"approve {approval} --yes --why 'seen it'").out
    found = desk(f"approve {approval} --json").json
    assert (found["state"], found["answers"][0]["by"]) == ("approved", os_user())
    assert found["answers"][0]["why"] == "seen it"
    assert desk("approve --json").json_lines == []
    assert desk("approve --all --json").json["id"] == approval


def test_nobody_can_say_who_they_are(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    for option in ("--by", "--as"):
        desk.fails(f"approve {approval} --yes {option} local:carol", status=2)
    assert held.approvals.get(approval).state == "pending"


def test_no_needs_a_reason_and_ends_it(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    assert "needs a reason" in desk.fails(f"approve {approval} --reject").err
    assert f"Rejected {approval}" in desk(f"approve {approval} --reject --why 'too much'").out
    assert "is rejected" in desk.fails(f"approve {approval} --yes").err


def test_who_asked_for_it_cannot_approve_it(desk: Shell, held: Guard) -> None:
    approval = refund(held, os_user())
    assert "in their own name" in desk.fails(f"approve {approval} --yes").err


def test_an_argument_can_be_changed(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    shown = desk(f"approve {approval} --set amount=3")
    assert "amount, changed 3" in " ".join(shown.out.split())
    printed = desk(f"approve {approval} --yes --set amount=3 --set note=[1]")
    assert f"Rejected {approval}; approved instead" in printed.out
    (edited,) = [one for one in held.approvals.find(()) if one.id != approval]
    assert edited.arguments == {"amount": 3, "note": [1]}
    assert edited.state == "approved"


def test_a_mistyped_argument_approves_nothing(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    refused = desk.fails(f"approve {approval} --yes --set amuont=3").err
    assert "desk/refund has no argument 'amuont'" in refused
    assert "amount" in refused.partition("amuont")[2]
    assert [one.state for one in held.approvals.find(())] == ["pending"]


def test_a_declared_argument_that_the_call_left_out_can_be_set(desk: Shell, held: Guard) -> None:
    call = ToolCall(server="desk", tool="refund", arguments={"note": "hi"})
    asked = held.authorize(call, held.enter(held.open_task("tickets", "ana").id)).approval
    desk(f"approve {asked} --yes --set amount=3")
    (edited,) = held.approvals.find(("approved",))
    assert edited.arguments == {"note": "hi", "amount": 3}


def test_the_report_tells_who_approves_how_many_and_how_fast(desk: Shell, held: Guard) -> None:
    assert "Nobody has answered" in desk("approve --report").err
    for number in range(3):
        held.approvals.approve(refund(held, f"ana{number}"), by="local:carol")
    desk(f"approve {refund(held)} --reject --why 'too much'")
    carol, own = desk("approve --report --json").json_lines
    assert carol == {
        "person": "local:carol",
        "yes": 3,
        "no": 0,
        "percent_yes": 100,
        "grants": 0,
        "together": 0,
        "median_seconds": 0,
        "at_a_glance": 3,
        "most_approved": "desk/refund",
        "rubber_stamp": False,
    }
    assert (own["person"], own["yes"], own["no"], own["most_approved"]) == (os_user(), 0, 1, "")
    line = desk("approve --report").out.splitlines()[1]
    assert line.split() == ["local:carol", "3", "0", "100", "0", "0", "0", "3", "desk/refund"]


def test_the_report_names_who_says_yes_to_everything_without_reading(desk: Shell, held: Guard) -> None:
    for number in range(5):
        held.approvals.approve(refund(held, f"ana{number}"), by="local:carol")
    printed = desk("approve --report")
    assert "local:carol says yes to everything" in printed.out
    assert "Ask less often" in printed.err
    assert desk("approve --report --json").json["rubber_stamp"] is True
    held.approvals.reject(refund(held), by="local:carol", why="too much")
    assert "says yes to everything" not in desk("approve --report").out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("apr_1 --yes --reject --why x", "not both"),
        ("apr_1 --reject --why x --set a=1", "goes with --yes"),
        ("--yes", "Name the approval"),
        ("apr_1 --report", "leave out the ID"),
        ("apr_1 --yes --for-task", "--times N go together"),
        ("apr_1 --yes --times 2", "--times N go together"),
        ("apr_1 --for-task --times 2", "goes with --yes"),
        ("apr_1 --yes --and apr_2 --for-task --times 2", "leave out --set and --for-task"),
        ("apr_1 --yes --same --set a=1", "leave out --set and --for-task"),
        ("--same", "Name the approval"),
        ("apr_1", "There is no approval apr_1"),
    ],
)
@pytest.mark.usefixtures("held")
def test_what_makes_no_sense_is_refused(desk: Shell, options: str, told: str) -> None:
    printed = desk.run(f"approve {options}")
    assert printed.status != 0
    assert told in printed.err


def test_a_change_must_have_a_name_and_a_value(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    assert "NAME=VALUE" in desk.fails(f"approve {approval} --yes --set amount", status=2).err


def test_one_that_counts_no_more_says_why(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    held.complete_task(held.approvals.get(approval).chain.task)
    assert "void: The task is completed." in desk(f"approve {approval}").out
    assert "is void" in desk.fails(f"approve {approval} --yes").err


def test_the_log_shows_what_was_asked_and_answered(desk: Shell, held: Guard) -> None:
    approval = refund(held)
    desk(f"approve {approval} --yes --why 'seen it'")
    task = held.approvals.get(approval).chain.task
    lines = desk(f"log chain {task}").out
    assert f"requested {approval}" in lines
    assert f"approved {approval} by {os_user()}: seen it" in lines
    assert "requested" in desk("log tail --kind approval").out


@pytest.mark.parametrize("amount", ["1e400", "NaN", "-Infinity"])
def test_a_number_that_is_none_is_not_approved_and_it_is_said_why(
    desk: Shell, held: Guard, amount: str
) -> None:
    approval = refund(held)
    told = desk.fails(f"approve {approval} --yes --set amount={amount}").err
    assert "internal error" not in told
    assert "must be a" in told
    assert held.approvals.get(approval).state == "pending"
