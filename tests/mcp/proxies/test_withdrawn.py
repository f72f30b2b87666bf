"""Calls under way when what they were permitted on ends, in another process or this one.

The server is told, the client is answered with a refusal, the outcome is `cancelled`, and what the server
still says reaches nobody.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from hopward import Guard, LedgerError
from hopward.ledger import SqliteLedger

from .fronting import LEGACY, Fronted, front, modern_call
from .installation import SERVER, caller_token, classified, environment, hopward, opened, rows
from .piping import INITIALIZE
from .piping import Client as Piped
from .placing import PAIRS, Pair, Person, Place, placed, sdk_client
from .processes import Processes, process_server
from .test_outbound import Caller, calling

BY: dict[str, Any] = {"by": "carol", "why": "an incident"}
SLOW: dict[str, Any] = {"id": "mine", "method": "tools/call", "params": {"name": "slow", "arguments": {}}}


def of_task(guard: Guard) -> str:
    (task,) = guard.ledger.tasks("open")
    return task.id


WAYS: dict[str, tuple[Callable[[Guard], Any], str]] = {
    "task quarantined": (lambda g: g.quarantine("task", of_task(g), **BY), "quarantined"),
    "agent quarantined": (lambda g: g.quarantine("agent", "assistant", **BY), "quarantined"),
    "tool quarantined": (lambda g: g.quarantine("tool", "desk/sl*", **BY), "quarantined"),
    "server quarantined": (lambda g: g.quarantine("server", "desk", **BY), "quarantined"),
    "everything stopped": (lambda g: g.stop_all(**BY), "stopped"),
    "task revoked": (lambda g: g.revoke("task", of_task(g), **BY), "task_revoked"),
    "task completed": (lambda g: g.complete_task(of_task(g)), "task_completed"),
    "agent revoked": (lambda g: g.revoke("agent", "assistant", **BY), "agent_revoked"),
    "agent suspended": (lambda g: g.set_agent_state("assistant", "suspended", **BY), "agent_suspended"),
}


def ended(guard: Guard) -> list[tuple[str, str]]:
    """Status and error of every outcome."""
    found = [row.record["outcome"] for row in rows(guard, "outcome")]
    return [(one["status"], one["error"]) for one in found]


async def settled(guard: Guard, count: int = 1) -> list[tuple[str, str]]:
    """The outcomes, once there are so many."""
    while len(rows(guard, "outcome")) < count:
        await asyncio.sleep(0.01)
    return ended(guard)


def is_withdrawn(answer: dict[str, Any], told: str) -> bool:
    """Whether an answer is the refusal of a call that was cancelled under way."""
    result = answer["result"]
    assert result["isError"] is True
    data = result["_meta"]["dev.hopward/decision"]
    (content,) = result["content"]
    assert (data["reason"], data["verdict"]) == ("withdrawn", "permit")
    assert content["text"].endswith(f"Decision {data['id']}.")
    return told in content["text"] and "The call was cancelled while it was under way" in content["text"]


@pytest.fixture
def piped(tmp_path: Path) -> Any:
    running = Piped(tmp_path)
    running.ask(INITIALIZE)
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.mark.parametrize("way", WAYS)
def test_over_stdio_the_server_is_told_and_the_client_refused(piped: Piped, way: str) -> None:
    withdraw, reason = WAYS[way]
    piped.send(SLOW)
    while len(piped.record.read_bytes().splitlines()) < 2:
        pass
    with opened(piped.config) as guard:
        withdraw(guard)
        answer = piped.read()
        assert answer["id"] == "mine"
        assert is_withdrawn(answer, "")
        assert ended(guard) == [("cancelled", f"withdrawn {reason}")]
        while len(piped.received()) < 3:
            pass
        *_, called, told = piped.received()
        assert (told["method"], told["params"]["requestId"]) == ("notifications/cancelled", called["id"])
        assert BY["why"] not in json.dumps(told)


def test_what_is_not_concerned_goes_on_and_is_looked_at_no_more_once_answered(piped: Piped) -> None:
    piped.send(SLOW)
    other = {"id": 2, "method": "resources/read", "params": {"uri": "ticket://1"}}
    assert piped.ask(other)["id"] == 2
    with opened(piped.config) as guard:
        guard.quarantine("tool", "desk/echo", **BY)
        assert "is quarantined" in json.dumps(piped.call("echo", message_id=3))
        guard.quarantine("tool", "desk/slow", **BY)
        assert is_withdrawn(piped.read(), "Tool desk/slow is quarantined")
        assert ended(guard) == [("ok", ""), ("cancelled", "withdrawn quarantined")]
        guard.stop_all(**BY)
    assert "is stopped" in json.dumps(piped.call("echo", message_id=4))


def test_a_late_answer_reaches_nobody(tmp_path: Path) -> None:
    server = tmp_path / "late.py"
    server.write_text(LATE)
    settings = SERVER.format(
        name="desk", transport=f"command = ['{sys.executable}', '{server}']", credential='{ by = "meta" }'
    )
    piped = Piped(tmp_path, settings=settings + classified("desk"))
    try:
        piped.ask(INITIALIZE)
        piped.send(SLOW)
        with opened(piped.config) as guard:
            while not rows(guard, "decision"):
                pass
            guard.quarantine("tool", "desk/slow", **BY)
            assert is_withdrawn(piped.read(), "quarantined")
            guard.release("tool", "desk/slow", **BY)
        # The late answer has come before this one: the server answers in order.
        assert piped.ask({"id": 9, "method": "ping"})["id"] == 9
        assert "too late" not in piped.end()[1].decode()
    finally:
        piped.process.kill()
        piped.process.communicate()


LATE = """
import json, sys

def answer(message_id, result):
    print(json.dumps({"jsonrpc": "2.0", "id": message_id, "result": result}), flush=True)

for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        info = {"name": "late", "version": "1"}
        answer(message["id"], {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info})
    elif message.get("method") == "notifications/cancelled":
        answer(message["params"]["requestId"], {"content": [{"type": "text", "text": "too late"}]})
    elif message.get("method") == "ping":
        answer(message["id"], {})
"""


@asynccontextmanager
async def modern_client(place: Place) -> AsyncGenerator[Client]:
    """The SDK's client in its own era."""
    if place.front is None:
        program, *words = hopward(place.folder / "hopward.toml", "mcp", "run", "desk")
        started = StdioServerParameters(command=program, args=words, env=environment())
        with (place.folder / "said.txt").open("w") as said:
            async with Client(stdio_client(started, errlog=said)) as client:
                yield client
        return
    token, _ = caller_token(place.guard, "desk")
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(f"{place.front.base}/desk/mcp", http_client=http)) as client,
    ):
        yield client


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("pair", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_over_every_transport_a_modern_server_is_told_in_its_way(
    tmp_path: Path, pair: Pair, era: str
) -> None:
    async with asyncio.timeout(60), placed(tmp_path, pair) as place:
        opening = modern_client(place) if era == "2026-07-28" else sdk_client(place, Person())
        async with opening as client:
            calling_it = asyncio.create_task(client.call_tool("slow", {}))
            await place.until({"method": "tools/call"})
            with opened(tmp_path / "hopward.toml") as guard:
                guard.quarantine("server", "desk", **BY)
            result = await calling_it
            dumped = {"result": result.model_dump(mode="json", by_alias=True)}
            assert is_withdrawn(dumped, "Server desk is quarantined")
            await place.until({"cancelled": "slow"})
            assert await settled(place.guard) == [("cancelled", "withdrawn quarantined")]
            again = await client.call_tool("echo", {})
            assert "is quarantined" in again.model_dump_json()


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with calling(tmp_path, credential='{ by = "meta" }') as running:
        yield running


async def test_an_older_server_over_http_is_told_and_its_stream_left(caller: Caller) -> None:
    await caller.greet()
    assert (await caller.call("slow", "mine"))["method"] == "notifications/progress"
    caller.server.broken.clear()
    with opened(caller.client.config) as guard:
        guard.stop_all(**BY)
    assert is_withdrawn(await caller.read(), "Everything is stopped")
    await caller.server.broken.wait()
    while not (told := [m for m in messages(caller) if m.get("method") == "notifications/cancelled"]):
        await asyncio.sleep(0)
    assert told[0]["params"]["requestId"] == caller.server.calls[0].message["id"]
    caller.server.release.set()
    assert "is stopped" in json.dumps(await caller.call("echo", 2))
    assert caller.outcomes() == ["cancelled"]


async def test_without_a_credential_for_telling_an_older_server_its_stream_is_left(tmp_path: Path) -> None:
    async with calling(tmp_path) as caller:
        await caller.greet()
        assert (await caller.call("slow", "mine"))["method"] == "notifications/progress"
        caller.server.broken.clear()
        with opened(caller.client.config) as guard:
            guard.stop_all(**BY)
        assert is_withdrawn(await caller.read(), "Everything is stopped")
        await caller.server.broken.wait()
        told = [m["method"] for m in messages(caller)]
        assert told == ["initialize", "notifications/initialized", "tools/call"]
        assert caller.outcomes() == ["cancelled"]


def messages(caller: Caller) -> list[dict[str, Any]]:
    return [one.message for one in caller.server.received if one.method == "POST"]


async def test_over_http_both_ways_the_answer_is_the_last_event_of_the_stream(tmp_path: Path) -> None:
    async with asyncio.timeout(60), front(tmp_path, ("desk",), '{ by = "meta" }') as fronted:
        server, token = fronted.servers["desk"], fronted.token()
        session = {"Mcp-Session-Id": await fronted.initialize(token), "MCP-Protocol-Version": LEGACY}
        message, headers = modern_call("slow", message_id="mine")
        calls = [
            asyncio.create_task(fronted.post(token, SLOW, session)),
            asyncio.create_task(fronted.post(token, message, headers)),
        ]
        while len(server.calls) < 2:
            await asyncio.sleep(0)
        fronted.guard.quarantine("tool", "desk/slow", **BY)
        for answered in await asyncio.gather(*calls):
            assert answered.status == 200
            assert is_withdrawn(answered.events[-1], "Tool desk/slow is quarantined")
        legacy = next(one.message["id"] for one in server.calls if one.header("mcp-method") is None)
        while server.received[-1].message.get("method") != "notifications/cancelled":
            await asyncio.sleep(0)
        # In 2026-07-28 the server has been told by the end of its stream.
        assert server.received[-1].message["params"]["requestId"] == legacy
        assert len(server.received) == 4
        assert await settled(fronted.guard, 2) == [("cancelled", "withdrawn quarantined")] * 2
        server.release.set()
        fronted.guard.release("tool", "desk/slow", **BY)
        assert (await fronted.post(token, {**SLOW, "id": 2}, session)).events[-1]["result"]["vendor"] == 1


@pytest.mark.parametrize(("modern", "era"), [(True, "both"), (False, "both"), (True, "legacy")])
async def test_a_process_behind_http_is_told_and_serves_on(tmp_path: Path, modern: bool, era: str) -> None:
    settings = process_server(tmp_path / "record", era)
    async with asyncio.timeout(60), front(tmp_path, (), more=settings) as running:
        served = Processes(running, tmp_path / "record")
        token = running.token()
        session = None if modern else await served.session(token)
        slow = served.call(token, "slow", "mine") if session is None else session.call("slow", "mine")
        calling_it = asyncio.create_task(slow)
        await served.until("tools/call")
        running.guard.quarantine("tool", "desk/slow", **BY)
        answered = await calling_it
        assert answered.status == 200
        assert is_withdrawn(answered.message, "Tool desk/slow is quarantined")
        await served.until("notifications/cancelled")
        sent = {one["message"].get("method"): one["message"] for one in served.received}
        assert sent["notifications/cancelled"]["params"]["requestId"] == sent["tools/call"]["id"]
        echo = served.call(token, "echo", 2) if session is None else session.call("echo", 2)
        assert (await echo).status == 200
        assert await settled(running.guard, 2) == [("cancelled", "withdrawn quarantined"), ("ok", "")]


def test_an_older_process_before_a_client_of_the_newer_era_is_told(tmp_path: Path) -> None:
    piped = Piped(tmp_path, settings=process_server(tmp_path / "record", "legacy"))
    try:
        piped.send(modern_call("slow", message_id="mine")[0])
        while b"tools/call" not in (piped.record.read_bytes() if piped.record.exists() else b""):
            pass
        with opened(piped.config) as guard:
            guard.stop_all(**BY)
            assert is_withdrawn(piped.read(), "Everything is stopped")
        while b"notifications/cancelled" not in piped.record.read_bytes():
            pass
        told = [one["message"] for one in piped.received()]
        assert told[-1]["params"]["requestId"] == told[-2]["id"]
    finally:
        piped.process.kill()
        piped.process.communicate()


async def test_an_older_server_over_http_before_a_client_of_the_newer_era_is_told(caller: Caller) -> None:
    caller.server.older = True
    caller.client.send(modern_call("slow", message_id="mine")[0])
    while not caller.server.calls:
        await asyncio.sleep(0)
    with opened(caller.client.config) as guard:
        guard.stop_all(**BY)
    assert is_withdrawn(await caller.read(), "Everything is stopped")
    while not any(m.get("method") == "notifications/cancelled" for m in messages(caller)):
        await asyncio.sleep(0)
    assert caller.outcomes() == ["cancelled"]


async def test_a_reading_under_way_is_refused_with_a_json_rpc_error(fronted: Fronted) -> None:
    server = fronted.servers["desk"]
    server.silent.add("POST")
    headers = {"MCP-Protocol-Version": LEGACY}
    reading = {"id": 5, "method": "resources/read", "params": {"uri": "ticket://1"}}
    token = fronted.token()
    asked = asyncio.create_task(fronted.post(token, reading, headers))
    while not server.received:
        await asyncio.sleep(0)
    fronted.guard.stop_all(**BY)
    error = (await asked).message["error"]
    assert (error["code"], error["data"]["reason"]) == (-32000, "withdrawn")
    assert await settled(fronted.guard) == [("cancelled", "withdrawn stopped")]


async def test_while_the_log_cannot_be_read_nothing_is_cancelled_and_later_it_is(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    standing = SqliteLedger.standing

    def unreadable(ledger: SqliteLedger, chain: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise LedgerError("The log is gone.")
        return standing(ledger, chain)

    slow = asyncio.create_task(fronted.call(fronted.token(), "slow"))
    while not fronted.servers["desk"].calls:
        await asyncio.sleep(0)
    monkeypatch.setattr(SqliteLedger, "standing", unreadable)
    while not asked:
        await asyncio.sleep(0.01)
    assert not slow.done()
    fronted.guard.stop_all(**BY)
    assert is_withdrawn((await slow).events[-1], "Everything is stopped")


async def test_what_the_client_answers_after_the_end_does_not_reach_the_server(piped: Piped) -> None:
    asked = piped.call("ask", message_id=3)
    assert asked["method"] == "roots/list"
    with opened(piped.config) as guard:
        guard.quarantine("server", "desk", **BY)
        before = len(piped.received())
        piped.send({"id": asked["id"], "result": {"roots": [{"uri": "file:///secret"}]}})
        while len(piped.received()) == before:
            pass
        answer = piped.received()[-1]
        assert (answer["id"], answer["error"]["code"]) == (1, -32000)
        assert b"secret" not in piped.record.read_bytes()
        assert ("cancelled", "withdrawn quarantined") in ended(guard)
