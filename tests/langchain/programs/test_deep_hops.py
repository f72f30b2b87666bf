"""deepagents: its `task` tool, which nobody protects, is a hop to the agent that is configured for it."""

from collections.abc import Callable
from typing import Any

import pytest
from deepagents import create_deep_agent

from .office import Office, calls, deep, scripted
from .test_tool_hops import LATER, run, telling


def work(kind: str) -> tuple[str, dict[str, Any]]:
    return ("task", {"description": "do it", "subagent_type": kind})


def declared(name: str, tools: list[Any] | None = None) -> Any:
    spec = {"name": name, "description": name, "system_prompt": name}
    return spec if tools is None else spec | {"tools": tools}


@LATER
@pytest.mark.parametrize("inherited", [False, True], ids=["own-tools", "inherited-tools"])
def test_a_declared_sub_agent_acts_as_the_agent_it_is_registered_as(
    open_office: Callable[[str], Office], inherited: bool, later: bool
) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()
    tools = office.tools()
    model = scripted(calls(work("payer")), calls(("pay", {"amount": 5})))
    payer = declared("payer", None if inherited else tools)
    agent = create_deep_agent(model, tools, subagents=[payer], middleware=[office.hopward.middleware()])
    with office.task() as task:
        run(agent, later)
        assert office.open_hops(task.id) == 0
    assert office.story() == [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]
    assert office.paid == [5]


@LATER
def test_the_automatic_general_purpose_sub_agent_is_bounded_by_its_own_hop(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(deep("researcher", "general-purpose"))
    office.hopward.install()
    tools = office.tools()
    model = scripted(calls(work("general-purpose")), calls(("pay", {"amount": 5})), calls(("look", {})))
    with office.task():
        run(create_deep_agent(model, tools), later)
    assert office.story() == [
        ("boss", "delegate:researcher", "permit"),
        ("boss>researcher", "pay", "outside_hop"),
        ("boss>researcher", "look", "permit"),
    ]
    assert office.paid == []


@LATER
def test_a_sub_agent_that_nobody_registered_gets_nothing(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()
    tools = office.tools()
    model = scripted(calls(work("general-purpose")), calls(work("stranger")), calls(("look", {})))
    agent = create_deep_agent(model, tools, subagents=[declared("stranger", tools)])
    with office.task():
        result = run(agent, later)
    assert office.turned_away() == ["hop_unconfigured", "hop_unconfigured"]
    assert office.story() == [("boss", "look", "permit")]
    assert [line.split(":")[0] for line in telling(result)] == ["error", "error", "success"]


@LATER
def test_sub_agents_side_by_side_each_have_their_own_chain(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(deep("payer") + deep("researcher"))
    office.hopward.install()
    tools = office.tools()
    payer = {**declared("payer", tools), "model": scripted(calls(("pay", {"amount": 5}), ("look", {})))}
    researcher = {
        **declared("researcher", tools),
        "model": scripted(calls(("pay", {"amount": 7}), ("look", {}))),
    }
    model = scripted(calls(work("payer"), work("researcher")), calls(("pay", {"amount": 1})))
    with office.task() as task:
        run(create_deep_agent(model, tools, subagents=[payer, researcher]), later)
        assert office.open_hops(task.id) == 0
    assert office.paid == [5]
    assert sorted(office.story()) == sorted(
        [
            ("boss", "delegate:payer", "permit"),
            ("boss", "delegate:researcher", "permit"),
            ("boss>payer", "look", "permit"),
            ("boss>payer", "pay", "permit"),
            ("boss>researcher", "look", "permit"),
            ("boss>researcher", "pay", "outside_hop"),
            ("boss", "pay", "outside_task"),
        ]
    )


@LATER
def test_its_own_file_tools_need_entries_of_their_own(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()
    model = scripted(calls(("ls", {"path": "/"})))
    with office.task():
        run(create_deep_agent(model, office.tools()), later)
    assert office.story() == [("boss", "ls", "tool_unclassified")]
