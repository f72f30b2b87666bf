"""`hopward quarantine`, `hopward release` and `hopward stop`"""

import pytest

from hopward.model import Chain, ToolCall
from hopward.wiring import Guard

from .shell import Shell, executable

CALL = ToolCall(server="desk", tool="read_ticket", arguments={"ticket": "T1"})


@pytest.fixture
def chain(desk: Shell, guard: Guard) -> Chain:
    task = desk("task open --workflow tickets --subject ana --json").json["id"]
    return guard.enter(task)


@pytest.mark.parametrize("kind", ["agent", "task", "tool", "tools", "server", "subject"])
def test_what_is_quarantined_refuses_the_next_call_until_it_is_released(
    desk: Shell, guard: Guard, chain: Chain, kind: str
) -> None:
    names = {"agent": chain.actor, "task": chain.task, "tool": "desk/read_ticket", "tools": "desk/*"}
    one = f"{kind.removesuffix('s')} {(names | {'server': 'desk', 'subject': 'ana'})[kind]}"
    assert guard.authorize(CALL, chain).permitted
    assert f"Quarantined {one}" in desk(f"quarantine {one} --why 'it loops' --by bo").out
    assert guard.authorize(CALL, chain).verdict.reason == "quarantined"
    assert one.partition(" ")[2] in desk("quarantine").out
    assert f"Released {one}" in desk(f"release {one} --why 'fixed'").out
    assert guard.authorize(CALL, chain).permitted
    assert "Nothing is quarantined" in desk("quarantine").err


def test_a_second_quarantine_changes_nothing_and_says_whose_stands(desk: Shell) -> None:
    desk("quarantine agent assistant --why first --by bo")
    again = desk("quarantine agent assistant --why second --by al")
    assert "quarantined already, since" in again.out
    assert "by bo: first. Nothing was changed." in again.out
    (told,) = desk("quarantine --json").json_lines
    assert (told["by"], told["why"]) == ("bo", "first")


def test_what_does_not_exist_is_an_error_with_the_nearest_name(desk: Shell) -> None:
    printed = desk.fails("quarantine agent assistnt --why x")
    assert "There is no agent 'assistnt'; did you mean assistant?" in printed.err
    desk("quarantine agent assistant --why x")
    printed = desk.fails("release agent assistnt --why x")
    assert "The agent 'assistnt' is not quarantined; did you mean assistant?" in printed.err
    assert "assistant" in desk("quarantine").out


def test_a_quarantine_needs_a_reason_and_an_id(desk: Shell) -> None:
    for line in ("quarantine agent assistant", "quarantine agent --why x", "release agent assistant"):
        desk.fails(line, status=2)
    desk.fails("quarantine hop hop_1 --why x", status=2)
    assert "Nothing is quarantined" in desk("quarantine").err


def test_an_agent_does_not_release_itself(desk: Shell) -> None:
    desk("quarantine agent assistant --why x")
    printed = desk.fails("release agent assistant --by assistant --why 'all is well'")
    assert "only a person takes a containment back" in printed.err
    assert "assistant" in desk("quarantine").out


def test_what_is_quarantined_is_shown_where_one_looks(desk: Shell, chain: Chain) -> None:
    desk("quarantine agent assistant --why loops --by bo")
    desk(f"quarantine task {chain.task} --why odd --by bo")
    desk("quarantine tool desk/refund --why odd --by bo")
    assert "by bo: loops" in desk("agent show assistant").out
    assert "by bo: odd" in desk(f"task show {chain.task}").out
    doctor = desk.run("doctor").out
    assert "Agent assistant is quarantined since" in doctor
    assert "hopward release tool desk/refund --why TEXT" in doctor
    row = desk("log tail -n 1 --kind containment").out
    assert "containment" in row
    assert "tool desk/refund" in row
    assert "quarantined" in row
    desk("release agent assistant --why fixed")
    desk(f"release task {chain.task} --why fixed")
    answer = desk(f"policy explain desk/refund amount=1 --task {chain.task} --json").json
    assert answer["verdict"]["reason"] == "quarantined"
    assert "Tool desk/refund is quarantined" in answer["verdict"]["sentence"]


def test_the_stop_is_shown_and_lifted_by_a_named_person_only(desk: Shell, guard: Guard, chain: Chain) -> None:
    assert "Nothing is stopped" in desk("stop").out
    assert "EVERYTHING IS STOPPED" in desk("stop --all --why 'an incident' --by bo").out
    assert guard.authorize(CALL, chain).verdict.reason == "stopped"
    assert "EVERYTHING IS STOPPED since" in desk("stop").out
    assert desk("stop --json").json["containment"]["by"] == "bo"
    assert "stopped already" in desk("stop --all --why again").out
    assert "needs a named person" in desk.fails("stop --lift --why over", status=2).err
    assert "only a person" in desk.fails("stop --lift --by assistant --why over").err
    assert "EVERYTHING IS STOPPED" in desk.fails("doctor").out
    assert "EVERYTHING IS STOPPED" in desk("quarantine").err
    assert "Everything is stopped since" in desk.fails("task open --workflow tickets").err
    assert "Everything is stopped since" in desk.fails(f"task token {chain.task} --server desk").err
    assert "Lifted the stop" in desk("stop --lift --by bo --why over").out
    assert guard.authorize(CALL, chain).permitted
    assert "Nothing is stopped" in desk.fails("stop --lift --by bo --why over").err


def test_the_switch_takes_one_way_at_a_time(desk: Shell) -> None:
    for line in ("--all --lift --by bo --why x", "--all", "--lift --by bo", "--why x", "--by bo"):
        desk.fails(f"stop {line}", status=2)
    assert "Nothing is stopped" in desk("stop").out


def test_everything_is_stopped_without_policies_or_keys(desk: Shell) -> None:
    folder = desk.folder
    for broken in (folder / "policies").glob("*.cedar"):
        broken.write_text("this is no policy")
    for key in (folder / ".hopward" / "keys").glob("*.json"):
        key.unlink()
    desk("stop --all --why 'an incident'")
    desk("quarantine agent assistant --why 'an incident'")
    assert "EVERYTHING IS STOPPED" in desk("stop").out


def test_a_stop_by_another_process_refuses_the_next_call_of_one_that_runs(
    desk: Shell, guard: Guard, chain: Chain
) -> None:
    assert guard.authorize(CALL, chain).permitted
    assert executable(desk.folder, "stop --all --why 'an incident'").status == 0
    assert guard.authorize(CALL, chain).verdict.reason == "stopped"
