"""MCP clients of a program, which lead to the guarded proxy, to several of them, or past it."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool

from langchain_hopward import AuthorizationDenied

from .notes import command
from .office import Office

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mcp_of_langchain = pytest.importorskip(
        "langchain.mcp", reason="this release of LangChain has no langchain.mcp"
    )


def adapter(office: Office, *servers: str) -> Any:
    """A client of the notes server, or of these servers together, behind the proxy."""
    return mcp_of_langchain.MCPAdapter({"mcpServers": office.hopward.connections(*(servers or ("notes",)))})


def wired(started: list[str]) -> Any:
    """A client that starts a server of its own."""
    return mcp_of_langchain.MCPAdapter(
        {"mcpServers": {"notes": {"command": started[0], "args": started[1:]}}}
    )


def past_the_proxy(received: Path) -> Any:
    """A client that is wired straight to the notes server."""
    return wired(command(received))


def stub(received: Path, kind: str) -> list[str]:
    """The command of a server without proper answers."""
    return [sys.executable, str(Path(__file__).with_name("stub_server.py")), str(received), kind]


async def noted(office: Office, notes: Any) -> list[BaseTool]:
    """The tools of the notes server, as guarded copies that carry their chain."""
    return office.hopward.protect(await notes.list_tools(), server="notes")


async def reading(office: Office, notes: Any) -> BaseTool:
    """The guarded `read_note` of a client."""
    return next(tool for tool in await noted(office, notes) if tool.name == "read_note")


async def denied(read: BaseTool, note: str = "n1") -> AuthorizationDenied:
    """The refusal of one call of it."""
    with pytest.raises(AuthorizationDenied) as caught:
        await read.ainvoke({"note": note})
    return caught.value


async def denied_in_task(office: Office, client: Any, note: str = "n1") -> AuthorizationDenied:
    """The refusal of one call in a task, over a client that is not connected yet."""
    async with client as server:
        read = await reading(office, server)
        with office.task():
            return await denied(read, note)


def ask(office: Office, name: str, body: Callable[[], Any]) -> BaseTool:
    """A tool that hands its body to another agent."""
    return office.hopward.protect(
        [StructuredTool.from_function(coroutine=body, name=name, description=name)]
    )[0]
