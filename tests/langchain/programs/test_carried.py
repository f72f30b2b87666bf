"""MCP tools behind the guarded proxy: each call carries its agent's chain, into the same task and log."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool

from hopward import ConfigError, LedgerError
from hopward.base64url import decode
from langchain_hopward import AuthorizationDenied, current_credential

from .carried import adapter, ask, denied_in_task, noted, past_the_proxy
from .notes import at_server
from .office import USER, Office, calls, scripted


def test_a_call_behind_the_proxy_belongs_to_the_chain_of_the_agent_that_makes_it(
    library: Office, received: Path
) -> None:
    async def program() -> Any:
        async with adapter(library) as notes:
            tools = await noted(library, notes)
            assert [tool.name for tool in tools] == ["read_note"]

            async def research() -> Any:
                agent = create_agent(scripted(calls(("read_note", {"note": "n1"}))), tools)
                return (await agent.ainvoke(USER))["messages"][-2].content

            boss = create_agent(
                scripted(calls(("ask_researcher", {}))), [ask(library, "ask_researcher", research)]
            )
            with library.task() as task:
                result = await boss.ainvoke(USER)
            return task, result["messages"][-2].content

    task, told = asyncio.run(program())
    assert "read_note n1" in str(told)
    rows = [row for row in library.rows("decision") if row.server == "notes"]
    assert [(row.verdict, row.task, row.record["chain"]["actors"]) for row in rows] == [
        ("permit", task.id, ["boss", "researcher"])
    ]
    (call,) = at_server(received)
    assert call["tool"] == "read_note"
    assert not any("hopward" in key for key in call["meta"])
    payload = json.loads(decode(call["token"].split(".")[1]))
    assert payload["act"] == {"sub": "agent:researcher", "act": {"sub": "agent:boss"}}
    assert payload["txn"] == task.id
    assert payload["hops"] == rows[0].record["chain"]["hops"]


def test_one_session_serves_several_agents_and_each_call_is_its_own_agents(
    library: Office, received: Path
) -> None:
    async def program() -> None:
        async with adapter(library) as notes:
            (read,) = await noted(library, notes)

            async def research() -> Any:
                return await read.ainvoke({"note": "mine"})

            async def pay() -> str:
                with pytest.raises(AuthorizationDenied):
                    await read.ainvoke({"note": "not the payer's"})
                return "refused"

            researcher, payer = ask(library, "ask_researcher", research), ask(library, "ask_payer", pay)
            with library.task():
                assert await payer.ainvoke({}) == "refused"
                await asyncio.gather(*(researcher.ainvoke({}) for _ in range(3)))
                with pytest.raises(AuthorizationDenied):
                    await read.ainvoke({"note": "not the boss's"})
            with pytest.raises(AuthorizationDenied) as denied:
                await read.ainvoke({"note": "nobody's"})
            assert denied.value.reason == "no_task"

    asyncio.run(program())
    assert len(at_server(received)) == 3
    assert {(path, verdict) for path, tool, verdict in library.story() if tool == "read_note"} == {
        ("boss>payer", "outside_hop"),
        ("boss>researcher", "permit"),
        ("boss", "outside_task"),
    }


def test_a_call_that_carries_no_chain_is_refused_by_the_proxy(library: Office, received: Path) -> None:
    async def program() -> str:
        async with adapter(library) as notes:
            with library.task():
                result = await notes.client.call_tool("read_note", {"note": "n"}, raise_on_error=False)
                return str(result)

    with pytest.raises(Exception, match="carry the chain"):
        asyncio.run(program())
    assert at_server(received) == []
    assert "chain_missing" in library.turned_away()


def test_a_tool_that_goes_past_the_sdk_is_refused_since_nothing_carried_its_chain(library: Office) -> None:
    def elsewhere(note: str) -> str:
        """Reads a note by other means."""
        return note

    (tool,) = library.hopward.protect([elsewhere], server="notes")
    with library.task(), pytest.raises(AuthorizationDenied) as denied:
        tool.invoke({"note": "x"})
    assert denied.value.reason == "chain_not_carried"


def test_revoking_the_hop_refuses_its_next_call_behind_the_proxy(library: Office, received: Path) -> None:
    async def program() -> str:
        async with adapter(library) as notes:
            (read,) = await noted(library, notes)

            async def research() -> str:
                await read.ainvoke({"note": "1"})
                (hop,) = library.guard.ledger.hops(task.id)
                library.guard.revoke("hop", hop.id, by="ana", why="a test")
                with pytest.raises(AuthorizationDenied) as denied:
                    await read.ainvoke({"note": "2"})
                return denied.value.reason

            with library.task() as task:
                return await ask(library, "ask_researcher", research).ainvoke({})

    assert asyncio.run(program()) == "hop_revoked"
    assert len(at_server(received)) == 1


def test_servers_that_are_not_behind_the_proxy_are_named(library: Office) -> None:
    for name in ("app", "nots"):
        with pytest.raises(ConfigError, match="There are: notes"):
            library.hopward.protect([], server=name)
        with pytest.raises(ConfigError):
            library.hopward.connections(name)


def test_a_model_is_shown_the_mcp_tools_that_its_agent_may_call(library: Office) -> None:
    shown: list[list[str]] = []

    async def program() -> None:
        async with adapter(library) as notes:
            tools = await noted(library, notes)

            async def offer() -> str:
                model = scripted()
                middleware = [library.hopward.middleware()]
                await create_agent(model, [*tools, *library.tools()], middleware=middleware).ainvoke(USER)
                shown.append(model.offered[0])
                return "done"

            researcher = ask(library, "ask_researcher", offer)
            with library.task():
                await offer()
                await researcher.ainvoke({})

    asyncio.run(program())
    assert shown == [["look"], ["read_note", "look"]]


def test_a_client_wired_past_the_proxy_gets_no_call_through(library: Office, received: Path) -> None:
    denial = asyncio.run(denied_in_task(library, past_the_proxy(received)))
    assert (denial.reason, denial.executed) == ("chain_not_carried", False)
    assert "Hopward.connections()" in denial.message
    assert at_server(received) == []


def test_the_result_of_a_call_that_nobody_has_decided_is_withheld(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.guard, "accepted", lambda presented: True)

    denial = asyncio.run(denied_in_task(library, past_the_proxy(received)))
    assert (denial.reason, denial.executed) == ("chain_not_carried", True)
    assert "read_note n1" not in denial.message
    assert len(at_server(received)) == 1


@pytest.mark.parametrize("method", ["accepted", "decision_about"])
def test_where_the_log_cannot_be_asked_about_a_call_it_is_refused(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def unreadable(*asked: Any) -> Any:
        raise LedgerError("The disk is gone.")

    async def program() -> None:
        async with adapter(library) as notes:
            (read,) = await noted(library, notes)

            async def research() -> str:
                monkeypatch.setattr(library.guard, method, unreadable)
                with pytest.raises(AuthorizationDenied) as denied:
                    await read.ainvoke({"note": "n1"})
                return denied.value.reason

            with library.task():
                assert await ask(library, "ask_researcher", research).ainvoke({}) == "chain_not_carried"

    asyncio.run(program())
    assert len(at_server(received)) == {"accepted": 0, "decision_about": 1}[method]


def test_a_carried_call_has_no_credential_of_the_tool_around_it(library: Office) -> None:
    seen: list[str] = []

    def read_note(note: str) -> str:
        """Looks for a credential."""
        with pytest.raises(LookupError):
            current_credential()
        seen.append(note)
        return note

    (carried,) = library.hopward.protect([read_note], server="notes")

    def look(note: str) -> str:
        """Looks, by a carried tool."""
        with pytest.raises(AuthorizationDenied) as denied:
            carried.invoke({"note": note})
        assert denied.value.executed
        assert current_credential()
        return note

    (outer,) = library.hopward.protect([look])

    def research() -> str:
        """Researches."""
        return outer.invoke({"note": "n1"})

    made = StructuredTool.from_function(research, name="ask_researcher")
    with library.task():
        library.hopward.protect([made])[0].invoke({})
    assert seen == ["n1"]
