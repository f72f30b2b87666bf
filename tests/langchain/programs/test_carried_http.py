"""The same over HTTP: each request has an access token of its chain, and each call carries it as well."""

import asyncio
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from hopward.clock import SystemClock

from . import notes
from . import office as offices
from .office import Office

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mcp_of_langchain = pytest.importorskip("langchain.mcp", reason="this release has no langchain.mcp")


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def process(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    """A process, once it has said that it is ready on standard error."""
    running = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        said = ""
        while ready not in said:
            line = running.stderr.readline()
            assert line, f"{command} ended: {said}"
            said += line
        yield
    finally:
        running.terminate()
        running.communicate()


@pytest.fixture
def library(
    open_office: Callable[..., Office], received: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Office]:
    """The office of the notes, with server and proxy on ports of their own."""
    server, proxy = free_port(), free_port()
    listening = f'[proxy]\nlisten = "127.0.0.1:{proxy}"\npublic_url = "http://127.0.0.1:{proxy}"\n'
    monkeypatch.setattr(offices, "CONFIG", notes.configured() + listening)
    transport = f'url = "http://127.0.0.1:{server}/mcp"\ncredential = {{ by = "authorization" }}'
    made = open_office(notes.server(transport), SystemClock())
    made.hopward.install()
    hopward = str(notes.BIN / "hopward")
    with ExitStack() as stack:
        stack.enter_context(
            process(notes.command(received, "--port", str(server)), made.folder, "running on")
        )
        stack.enter_context(process([hopward, "mcp", "serve"], made.folder, "is guarded at"))
        yield made


def connected(office: Office) -> Any:
    return mcp_of_langchain.MCPAdapter({"mcpServers": office.hopward.connections("notes")})


def test_a_call_over_http_belongs_to_the_chain_of_its_agent(library: Office, received: Path) -> None:
    async def research() -> Any:
        async with connected(library) as server:
            (read,) = library.hopward.protect(await server.list_tools(), server="notes")
            return await read.ainvoke({"note": "n1"})

    made = StructuredTool.from_function(coroutine=research, name="ask_researcher", description="ask")
    (ask,) = library.hopward.protect([made])

    async def program() -> str:
        async with library.hopward.task(subject="ines@example.com") as task:
            assert "read_note n1" in str(await ask.ainvoke({}))
            return task.id

    task = asyncio.run(program())
    (row,) = (row for row in library.rows("decision") if row.server == "notes")
    assert (row.task, row.verdict, row.record["chain"]["actors"]) == (task, "permit", ["boss", "researcher"])
    (call,) = notes.at_server(received)
    assert not any("hopward" in key for key in call["meta"])
    assert call["token"].count(".") == 2


def test_an_agent_whose_chain_does_not_reach_the_server_gets_no_token_for_it(library: Office) -> None:
    async def program() -> None:
        async with library.hopward.task(subject="ines@example.com"), connected(library) as server:
            await server.list_tools()

    with pytest.raises(Exception, match=r"does not reach notes|Client failed to connect"):
        asyncio.run(program())
    assert library.story() == []


def test_outside_a_task_nothing_connects(library: Office) -> None:
    async def program() -> None:
        async with connected(library) as server:
            await server.list_tools()

    with pytest.raises(Exception, match=r"outside any task|Client failed to connect"):
        asyncio.run(program())
    assert ("notes", "no_task") in [(row.server, row.reason) for row in library.rows("refusal")]
