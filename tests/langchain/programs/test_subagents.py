"""Agents inside agents: every tool they call is decided, as calls of the task's own agent."""

import asyncio
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent

from .till import USER, Till, calls, scripted

LATER = pytest.mark.parametrize("later", [False, True], ids=["invoke", "ainvoke"])
AMOUNTS = pytest.mark.parametrize("amount", [5, 999])


def run(agent: Any, later: bool) -> Any:
    return asyncio.run(agent.ainvoke(USER)) if later else agent.invoke(USER)


def found(till: Till, amount: int) -> None:
    """The payment was decided once, by the task's agent, and made only if it was permitted."""
    permitted = amount <= 100
    assert till.paid == ([amount] if permitted else [])
    assert till.verdicts() == ["permit" if permitted else "deny"]
    assert {tuple(row.record["chain"]["actors"]) for row in till.rows("decision")} == {("assistant",)}


@LATER
@AMOUNTS
@pytest.mark.parametrize("name", ["general-purpose", "payer"])
def test_what_a_deep_agents_sub_agent_calls_is_decided(
    till: Till, name: str, amount: int, later: bool
) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    payer: Any = {"name": "payer", "description": "pays", "system_prompt": "pay", "tools": [pay]}
    task = {"description": "pay", "subagent_type": name}
    model = scripted(calls(("task", task)), calls(("pay", {"amount": amount})))
    agent = create_deep_agent(model, [pay], subagents=[payer], middleware=[till.hopward.middleware()])
    with till.task():
        result = run(agent, later)
    found(till, amount)
    assert till.verdicts("task") == ["permit"]
    assert result["messages"][-1].content == "done"


@LATER
@AMOUNTS
def test_what_an_agent_called_as_a_tool_calls_is_decided(till: Till, amount: int, later: bool) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    inner = create_agent(scripted(calls(("pay", {"amount": amount}))), [pay])
    ask = till.tool("ask", lambda: inner.invoke(USER)["messages"][-2].content)
    with till.task():
        result = run(create_agent(scripted(calls(("ask", {}))), till.hopward.protect([ask])), later)
    found(till, amount)
    told = result["messages"][-2].content
    assert told == "paid 5" if amount == 5 else "app/pay was not executed" in told


@LATER
def test_a_sub_agent_is_not_reached_without_a_permit_for_the_tool_that_reaches_it(
    till: Till, later: bool
) -> None:
    (pay,) = till.hopward.install().protect([till.sync_tool()])
    task = {"description": "pay", "subagent_type": "general-purpose"}
    agent = create_deep_agent(scripted(calls(("task", task)), calls(("pay", {"amount": 5}))), [pay])
    with till.task() as opened:
        till.guard.revoke("task", opened.id, by="ana", why="a test")
        result = run(agent, later)
    assert till.paid == []
    assert [m.status for m in result["messages"] if m.type == "tool"] == ["error", "error"]
    assert till.verdicts("task") == ["deny"]
