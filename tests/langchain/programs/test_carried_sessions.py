"""Which session a carried call may leave over: one that the proxy of its own server stands behind."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopward.clock import SystemClock
from langchain_hopward import AuthorizationDenied
from langchain_hopward import load as loads

from . import notes
from . import office as offices
from .carried import adapter, ask, denied, denied_in_task, mcp_of_langchain, reading, stub, wired
from .notes import at_server
from .office import Office

groups = pytest.importorskip("fastmcp.client.group", reason="this release of fastmcp has no groups")


@pytest.fixture
def libraries(
    open_office: Callable[..., Office], received: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Office:
    """An office with a second server `papers`, which nobody may call."""
    monkeypatch.setattr(offices, "CONFIG", notes.configured())
    transports = notes.on_stdio(received), notes.on_stdio(tmp_path / "papers.jsonl")
    made = open_office(notes.two_servers(*transports), SystemClock())
    made.hopward.install()
    return made


def test_one_client_of_several_servers_gets_no_call_and_says_how_to_connect_them(
    libraries: Office, received: Path
) -> None:
    async def program() -> AuthorizationDenied:
        async with adapter(libraries, "notes", "papers") as both:
            tools = libraries.hopward.protect(await both.list_tools(), server="notes")
            with libraries.task():
                return await denied(next(tool for tool in tools if tool.name == "notes_read_note"))

    denial = asyncio.run(program())
    assert (denial.reason, denial.executed) == ("chain_not_carried", False)
    assert "each server with a client of its own" in denial.message
    assert at_server(received) == []


def test_a_group_of_clients_reaches_each_server_through_its_own_proxy(
    libraries: Office, received: Path
) -> None:
    connections = libraries.hopward.connections("notes", "papers")

    async def program() -> str:
        group = groups.ClientGroup.from_config({"mcpServers": connections})
        async with mcp_of_langchain.MCPAdapter(group) as both:
            listed = {tool.name: tool for tool in await both.list_tools()}
            (note,) = libraries.hopward.protect([listed["notes_read_note"]], server="notes")
            (paper,) = libraries.hopward.protect([listed["papers_read_note"]], server="papers")

            async def research() -> str:
                assert "read_note n1" in str(await note.ainvoke({"note": "n1"}))
                return (await denied(paper)).tool

            with libraries.task():
                return await ask(libraries, "ask_researcher", research).ainvoke({})

    assert asyncio.run(program()) == "papers/read_note"
    decided = [(row.server, row.verdict) for row in libraries.rows("decision") if row.tool == "read_note"]
    assert decided == [("notes", "permit"), ("papers", "deny")]
    assert len(at_server(received)) == 1


def test_a_tool_of_another_server_is_refused_with_the_name_of_the_server_it_is_of(
    libraries: Office, received: Path
) -> None:
    async def program() -> AuthorizationDenied:
        async with adapter(libraries, "papers") as papers:
            read = await reading(libraries, papers)
            with libraries.task():
                return await denied(read)

    denial = asyncio.run(program())
    assert "leads to the guarded proxy of papers: it is no tool of notes" in denial.message
    assert at_server(received) == []
    assert [row.tool for row in libraries.rows("decision")] == []


def test_a_server_that_never_answers_the_ping_gets_no_call(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "PATIENCE", 0)

    denial = asyncio.run(denied_in_task(library, wired(stub(received, "silent"))))
    assert (denial.reason, denial.executed) == ("chain_not_carried", False)
    assert "has not answered a ping in time" in denial.message
    assert not received.exists()


def test_a_chain_that_cannot_be_presented_is_refused_as_that(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unheld(*asked: Any) -> Any:
        raise RuntimeError("no key")

    async def program() -> AuthorizationDenied:
        async with adapter(library) as server:
            read = await reading(library, server)
            monkeypatch.setattr(library.guard, "present", unheld)
            with library.task():
                return await denied(read)

    assert "Its chain could not be presented." in asyncio.run(program()).message
    assert at_server(received) == []
