"""`hopward mcp serve` is told to end: what is under way then ends in order, or at once, and is in the log."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .fronting import MODERN, Answered
from .installation import rows
from .operating import Operated, operated

LISTEN = {
    "id": "sub",
    "method": "subscriptions/listen",
    "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": MODERN}, "notifications": {}},
}
LISTENING = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Operated]:
    # Whoever waits for the time to drain to be over waits longer than a test may.
    async with operated(tmp_path, "drain_seconds = 3600") as running:
        yield running


async def begun(serve: Operated, server: str = "desk") -> "asyncio.Task[Answered]":
    """A call that has reached its server and gets no answer."""
    call = asyncio.create_task(serve.front.call(serve.front.token(server), "slow", server=server))
    if server == "desk":
        while not serve.desk.calls:
            await asyncio.sleep(0)
    else:
        while b'"slow"' not in (serve.record.read_bytes() if serve.record.exists() else b""):
            await asyncio.sleep(0)
    return call


def last(answered: Answered) -> dict[str, Any]:
    """The answer, which may stand at the end of a stream."""
    return answered.events[-1] if answered.events else answered.message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_call_under_way_is_answered_and_settled_while_nobody_else_is_let_in(
    serve: Operated, number: signal.Signals
) -> None:
    call = await begun(serve)
    serve.tell(number)
    await serve.until_refused()
    serve.desk.release.set()
    assert last(await call)["result"]["vendor"] == 1
    assert await serve.over() == 0
    assert [row.reason for row in rows(serve.guard, "outcome")] == ["ok"]


async def test_streams_that_go_on_without_a_call_end_politely_and_at_once(serve: Operated) -> None:
    token = serve.front.token()
    session = {"Mcp-Session-Id": await serve.front.initialize(token)}
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    url = f"{serve.front.base}/desk/mcp"
    own = await serve.front.client.get(url, headers=headers | session)
    await own.content.readuntil(b"\r\n\r\n")
    body = json.dumps({"jsonrpc": "2.0", **LISTEN})
    headers |= LISTENING | {"Content-Type": "application/json"}
    subscribed = await serve.front.client.post(url, headers=headers, data=body)
    await subscribed.content.readuntil(b"\r\n\r\n")
    serve.tell(signal.SIGTERM)
    # A chunked body that breaks off would raise.
    assert await own.content.read() == b""
    end = json.loads((await subscribed.content.read()).decode().rpartition("data: ")[2])
    assert (end["id"], end["error"]["message"]) == ("sub", "Hopward was stopped before the server answered.")
    assert await serve.over() == 0


@pytest.mark.parametrize("server", ["desk", "tools"])
async def test_told_twice_a_call_is_answered_in_the_servers_place_and_its_outcome_is_unknown(
    serve: Operated, server: str
) -> None:
    call = await begun(serve, server)
    serve.tell(signal.SIGTERM)
    await serve.until_refused()
    serve.tell(signal.SIGTERM)
    assert last(await call)["error"]["message"] == "Hopward was stopped before the server answered."
    assert await serve.over() == 0
    assert [row.record["outcome"]["error"] for row in rows(serve.guard, "outcome")] == ["stopped"]
    assert serve.without_outcome() == []


async def test_a_call_that_does_not_end_is_cut_off_when_the_time_to_drain_is_over(tmp_path: Path) -> None:
    async with operated(tmp_path, "drain_seconds = 1") as serve:
        call = await begun(serve)
        serve.tell(signal.SIGTERM)
        assert "was stopped" in last(await call)["error"]["message"]
        assert await serve.over() == 0
        assert serve.without_outcome() == []


async def test_many_calls_of_both_eras_cut_off_at_once_leave_no_permit_without_an_outcome(
    serve: Operated,
) -> None:
    tokens = [serve.front.token() for _ in range(8)]
    sessions = [{"Mcp-Session-Id": await serve.front.initialize(token)} for token in tokens[:4]]
    slow = {"id": 7, "method": "tools/call", "params": {"name": "slow"}}
    calls = [
        asyncio.create_task(serve.front.post(token, slow, session))
        for token, session in zip(tokens[:4], sessions, strict=True)
    ]
    calls += [asyncio.create_task(serve.front.call(token, "slow")) for token in tokens]
    while len(serve.desk.calls) < len(calls):
        await asyncio.sleep(0)
    # One caller has gone; in the older era that has not given the call up.
    calls[0].cancel()
    serve.tell(signal.SIGTERM)
    await serve.until_refused()
    serve.tell(signal.SIGTERM)
    assert await serve.over() == 0
    await asyncio.gather(*calls, return_exceptions=True)
    assert len(rows(serve.guard, "outcome")) == len(calls)
    assert serve.without_outcome() == []
