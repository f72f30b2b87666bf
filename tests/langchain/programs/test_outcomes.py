"""What became of each permitted call stands in the log, whatever the way it ended."""

import asyncio
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from hopward import LedgerError, digest
from langchain_hopward import AuthorizationDenied

from .till import Till, calls

BOTH = pytest.mark.parametrize("protected", [True, False], ids=["protected", "installed"])


def asking(till: Till, body: Callable[[], Any], protected: bool) -> Any:
    """A tool that does what `body` does, guarded in one of the two ways."""
    made = till.tool("ask", body)
    till.hopward.install()
    return till.hopward.protect([made])[0] if protected else made


TELLS = tuple(map(int, version("langchain-core").split(".")[:2])) >= (1, 8)
"""Older releases tell handlers nothing of a tool that ends with `SystemExit` or a cancellation."""


def failing(error: BaseException) -> Callable[[], Any]:
    def body() -> Any:
        raise error

    return body


def ended(till: Till) -> Any:
    (row,) = till.rows("outcome")
    return row.record["outcome"]


@BOTH
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("s3cret"), "tool_error"),
        (ToolException("s3cret"), "tool_error"),
        (KeyboardInterrupt("s3cret"), "unknown"),
        (SystemExit(3), "unknown"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_call_that_raises_is_recorded_by_the_type_of_its_error_only(
    till: Till, error: BaseException, status: str, protected: bool
) -> None:
    ask = asking(till, failing(error), protected)
    with till.task(), pytest.raises(type(error)):
        ask.invoke({})
    outcome = ended(till)
    if protected or TELLS or isinstance(error, Exception | KeyboardInterrupt):
        assert (outcome["status"], outcome["error"]) == (status, type(error).__name__)
    else:
        assert outcome["status"] == "unknown"
    assert b"s3cret" not in till.log.read_bytes()


@BOTH
async def test_a_cancelled_call_is_recorded_as_cancelled(till: Till, protected: bool) -> None:
    begun = asyncio.Event()

    async def body() -> None:
        begun.set()
        await asyncio.Event().wait()

    made: Any = StructuredTool.from_function(coroutine=body, name="ask", description="ask")
    till.hopward.install()
    ask = till.hopward.protect([made])[0] if protected else made
    async with till.hopward.task(subject="ines@example.com"):
        running = asyncio.create_task(ask.ainvoke({}))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert ended(till)["status"] == ("cancelled" if protected or TELLS else "unknown")


@BOTH
def test_an_interrupted_call_is_unknown_and_its_resumption_is_decided_again(
    till: Till, protected: bool
) -> None:
    ask = asking(till, lambda: f"told {interrupt('which?')}", protected)
    steps = StateGraph(MessagesState).add_node("tools", ToolNode([ask])).add_edge(START, "tools")
    graph: Any = steps.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    with till.task():
        graph.invoke({"messages": [calls(("ask", {}))]}, config)
        assert till.outcomes() == ["unknown"]
        result = graph.invoke(Command(resume="that"), config)
    assert result["messages"][-1].content == "told that"
    assert till.verdicts("ask") == ["permit", "permit"]
    assert till.outcomes() == ["unknown", "ok"]


@BOTH
def test_resumption_outside_any_task_is_refused(till: Till, protected: bool) -> None:
    ask = asking(till, lambda: till.paid.append(len(interrupt("which?"))), protected)
    steps = StateGraph(MessagesState).add_node("tools", ToolNode([ask])).add_edge(START, "tools")
    graph: Any = steps.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    with till.task():
        graph.invoke({"messages": [calls(("ask", {}))]}, config)
    result = graph.invoke(Command(resume="that"), config)
    assert result["messages"][-1].status == "error"
    assert till.paid == []


@BOTH
@pytest.mark.parametrize("result", [{"a": [1, 2.5, None]}, "text", 7, [{"b": True}]], ids=str)
def test_a_result_is_recorded_by_its_digest(till: Till, result: Any, protected: bool) -> None:
    ask = asking(till, lambda: result, protected)
    with till.task():
        assert ask.invoke({}) == result
    assert ended(till)["result_digest"] == digest(result)
    assert ended(till)["size"] > 0


@BOTH
def test_a_result_that_json_cannot_carry_is_passed_on_as_it_is(till: Till, protected: bool) -> None:
    numbers = range(1, 3)
    ask = asking(till, lambda: numbers, protected)
    with till.task():
        assert ask.invoke({}) is numbers
    assert ended(till)["status"] == "ok"
    assert ended(till)["result_digest"].startswith("sha-256:")


def test_a_tool_message_that_tells_of_an_error_is_a_tools_error(till: Till) -> None:
    message = ToolMessage(content="no", tool_call_id="1", status="error")
    (ask,) = till.hopward.protect([till.tool("ask", lambda: message)])
    with till.task():
        ask.invoke({})
    assert ended(till)["status"] == "tool_error"


@BOTH
def test_a_result_whose_outcome_cannot_be_recorded_is_withheld(
    till: Till, protected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*_: Any) -> None:
        raise LedgerError("disk full")

    def body() -> str:
        monkeypatch.setattr(till.guard, "settle", unwritable)
        return "s3cret"

    ask = asking(till, body, protected)
    with till.task(), pytest.raises(AuthorizationDenied, match="was executed, but its outcome") as caught:
        ask.invoke({})
    assert caught.value.executed
    assert "s3cret" not in str(caught.value)


@BOTH
def test_how_long_a_call_took_is_recorded(till: Till, protected: bool) -> None:
    begun = time.perf_counter_ns()
    ask = asking(till, lambda: None, protected)
    with till.task():
        ask.invoke({})
    assert 0 <= ended(till)["duration"] <= (time.perf_counter_ns() - begun) // 1000
