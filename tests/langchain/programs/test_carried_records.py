"""What a program and its log are told of carried calls: the same as of every other."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler

from hopward import LedgerError
from langchain_hopward import AuthorizationDenied

from .carried import adapter, ask, denied, denied_in_task, past_the_proxy, reading, stub, wired
from .notes import at_server
from .office import USER, Office, calls, scripted


def refusals(office: Office) -> list[tuple[str, str, str]]:
    """What the log says of calls that were turned away: server, reason, sentence."""
    return [(row.server, row.reason, row.record["sentence"]) for row in office.rows("refusal")]


def test_a_call_that_would_lead_past_the_proxy_is_a_refusal_in_the_log(
    library: Office, received: Path
) -> None:
    async def program() -> str:
        async with past_the_proxy(received) as straight:
            read = await reading(library, straight)
            with library.task() as task:
                await denied(read)
                return task.id

    task = asyncio.run(program())
    (row,) = library.rows("refusal")
    assert (row.server, row.reason, row.task) == ("notes", "chain_not_carried", task)
    assert row.record["sentence"].startswith("read_note: Its MCP client does not lead straight to")
    assert row.record["chain"]["actors"] == ["boss"]


def test_a_call_that_may_have_been_executed_undecided_is_a_refusal_in_the_log(library: Office) -> None:
    def elsewhere(note: str) -> str:
        """Reads a note by other means."""
        return note

    (tool,) = library.hopward.protect([elsewhere], server="notes")
    with library.task(), pytest.raises(AuthorizationDenied):
        tool.invoke({"note": "x"})
    ((server, reason, sentence),) = refusals(library)
    assert (server, reason) == ("notes", "chain_not_carried")
    assert sentence.startswith("elsewhere: It may have been executed.")


def test_a_call_outside_a_task_is_a_refusal_of_its_own_server(library: Office, received: Path) -> None:
    async def program() -> AuthorizationDenied:
        async with adapter(library) as notes:
            return await denied(await reading(library, notes))

    assert asyncio.run(program()).tool == "notes/read_note"
    assert [told[:2] for told in refusals(library)] == [("notes", "no_task")]
    assert at_server(received) == []


def test_a_refusal_that_cannot_be_logged_is_the_same_refusal(
    library: Office, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwritable(*told: Any) -> None:
        raise LedgerError("The disk is full.")

    async def program() -> AuthorizationDenied:
        async with past_the_proxy(received) as straight:
            read = await reading(library, straight)
            monkeypatch.setattr(library.guard, "refuse", unwritable)
            with library.task():
                return await denied(read)

    denial = asyncio.run(program())
    assert (denial.reason, denial.executed) == ("chain_not_carried", False)


def test_an_argument_that_json_cannot_carry_is_refused_as_unreadable(library: Office, received: Path) -> None:
    assert asyncio.run(denied_in_task(library, adapter(library), "\ud800")).reason == "arguments_unreadable"
    assert [told[:2] for told in refusals(library)] == [("notes", "arguments_unreadable")]
    assert at_server(received) == []


def test_the_refusal_of_a_carried_call_names_server_tool_and_decision(
    library: Office, received: Path
) -> None:
    denial = asyncio.run(denied_in_task(library, adapter(library)))
    (row,) = library.rows("decision")
    assert (denial.tool, denial.reason, denial.decision) == ("notes/read_note", "outside_task", row.decision)
    assert at_server(received) == []


def test_the_custom_stream_shows_the_decisions_about_carried_calls(library: Office) -> None:
    async def program() -> list[Any]:
        async with adapter(library) as notes:
            read = await reading(library, notes)

            async def stream() -> list[Any]:
                agent = create_agent(scripted(calls(("read_note", {"note": "n1"}))), [read])
                return [told async for told in agent.astream(USER, stream_mode="custom")]

            with library.task():
                return [*await ask(library, "ask_researcher", stream).ainvoke({}), *await stream()]

    told = asyncio.run(program())
    decided = [row for row in library.rows("decision") if row.server == "notes"]
    assert [row.verdict for row in decided] == ["permit", "deny"]
    assert told == [
        {
            "hopward": {
                "decision": row.decision,
                "verdict": row.verdict,
                "reason": row.reason,
                "tool": "notes/read_note",
            }
        }
        for row in decided
    ]


def test_the_custom_stream_shows_a_carried_call_that_was_turned_away(library: Office, received: Path) -> None:
    async def program() -> list[Any]:
        async with wired(stub(received, "failing")) as straight:
            agent = create_agent(
                scripted(calls(("read_note", {"note": "n1"}))), [await reading(library, straight)]
            )
            with library.task():
                return [told async for told in agent.astream(USER, stream_mode="custom")]

    ((told),) = asyncio.run(program())
    assert (told["hopward"]["verdict"], told["hopward"]["reason"]) == ("deny", "chain_not_carried")


class Metadata(BaseCallbackHandler):
    """Keeps the metadata of the runs of a tool."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def on_tool_start(self, *told: Any, metadata: dict[str, Any] | None = None, **more: Any) -> None:
        self.kept.append(metadata if metadata is not None else {})


def test_the_metadata_of_the_run_of_a_carried_tool_names_its_decision(library: Office) -> None:
    watching = Metadata()

    async def program() -> None:
        async with adapter(library) as notes:
            read = await reading(library, notes)

            async def research() -> str:
                await read.ainvoke({"note": "n1"}, {"callbacks": [watching]})
                return "done"

            with library.task():
                await ask(library, "ask_researcher", research).ainvoke({})
                with pytest.raises(AuthorizationDenied):
                    await read.ainvoke({"note": "n1"}, {"callbacks": [watching]})

    asyncio.run(program())
    decided = [row.decision for row in library.rows("decision") if row.server == "notes"]
    assert [one.get("hopward_decision") for one in watching.kept] == decided
