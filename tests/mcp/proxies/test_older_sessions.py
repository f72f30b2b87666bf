"""Callers of 2026-07-28 over HTTP before an older server at a URL: whose session at the server is whose."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hopward import Chain, LedgerError
from hopward_mcp import upstream_session

from .fronting import Fronted, front, modern_call
from .installation import rows
from .recording_http import RecordingServer


@pytest.fixture
async def older(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with asyncio.timeout(60), front(tmp_path, ("desk",)) as running:
        running.servers["desk"].older = True
        yield running


def methods(server: RecordingServer) -> list[str]:
    return [one.message.get("method", "answer") if one.body else one.method for one in server.received]


async def test_a_principal_has_one_session_that_nobody_else_uses_each_call_with_a_credential_of_its_own(
    older: Fronted,
) -> None:
    server, tokens = older.servers["desk"], [older.token(subject=f"user-{n}") for n in range(5)]
    for _ in range(2):
        answers = await asyncio.gather(*(older.call(token, "echo", {"of": token[-8:]}) for token in tokens))
        assert all(answered.message["result"]["resultType"] == "complete" for answered in answers)
        for token, answered in zip(tokens, answers, strict=True):
            assert token[-8:] in json.dumps(answered.message)
    assert methods(server).count("initialize") == 5
    assert len(server.discovered) == 1
    used: dict[str | None, set[str]] = {}
    for call in server.calls:
        credential = str(call.header("authorization")).removeprefix("Bearer ")
        assert credential not in tokens
        subject = older.guard.issuer.verify(credential).subject
        used.setdefault(call.header("mcp-session-id"), set()).add(subject)
        assert call.header("mcp-protocol-version") == "2025-11-25"
    assert sorted(map(len, used.values())) == [1] * 5
    assert not any(token in json.dumps(one.headers) for token in tokens for one in server.received)


async def test_the_envelope_stays_here_and_no_header_of_the_newer_era_goes_out(older: Fronted) -> None:
    await older.call(older.token(), "echo", {"x": 1})
    (call,) = older.servers["desk"].calls
    assert call.message["params"] == {"name": "echo", "arguments": {"x": 1}}
    assert call.header("mcp-method") is None
    assert call.header("mcp-name") is None


async def test_the_session_is_left_at_the_server_when_the_proxy_ends(tmp_path: Path) -> None:
    async with asyncio.timeout(60), front(tmp_path, ("desk",)) as running:
        server = running.servers["desk"]
        server.older = True
        await running.call(running.token(), "echo")
    assert [one.header("mcp-session-id") for one in server.received if one.method == "DELETE"] == [
        "upstream-1"
    ]


async def test_the_callers_trace_goes_on_and_nothing_else_of_its_headers(older: Fronted) -> None:
    token, (message, headers) = older.token(), modern_call("echo", {"x": 1})
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=1", "baggage": "b=2"}
    more = {"Cookie": "c=3", "X-Other": "4", "Mcp-Session-Id": "5"}
    await older.post(token, message, {**headers, **trace, **more})
    (call,) = older.servers["desk"].calls
    assert {name: call.header(name) for name in trace} == trace
    assert [call.header(name) for name in ("cookie", "x-other")] == [None, None]
    assert call.header("mcp-session-id") == "upstream-1"
    credential = str(call.header("authorization")).removeprefix("Bearer ")
    assert older.guard.issuer.verify(credential).scope == ("desk/echo",)


@pytest.mark.parametrize("refused", ["here", "there"])
async def test_a_stream_that_was_refused_once_is_opened_all_the_same(
    older: Fronted, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(upstream_session, "_LISTEN_AGAIN", 0.0)
    server, introduce, times = older.servers["desk"], older.guard.introduce, list[str]()

    def introduced(chain: Chain, name: str, method: str) -> str:
        times.extend([method] * (method == "GET"))
        if method == "GET" and len(times) < 3 and refused == "here":
            raise LedgerError("The log is busy.", error="log_unavailable")
        server.statuses = {"GET": 503} if len(times) < 3 and refused == "there" else {}
        return introduce(chain, name, method)

    monkeypatch.setattr(older.guard, "introduce", introduced)
    await older.call(older.token(), "echo")
    while len(times) < 3 or methods(server)[-1] != "GET":
        await asyncio.sleep(0)
    assert methods(server).count("GET") == (1 if refused == "here" else 3)


async def test_a_server_without_a_stream_is_asked_for_none_again(
    older: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_session, "_LISTEN_AGAIN", 0.0)
    server, token = older.servers["desk"], older.token()
    server.statuses["GET"] = 405
    await older.call(token, "echo")
    while "GET" not in methods(server):
        await asyncio.sleep(0)
    for _ in range(3):
        await older.call(token, "echo")
    assert methods(server).count("GET") == 1


async def test_a_session_that_the_server_has_forgotten_is_opened_anew_by_the_next_request(
    older: Fronted,
) -> None:
    server, token = older.servers["desk"], older.token()
    await older.call(token, "echo")
    server.statuses["echo"] = 404
    assert "error" in (await older.call(token, "echo")).message
    server.statuses.clear()
    assert (await older.call(token, "echo")).message["result"]
    assert methods(server).count("initialize") == 2
    assert [row.reason for row in rows(older.guard, "outcome")] == ["ok", "error", "ok"]


@pytest.mark.parametrize(
    ("tool", "reason", "error"),
    [
        ("garbage", "error", "json-rpc -32000"),
        ("flood", "error", "answer_too_large"),
        ("resumable", "unknown", "server_lost"),
    ],
)
async def test_an_answer_that_is_none_is_the_outcome_and_the_session_goes_on(
    older: Fronted, tool: str, reason: str, error: str
) -> None:
    token = older.token()
    answered = await older.call(token, tool)
    assert "error" in (answered.events[-1] if answered.events else answered.message)
    assert (await older.call(token, "echo")).message["result"]
    first, _ = [row.record["outcome"] for row in rows(older.guard, "outcome")]
    assert (first["status"], first["error"]) == (reason, error)


async def test_a_server_that_refuses_the_credential_says_so(older: Fronted) -> None:
    older.servers["desk"].statuses["echo"] = 401
    answered = await older.call(older.token(), "echo")
    assert "refused Hopward's credential" in answered.message["error"]["message"]
    assert rows(older.guard, "outcome")[0].record["outcome"]["error"] == "http_401"
