"""A person at a real client, over every transport and in both eras, is asked before a call goes on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.types import ElicitRequestURLParams, ElicitResult

from hopward import Guard

from .fronting import front
from .installation import caller_token, environment, hopward, http_server, install, opened, rows
from .modern_server import STATE
from .placing import PAIRS, Pair, Place, placed, shown
from .processes import process_server
from .recording_http import RecordingServer
from .stepping import GROUPS, PAGE, held

ERAS = ["2025-11-25", "2026-07-28"]
MODES = ["url", "form"]


def groups(mode: str) -> str:
    return GROUPS if mode == "url" else GROUPS.replace(f'page = "{PAGE}"\n', "")


class Person:
    """Who sits at the client. `approves` is who says yes at the page meanwhile; forms they fill in."""

    def __init__(self, guard: Guard, *, approves: bool = True, late: bool = False) -> None:
        self.asked: list[Any] = []
        self._guard = guard
        self.approves = approves
        self._late = late

    async def elicit(self, _ctx: Any, params: Any) -> ElicitResult:
        self.asked.append(params)
        said = "yes" if self.approves else "no"
        if not isinstance(params, ElicitRequestURLParams):
            given = {"name": "bo"} if "name" in params.requested_schema["properties"] else {"approve": said}
            return ElicitResult(action="accept", content=given)
        if self.approves and self._late:
            asyncio.get_running_loop().call_later(0.2, self.approve)
        elif self.approves:
            self.approve()
        return ElicitResult(action="accept" if self.approves else "decline")

    def approve(self) -> None:
        (found,) = self._guard.approvals.find()
        self._guard.approvals.approve(found.id, by="dora")


@asynccontextmanager
async def client_of(place: Place, person: Person, era: str) -> AsyncGenerator[Client]:
    callbacks: dict[str, Any] = {"elicitation_callback": person.elicit}
    if era != "2026-07-28":
        callbacks["mode"] = "legacy"
    if place.front is None:
        program, *words = hopward(place.folder / "hopward.toml", "mcp", "run", "desk")
        started = StdioServerParameters(command=program, args=words, env=environment())
        with (place.folder / "said.txt").open("w") as said:
            async with Client(stdio_client(started, errlog=said), **callbacks) as client:
                yield client
        return
    token, _ = caller_token(place.guard, "desk")
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(
            streamable_http_client(f"{place.front.base}/desk/mcp", http_client=http), **callbacks
        ) as client,
    ):
        yield client


def verdicts(guard: Guard) -> list[str]:
    return [row.record["verdict"]["name"] for row in rows(guard, "decision") if row.tool == "echo"]


@asynccontextmanager
async def older_placed(folder: Path, pair: Pair, more: str) -> AsyncGenerator[Place]:
    """An installation for a pair of transports before a server of 2025-11-25."""
    async with AsyncExitStack() as stack:
        client, kind = pair
        settings = process_server(folder / "record", "legacy")
        if kind == "url":
            server = await stack.enter_async_context(RecordingServer(older=True))
            settings = http_server(server.url)
        if client == "http":
            running = await stack.enter_async_context(front(folder, (), more=settings + more))
            yield Place(folder, running.guard, running)
        else:
            config = install(folder, settings + more)
            yield Place(folder, stack.enter_context(opened(config)))


async def asked_and_answered(place: Place, era: str, mode: str) -> None:
    """A call that is approved, and one that is not."""
    person = Person(place.guard)
    async with client_of(place, person, era) as client:
        assert (await client.call_tool("echo", {"x": 1})).is_error is not True
        assert verdicts(place.guard) == ["step-up", "permit"]
        assert isinstance(person.asked[0], ElicitRequestURLParams) == (mode == "url")
        assert "desk/echo, on behalf of" in person.asked[0].message
        assert [row.record["outcome"]["status"] for row in rows(place.guard, "outcome")] == ["ok"]
        person.approves = False
        refused = await client.call_tool("echo", {"x": 1})
        assert refused.is_error is True
        assert "has refused this call" in refused.model_dump_json()
        assert len(rows(place.guard, "outcome")) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_over_every_transport_before_a_server_of_2026_07_28(
    tmp_path: Path, pair: Pair, era: str, mode: str
) -> None:
    held(tmp_path, "echo")
    async with asyncio.timeout(60), placed(tmp_path, pair, proxy=groups(mode)) as place:
        await asked_and_answered(place, era, mode)
        assert len(place.params("tools/call")) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_over_every_transport_before_an_older_server(
    tmp_path: Path, pair: Pair, era: str, mode: str
) -> None:
    held(tmp_path, "echo")
    async with asyncio.timeout(60), older_placed(tmp_path, pair, groups(mode)) as place:
        await asked_and_answered(place, era, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[3]], ids=["stdio", "http"])
async def test_between_the_rounds_of_a_server_a_person_is_asked_too_and_nothing_is_mixed_up(
    tmp_path: Path, pair: Pair, era: str, mode: str
) -> None:
    held(tmp_path, "form")
    async with asyncio.timeout(60), placed(tmp_path, pair, proxy=groups(mode)) as place:
        person = Person(place.guard)
        async with client_of(place, person, era) as client:
            answered = shown(await client.call_tool("form", {}))
        assert answered["answers"]["form"]["content"] == {"name": "bo"}
        assert answered["state"] == STATE
        ours = ["approve" in str(one) for one in person.asked]
        assert ours == [True, False, True]
        first, again = place.params("tools/call")
        assert "requestState" not in first
        assert set(again["inputResponses"]) == {"form"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[2]], ids=["stdio", "http"])
async def test_a_call_waits_until_somebody_has_approved(tmp_path: Path, pair: Pair, era: str) -> None:
    held(tmp_path, "echo")
    async with asyncio.timeout(60), older_placed(tmp_path, pair, GROUPS) as place:
        async with client_of(place, Person(place.guard, late=True), era) as client:
            assert (await client.call_tool("echo", {"x": 1})).is_error is not True
        assert verdicts(place.guard) == ["step-up", "permit"]
