"""A tool has done its work when it returns: what it left for later is neither handed out nor done."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

from langchain_hopward import AuthorizationDenied

from .till import USER, Till, calls, scripted


def _ends(till: Till) -> list[tuple[str, str]]:
    """How each call has ended, and with which error."""
    outcomes = [row.record["outcome"] for row in till.rows("outcome")]
    return [(one["status"], one["error"]) for one in outcomes]


class Looking:
    """Something that can be called, and yields."""

    def __call__(self) -> Iterator[str]:
        yield "seen"

    def later(self) -> Iterator[str]:
        yield "seen"


class Reading(BaseTool):
    """A tool class that yields."""

    name: str = "look"
    description: str = "look"

    def _run(self) -> Iterator[str]:
        yield "seen"


def _yielding() -> Iterator[str]:
    """Look."""
    yield "seen"


async def _yielding_later() -> AsyncIterator[str]:
    """Look."""
    yield "seen"


@pytest.mark.parametrize(
    "original",
    [
        _yielding,
        StructuredTool.from_function(coroutine=_yielding_later, name="look"),  # pyright: ignore
        StructuredTool.from_function(Looking().later, name="look", description="look"),
        StructuredTool(name="look", description="look", func=Looking(), args_schema={"properties": {}}),
        Reading(),
    ],
    ids=["function", "async", "method", "object", "class"],
)
def test_a_generator_function_is_not_accepted_and_the_message_says_what_to_write(
    till: Till, original: Any
) -> None:
    with pytest.raises(TypeError, match=r"is a generator function.*have it return all it yields"):
        till.hopward.protect([original])


class Parts:
    """Ways to leave work for later, each of which would pay."""

    def __init__(self, till: Till) -> None:
        self.till = till

    def generator(self) -> Any:
        return (self.till.pay() for _ in range(1))

    def coroutine(self) -> Any:
        return self.till.pay_later()

    def stream(self) -> Any:
        async def later() -> AsyncIterator[str]:
            yield self.till.pay()

        return later()

    def artifact(self) -> Any:
        return "seen", self.generator()

    def iterator(self) -> Any:
        return map(self.till.pay, [500])


@pytest.mark.parametrize(
    ("way", "status"),
    [
        (Parts.generator, "tool_error"),
        (Parts.coroutine, "tool_error"),
        (Parts.stream, "tool_error"),
        (Parts.artifact, "tool_error"),
        (Parts.iterator, "unknown"),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_work_that_a_tool_leaves_for_later_is_withheld_and_not_done(
    till: Till, way: Callable[[Parts], Any], status: str
) -> None:
    kept: list[Any] = []

    def act() -> Any:
        kept.append(way(Parts(till)))
        return kept[0]

    (look,) = till.hopward.install().protect([till.tool("look", act)])
    with (
        till.task(),
        pytest.raises(AuthorizationDenied, match="app/look was executed, but returned") as caught,
    ):
        look.invoke({})
    assert (caught.value.executed, caught.value.reason) == (True, "result_unfinished")
    assert caught.value.decision == till.rows("decision")[-1].decision
    assert caught.value.decision in caught.value.message
    assert _ends(till) == [(status, "UnfinishedResult")]
    if status == "tool_error" and way is Parts.generator:
        assert list(kept[0]) == []
    caught = None
    kept.clear()
    gc.collect()  # a coroutine that nobody has awaited would warn now
    assert till.paid == []


def test_a_task_of_the_loop_is_cancelled_and_its_end_is_unknown(till: Till) -> None:
    async def run() -> bool:
        left: list[asyncio.Task[str]] = []

        def act() -> Any:
            left.append(asyncio.get_running_loop().create_task(till.pay_later()))
            return left[0]

        (look,) = till.hopward.protect([till.tool("look", act)])
        with till.task(), pytest.raises(AuthorizationDenied):
            look.invoke({})
        await asyncio.wait(left)
        return left[0].cancelled()

    assert asyncio.run(run())
    assert till.paid == []
    assert _ends(till) == [("unknown", "UnfinishedResult")]


def test_what_an_awaited_tool_leaves_for_later_is_withheld_too(till: Till) -> None:
    async def act() -> Any:
        """Look."""
        return Parts(till).coroutine()

    (look,) = till.hopward.protect([StructuredTool.from_function(coroutine=act, name="look")])
    with till.task(), pytest.raises(AuthorizationDenied, match="returned a coroutine"):
        asyncio.run(look.ainvoke({}))
    assert till.paid == []


def test_a_coroutine_tool_may_be_a_function_that_returns_what_is_awaited(till: Till) -> None:
    def act() -> Any:
        """Look."""
        return till.pay_later(5)

    (look,) = till.hopward.protect([StructuredTool.from_function(coroutine=act, name="look")])
    with till.task():
        assert asyncio.run(look.ainvoke({})) == "paid 5"


def test_a_model_is_told_that_the_call_has_happened(till: Till) -> None:
    tools = till.hopward.install().protect([till.tool("look", Parts(till).generator)])
    with till.task():
        result = create_agent(scripted(calls(("look", {}))), tools).invoke(USER)
    assert result["messages"][-2].content.startswith("app/look was executed, but returned a generator")


def test_the_innermost_call_is_the_one_that_is_named(till: Till) -> None:
    inner, outer = till.hopward.protect(
        [till.tool("look", Parts(till).generator), till.tool("ask", lambda: inner.invoke({}))]
    )
    with till.task(), pytest.raises(AuthorizationDenied, match="app/look was executed") as caught:
        outer.invoke({})
    assert caught.value.decision == till.rows("decision")[-1].decision


@pytest.mark.parametrize(
    "result",
    [
        "text",
        3,
        None,
        ["a", {"type": "text", "text": "b"}],
        {"a": 1},
        ("content", [1]),
        range(2),
        ToolMessage("seen", tool_call_id="1"),
        Command(update={"messages": []}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_tools_return_is_handed_out_as_it_is(till: Till, result: Any) -> None:
    (look,) = till.hopward.protect([till.tool("look", lambda: result)])
    assert isinstance(look, StructuredTool)
    with till.task():
        assert look.func is not None
        assert look.func() is result
    assert till.outcomes() == ["ok"]
