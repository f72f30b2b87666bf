"""SIGHUP: `hopward mcp serve` reads its configuration again; all of it comes into force, or nothing."""

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from .fronting import LEGACY, Answered, Fronted, modern_call
from .installation import ENTRY, http_server, rows
from .operating import Operated, operated
from .processes import shown
from .recording_http import RecordingServer

IN_FORCE = "hopward.toml was reloaded and is in force"
REFUSED = "hopward.toml was not reloaded, and what was in force stays in force"
ECHO = ENTRY.format(server="desk", group="tools", tool="echo", action="read")


@pytest.fixture(params=["workers = 1", "workers = 2"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Operated]:
    with tempfile.TemporaryDirectory(prefix="h") as name:
        async with operated(Path(name), request.param, TMPDIR=name) as running:
            if "2" in request.param:
                await running.until_said("2 workers serve")
            yield running


async def reloaded(serve: Operated) -> None:
    before = serve.said.count(IN_FORCE)
    serve.tell(signal.SIGHUP)
    await serve.until_said(IN_FORCE, before + 1)


async def clients(serve: Operated, stack: AsyncExitStack) -> list[Fronted]:
    """A client for each worker."""
    if "workers = 2" in serve.config.read_text():
        return [await serve.pinned(stack, number) for number in (0, 1)]
    return [serve.front]


def verdicts(answers: list[Answered]) -> list[bool]:
    """Of each answer, whether its call was refused."""
    return [one.message["result"].get("isError", False) for one in answers]


async def test_the_next_call_of_every_worker_sees_the_new_configuration(serve: Operated) -> None:
    async with AsyncExitStack() as stack:
        fronts, token = await clients(serve, stack), serve.front.token()
        assert verdicts([await one.call(token, "echo") for one in fronts]) == [False] * len(fronts)
        serve.change(ECHO, "")
        assert verdicts([await one.call(token, "echo") for one in fronts]) == [False] * len(fronts)
        await reloaded(serve)
        refused = [await one.call(token, "echo") for one in fronts]
        assert verdicts(refused) == [True] * len(fronts)
        assert {row.reason for row in rows(serve.guard, "decision")} == {"permitted", "tool_unclassified"}


async def test_new_policies_are_in_force_with_the_reload(serve: Operated) -> None:
    async with AsyncExitStack() as stack:
        fronts, token = await clients(serve, stack), serve.front.token()
        policies = serve.config.parent / "policies"
        (policies / "zz.cedar").write_text("forbid (principal, action, resource);\n")
        await reloaded(serve)
        assert verdicts([await one.call(token, "echo") for one in fronts]) == [True] * len(fronts)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[proxy]", "[proxi]", 'proxi: unknown key; did you mean "proxy"?'),
        ('workflow = "tickets"', 'workflwo = "tickets"', 'unknown key; did you mean "workflow"?'),
        ("max_message", "max_message", ""),
    ],
    ids=["section", "key", "policy"],
)
async def test_what_is_wrong_is_told_with_its_line_and_the_old_stays_in_force(
    serve: Operated, old: str, new: str, told: str
) -> None:
    token = serve.front.token()
    if told:
        serve.change(old, new)
    else:
        (serve.config.parent / "policies" / "zz.cedar").write_text("permit (principal, action, resourc);\n")
        told = "zz.cedar:1"
    serve.change(ECHO, "")
    serve.tell(signal.SIGHUP)
    await serve.until_said(told)
    await serve.until_said(REFUSED)
    assert serve.said.count(REFUSED) == 1
    assert verdicts([await serve.front.call(token, "echo")]) == [False]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("http://127.0.0.1:8700", "http://127.0.0.1:8799", "authority.issuer"),
        ("workers = ", "drain_seconds = 5\nworkers = 1", "proxy.workers"),
        ('public_url = "http://127', 'public_url = "http://localhost/127', "proxy.public_url"),
        ("[authority]", '[telemetry]\nendpoint = "http://127.0.0.1:4318"\n[authority]', "telemetry"),
        ("[authority]", 'state = "elsewhere"\n[authority]', "elsewhere"),
    ],
)
async def test_what_cannot_change_is_refused_by_name(serve: Operated, old: str, new: str, key: str) -> None:
    serve.change(old, new)
    serve.tell(signal.SIGHUP)
    await serve.until_said(key)
    await serve.until_said(REFUSED)
    assert verdicts([await serve.front.call(serve.front.token(), "echo")]) == [False]


@pytest.mark.parametrize("name", ["hopward.toml", "policies"])
async def test_what_everyone_could_change_by_now_does_not_come_into_force(serve: Operated, name: str) -> None:
    path = serve.config.parent / name
    before = path.stat().st_mode
    serve.change(ECHO, "")
    path.chmod(before | 0o002)
    serve.tell(signal.SIGHUP)
    await serve.until_said("can be changed by everyone")
    await serve.until_said(REFUSED)
    assert verdicts([await serve.front.call(serve.front.token(), "echo")]) == [False]
    path.chmod(before)
    await reloaded(serve)
    assert verdicts([await serve.front.call(serve.front.token(), "echo")]) == [True]


async def test_an_agent_of_a_configuration_that_was_refused_is_not_registered(serve: Operated) -> None:
    serve.change('purpose = "Answers support tickets"', 'purpose = "Something else"')
    serve.change("[authority]", "[authority]\nlisten = 7")
    serve.tell(signal.SIGHUP)
    await serve.until_said(REFUSED)
    assert serve.guard.ledger.agent("assistant").purpose == "Answers support tickets"


async def test_a_call_under_way_ends_as_it_was_decided_and_is_settled(serve: Operated) -> None:
    token = serve.front.token()
    call = asyncio.create_task(serve.front.call(token, "slow"))
    while not serve.desk.calls:
        await asyncio.sleep(0)
    slow = ENTRY.format(server="desk", group="tools", tool="slow", action="read")
    serve.change(slow, "")
    await reloaded(serve)
    assert verdicts([await serve.front.call(token, "slow")]) == [True]
    serve.desk.release.set()
    assert (await call).events[-1]["result"]["vendor"] == 1
    assert serve.without_outcome() == []


async def test_a_session_and_its_process_stay_while_the_way_to_the_server_does(serve: Operated) -> None:
    token = serve.front.token("tools")
    session = {"Mcp-Session-Id": await serve.front.initialize(token, "tools"), "MCP-Protocol-Version": LEGACY}
    echo = {"id": 1, "method": "tools/call", "params": {"name": "echo"}}
    before = shown(await serve.front.post(token, echo, session, "tools"))
    serve.change(ECHO, "")
    await reloaded(serve)
    assert shown(await serve.front.post(token, echo, session, "tools"))["pid"] == before["pid"]
    serve.change(ECHO.replace("desk", "tools", 1), "")
    await reloaded(serve)
    assert verdicts([await serve.front.post(token, echo, session, "tools")]) == [True]


async def test_a_server_that_was_removed_is_not_found_and_what_it_had_under_way_ends_in_order(
    serve: Operated,
) -> None:
    token = serve.front.token()
    session = {"Mcp-Session-Id": await serve.front.initialize(token)}
    call = asyncio.create_task(serve.front.call(token, "slow"))
    while not serve.desk.calls:
        await asyncio.sleep(0)
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", **session}
    stream = await serve.front.client.get(f"{serve.front.base}/desk/mcp", headers=headers)
    await stream.content.readuntil(b"\r\n\r\n")
    serve.change(http_server(serve.desk.url), "")
    serve.change('tools = ["desk/*", "tools/*"]', 'tools = ["tools/*"]')
    await reloaded(serve)
    assert await stream.content.read() == b""
    assert (await serve.front.call(token, "echo")).status == 404
    serve.desk.release.set()
    assert (await call).events[-1]["result"]["vendor"] == 1
    assert serve.without_outcome() == []


async def test_a_server_with_another_url_is_reached_there_and_its_sessions_end(serve: Operated) -> None:
    token = serve.front.token()
    session = {"Mcp-Session-Id": await serve.front.initialize(token)}
    async with RecordingServer() as moved:
        serve.change(serve.desk.url, moved.url)
        await reloaded(serve)
        assert verdicts([await serve.front.call(token, "echo")]) == [False]
        assert (len(serve.desk.calls), len(moved.calls)) == (0, 1)
        assert (await serve.front.post(token, {"id": 1, "method": "ping"}, session)).status == 404


async def test_a_call_that_had_not_arrived_whole_goes_to_neither_of_two_servers(serve: Operated) -> None:
    """Decided by the new configuration, it must not go the old way."""
    host, _, port = serve.front.base.removeprefix("http://").partition(":")
    message, headers = modern_call("echo")
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Authorization": f"Bearer {serve.front.token()}", "Content-Type": "application/json"}
    headers |= {"Host": f"{host}:{port}", "Content-Length": str(len(body)), "Expect": "100-continue"}
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        ("POST /desk/mcp HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())).encode()
    )
    writer.write(b"\r\n")
    # It waits for the body now.
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    async with RecordingServer() as moved:
        serve.change(serve.desk.url, moved.url)
        await reloaded(serve)
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503")
        assert (serve.desk.calls, moved.calls) == ([], [])
    writer.close()
    assert rows(serve.guard, "decision") == []


async def test_a_server_that_was_added_is_served(serve: Operated) -> None:
    async with RecordingServer() as other:
        text = serve.config.read_text()
        serve.config.write_text(text + http_server(other.url, "other"))
        serve.change('"desk/*", "tools/*"', '"desk/*", "tools/*", "other/*"')
        await reloaded(serve)
        found = await serve.front.send("GET", "/.well-known/oauth-protected-resource/other/mcp", {})
        assert found.status == 200


async def test_limits_are_those_of_the_new_configuration(serve: Operated) -> None:
    serve.change("workers = ", "max_message_bytes = 2000\nworkers = ")
    await reloaded(serve)
    answered = await serve.front.call(serve.front.token(), "echo", {"a": "x" * 4_000})
    assert answered.status == 413
