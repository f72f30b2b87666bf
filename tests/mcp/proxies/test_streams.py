"""How long streams and requests over HTTP go on: not beyond what they stand on, and never for nobody."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopward import Guard
from hopward_mcp.upstream import Upstream

from .fronting import MODERN, Fronted, front
from .installation import caller_token, rows

CALL = {"id": 1, "method": "tools/call", "params": {"name": "resumable"}}
LISTEN = {
    "id": "sub",
    "method": "subscriptions/listen",
    "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}, "notifications": {}},
}
LISTENING = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}


@pytest.fixture
async def hurried(tmp_path: Path) -> AsyncIterator[Fronted]:
    """`desk` behind the front, with a time limit of a second."""
    limits = "call_timeout_seconds = 1"
    async with asyncio.timeout(60), front(tmp_path, ("desk",), limits=limits) as running:
        yield running


async def opened_stream(
    fronted: Fronted, method: str, headers: Mapping[str, str], message: dict[str, Any] | None = None
) -> aiohttp.ClientResponse:
    """A stream whose first event has come."""
    body = json.dumps({"jsonrpc": "2.0", **message}).encode() if message else None
    whole = {"Accept": "text/event-stream", "Content-Type": "application/json", **headers}
    response = await fronted.client.request(method, f"{fronted.base}/desk/mcp", headers=whole, data=body)
    await response.content.readuntil(b"\r\n\r\n")
    return response


def complete(guard: Guard, task: str) -> None:
    guard.complete_task(task)


def revoke_the_task(guard: Guard, task: str) -> None:
    guard.revoke("task", task, by="ana", why="a test")


def revoke_the_token(guard: Guard, _: str) -> None:
    tokens = (row.record["credential"] for row in rows(guard, "credential"))
    callers = next(token["id"] for token in tokens if token["audience"].endswith("/desk/mcp"))
    guard.revoke("token", callers, by="ana", why="a test")


ENDS = [complete, revoke_the_task, revoke_the_token]


@pytest.mark.parametrize("end", ENDS)
async def test_a_sessions_stream_brings_nothing_once_what_it_stands_on_has_ended(
    fronted: Fronted, end: Any
) -> None:
    token, task = caller_token(fronted.guard, "desk")
    session = {"Mcp-Session-Id": await fronted.initialize(token), "Authorization": f"Bearer {token}"}
    response = await opened_stream(fronted, "GET", session)
    end(fronted.guard, task)
    fronted.servers["desk"].late = [{"method": "notifications/message", "params": {"data": "secret"}}]
    fronted.servers["desk"].release.set()
    assert await response.content.read() == b""


async def test_a_sessions_stream_brings_what_comes_late_while_its_task_is_open(fronted: Fronted) -> None:
    token, _ = caller_token(fronted.guard, "desk")
    session = {"Mcp-Session-Id": await fronted.initialize(token), "Authorization": f"Bearer {token}"}
    response = await opened_stream(fronted, "GET", session)
    fronted.servers["desk"].late = [{"method": "notifications/message", "params": {"data": "late"}}]
    fronted.servers["desk"].release.set()
    assert b"late" in await response.content.read()


@pytest.mark.parametrize("end", ENDS)
async def test_a_subscription_ends_with_what_it_stands_on(fronted: Fronted, end: Any) -> None:
    token, task = caller_token(fronted.guard, "desk")
    response = await opened_stream(fronted, "POST", {"Authorization": f"Bearer {token}", **LISTENING}, LISTEN)
    await response.content.readuntil(b"\r\n\r\n")
    end(fronted.guard, task)
    fronted.servers["desk"].release.set()
    told = json.loads((await response.content.read()).decode().partition("data: ")[2])
    assert (told["id"], "has ended" in told["error"]["message"]) == ("sub", True)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_server_that_does_not_answer_costs_a_session_the_time_limit(
    hurried: Fronted, method: str
) -> None:
    token = hurried.token()
    session = {"Mcp-Session-Id": await hurried.initialize(token), "Authorization": f"Bearer {token}"}
    hurried.servers["desk"].silent.add(method)
    assert (await hurried.send(method, "/desk/mcp", session)).status == 502
    assert (await hurried.post(token, {"id": 1, "method": "ping"}, session)).status == 200


async def test_a_caller_that_leaves_before_its_stream_begins_leaves_no_connection_behind(
    fronted: Fronted,
) -> None:
    server, token = fronted.servers["desk"], fronted.token()
    session = {"Mcp-Session-Id": await fronted.initialize(token), "Authorization": f"Bearer {token}"}
    server.silent.add("GET")
    server.broken.clear()
    asked = asyncio.create_task(fronted.send("GET", "/desk/mcp", session))
    while server.received[-1].method != "GET":
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait_for(server.broken.wait(), 20)


async def test_a_legacy_caller_that_leaves_its_subscription_leaves_no_connection_behind(
    fronted: Fronted,
) -> None:
    server, token = fronted.servers["desk"], fronted.token()
    listen = {"id": 1, "method": "subscriptions/listen", "params": {}}
    response = await opened_stream(fronted, "POST", {"Authorization": f"Bearer {token}"}, listen)
    server.broken.clear()
    response.close()
    await asyncio.wait_for(server.broken.wait(), 20)


async def test_an_answer_that_comes_on_another_stream_of_the_session_is_the_answer(fronted: Fronted) -> None:
    server, token = fronted.servers["desk"], fronted.token()
    session = {"Mcp-Session-Id": await fronted.initialize(token)}
    answered = await fronted.post(token, CALL, session)
    assert [event.get("id") for event in answered.events] == [None]
    server.late = [{"id": server.calls[0].message["id"], "result": {"content": []}}]
    again = session | {"Authorization": f"Bearer {token}", "Last-Event-ID": "r-1"}
    response = await opened_stream(fronted, "GET", again)
    server.release.set()
    assert b'"id":1,' in await response.content.read()
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["ok"]


async def test_an_answer_that_never_comes_on_another_stream_is_given_up_at_the_time_limit(
    hurried: Fronted,
) -> None:
    token = hurried.token()
    session = {"Mcp-Session-Id": await hurried.initialize(token)}
    await hurried.post(token, CALL, session)
    assert (await hurried.post(token, CALL, session)).message["error"]["code"] == -32600
    while not rows(hurried.guard, "outcome"):
        await asyncio.sleep(0)
    assert [row.record["outcome"]["error"] for row in rows(hurried.guard, "outcome")] == ["timed_out"]
    assert (await hurried.post(token, CALL, session)).status == 200


async def test_whatever_fails_on_the_way_the_call_is_answered_and_has_its_outcome(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> bytes:
        raise RuntimeError("injected: secret detail")

    token = fronted.token()
    with monkeypatch.context() as patched:
        patched.setattr(Upstream, "body", broken)
        answered = await fronted.call(token, "echo", message_id="mine")
    assert answered.message["id"] == "mine"
    assert b"secret detail" not in answered.body
    assert (await fronted.call(token, "echo")).message["result"]
    assert [row.reason for row in rows(fronted.guard, "outcome")] == ["unknown", "ok"]
