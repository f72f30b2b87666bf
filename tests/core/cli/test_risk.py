"""`hopward risk` and what `hopward policy explain` says of behaviour"""

import pytest

from hopward.model import Chain, ToolCall
from hopward.wiring import Guard

from .shell import Shell

UNHEARD = ToolCall(server="desk", tool="unheard_of")


@pytest.fixture
def chain(desk: Shell, guard: Guard) -> Chain:
    return guard.enter(desk("task open --workflow tickets --subject ana --json").json["id"])


def refused(guard: Guard, chain: Chain, times: int) -> None:
    for _ in range(times):
        guard.authorize(UNHEARD, chain)


def test_an_agent_that_was_never_seen_is_of_low_risk(desk: Shell) -> None:
    assert "low: 0 points" in desk("risk explain assistant").out
    assert "Nothing is out of the ordinary." in desk("risk explain assistant").out


def test_every_signal_is_explained_with_numbers_and_what_would_lower_the_risk(
    desk: Shell, guard: Guard, chain: Chain
) -> None:
    refused(guard, chain, 12)
    told = desk("risk explain assistant").out
    assert "elevated: 35 points" in told
    assert "12 calls refused within 60 s; from 12 on it is a signal." in told
    assert "12 calls in succession refused, none permitted" in told
    assert "Unless more happens, the risk is lower in " in told
    listed = desk("risk list").out
    assert "elevated  35" in listed
    assert "denials, streak" in listed


def test_a_task_adds_its_own_signals(desk: Shell, guard: Guard, chain: Chain) -> None:
    refused(guard, chain, 12)
    answer = desk(f"risk explain assistant --task {chain.task} --json").json
    assert (answer["risk"], answer["risk_points"], answer["action"]) == ("high", 45, "none")
    assert [one["name"] for one in answer["signals"]] == ["denials", "streak", "repetition"]
    (listed,) = [one for one in desk("risk list --json").json_lines if one["agent"] == "assistant"]
    assert listed["risk_points"] == 35


def test_what_does_not_exist_has_no_risk(desk: Shell) -> None:
    assert "did you mean assistant?" in desk.fails("risk explain asistant").err
    assert "There is no task task_x" in desk.fails("risk explain assistant --task task_x").err


def test_the_explanation_of_a_call_tells_the_risk(desk: Shell, guard: Guard, chain: Chain) -> None:
    asked = f"policy explain --agent assistant --task {chain.task} desk/read_ticket ticket=T1"
    assert "risk" not in desk(asked).out
    refused(guard, chain, 12)
    told = desk(asked).out
    assert "elevated, 35 points" in told
    assert "12 calls refused within 60 s" in told
