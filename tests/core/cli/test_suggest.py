"""`hopward policy suggest` at the terminal."""

from pathlib import Path

import pytest

from hopward import ToolCall
from hopward.wiring import Guard

from .shell import Shell

READ = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T-1"})


@pytest.fixture
def used(desk: Shell, guard: Guard) -> str:
    """The id of the one decision in the log."""
    return guard.authorize(READ, guard.enter(guard.open_task("tickets", "alice").id)).id


def test_it_prints_a_diff_and_says_what_it_is_based_on(desk: Shell, used: str) -> None:
    printed = desk("policy suggest")
    assert printed.out.startswith("--- a/hopward.toml\n+++ b/hopward.toml\n")
    assert f"based on 1 call in 1 task, first {used}, last {used}" in printed.out
    assert "Based on 1 calls. Decided again under this suggestion, all are permitted." in printed.err


def test_nothing_is_written_without_out_and_never_over_something(desk: Shell, used: str) -> None:
    written = [desk.folder / "hopward.toml", *desk.folder.glob("policies/*")]
    before = {path: path.read_bytes() for path in written}
    desk("policy suggest")
    desk("policy suggest --out new")
    assert before == {path: path.read_bytes() for path in before}
    assert {path.name for path in (desk.folder / "new").iterdir()} == {"hopward.toml", "suggestion.diff"}
    for there in ("new", "policies", "."):
        assert "Name a folder that is not there yet." in desk.fails(f"policy suggest --out {there}", 2).err


def test_what_is_suggested_can_be_used(desk: Shell, used: str) -> None:
    desk("policy suggest --out new")
    suggested: Path = desk.folder / "new" / "hopward.toml"
    desk.write("hopward.toml", suggested.read_text("utf-8"))
    desk("policy check")
    assert "permit" in desk("policy explain desk/read_ticket ticket=T-1 --agent assistant").out


def test_the_json_names_what_was_learned(desk: Shell, used: str) -> None:
    found = desk("policy suggest --json").json
    assert found["based_on"] == [used]
    assert (found["permitted_again"], found["with_approval"], found["not_permitted"]) == (1, [], {})


def test_nothing_to_learn_from_is_said(desk: Shell) -> None:
    printed = desk("policy suggest")
    assert printed.out == ""
    assert "nothing to learn from" in printed.err


@pytest.mark.parametrize("age", ["7", "week", "-1d", "7dd", ""])
def test_an_age_that_is_none_is_refused(desk: Shell, age: str) -> None:
    assert "write 7d, 12h or 30m" in desk.fails(f"policy suggest --since '{age}'", 2).err


def test_calls_after_untrusted_content_are_named_with_their_risk(desk: Shell, guard: Guard) -> None:
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    guard.authorize(READ, chain)
    again = guard.authorize(READ, chain)
    assert again.permitted
    told = desk("policy suggest").err
    assert f"Not learned from: 1 call ({again.id}), made after untrusted content" in told
    assert f"RISK: learned from 1 call ({again.id})" in desk("policy suggest --include-tainted").err
