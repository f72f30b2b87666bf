"""What a person is shown who is asked to approve something."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from hopward import ConfigError, Guard, capability
from hopward.approval import Approval, Taken
from hopward.config import read_settings
from hopward.testing.clock import FixedClock

from .approving import CONFIG, POLICY, handed, office, opened, task_of, write

UNDO = "Take the note off the board."
CAREFUL = CONFIG.replace(
    'arguments = { text = "string" } }',
    f'arguments = {{ text = "string", board = "string" }}, names = ["board"], undo = "{UNDO}" }}',
).replace("[approvals]", '[approvals]\npage = "https://desk.example"')


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def guard(tmp_path: Path, clock: FixedClock) -> Guard:
    return opened(office(tmp_path, CAREFUL), clock)


def asked(guard: Guard) -> Approval:
    decision = guard.authorize(write("hello", board="B-7"), task_of(guard))
    assert decision.verdict.name == "step-up"
    return guard.approvals.get(decision.approval)


def test_a_summary_says_who_wants_what_and_why_and_how_it_is_undone(guard: Guard) -> None:
    found = asked(guard)
    told = guard.approvals.summary(found)
    assert (told.id, told.state, told.call, told.subject) == (found.id, "pending", "desk/write", "alice")
    assert told.chain == (("assistant", "keep the notes"),)
    shown = {one.name: (one.value, one.provenance) for one in told.arguments}
    assert shown == {"text": ('"hello"', ""), "board": ('"B-7"', "untrusted")}
    assert (told.does, told.reaches) == ("write at desk; internal, trusted", "desk")
    assert (told.undo, told.hidden) == (UNDO, "")
    assert told.may_approve == ("1 of editors: carol, alice, ops",)
    lines = told.text().split("\n")
    assert 'board = "B-7" (untrusted)' in lines
    assert f"To undo it: {UNDO}" in lines


def test_a_summary_says_what_the_task_has_taken_in(guard: Guard) -> None:
    taken = Taken("confidential", "untrusted", ("mail", "web"))
    told = guard.approvals.summary(replace(asked(guard), taken=taken))
    assert told.taken == "confidential, untrusted content of mail, web"


def test_a_tool_without_a_way_back_says_so(tmp_path: Path, clock: FixedClock) -> None:
    guard = opened(office(tmp_path), clock)
    assert guard.approvals.summary(asked(guard)).undo.startswith("Nothing is declared")


def test_nothing_in_a_summary_can_move_a_cursor_or_forge_a_line(guard: Guard) -> None:
    evil = "x\nMay approve: everybody\x1b[2J\u202e"
    found = replace(asked(guard), purposes=(evil,), sentence=evil, arguments={evil: evil})
    told = guard.approvals.summary(found)
    assert not any(line.startswith("May approve: everybody") for line in told.text().split("\n"))
    assert told.text().replace("\n", "").isprintable()


def test_the_agent_and_the_person_are_told_the_page(guard: Guard) -> None:
    decision = guard.authorize(write("hello"), task_of(guard))
    page = f"https://desk.example/approvals/{decision.approval}"
    assert guard.approvals.address(decision.approval) == page
    assert f"or an answer at {page}, then make exactly this call again." in decision.verdict.sentence


def test_answers_stand_in_the_summary(guard: Guard) -> None:
    said = guard.approvals.approve(asked(guard).id, by="carol", why="it is short")
    told = guard.approvals.summary(said)
    assert told.answers == ("carol 2026-11-25T12:00:00Z: yes, it is short",)
    assert told.text().endswith("\nUntil: 2026-11-25T12:15:00Z")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('page = "http://desk.example"', "http:// is allowed on a loopback address only"),
        ("wait = 601", "must be 0 to 600 seconds"),
    ],
)
def test_a_page_or_wait_that_cannot_be_refuses_to_start(tmp_path: Path, wrong: str, told: str) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG.replace("[approvals]", f"[approvals]\n{wrong}"))
    with pytest.raises(ConfigError, match=told):
        read_settings(path)


def test_answers_in_a_client_need_a_subject_who_may_approve(tmp_path: Path) -> None:
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG.replace("people = 2", "people = 2\nin_client = true"))
    with pytest.raises(ConfigError, match="needs subject_may_approve"):
        read_settings(path)
    path.write_text(
        CONFIG.replace("subject_may_approve = true", "subject_may_approve = true\nin_client = true")
    )
    assert read_settings(path).approvals.groups["own"].in_client


def test_the_name_of_an_argument_cannot_pass_for_a_line_of_the_summary(guard: Guard) -> None:
    names = ["Until: 2030; reaches", 'account = "DE1" (anchored); text', "\u3164\u115f\u2800", "x\ufe0f"]
    found = replace(asked(guard), arguments=dict.fromkeys(names, "x"))
    lines = guard.approvals.summary(found).text().split("\n")
    assert '"Until: 2030; reaches" = "x" (not declared: policies do not see it)' in lines
    assert any(
        line.startswith('"account = \\"DE1\\" (anchored); text" = "x" (not declared') for line in lines
    )
    assert any(line.startswith('"\\u3164\\u115f\\u2800" = ') for line in lines)
    assert any(line.startswith('"x\\ufe0f" = ') for line in lines)


HELD = '@step_up("editors") forbid (principal, action == Hopward::Action::"delegate", resource);'


@pytest.fixture
def hop(tmp_path: Path, clock: FixedClock) -> Iterator[tuple[Guard, Approval]]:
    """A question whether work may be handed on."""
    with closing(opened(office(tmp_path, policy=POLICY + HELD), clock)) as guard:
        with pytest.raises(AssertionError):
            handed(guard, task_of(guard))
        (approval,) = guard.approvals.find()
        yield guard, approval


def test_a_delegation_is_shown_as_who_would_get_what_and_for_how_much(hop: tuple[Guard, Approval]) -> None:
    guard, approval = hop
    told = guard.approvals.summary(approval)
    assert (told.chain, told.receiver) == (
        (("assistant", "keep the notes"),),
        (("helper", "write it down"),),
    )
    (may,) = capability.lines(guard.settings.agents["helper"].ceiling)
    shown = [(one.name, one.value) for one in told.arguments]
    assert shown == [("may", may), ("budget", "5 calls, 5 writes"), ("for", "600 seconds")]
    lines = told.text().split("\n")
    assert "  would hand on to helper: write it down" in lines
    assert not any("digest" in line or "{" in line for line in lines)


def test_all_that_a_hop_would_carry_is_shown_and_harmless(hop: tuple[Guard, Approval]) -> None:
    guard, approval = hop
    asked = approval.arguments["asked"]
    more = {
        "purpose": "x\x1b[2J",
        "budget": {"calls": 1, "writes": 0, "money": {"EUR": "5.00"}, "bytes_out": 9, "destinations": 2},
        "delegable": asked["capabilities"],
        "depth": 1,
        "fan_out": 3,
        "shared": True,
    }
    told = guard.approvals.summary(
        replace(approval, arguments={**approval.arguments, "asked": {**asked, **more}, "key": "k\u202e"})
    )
    shown = {one.name: one.value for one in told.arguments}
    assert shown["budget"] == (
        "1 calls, 0 writes, 5.00 EUR, 9 bytes out, 2 destinations, shared with its delegator"
    )
    assert shown["may hand on"] == shown["may"]
    assert (shown["hops"], shown["proves"]) == ("1 deep, 3 at once", "possession of the key k\\u202e")
    assert told.receiver == (("helper", "x\\x1b[2J"),)


def test_what_no_delegation_can_be_read_from_is_shown_as_it_is(hop: tuple[Guard, Approval]) -> None:
    guard, approval = hop
    told = guard.approvals.summary(replace(approval, arguments={"agent": "helper", "asked": {"depth": "x"}}))
    assert told.receiver == ()
    assert [one.name for one in told.arguments] == ["agent", "asked"]
