"""What is only there over Streamable HTTP: streams, sessions, headers."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from .feature import DiffersError, expect, feature
from .talk import CLIENT, PATIENCE, Json, Talk

GROUP = "Streamable HTTP"
ACCEPT = "application/json, text/event-stream"
OLDER = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
TRACED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}


async def _post(talk: Talk, message: Json, **headers: str) -> httpx2.Response:
    """One message, outside the session of the transport."""
    assert talk.http is not None
    sent = {"accept": ACCEPT} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await talk.http.post(talk.url, json={"jsonrpc": "2.0", **message}, headers=sent, timeout=PATIENCE)


def _body(response: httpx2.Response) -> Json:
    """The answer in a response, be it JSON or the last event of a stream."""
    if response.headers["content-type"].startswith("application/json"):
        return response.json()
    data = [line[5:].strip() for line in response.text.splitlines() if line.startswith("data:")]
    return json.loads(data[-1])


async def _opened(talk: Talk, version: str = "2025-11-25") -> tuple[dict[str, str], str]:
    """A session of its own: the headers that name it, and the version that was agreed on."""
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT}
    response = await _post(talk, {"id": 1, "method": "initialize", "params": hello})
    agreed = _body(response)["result"]["protocolVersion"]
    headers = {"mcp_session_id": response.headers["mcp-session-id"], "mcp_protocol_version": agreed}
    await _post(talk, {"method": "notifications/initialized"}, **headers)
    return headers, agreed


async def _deleted(talk: Talk, headers: dict[str, str]) -> bool:
    assert talk.http is not None
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await talk.http.delete(talk.url, headers=sent)).status_code in (200, 202, 204)


@feature(GROUP, "every version of the handshake", eras="older", client="http")
async def versions(talk: Talk) -> Any:
    agreed: list[str] = []
    for version in OLDER:
        headers, found = await _opened(talk, version)
        pong = _body(await _post(talk, {"id": 2, "method": "ping"}, **headers))
        expect(pong["result"], {}, "pong")
        agreed.append(found)
        await _deleted(talk, headers)
    expect(agreed, list(OLDER), "versions")
    return agreed


@feature(GROUP, "a session ends with DELETE; afterwards it is unknown: 404", eras="older", client="http")
async def deleted(talk: Talk) -> Any:
    headers, _ = await _opened(talk)
    before = (await _post(talk, {"id": 2, "method": "ping"}, **headers)).status_code
    gone = await _deleted(talk, headers)
    after = (await _post(talk, {"id": 3, "method": "ping"}, **headers)).status_code
    expect([before, gone, after], [200, True, 404], "before, DELETE, after")
    return after


@feature(GROUP, "a session that nobody has opened: 404", eras="older", client="http")
async def unknown_session(talk: Talk) -> Any:
    response = await _post(talk, {"id": 2, "method": "ping"}, mcp_session_id="0" * 32)
    expect(response.status_code, 404, "status")
    return response.status_code


@asynccontextmanager
async def _streamed(talk: Talk, headers: dict[str, str], message: Json | None) -> AsyncGenerator[Any]:
    """The events of a stream, each as its id and what is in it."""
    assert talk.http is not None
    sent = {"accept": ACCEPT} | {name.replace("_", "-"): value for name, value in headers.items()}
    method = "GET" if message is None else "POST"
    body = None if message is None else {"jsonrpc": "2.0", **message}
    async with talk.http.stream(method, talk.url, json=body, headers=sent, timeout=PATIENCE) as response:
        if response.status_code != 200:
            raise DiffersError(f"HTTP {response.status_code}")

        async def events() -> AsyncGenerator[tuple[str, Json | None]]:
            found: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if line:
                    found[name] = value.strip()
                elif found:
                    yield found.get("id", ""), json.loads(found["data"]) if found.get("data") else None
                    found = {}

        yield events()


@feature(GROUP, "a client that lost a stream resumes it with `Last-Event-ID`", eras="older", client="http")
async def resumed(talk: Talk) -> Any:
    headers, _ = await _opened(talk)
    key, last = f"{talk.key} resumed", ""
    params = {"name": "waiting", "arguments": {"key": key}, "_meta": {"progressToken": "p"}}
    async with _streamed(talk, headers, {"id": 2, "method": "tools/call", "params": params}) as events:
        async for number, message in events:
            last = number
            if message is not None:
                break
    if not last:
        raise DiffersError("events have no ids")
    await talk.told("ended", key=key, release=True)
    async with asyncio.timeout(5), _streamed(talk, {**headers, "last_event_id": last}, None) as events:
        # Comments that keep a stream alive would keep the reading of it alive as well.
        found = [message async for _, message in _until_answered(events)]
    if not found:
        raise DiffersError("the stream brings nothing more")
    await _deleted(talk, headers)
    expect(found[-1]["result"]["structuredContent"], {"released": key}, "result")
    return len(found)


async def _until_answered(events: Any) -> AsyncGenerator[Any]:
    async for number, message in events:
        if message is not None:
            yield number, message
            if "id" in message:
                return


@feature(GROUP, "a stream that the server ends before the answer is resumed", eras="older", server="http")
async def polled(talk: Talk) -> Any:
    since = len(talk.heard)
    found = await talk.told("resumable")
    expect(found, {"resumable": True}, "result")
    heard = await talk.hear("notifications/message", since, 2)
    expect([one.params["data"] for one in heard], ["before", "after"], "messages")
    return found


@feature(
    GROUP,
    "an answer alone is JSON, one with notifications before it an event stream",
    eras="modern",
    client="http",
)
async def kinds_of_answer(talk: Talk) -> Any:
    seen: list[str] = []
    for meta in ({}, {"progressToken": 1}):
        params = {"name": "progressing", "arguments": {"count": 2}, "_meta": meta}
        await talk.result("tools/call", params)
        seen.append(talk.answered_with[-1][1].partition(";")[0])
    expect(seen, ["application/json", "text/event-stream"], "content types")
    return seen


@feature(GROUP, "headers that do not agree with the body: 400 and -32020", eras="modern", client="http")
async def mismatch(talk: Talk) -> Any:
    seen: list[Any] = []
    for wrong in ({"mcp_method": "tools/list"}, {"mcp_name": "another"}):
        answer = await talk.ask("tools/call", {"name": "received", "arguments": {}}, **wrong)
        seen.append([talk.answered_with[-1][0], answer.get("error", {}).get("code")])
    expect(seen, [[400, -32020], [400, -32020]], "status and code")
    return seen


@feature(GROUP, "GET and DELETE are not there: 405", eras="modern", client="http")
async def not_allowed(talk: Talk) -> Any:
    assert talk.http is not None
    headers = {"accept": ACCEPT, "mcp-protocol-version": "2026-07-28"}
    seen = [
        (await talk.http.request(verb, talk.url, headers=headers)).status_code for verb in ("GET", "DELETE")
    ]
    expect(seen, [405, 405], "status")
    return seen


@feature(
    GROUP, "`Mcp-Param-*` of arguments that the schema marks reach the server", eras="modern", server="http"
)
async def parameters(talk: Talk) -> Any:
    # Over stdio there are no headers: whoever makes them has to know the schema from the list.
    await talk.result("tools/list")
    arguments = {"region": "Zürich", "where": {"level": 7}}
    headers = {"mcp_param_region": "=?base64?WsO8cmljaA==?=", "mcp_param_level": "7"}
    found = await talk.result("tools/call", {"name": "rich", "arguments": arguments}, **headers)
    seen = {name: one for name, one in found["structuredContent"]["headers"].items() if "param" in name}
    expect(seen, {"mcp-param-region": "=?base64?WsO8cmljaA==?=", "mcp-param-level": "7"}, "headers")
    return seen


@feature(
    GROUP,
    "`Mcp-Param-*` that are not the argument: 400 and -32020",
    eras="modern",
    client="http",
    server="http",
)
async def wrong_parameter(talk: Talk) -> Any:
    params = {"name": "rich", "arguments": {"region": "Zürich", "other": "Bern"}}
    answer = await talk.ask("tools/call", params, mcp_param_region="Bern")
    seen = [talk.answered_with[-1][0], answer.get("error", {}).get("code")]
    expect(seen, [400, -32020], "status and code")
    return seen


@feature(
    GROUP, "`Mcp-Param-*` that nobody knows reach the server", eras="modern", client="http", server="http"
)
async def unknown_parameter(talk: Talk) -> Any:
    params = {"name": "received", "arguments": {"other": "Bern"}}
    found = await talk.result("tools/call", params, mcp_param_other="Bern")
    seen = found["structuredContent"]["headers"].get("mcp-param-other")
    expect(seen, "Bern", "header")
    return seen


@feature(GROUP, "`Mcp-Method` and `Mcp-Name` reach the server", eras="modern", server="http")
async def routing(talk: Talk) -> Any:
    seen = {
        name: one for name, one in (await talk.told("received"))["headers"].items() if name.startswith("mcp-")
    }
    wanted = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "received"}
    expect(seen, wanted, "headers")
    return seen


@feature(GROUP, "the headers `traceparent` and `tracestate` reach the server", client="http", server="http")
async def traced(talk: Talk) -> Any:
    found = await talk.result("tools/call", {"name": "received", "arguments": {}}, **TRACED)
    seen = {name: found["structuredContent"]["headers"].get(name) for name in TRACED}
    expect(seen, TRACED, "headers")
    return seen
