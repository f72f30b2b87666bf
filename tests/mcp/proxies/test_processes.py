"""Callers over HTTP before a server with a `command`, in both eras: real sockets, real processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .installation import caller_token, rows
from .processes import Processes, event, modern, processes, shown

RESOURCE = {"uri": "ticket://1"}
PROMPT = {"type": "ref/prompt", "name": "summary"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Processes]:
    """`desk` behind the front, nothing of it started yet."""
    async with processes(tmp_path) as running:
        yield running


def outcomes(served: Processes) -> list[str]:
    return [row.reason for row in rows(served.front.guard, "outcome")]


async def test_a_modern_call_goes_the_whole_way_with_a_credential_of_its_own(served: Processes) -> None:
    answered = await served.call(served.front.token(), "echo", "abc", arguments={"x": 1})
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert (answered.message["id"], answered.message["result"]["vendor"]) == ("abc", {"kept": True})
    assert shown(answered)["arguments"] == {"x": 1}
    assert shown(answered)["_meta"]["dev.hopward/credential"] == "[credential removed by Hopward]"
    assert served.methods == ["server/discover", "tools/call"]
    assert outcomes(served) == ["ok"]
    credential = served.received[1]["message"]["params"]["_meta"]["dev.hopward/credential"]
    assert served.front.guard.issuer.verify(credential).scope == ("desk/echo",)


async def test_a_principal_has_one_modern_process_and_another_principal_another(served: Processes) -> None:
    ours, theirs = served.front.token(), served.front.token(subject="bob")
    answers = await asyncio.gather(*(served.call(token, "echo") for token in (ours, ours, theirs, ours)))
    first, again, other, once_more = (shown(answer)["pid"] for answer in answers)
    assert first == again == once_more != other
    assert served.methods.count("server/discover") == 2


async def test_a_session_is_a_process_of_its_own(served: Processes) -> None:
    token = served.front.token()
    first, second = await served.session(token), await served.session(token)
    pids = {shown(await session.call("echo"))["pid"] for session in (first, second, first)}
    assert len(pids) == 2
    assert outcomes(served) == ["ok"] * 3
    assert (await first.delete()).status == 204
    assert (await first.call("echo")).status == 404
    assert (await second.call("echo")).status == 200
    assert len(served.workers) == 1


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_every_kind_of_request_is_guarded_and_forwarded(served: Processes, era: str) -> None:
    token = served.front.token()
    session = await served.session(token) if era == "legacy" else None

    async def ask(method: str, **params: Any) -> dict[str, Any]:
        if session is None:
            return (await served.modern(token, method, **params)).message
        return (await session.post({"id": 1, "method": method, "params": params})).message

    listed = (await ask("tools/list"))["result"]["tools"]
    assert [tool["name"] for tool in listed] == ["echo", "slow", "ask"]
    assert (await ask("resources/read", **RESOURCE))["result"]["contents"][0]["text"] == "a ticket"
    assert "result" in await ask("prompts/get", name="summary")
    completed = await ask("completion/complete", ref=PROMPT, argument={"name": "a", "value": "o"})
    assert completed["result"]["completion"]["values"] == ["one"]
    assert (await ask("resources/read", uri="secret://1"))["error"]["code"] == -32000
    hidden = await ask("completion/complete", ref={"type": "ref/prompt", "name": "secret"})
    assert hidden["error"]["code"] == -32000
    assert (await ask("vendor/x"))["error"]["code"] == -32601
    assert (await ask("tools/call", name="hidden"))["result"]["isError"] is True
    assert (await ask("tools/call", name="broken"))["error"]["code"] == -32602
    opening = "initialize" if session else "server/discover"
    asked = ["tools/list", "resources/read", "prompts/get", "completion/complete", "tools/call"]
    assert served.methods == [opening, *asked]
    assert outcomes(served) == ["ok", "ok", "error"]


async def test_progress_of_equal_tokens_finds_the_request_it_belongs_to(served: Processes) -> None:
    token, meta = served.front.token(), {"progressToken": "same"}
    calls = [served.call(token, "pair", n, arguments={"n": n}, meta=meta) for n in (1, 2)]
    for number, answered in enumerate(await asyncio.gather(*calls), 1):
        progress, answer = answered.events
        assert progress["params"]["progressToken"] == "same"
        assert (answer["id"], shown(answered)["arguments"]) == (number, {"n": number})


async def test_a_modern_call_brings_its_progress_and_log_messages_and_nothing_of_nobody(
    served: Processes,
) -> None:
    meta = {"progressToken": 7, "io.modelcontextprotocol/logLevel": "info"}
    answered = await served.call(served.front.token(), "stream", meta=meta)
    assert answered.headers["content-type"] == "text/event-stream"
    told = [one.get("method", "answer") for one in answered.events]
    assert told == ["notifications/progress", "notifications/message", "answer"]
    assert answered.events[0]["params"]["progressToken"] == 7


async def test_a_legacy_call_brings_what_comes_while_it_is_under_way(served: Processes) -> None:
    session = await served.session(served.front.token())
    answered = await session.call("stream", _meta={"progressToken": "p"})
    told = [one.get("method", "answer").rpartition("/")[2] for one in answered.events]
    assert told == ["progress", "message", "list_changed", "answer"]


async def test_what_answers_nothing_waits_for_the_sessions_stream(served: Processes) -> None:
    session = await served.session(served.front.token())
    assert (await session.post({"method": "notifications/initialized"})).status == 202
    async with session.stream() as stream:
        assert (await event(stream))["method"] == "notifications/resources/list_changed"
        async with session.stream() as newer:
            assert await stream.content.read() == b""
            assert (await session.post({"method": "notifications/initialized"})).status == 202
            assert (await event(newer))["method"] == "notifications/resources/list_changed"


async def test_the_servers_requests_reach_the_client_of_the_session_and_come_back(served: Processes) -> None:
    session = await served.session(served.front.token())
    async with session.stream() as stream:
        calls = [asyncio.create_task(session.call("ask", n)) for n in (1, 2)]
        await served.until("tools/call", 2)
        for _ in calls:
            asked = await event(stream)
            assert asked["method"] == "roots/list"
            assert (await session.post({"id": asked["id"], "result": {"roots": [1]}})).status == 202
        for answered in await asyncio.gather(*calls):
            assert shown(answered)["result"] == {"roots": [1]}
    refused = [one["message"]["error"]["code"] for one in served.received if "error" in one["message"]]
    assert refused == [-32601] * 2


async def test_a_subscription_is_a_stream_tagged_with_the_callers_id(served: Processes) -> None:
    token = served.front.token()
    message, headers = modern("subscriptions/listen", "sub", notifications={"toolsListChanged": True})
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    headers |= {"Accept": "text/event-stream"}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    async with served.front.client.post(
        f"{served.front.base}/desk/mcp", headers=headers, data=body
    ) as stream:
        told = await event(stream)
        assert told["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}
        assert (await served.modern(token, "tools/list")).status == 200
    await served.until("notifications/cancelled")
    assert served.received[-1]["message"]["params"]["requestId"] == served.received[1]["message"]["id"]


async def test_a_modern_caller_that_leaves_has_cancelled_its_call(served: Processes) -> None:
    token = served.front.token()
    leaving = asyncio.create_task(served.call(token, "slow"))
    await served.until("tools/call")
    leaving.cancel()
    await served.until("notifications/cancelled")
    while not outcomes(served):
        await asyncio.sleep(0)
    assert outcomes(served) == ["cancelled"]
    assert (await served.call(token, "echo")).status == 200


async def test_a_legacy_call_that_is_cancelled_ends_and_its_session_goes_on(served: Processes) -> None:
    session = await served.session(served.front.token())
    slow = asyncio.create_task(session.call("slow", "mine"))
    await served.until("tools/call")
    gone = {"method": "notifications/cancelled", "params": {"requestId": "mine"}}
    assert (await session.post(gone)).status == 202
    assert (await slow).status == 202
    await served.until("notifications/cancelled")
    assert served.received[-1]["message"]["params"]["requestId"] == served.received[1]["message"]["id"]
    assert outcomes(served) == ["cancelled"]
    assert (await session.call("echo", "mine")).status == 200


async def test_a_legacy_caller_that_leaves_has_not_cancelled_its_call(served: Processes) -> None:
    session = await served.session(served.front.token())
    first = asyncio.create_task(session.call("pair", 1))
    await served.until("tools/call")
    first.cancel()
    assert (await session.call("pair", 2)).status == 200
    while len(outcomes(served)) < 2:
        await asyncio.sleep(0)
    assert outcomes(served) == ["ok", "ok"]
    assert "notifications/cancelled" not in served.methods


async def test_a_message_of_no_session_and_no_era_starts_nothing(served: Processes) -> None:
    token = served.front.token()
    ping = {"id": 1, "method": "ping"}
    assert (await served.front.post(token, ping)).status == 400
    assert (await served.front.post(token, ping, {"Mcp-Session-Id": "made-up"})).status == 404
    for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe"):
        answered = await served.modern(token, method, **RESOURCE)
        assert (answered.status, answered.message["error"]["code"]) == (404, -32601)
    assert (await served.call(token, "hidden")).message["result"]["isError"] is True
    assert (served.received, len(served.workers)) == ([], 0)


async def test_an_older_server_serves_callers_of_both_eras_each_in_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path, "legacy") as served:
        token = served.front.token()
        for _ in range(2):
            assert (await served.call(token, "echo")).message["result"]["resultType"] == "complete"
        assert (await (await served.session(token)).call("echo")).message["result"]
        met = ["server/discover", "initialize", "notifications/initialized"]
        assert served.methods == [*met, "tools/call", "tools/call", "initialize", "tools/call"]
        assert outcomes(served) == ["ok", "ok", "ok"]
        assert len(served.pids) == 2


async def test_a_session_with_a_server_of_the_newer_era_only_has_no_process_of_its_own(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path, "modern") as served:
        token = served.front.token()
        first, second = await served.session(token), await served.session(token)
        pids = {shown(await session.call("echo"))["pid"] for session in (first, second)}
        assert len(pids) == len(served.workers) == 1
        assert (
            served.methods
            == ["initialize", "server/discover", "server/discover", "server/discover"] + ["tools/call"] * 2
        )
        assert (await served.call(token, "echo")).message["result"]


async def test_an_older_server_that_refuses_an_older_client_is_not_taken_for_a_newer_one(
    tmp_path: Path,
) -> None:
    async with processes(tmp_path, "picky") as served:
        token = served.front.token()
        message = {"id": 0, "method": "initialize", "params": {"protocolVersion": "2024-11-05"}}
        answered = await served.front.post(token, message)
        assert answered.message["error"]["message"] == "too old"
        assert "mcp-session-id" not in answered.headers


async def test_a_task_that_has_ended_brings_nothing_and_is_asked_nothing(served: Processes) -> None:
    token, task = caller_token(served.front.guard, "desk")
    session = await served.session(token)
    async with session.stream() as stream:
        served.front.guard.complete_task(task)
        assert (await session.post({"method": "notifications/initialized"})).status == 502
        refused = (await session.post({"id": 1, "method": "tools/list"})).message
        assert "has ended" in refused["error"]["message"]
        assert (await session.call("echo")).message["result"]["isError"] is True
        assert (await session.delete()).status == 204
        assert await stream.content.read() == b""
    assert (await served.modern(token, "tools/list")).message["error"]["code"] == -32000
    assert served.methods == ["initialize"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_call_may_become_a_task_which_is_its_callers_alone(served: Processes, era: str) -> None:
    """Each caller has a process of its own, and both name their tasks alike."""
    found: list[dict[str, Any]] = []
    for subject in ("alice", "bob"):
        token = served.front.token(subject=subject)
        session = await served.session(token) if era == "legacy" else None

        async def ask(method: str, token: str = token, held: Any = session, **params: Any) -> dict[str, Any]:
            if held is None:
                return (await served.modern(token, method, **params)).message
            return (await held.post({"id": 1, "method": method, "params": params})).message

        assert (await ask("tasks/get", taskId="task-1"))["error"]["code"] == -32602
        await ask("tools/call", name="later", task={})
        found.append(await ask("tasks/get", taskId="task-1"))
        if era == "legacy":
            assert (await ask("tasks/list"))["result"]["tasks"] == [{"taskId": "task-1"}]
    assert [one["result"]["status"] for one in found] == ["completed"] * 2
    assert outcomes(served) == ["unknown", "ok"] * 2
