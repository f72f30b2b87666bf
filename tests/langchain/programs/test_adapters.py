"""langchain-mcp-adapters on mcp 1.x: the same chains, the same proxy, the same log."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from langchain_hopward import AuthorizationDenied
from langchain_hopward import load as loads

from .notes import BIN, at_server
from .office import Office
from .stub_server import SECRET

adapters = pytest.importorskip(
    "langchain_mcp_adapters.client", reason="langchain-mcp-adapters is not installed"
)
loading = pytest.importorskip(
    "langchain_mcp_adapters.tools", reason="langchain-mcp-adapters is not installed"
)


def client(office: Office) -> Any:
    connection = office.hopward.connections("notes")["notes"]
    return adapters.MultiServerMCPClient({"notes": connection | {"command": str(BIN / "hopward")}})


@pytest.mark.parametrize("persistent", [False, True], ids=["session-per-call", "one-session"])
def test_each_call_carries_the_chain_of_its_agent(library: Office, received: Path, persistent: bool) -> None:
    async def program(read: Any) -> str:
        async def research() -> Any:
            return await read.ainvoke({"note": "n1"})

        made = StructuredTool.from_function(coroutine=research, name="ask_researcher", description="ask")
        (ask,) = library.hopward.protect([made])
        with library.task() as task:
            assert "read_note n1" in str(await ask.ainvoke({}))
            with pytest.raises(AuthorizationDenied) as denied:
                await read.ainvoke({"note": "the boss has no right to it"})
            assert denied.value.reason == "outside_task"
        with pytest.raises(AuthorizationDenied) as denied:
            await read.ainvoke({"note": "nobody's"})
        assert denied.value.reason == "no_task"
        return task.id

    async def connected() -> str:
        if not persistent:
            (read,) = library.hopward.protect(await client(library).get_tools(), server="notes")
            return await program(read)
        async with client(library).session("notes") as session:
            (read,) = library.hopward.protect(await loading.load_mcp_tools(session), server="notes")
            return await program(read)

    task = asyncio.run(connected())
    rows = [row for row in library.rows("decision") if row.server == "notes"]
    assert [(row.task, row.verdict, row.record["chain"]["actors"]) for row in rows] == [
        (task, "permit", ["boss", "researcher"]),
        (task, "deny", ["boss"]),
    ]
    assert [call["tool"] for call in at_server(received)] == ["read_note"]


@pytest.mark.parametrize(
    ("kind", "executed", "told"),
    [
        ("silent", False, "has not answered a ping in time"),
        ("failing", True, "no decision about it in the log"),
    ],
)
def test_a_server_that_is_no_proxy_gets_no_call_or_its_error_is_withheld(
    library: Office,
    received: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    executed: bool,
    told: str,
) -> None:
    if kind == "silent":
        monkeypatch.setattr(loads, "PATIENCE", 0)
    else:
        monkeypatch.setattr(library.guard, "accepted", lambda presented: True)
    script = Path(__file__).with_name("stub_server.py")
    started = {"transport": "stdio", "command": sys.executable, "args": [str(script), str(received), kind]}

    async def program() -> AuthorizationDenied:
        (read,) = library.hopward.protect(
            await adapters.MultiServerMCPClient({"notes": started}).get_tools(), server="notes"
        )
        with library.task(), pytest.raises(AuthorizationDenied) as denied:
            await read.ainvoke({"note": "n1"})
        return denied.value

    denial = asyncio.run(program())
    assert (denial.reason, denial.executed) == ("chain_not_carried", executed)
    assert told in denial.message
    assert SECRET not in denial.message
    assert received.exists() == executed
    assert library.turned_away() == ["chain_not_carried"]
