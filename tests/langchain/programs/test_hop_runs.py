"""Hand-overs however a program runs: streamed, in batches, retried, interrupted and resumed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from langchain_hopward import AuthorizationDenied

from .office import USER, Office, calls, deep, scripted
from .test_hop_attacks import coroutine_tool, left_behind

STORY = [("boss", "delegate:payer", "permit"), ("boss>payer", "pay", "permit")]


def asking(office: Office) -> StructuredTool:
    """The unprotected tool `ask_payer`, whose payer pays 5."""

    def ask() -> Any:
        payer = create_agent(scripted(calls(("pay", {"amount": 5}))), office.tools())
        return payer.invoke(USER)["messages"][-2].content

    return office.tool("ask_payer", ask)


def team(office: Office, *, script: Any = None, middleware: Any = ()) -> Any:
    """A boss with the unprotected tool `ask_payer`, and a payer that pays 5."""
    office.hopward.install()
    hand = asking(office)
    model = script or scripted(calls(("ask_payer", {})))
    return create_agent(model, [hand, *office.tools()], middleware=middleware)


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("way", ["stream", "astream", "astream_events", "batch", "abatch"])
def test_every_way_of_running_takes_the_same_hops(office: Office, way: str) -> None:
    agent = team(office)
    with office.task() as task:
        match way:
            case "stream":
                list(agent.stream(USER))
            case "batch":
                agent.batch([USER])
            case "abatch":
                asyncio.run(agent.abatch([USER]))
            case "astream":
                asyncio.run(drain(agent.astream(USER)))
            case _:
                asyncio.run(drain(agent.astream_events(USER, version="v2")))
        assert office.open_hops(task.id) == 0
    assert office.story() == STORY
    assert office.paid == [5]


def test_a_custom_stream_tells_of_hops_without_secrets(office: Office) -> None:
    agent = team(office)
    with office.task():
        told = list(agent.stream(USER, stream_mode="custom"))
    hop = office.rows("decision")[0]
    assert told[0] == {
        "hopward": {
            "decision": hop.decision,
            "verdict": "permit",
            "reason": "permitted",
            "tool": "app/ask_payer",
        }
    }


def test_runs_of_one_batch_have_hops_of_their_own(office: Office) -> None:
    office.hopward.install()
    hand = asking(office)
    with office.task() as task:
        hand.batch([{}, {}, {}])
        hops = office.guard.ledger.hops(task.id)
    assert len(hops) == 3
    used = {row.record["chain"]["hops"][0] for row in office.rows("decision") if row.tool == "pay"}
    assert used == {hop.id for hop in hops}


def test_one_hand_over_after_another_in_a_coroutine_keeps_each_in_its_place(office: Office) -> None:
    office.hopward.install()
    pay, look = office.tools()

    async def ask() -> Any:
        return await pay.ainvoke({"amount": 5})

    async def attempt() -> str:
        try:
            await pay.ainvoke({"amount": 6})
        except AuthorizationDenied as denied:
            return denied.reason
        return "paid"

    hand = coroutine_tool("ask_payer", ask)

    async def program() -> None:
        with office.task():
            for _ in range(2):
                await hand.ainvoke({})
                assert await attempt() == "outside_task"
                await look.ainvoke({})

    asyncio.run(program())
    assert office.paid == [5, 5]
    assert office.looked == 2


def test_a_task_left_behind_by_a_hand_over_is_refused(office: Office) -> None:
    office.hopward.install()
    _pay, look = office.tools()
    assert left_behind(office, lambda: look.ainvoke({})) in ("context_lost", "hop_completed")
    assert office.looked == 0


def test_a_retried_hand_over_is_decided_each_time(office: Office) -> None:
    office.hopward.install()
    tries: list[int] = []

    def ask() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("try again")
        return "done"

    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0.0, backoff_factor=0.0, jitter=False)
    hand = office.tool("ask_payer", ask)
    with office.task() as task:
        create_agent(scripted(calls(("ask_payer", {}))), [hand], middleware=[retry]).invoke(USER)
        assert [hop.state for hop in office.guard.ledger.hops(task.id)] == ["completed"] * 3
    assert office.story() == [("boss", "delegate:payer", "permit")] * 3


@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_a_sub_agent_that_is_interrupted_and_resumed_is_decided_anew(
    open_office: Callable[[str], Office], later: bool
) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()

    def confirm(amount: int) -> str:
        office.paid.append(amount) if interrupt("sure?") == "yes" else None
        return f"paid {amount}"

    from langchain_core.tools import StructuredTool

    pay = StructuredTool.from_function(confirm, name="pay", description="pay")
    tools = office.hopward.protect([pay])
    work = ("task", {"description": "pay", "subagent_type": "payer"})
    payer: Any = {"name": "payer", "description": "pays", "system_prompt": "pay", "tools": tools}
    payer["model"] = scripted(calls(("pay", {"amount": 5})))
    agent = create_deep_agent(scripted(calls(work)), tools, subagents=[payer], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}

    def run(given: Any) -> Any:
        return asyncio.run(agent.ainvoke(given, config)) if later else agent.invoke(given, config)

    with office.task() as task:
        run(USER)
        assert office.paid == []
        assert office.open_hops(task.id) == 0
        run(Command(resume="yes"))
        assert office.open_hops(task.id) == 0
    assert office.paid == [5]
    assert office.story() == STORY + STORY
    statuses = [row.record["outcome"]["status"] for row in office.rows("outcome")]
    assert sorted(statuses) == ["ok", "ok", "unknown", "unknown"]


def test_a_run_resumed_in_another_task_has_that_tasks_authority(open_office: Callable[[str], Office]) -> None:
    office = open_office(deep("payer"))
    office.hopward.install()
    tools = office.tools()
    work = ("task", {"description": "pay", "subagent_type": "payer"})
    payer: Any = {"name": "payer", "description": "pays", "system_prompt": "pay", "tools": tools}
    payer["model"] = scripted(calls(("pay", {"amount": 5})))
    saver = InMemorySaver()
    agent = create_deep_agent(
        scripted(calls(work)), tools, subagents=[payer], checkpointer=saver, interrupt_on={"task": True}
    )
    config: Any = {"configurable": {"thread_id": "1"}}
    with office.task():
        agent.invoke(USER, config)
    assert office.story() == []
    resume = Command(resume={"decisions": [{"type": "approve"}]})
    with pytest.raises(AuthorizationDenied):
        office.tools()[0].invoke({"amount": 5})
    with office.task() as second:
        agent.invoke(resume, config)
    assert {row.task for row in office.rows("decision")} == {second.id}
    assert office.paid == [5]
