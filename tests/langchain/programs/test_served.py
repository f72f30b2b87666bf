"""Graphs that LangGraph's server runs: a task for each run, on behalf of whom it has authenticated."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from hopward import ConfigError
from langchain_hopward import AuthorizationDenied

from .office import USER, Office, calls, deep, says, scripted

WAYS = pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "astream_events", "batch"])


@dataclass
class Authenticated:
    """What LangGraph's server puts into `configurable`."""

    identity: Any = "lea@example.com"
    is_authenticated: bool = True


def by(user: Any) -> Any:
    return {"configurable": {"langgraph_auth_user": user, "thread_id": "1"}}


def looking(office: Office, **more: Any) -> Any:
    office.hopward.install()
    return office.hopward.entry(create_agent(scripted(calls(("look", {}))), office.tools(), **more))


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


def run(graph: Any, way: str, config: Any) -> None:
    match way:
        case "stream":
            list(graph.stream(USER, config))
        case "astream":
            asyncio.run(drain(graph.astream(USER, config)))
        case "astream_events":
            asyncio.run(drain(graph.astream_events(USER, config, version="v2")))
        case "ainvoke":
            asyncio.run(graph.ainvoke(USER, config))
        case "batch":
            graph.batch([USER], config)
        case _:
            graph.invoke(USER, config)


@WAYS
def test_a_run_is_a_task_of_whom_the_server_has_authenticated(office: Office, way: str) -> None:
    run(looking(office), way, by(Authenticated()))
    assert office.story() == [("boss", "look", "permit")]
    assert {row.record["chain"]["subject"] for row in office.rows("decision")} == {"lea@example.com"}
    assert [row.record["event"] for row in office.rows("task")] == ["opened", "completed"]


@WAYS
@pytest.mark.parametrize(
    "user",
    [
        None,
        {"identity": "lea@example.com", "is_authenticated": True},
        Authenticated(""),
        Authenticated(7),
        Authenticated(is_authenticated=False),
    ],
    ids=["nobody", "plain-json", "nameless", "no-text", "unauthenticated"],
)
def test_a_run_of_nobody_is_refused(office: Office, user: Any, way: str) -> None:
    """Plain JSON may come from the request itself."""
    with pytest.raises(AuthorizationDenied) as denied:
        run(looking(office), way, by(user))
    assert denied.value.reason == "no_task"
    assert office.turned_away() == ["no_task"]
    assert office.looked == 0


def test_copies_that_the_server_makes_are_tasks_too(office: Office) -> None:
    graph = looking(office).copy({"checkpointer": InMemorySaver()}).with_config(tags=["x"])
    with pytest.raises(AuthorizationDenied):
        graph.invoke(USER, by(None))
    graph.invoke(USER, by(Authenticated()))
    assert office.looked == 1
    assert len(graph.get_state(by(Authenticated())).values["messages"]) > 1


def test_between_the_steps_of_a_run_its_reader_may_call_nothing(office: Office) -> None:
    _pay, look = office.tools()
    steps = looking(office).stream(USER, by(Authenticated()))
    next(steps)
    with pytest.raises(AuthorizationDenied) as denied:
        look.invoke({})
    assert denied.value.reason == "no_task"
    steps.close()
    assert [row.record["event"] for row in office.rows("task")] == ["opened", "completed"]


def test_runs_whose_steps_alternate_in_one_context_keep_their_subjects(office: Office) -> None:
    graphs = [looking(office) for _ in range(2)]

    async def program() -> None:
        streams = [
            graph.astream(USER, by(Authenticated(who))) for graph, who in zip(graphs, "ab", strict=True)
        ]
        while streams:
            for stream in list(streams):
                if await anext(stream, None) is None:
                    streams.remove(stream)

    asyncio.run(program())
    assert sorted(row.record["chain"]["subject"] for row in office.rows("decision")) == ["a", "b"]
    assert office.looked == 2


def test_a_stream_read_by_one_thread_after_the_other_is_one_task(office: Office) -> None:
    steps = looking(office).stream(USER, by(Authenticated()))
    done: list[Any] = []
    while not done or done[-1] is not None:
        reader = threading.Thread(target=lambda: done.append(next(steps, None)))
        reader.start()
        reader.join()
    assert office.looked == 1
    assert [row.record["event"] for row in office.rows("task")] == ["opened", "completed"]


@pytest.mark.parametrize("later", [False, True])
def test_a_run_that_fails_ends_its_task(office: Office, later: bool) -> None:
    office.hopward.install()

    def broken(_: Any) -> Any:
        raise RuntimeError("broken")

    model: Any = scripted(calls(("look", {})))
    tool = office.tool("look", lambda: broken(None))
    graph: Any = office.hopward.entry(create_agent(model, office.hopward.protect([tool])))
    with pytest.raises(RuntimeError):
        run(graph, "ainvoke" if later else "invoke", by(Authenticated()))
    assert [row.record["event"] for row in office.rows("task")] == ["opened", "completed"]


def test_inside_a_task_it_runs_in_that_one(office: Office) -> None:
    with office.task() as task:
        looking(office).invoke(USER, by(Authenticated()))
    assert {row.task for row in office.rows("decision")} == {task.id}


def test_only_compiled_graphs_have_entries(office: Office) -> None:
    with pytest.raises(TypeError, match="no compiled graph"):
        office.hopward.entry(scripted(says("x")))


def test_a_workflow_nobody_knows_is_told_of_at_once(office: Office) -> None:
    graph = create_agent(scripted(says("x")), [])
    with pytest.raises(ConfigError, match="refunds"):
        office.hopward.entry(graph, workflow="refunds")


@pytest.mark.parametrize("later", [False, True])
def test_an_interrupted_run_is_over_and_its_resumption_a_task_of_whoever_resumes_it(
    office: Office, later: bool
) -> None:
    office.hopward.install()

    def look() -> str:
        office.looked += interrupt("sure?") == "yes"
        return "found"

    tool = StructuredTool.from_function(look, name="look", description="look")
    agent = create_agent(
        scripted(calls(("look", {}))), office.hopward.protect([tool]), checkpointer=InMemorySaver()
    )
    graph: Any = office.hopward.entry(agent)

    def go(given: Any, user: str) -> None:
        config = by(Authenticated(user))
        asyncio.run(graph.ainvoke(given, config)) if later else graph.invoke(given, config)

    go(USER, "lea")
    assert office.looked == 0
    go(Command(resume="yes"), "max")
    assert office.looked == 1
    assert [row.record["chain"]["subject"] for row in office.rows("decision")] == ["lea", "max"]


@pytest.mark.parametrize("later", [False, True])
def test_sub_agents_of_a_served_graph_are_hops(open_office: Callable[[str], Office], later: bool) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()
    tools = office.tools()
    work = ("task", {"description": "pay", "subagent_type": "payer"})
    payer: Any = {"name": "payer", "description": "pays", "system_prompt": "pay", "tools": tools}
    payer["model"] = scripted(calls(("pay", {"amount": 5})))
    agent = create_deep_agent(scripted(calls(work), calls(("pay", {"amount": 6}))), tools, subagents=[payer])
    run(office.hopward.entry(agent), "ainvoke" if later else "invoke", by(Authenticated()))
    assert office.story() == [
        ("boss", "delegate:payer", "permit"),
        ("boss>payer", "pay", "permit"),
        ("boss", "pay", "outside_task"),
    ]
