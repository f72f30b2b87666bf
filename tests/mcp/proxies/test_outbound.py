"""`hopward mcp run` before a server over HTTP: a real process, a client at its pipes, a recording server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hopward import Chain, CredentialVerifier, LedgerError
from hopward_mcp.outbound import Outbound

from .conversation import Conversation
from .installation import http_server, install, opened, rows
from .piping import INITIALIZE, Client
from .processes import modern
from .recording_http import Received, RecordingServer
from .remoting import free_port, remote, serving
from .test_remote_processes import session


class Caller:
    """A client at the proxy's pipes that does not stop the test's event loop."""

    def __init__(self, client: Client, server: RecordingServer) -> None:
        self.client = client
        self.server = server

    async def ask(self, message: dict[str, Any] | bytes) -> dict[str, Any]:
        return await asyncio.to_thread(self.client.ask, message)

    async def read(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.client.read)

    async def modern(self, method: str, message_id: Any = 1, **params: Any) -> dict[str, Any]:
        return await self.ask(modern(method, message_id, **params)[0])

    async def greet(self) -> None:
        """Open a session of the older era; its stream brings one notification."""
        assert (await self.ask(INITIALIZE))["result"]["protocolVersion"] == "2025-11-25"
        assert (await self.ask({"method": "notifications/initialized"}))["method"].endswith("list_changed")

    async def call(self, tool: str, message_id: Any = 1, **arguments: Any) -> dict[str, Any]:
        params = {"name": tool, "arguments": arguments}
        return await self.ask({"id": message_id, "method": "tools/call", "params": params})

    async def until(self, count: int) -> list[Received]:
        """What the server has received, once it is so much."""
        while len(self.server.received) < count:
            await asyncio.sleep(0)
        return self.server.received

    async def end(self) -> tuple[int, bytes, str]:
        return await asyncio.to_thread(self.client.end)

    def outcomes(self) -> list[str]:
        with opened(self.client.config) as guard:
            return [row.reason for row in rows(guard, "outcome")]


@asynccontextmanager
async def calling(
    folder: Path,
    credential: str = '{ by = "authorization" }',
    limits: str = "max_message_bytes = 65536",
) -> AsyncIterator[Caller]:
    async with asyncio.timeout(60), RecordingServer() as server:
        settings = http_server(server.url, credential=credential)
        client = Client(folder, settings=settings, proxy=limits)
        try:
            yield Caller(client, server)
        finally:
            client.process.kill()
            await asyncio.to_thread(client.process.communicate)


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with calling(tmp_path) as running:
        yield running


async def test_a_modern_call_goes_the_whole_way_with_a_credential_of_its_own(caller: Caller) -> None:
    meta = {"dev.hopward/credential": "forged"}
    answer = await caller.modern("tools/call", "abc", name="echo", arguments={"x": 1}, meta=meta)
    assert (answer["id"], answer["result"]["vendor"]) == ("abc", 1)
    (received,) = caller.server.received
    assert [received.header(name) for name in ("mcp-protocol-version", "mcp-method", "mcp-name")] == [
        "2026-07-28",
        "tools/call",
        "echo",
    ]
    assert not any(key.startswith("dev.hopward") for key in received.message["params"]["_meta"])
    credential = (received.header("authorization") or "").removeprefix("Bearer ")
    with opened(caller.client.config) as guard:
        assert guard.issuer.verify(credential).scope == ("desk/echo",)
    status, out, err = await caller.end()
    assert (status, out, "desk is guarded; task task_" in err) == (0, b"", True)
    assert caller.outcomes() == ["ok"]


async def test_a_version_that_hopward_does_not_know_reaches_the_server_with_its_headers(
    caller: Caller,
) -> None:
    await caller.modern("tools/list", meta={"io.modelcontextprotocol/protocolVersion": "2031-01-01"})
    (received,) = caller.server.received
    shown = [received.header(name) for name in ("mcp-protocol-version", "mcp-method")]
    assert shown == ["2031-01-01", "tools/list"]


async def test_a_session_is_the_servers_from_its_first_request_to_its_last(caller: Caller) -> None:
    await caller.greet()
    assert [
        tool["name"] for tool in (await caller.ask({"id": 1, "method": "tools/list"}))["result"]["tools"]
    ] == [
        "echo",
        "stream",
    ]
    assert (await caller.call("echo", x=1))["result"]["vendor"] == 1
    assert (await caller.end())[0] == 0
    received = caller.server.received
    assert [one.method for one in received] == ["POST", "POST", "GET", "POST", "POST", "DELETE"]
    assert [one.header("mcp-session-id") for one in received] == [None, *["upstream-1"] * 5]
    assert {one.header("mcp-protocol-version") for one in received[1:]} == {"2025-11-25"}
    assert len({one.header("authorization") for one in received}) == len(received)


async def test_an_argument_that_the_server_has_marked_is_repeated_in_a_header(caller: Caller) -> None:
    await caller.modern("tools/list")
    await caller.modern("tools/call", name="echo", arguments={"region": "eu"})
    assert caller.server.received[-1].header("mcp-param-region") == "eu"


async def test_what_is_refused_or_unknown_reaches_no_server(caller: Caller) -> None:
    assert (await caller.call("refund", amount=100))["result"]["isError"] is True
    assert (await caller.ask({"id": 2, "method": "vendor/x"}))["error"]["code"] == -32601
    assert (await caller.ask(b"{not json"))["error"]["code"] == -32700
    assert caller.server.received == []


async def test_a_stream_is_judged_event_by_event(caller: Caller) -> None:
    await caller.greet()
    assert (await caller.call("stream", x=1))["method"] == "notifications/progress"
    assert "vendor" in (await caller.read())["result"]
    assert (await caller.call("echo", 2))["id"] == 2


@pytest.mark.parametrize("tool", ["resumable", "torn"])
async def test_a_stream_that_the_server_leaves_early_is_read_on_from_there(caller: Caller, tool: str) -> None:
    await caller.greet()
    progress = {"method": "notifications/progress", "params": {"progressToken": "p", "progress": 2}}
    caller.server.rest = [[progress], [], [{"result": {"content": [], "vendor": 2}}]]
    assert (await caller.call(tool))["method"] == "notifications/progress"
    assert (await caller.read())["params"]["progress"] == 2
    assert (await caller.read())["result"]["vendor"] == 2
    again = [one for one in caller.server.received if one.header("last-event-id")]
    assert [one.header("last-event-id") for one in again] == ["r-1", "rest-2", "rest-2"]
    assert {(one.method, one.header("mcp-session-id")) for one in again} == {("GET", "upstream-1")}
    assert len({one.header("authorization") for one in caller.server.received}) == len(caller.server.received)
    assert (await caller.call("echo", 2))["id"] == 2
    await caller.end()
    assert caller.outcomes() == ["ok", "ok"]


async def test_the_sessions_stream_that_was_refused_once_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), RecordingServer() as server:
        with opened(install(tmp_path, http_server(server.url))) as guard:
            session, refusals = Conversation(guard), ["once"]
            introduce = guard.introduce

            def introduced(chain: Chain, name: str, method: str) -> str:
                if refusals:
                    raise LedgerError("The log is busy.", error=f"log_busy_{refusals.pop()}")
                return introduce(chain, name, method)

            monkeypatch.setattr(guard, "introduce", introduced)
            outbound = Outbound(session.gate, session.chain)
            listening = asyncio.create_task(outbound._listen())
            while not server.received:
                await asyncio.sleep(0)
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
            await outbound._upstream.close()
            assert [one.method for one in server.received] == ["GET"]
            assert refusals == []


async def test_a_stream_that_is_left_for_good_ends_the_call(caller: Caller) -> None:
    caller.server.statuses["GET"] = 405
    await caller.ask(INITIALIZE)
    assert (await caller.call("resumable"))["method"] == "notifications/progress"
    assert "without an answer" in (await caller.read())["error"]["message"]
    await caller.end()
    assert caller.outcomes() == ["unknown"]


async def test_the_stateless_era_has_no_rest_of_a_stream(caller: Caller) -> None:
    answer = await caller.modern("tools/call", name="resumable")
    assert answer["method"] == "notifications/progress"
    assert "without an answer" in (await caller.read())["error"]["message"]
    assert [one.method for one in caller.server.received] == ["POST"]


async def test_the_servers_requests_reach_the_client_and_its_answers_the_server(caller: Caller) -> None:
    await caller.greet()
    assert (await caller.call("ask"))["method"] == "notifications/progress"
    asked = await caller.read()
    assert asked["method"] == "roots/list"
    assert (await caller.read())["id"] == 1
    caller.client.send({"id": asked["id"], "result": {"roots": []}})
    received = await caller.until(6)
    answers = [one.message for one in received if one.method == "POST" and "method" not in one.message]
    assert {"jsonrpc": "2.0", "id": 7, "result": {"roots": []}} in answers
    assert [one["error"]["code"] for one in answers if "error" in one] == [-32601]


async def test_a_task_of_the_server_is_asked_for_by_its_name_in_the_header(caller: Caller) -> None:
    made = await caller.modern("tools/call", 1, name="later", arguments={})
    task_id = made["result"]["taskId"]
    assert (await caller.modern("tasks/get", 2, taskId="another"))["error"]["code"] == -32602
    assert (await caller.modern("tasks/get", 3, taskId=task_id))["result"]["status"] == "working"
    received = caller.server.received[-1]
    assert [received.header(name) for name in ("mcp-method", "mcp-name")] == ["tasks/get", task_id]
    assert len(caller.server.received) == 2


async def test_a_modern_request_is_given_up_by_leaving_its_stream(caller: Caller) -> None:
    assert (await caller.modern("tools/call", "slow", name="slow"))["method"] == "notifications/progress"
    caller.server.broken.clear()
    caller.client.send({"method": "notifications/cancelled", "params": {"requestId": "slow"}})
    await caller.server.broken.wait()
    assert (await caller.modern("tools/call", "slow", name="echo"))["id"] == "slow"
    assert [one.message["method"] for one in caller.server.received] == ["tools/call"] * 2
    assert caller.outcomes() == ["cancelled", "ok"]


async def test_a_legacy_request_is_given_up_by_telling_the_server(caller: Caller) -> None:
    await caller.greet()
    assert (await caller.call("slow", "mine"))["method"] == "notifications/progress"
    caller.client.send({"method": "notifications/cancelled", "params": {"requestId": "mine"}})
    received = await caller.until(5)
    assert received[4].message["method"] == "notifications/cancelled"
    assert received[4].message["params"]["requestId"] == received[3].message["id"]
    assert (await caller.call("echo", 2))["id"] == 2


async def test_a_legacy_server_that_takes_too_long_is_told_to_give_up(tmp_path: Path) -> None:
    async with calling(tmp_path, limits="call_timeout_seconds = 1") as caller:
        await caller.greet()
        assert (await caller.call("slow", "mine"))["method"] == "notifications/progress"
        assert (await caller.read())["error"]["code"] == -32001
        received = await caller.until(5)
        assert received[4].message["method"] == "notifications/cancelled"
        assert received[4].message["params"]["requestId"] == received[3].message["id"]


async def test_a_subscription_is_tagged_with_the_clients_id_and_ends_with_its_task(
    caller: Caller,
) -> None:
    told = await caller.modern("subscriptions/listen", "sub", notifications={})
    for message in (told, await caller.read()):
        assert message["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}
    with opened(caller.client.config) as guard:
        guard.complete_task(guard.ledger.tasks()[0].id)
    caller.server.release.set()
    ended = await caller.read()
    assert (ended["id"], "has ended" in ended["error"]["message"]) == ("sub", True)


ANSWERS = [("flood", "proxy.max_message_bytes"), ("garbage", "malformed"), ("twice", "malformed")]


@pytest.mark.parametrize(("tool", "told"), [*ANSWERS, ("broken", "without an answer")])
async def test_an_answer_that_is_none_fails_its_call_and_no_other(
    caller: Caller, tool: str, told: str
) -> None:
    answer = await caller.call(tool, "mine")
    answer = await caller.read() if "method" in answer else answer
    assert (answer["id"], told in answer["error"]["message"]) == ("mine", True)
    assert (await caller.call("echo"))["result"]


@pytest.mark.parametrize(("status", "told"), [(401, "credential"), (500, "HTTP 500"), (302, "HTTP 302")])
async def test_what_the_server_says_of_itself_is_told_without_its_words(
    caller: Caller, status: int, told: str
) -> None:
    caller.server.statuses["echo"] = status
    answer = await caller.call("echo")
    assert told in answer["error"]["message"]
    assert "not here" not in json.dumps(answer)
    assert caller.outcomes() == ["error"]


async def test_a_server_that_is_not_there_is_told_as_such(caller: Caller) -> None:
    await caller.server.__aexit__()
    assert "cannot be reached" in (await caller.call("echo"))["error"]["message"]
    assert caller.outcomes() == ["error"]


async def test_a_server_that_has_ended_the_session_ends_the_proxy(caller: Caller) -> None:
    await caller.greet()
    caller.server.statuses["echo"] = 404
    assert "HTTP 404" in (await caller.call("echo"))["error"]["message"]
    status, _, err = await caller.end()
    assert (status, "has ended the session" in err) == (1, True)


async def test_a_signal_ends_the_session_its_calls_and_its_task(caller: Caller) -> None:
    await caller.greet()
    await caller.call("slow", "mine")
    caller.client.process.send_signal(signal.SIGTERM)
    assert (await caller.read())["id"] == "mine"
    assert (await caller.end())[0] == 0
    assert caller.server.received[-1].method == "DELETE"
    assert caller.outcomes() == ["unknown"]
    with opened(caller.client.config) as guard:
        assert [task.state for task in guard.ledger.tasks()] == ["completed"]


async def test_a_brokered_key_goes_with_every_request_and_reaches_no_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_KEY", "key-of-the-desk")
    brokered = '{ by = "header", name = "X-Api-Key", environment = "DESK_KEY" }'
    async with calling(tmp_path, brokered) as caller:
        await caller.greet()
        answer = await caller.call("echo", text="key-of-the-desk")
        assert {one.header("x-api-key") for one in caller.server.received} == {"key-of-the-desk"}
        assert "key-of-the-desk" not in json.dumps(answer)


async def test_an_authority_elsewhere_mints_the_credential_of_each_request(tmp_path: Path) -> None:
    port = free_port()
    async with asyncio.timeout(60), RecordingServer() as server:
        config = install(tmp_path, http_server(server.url), authority=remote(port))

        def talked() -> dict[str, Any]:
            with serving(config), session(config, {}) as client:
                return client.call({"x": 1})

        assert (await asyncio.to_thread(talked))["vendor"] == 1
        credentials = [one.header("authorization") for one in server.received]
        assert None not in credentials
        assert len({*credentials}) == len(credentials) >= 2
        jwks = json.loads((tmp_path / ".hopward/keys/jwks.json").read_text())
        verifier = CredentialVerifier(f"http://127.0.0.1:{port}", "urn:example:desk", jwks)
        verifier.verify((credentials[1] or "").removeprefix("Bearer "), tool="echo", arguments={"x": 1})
