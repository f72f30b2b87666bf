"""The middleware and the custom stream: what the model is shown, and what a watcher of the run is told."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_hopward import stream

from .till import USER, Till, calls, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])


def run(agent: Any, later: bool) -> Any:
    return asyncio.run(agent.ainvoke(USER)) if later else agent.invoke(USER)


def tools(till: Till) -> list[Any]:
    return till.hopward.protect([till.sync_tool(), till.tool("burn", lambda: "burnt")])


@LATER
def test_tools_the_chain_may_not_call_are_hidden_from_the_model(till: Till, later: bool) -> None:
    model = scripted()
    provided = [{"type": "web_search"}, {"type": "function", "function": {"name": "burn"}}, {"name": "look"}]
    agent = create_agent(model, [*tools(till), *provided], middleware=[till.hopward.middleware()])
    with till.task():
        run(agent, later)
    assert model.offered == [["pay", "{'name': 'look'}"]]


@LATER
def test_without_a_task_the_model_is_shown_nothing(till: Till, later: bool) -> None:
    model = scripted()
    run(create_agent(model, tools(till), middleware=[till.hopward.middleware()]), later)
    assert model.offered == []


@LATER
def test_a_hidden_tool_that_the_model_asks_for_all_the_same_is_refused(till: Till, later: bool) -> None:
    agent = create_agent(scripted(calls(("burn", {}))), tools(till), middleware=[till.hopward.middleware()])
    with till.task():
        result = run(agent, later)
    assert result["messages"][-2].status == "error"
    assert "app/burn was not executed" in result["messages"][-2].content
    assert till.verdicts("burn") == ["deny"]


@LATER
def test_a_refusal_is_not_tried_again_by_a_retrying_middleware(till: Till, later: bool) -> None:
    inner = ToolRetryMiddleware(max_retries=2, initial_delay=0)
    agent = create_agent(
        scripted(calls(("pay", {}))), tools(till), middleware=[till.hopward.middleware(), inner]
    )
    with till.task():
        result = run(agent, later)
    assert result["messages"][-2].status == "error"
    assert till.verdicts() == ["deny"]


@LATER
def test_a_refusal_raised_past_the_tool_node_becomes_a_message(till: Till, later: bool) -> None:
    middleware = till.hopward.middleware()
    (pay,) = till.hopward.protect([till.sync_tool()])
    node = ToolNode(
        [pay],
        handle_tool_errors=False,
        wrap_tool_call=middleware.wrap_tool_call,
        awrap_tool_call=middleware.awrap_tool_call,
    )
    graph: Any = StateGraph(MessagesState).add_node("tools", node).add_edge(START, "tools").compile()
    state = {"messages": [HumanMessage("go"), calls(("pay", {}))]}
    with till.task():
        result = asyncio.run(graph.ainvoke(state)) if later else graph.invoke(state)
    assert result["messages"][-1].status == "error"


@pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])
@LATER
def test_decisions_are_told_in_the_custom_stream(till: Till, protected: bool, later: bool) -> None:
    till.hopward.install()
    made: list[Any] = tools(till) if protected else [till.sync_tool()]
    agent = create_agent(scripted(calls(("pay", {"amount": 5})), calls(("pay", {}))), made)

    async def streamed() -> list[Any]:
        return [part async for part in agent.astream(USER, stream_mode="custom")]

    with till.task():
        told = asyncio.run(streamed()) if later else list(agent.stream(USER, stream_mode="custom"))
    permit, deny = till.rows("decision")
    assert told == [
        {
            "hopward": {
                "decision": permit.decision,
                "verdict": "permit",
                "reason": "permitted",
                "tool": "app/pay",
            }
        },
        {"hopward": {"decision": deny.decision, "verdict": "deny", "reason": deny.reason, "tool": "app/pay"}},
    ]


def test_a_stream_that_cannot_be_written_to_decides_nothing(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise ValueError("no stream")

    monkeypatch.setattr(stream, "_writer", broken)
    (pay,) = till.hopward.protect([till.sync_tool()])
    with till.task():
        assert pay.invoke({"amount": 5}) == "paid 5"
