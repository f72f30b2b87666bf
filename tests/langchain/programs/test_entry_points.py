"""Every way LangChain has to run a tool: decided once, stopped or run, and its outcome recorded."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_hopward import AuthorizationDenied

from .till import USER, Till, calls, scripted

Entry = Callable[[BaseTool, dict[str, Any], dict[str, Any]], Any]


async def _drained(stream: Any) -> None:
    async for _ in stream:
        pass


def _graph(tool: BaseTool) -> Any:
    return StateGraph(MessagesState).add_node("tools", ToolNode([tool])).add_edge(START, "tools").compile()


def _asked(args: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [HumanMessage("go"), calls(("pay", args))]}


def _agent(tool: BaseTool, args: dict[str, Any]) -> Any:
    return create_agent(scripted(calls(("pay", args))), [tool])


DIRECT: dict[str, Entry] = {
    "invoke": lambda tool, args, config: tool.invoke(args, config),
    "invoke a tool call": lambda tool, args, config: tool.invoke(
        {"type": "tool_call", "id": "1", "name": "pay", "args": args}, config
    ),
    "run": lambda tool, args, config: tool.run(args, callbacks=config.get("callbacks")),
    "batch": lambda tool, args, config: tool.batch([args], config),
    "stream": lambda tool, args, config: list(tool.stream(args, config)),
    "piped": lambda tool, args, config: (RunnableLambda(lambda _: args) | tool).invoke(0, config),
    "bound": lambda tool, args, config: tool.with_config(tags=["x"]).invoke(args, config),
    "with retries": lambda tool, args, config: tool.with_retry(stop_after_attempt=1).invoke(args, config),
}
DIRECT_LATER: dict[str, Entry] = {
    "ainvoke": lambda tool, args, config: tool.ainvoke(args, config),
    "arun": lambda tool, args, config: tool.arun(args, callbacks=config.get("callbacks")),
    "abatch": lambda tool, args, config: tool.abatch([args], config),
    "astream": lambda tool, args, config: _drained(tool.astream(args, config)),
    "astream_events": lambda tool, args, config: _drained(tool.astream_events(args, config, version="v2")),
}
AGENTS: dict[str, Entry] = {
    "tool node": lambda tool, args, config: _graph(tool).invoke(_asked(args), config),
    "agent": lambda tool, args, config: _agent(tool, args).invoke(USER, config),
    "streamed agent": lambda tool, args, config: list(_agent(tool, args).stream(USER, config)),
    "batched agent": lambda tool, args, config: _agent(tool, args).batch([USER], config),
}
AGENTS_LATER: dict[str, Entry] = {
    "tool node, later": lambda tool, args, config: _graph(tool).ainvoke(_asked(args), config),
    "agent, later": lambda tool, args, config: _agent(tool, args).ainvoke(USER, config),
    "streamed agent, later": lambda tool, args, config: _drained(_agent(tool, args).astream(USER, config)),
    "agent's events": lambda tool, args, config: _drained(
        _agent(tool, args).astream_events(USER, config, version="v2")
    ),
}

WAYS: list[tuple[str, Entry, str]] = [
    *((name, entry, "sync") for name, entry in {**DIRECT, **DIRECT_LATER, **AGENTS, **AGENTS_LATER}.items()),
    *((f"{name}, async tool", entry, "async") for name, entry in {**DIRECT_LATER, **AGENTS_LATER}.items()),
]
GUARDS = ("installed", "installed and protected", "passed", "passed and protected", "protected")


def guarded(till: Till, guard: str, kind: str) -> tuple[BaseTool, dict[str, Any]]:
    """`pay`, guarded in one of the ways there are, and the config to run it with."""
    tool: BaseTool = till.sync_tool() if kind == "sync" else till.async_tool()
    if "installed" in guard:
        till.hopward.install()
    if "protected" in guard:
        (tool,) = till.hopward.protect([tool])
    return tool, {"callbacks": [till.hopward.handler()]} if "passed" in guard else {}


def run(entry: Entry, tool: BaseTool, amount: int, config: dict[str, Any]) -> Any:
    result = entry(tool, {"amount": amount}, config)
    return asyncio.run(result) if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize(("entry", "kind"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_a_permitted_call_is_decided_once_and_its_outcome_recorded(
    till: Till, entry: Entry, kind: str, guard: str
) -> None:
    tool, config = guarded(till, guard, kind)
    with till.task():
        run(entry, tool, 5, config)
    assert till.paid == [5]
    assert till.verdicts() == ["permit"]
    assert till.outcomes() == ["ok"]


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize(("entry", "kind"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_a_forbidden_call_is_decided_once_and_never_runs(
    till: Till, entry: Entry, kind: str, guard: str
) -> None:
    tool, config = guarded(till, guard, kind)
    with till.task(), suppress(PermissionError):
        run(entry, tool, 999, config)
    assert till.paid == []
    assert till.verdicts() == ["deny"]
    assert till.outcomes() == []


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("entry", [*DIRECT.values(), *DIRECT_LATER.values()], ids=[*DIRECT, *DIRECT_LATER])
def test_whoever_calls_a_tool_directly_gets_a_permission_error(till: Till, entry: Entry, guard: str) -> None:
    tool, config = guarded(till, guard, "sync")
    with till.task(), pytest.raises(PermissionError) as caught:
        run(entry, tool, 999, config)
    assert isinstance(caught.value, AuthorizationDenied)
    assert caught.value.reason == "forbidden"
    assert not caught.value.executed


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_the_model_reads_the_refusal_and_the_run_goes_on(till: Till, guard: str, later: bool) -> None:
    tool, config = guarded(till, guard, "sync")
    agent = _agent(tool, {"amount": 999})
    with till.task():
        result = asyncio.run(agent.ainvoke(USER, config)) if later else agent.invoke(USER, config)
    *_, message, last = result["messages"]
    decision = till.rows("decision")[-1].decision
    assert message.status == "error"
    assert message.content == (
        "app/pay was not executed: Forbidden by policy small-amounts-only: No more than 100 is paid at once. "
        f"Decision {decision}. The same call will be refused again."
    )
    assert (type(last), last.content) == (AIMessage, "done")


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
def test_of_two_calls_side_by_side_only_the_forbidden_one_is_stopped(
    till: Till, guard: str, later: bool
) -> None:
    tool, config = guarded(till, guard, "sync")
    agent = create_agent(scripted(calls(("pay", {"amount": 5}), ("pay", {"amount": 999}))), [tool])
    with till.task():
        result = asyncio.run(agent.ainvoke(USER, config)) if later else agent.invoke(USER, config)
    assert till.paid == [5]
    assert [message.status for message in result["messages"] if message.type == "tool"] == [
        "success",
        "error",
    ]
    assert sorted(till.verdicts()) == ["deny", "permit"]
    assert till.outcomes() == ["ok"]


@pytest.mark.parametrize("guard", GUARDS)
def test_a_retried_call_is_decided_each_time_it_is_tried(till: Till, guard: str) -> None:
    tool, config = guarded(till, guard, "sync")
    retried = tool.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    with till.task(), pytest.raises(PermissionError):
        retried.invoke({"amount": 999}, config)
    assert till.verdicts() == ["deny"] * 3
    assert till.paid == []
