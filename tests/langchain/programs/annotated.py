"""Tools whose annotations are text, and resolve only where they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from langchain.tools import ToolRuntime
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg, InjectedToolCallId
from langgraph.prebuilt import InjectedState
from pydantic import BaseModel

if TYPE_CHECKING:
    from decimal import Decimal


class Line(BaseModel):
    """One line of an order."""

    sku: str
    count: int = 1


def injected(
    lines: list[Line],
    call: Annotated[str, InjectedToolCallId],
    state: Annotated[dict[str, Any], InjectedState],
    runtime: ToolRuntime,
    config: RunnableConfig,
    user: Annotated[str, InjectedToolArg] = "nobody",
    note: str | None = None,
) -> str:
    """Look at some lines."""
    assert state["messages"]
    assert runtime.tool_call_id == call
    assert config["metadata"]
    return f"{call} {lines[0].sku} {lines[0].count} {user} {note}"


def unresolvable(where: str, config: RunnableConfig) -> Decimal:
    """Look somewhere; what comes back has a name for type checkers only."""
    return f"{where} {sorted(config)[0]}"  # pyright: ignore[reportReturnType]
