"""`hopward mcp serve` with several workers: any of them serves anybody, in sessions or without."""

import asyncio
import os
import select
import signal
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopward import ConfigError, read_settings
from hopward_mcp.parent import Parent
from hopward_mcp.share import share_of

from .fronting import LEGACY, Answered, Fronted
from .installation import http_server, install, rows, started
from .operating import Operated, free_port, operated
from .processes import killed, shown
from .proving import bound

CALL: dict[str, Any] = {"id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"a": 1}}}


@dataclass(slots=True)
class Pair:
    """Two workers, and a client at each; `folder` is where temporary files go."""

    serve: Operated
    ours: Fronted
    theirs: Fronted
    folder: Path

    async def session(self, token: str, server: str = "desk") -> dict[str, str]:
        """The headers of a session that the first worker has."""
        session_id = await self.ours.initialize(token, server)
        assert session_id.startswith("0.")
        return {"Mcp-Session-Id": session_id, "MCP-Protocol-Version": LEGACY}


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    # Names of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix="h") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            serve = await stack.enter_async_context(
                operated(folder, "workers = 2\ndrain_seconds = 3600", TMPDIR=name)
            )
            await serve.until_said("2 workers serve")
            ours, theirs = [await serve.pinned(stack, number) for number in (0, 1)]
            yield Pair(serve, ours, theirs, folder)


async def streamed(front: Fronted, token: str, session: dict[str, str]) -> aiohttp.ClientResponse:
    """The session's own stream, whose first event has come."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", **session}
    response = await front.client.get(f"{front.base}/desk/mcp", headers=headers)
    await response.content.readuntil(b"\r\n\r\n")
    return response


async def test_requests_without_a_session_are_served_by_any_worker(pair: Pair) -> None:
    token = pair.ours.token()
    for front in (pair.ours, pair.theirs):
        assert (await front.call(token, "echo")).message["result"]["vendor"] == 1
    assert [row.reason for row in rows(pair.serve.guard, "outcome")] == ["ok", "ok"]


@pytest.mark.parametrize("server", ["desk", "tools"])
async def test_a_session_is_served_from_the_connections_of_every_worker(pair: Pair, server: str) -> None:
    token = pair.ours.token(server)
    session = await pair.session(token, server)
    answers = [await front.post(token, CALL, session, server) for front in (pair.ours, pair.theirs)]
    assert [one.status for one in answers] == [200, 200]
    assert [one.message["id"] for one in answers] == [1, 1]
    if server == "tools":
        first, second = map(shown, answers)
        assert first["pid"] == second["pid"]
    deleted = await pair.theirs.send(
        "DELETE", f"/{server}/mcp", {"Authorization": f"Bearer {token}", **session}
    )
    assert deleted.status == 204
    assert (await pair.ours.post(token, CALL, session, server)).status == 404
    assert pair.serve.without_outcome() == []


async def test_a_session_handed_over_is_still_nobody_elses(pair: Pair) -> None:
    session = await pair.session(pair.ours.token(subject="victim"))
    answered = await pair.theirs.post(pair.ours.token(subject="attacker"), CALL, session)
    assert answered.status == 404
    assert pair.serve.desk.calls == []
    assert [row.reason for row in rows(pair.serve.guard, "refusal")][-1:] == ["unknown_session"]


async def test_a_proof_counts_once_whichever_workers_a_request_goes_through(pair: Pair) -> None:
    caller = bound(pair.ours)
    greeting = {"id": 0, "method": "initialize", "params": {"protocolVersion": LEGACY}}
    opened = await pair.ours.post("", greeting, caller.headers())
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": LEGACY}
    shown = caller.headers()
    assert (await pair.theirs.post("", CALL, shown | session)).message["result"]["vendor"] == 1
    for front in (pair.ours, pair.theirs):
        assert (
            'error="invalid_dpop_proof"'
            in (await front.post("", CALL, shown | session)).headers["www-authenticate"]
        )
    assert len(pair.serve.desk.calls) == 1


async def test_a_refused_token_is_refused_wherever_its_session_is(pair: Pair) -> None:
    session = await pair.session(pair.ours.token())
    assert (await pair.theirs.post("forged", CALL, session)).status == 401
    other = pair.ours.token("tools")
    assert (await pair.theirs.post(other, CALL, session)).status == 401


@pytest.mark.parametrize("number", ["7", "1", "99", "0x", "-1", "../0"])
async def test_a_session_id_that_names_no_worker_is_no_session(pair: Pair, number: str) -> None:
    session = {"Mcp-Session-Id": f"{number}.abc", "MCP-Protocol-Version": LEGACY}
    assert (await pair.theirs.post(pair.ours.token(), CALL, session)).status == 404


async def test_a_stream_handed_over_brings_what_comes_and_ends_when_its_caller_leaves(pair: Pair) -> None:
    token = pair.ours.token()
    session = await pair.session(token)
    pair.serve.desk.broken.clear()
    response = await streamed(pair.theirs, token, session)
    response.close()
    await pair.serve.desk.broken.wait()


async def test_a_stream_handed_over_ends_politely_when_all_are_told_to_end(pair: Pair) -> None:
    token = pair.ours.token()
    response = await streamed(pair.theirs, token, await pair.session(token))
    pair.serve.tell(signal.SIGTERM)
    assert await response.content.read() == b""
    assert await pair.serve.over() == 0


async def begun(pair: Pair, front: Fronted, token: str, session: dict[str, str]) -> "asyncio.Task[Answered]":
    slow = {"id": 7, "method": "tools/call", "params": {"name": "slow"}}
    before = len(pair.serve.desk.calls)
    call = asyncio.create_task(front.post(token, slow, session))
    while len(pair.serve.desk.calls) == before:
        await asyncio.sleep(0)
    return call


async def test_calls_under_way_in_every_worker_are_answered_and_settled_when_told_to_end(pair: Pair) -> None:
    token = pair.ours.token()
    session = await pair.session(token)
    handed = await begun(pair, pair.theirs, token, session)
    # The one connection there is busy now, and so is nothing here.
    direct = await begun(pair, pair.ours, pair.ours.token(), {})
    pair.serve.tell(signal.SIGTERM)
    await pair.serve.until_refused()
    pair.serve.desk.release.set()
    for call in (handed, direct):
        assert (await call).events[-1]["result"]["vendor"] == 1
    assert await pair.serve.over() == 0
    assert [row.reason for row in rows(pair.serve.guard, "outcome")] == ["ok", "ok"]


async def test_told_twice_every_worker_answers_in_the_servers_place_and_records_it(pair: Pair) -> None:
    token = pair.ours.token()
    session = await pair.session(token)
    calls = [await begun(pair, pair.theirs, token, session), await begun(pair, pair.ours, token, {})]
    pair.serve.tell(signal.SIGTERM)
    await pair.serve.until_refused()
    pair.serve.tell(signal.SIGTERM)
    for call in calls:
        assert "was stopped" in (await call).events[-1]["error"]["message"]
    assert await pair.serve.over() == 0
    assert [row.record["outcome"]["error"] for row in rows(pair.serve.guard, "outcome")] == ["stopped"] * 2
    assert pair.serve.without_outcome() == []


async def test_a_worker_that_is_killed_is_started_again_and_the_others_go_on(pair: Pair) -> None:
    token = pair.ours.token()
    session = await pair.session(token)
    kept = {"Mcp-Session-Id": await pair.theirs.initialize(token), "MCP-Protocol-Version": LEGACY}
    # In the order of their start.
    first, _ = sorted(pair.serve.workers)
    killed(first)
    await pair.serve.until_said("worker 1 was ended by signal 9; it is started again now")
    assert (await pair.theirs.post(token, CALL, kept)).status == 200
    # Its session ended with it, and the caller is told to begin anew.
    assert (await pair.theirs.post(token, CALL, session)).status == 404
    async with AsyncExitStack() as stack:
        anew = await pair.serve.pinned(stack, 0)
        assert (await anew.call(token, "echo")).status == 200
    assert len(pair.serve.workers) == 2
    assert first not in pair.serve.workers


async def test_workers_end_when_their_parent_has_gone(pair: Pair) -> None:
    watched = [os.pidfd_open(pid) for pid in pair.serve.workers]
    killed(pair.serve.process.pid)
    for one in watched:
        ready, _, _ = await asyncio.to_thread(select.select, [one], [], [], 30)
        assert ready
        os.close(one)


async def test_only_this_user_may_hand_over_and_nothing_is_left_of_it(pair: Pair) -> None:
    (folder,) = pair.folder.glob("hopward-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {one.name for one in folder.iterdir()} == {"0", "1"}
    pair.serve.tell(signal.SIGTERM)
    assert await pair.serve.over() == 0
    assert not folder.exists()


async def test_a_revoked_task_is_refused_at_its_next_call_by_every_worker(pair: Pair) -> None:
    token = pair.ours.token()
    assert (await pair.ours.call(token, "echo")).status == 200
    task = rows(pair.serve.guard, "decision")[-1].task
    pair.serve.guard.revoke("task", task, by="ana", why="a test")
    for front in (pair.ours, pair.theirs):
        assert (await front.call(token, "echo")).message["result"]["isError"] is True
    assert len(pair.serve.desk.calls) == 1


def test_a_worker_that_cannot_be_started_fails_the_whole_start_with_the_reason(tmp_path: Path) -> None:
    port = free_port()
    proxy = f'listen = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"\nworkers = 3'
    brokered = '{ by = "header", name = "X-Api-Key", environment = "NO_SUCH_KEY" }'
    config = install(tmp_path, http_server("http://127.0.0.1:1/mcp", credential=brokered), proxy=proxy)
    process = started(config, "mcp", "serve")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.decode().count("environment variable NO_SUCH_KEY holds no API key") == 1
    assert "Traceback" not in err.decode()


class SecondCannot(Parent):
    """Its second worker gets a configuration that cannot be used."""

    async def _start(self, place: Any) -> Any:
        self._text = "[proxi]" if place.number == 1 else self._text
        return await super()._start(place)


async def test_a_later_worker_that_cannot_be_started_ends_the_others_in_order(tmp_path: Path) -> None:
    config = install(tmp_path, http_server("http://127.0.0.1:1/mcp"), proxy="workers = 2")
    listening = socket.create_server(("127.0.0.1", 0))
    parent = SecondCannot(config, config.read_text(), read_settings(config), listening)
    async with asyncio.timeout(60):
        with pytest.raises(ConfigError) as refused:
            await parent.run()
    assert "proxi: unknown key" in str(refused.value)
    assert [place.process.returncode for place in parent._places if place.process] == [0, 0]


def test_fewer_of_anything_than_workers_is_refused(tmp_path: Path) -> None:
    proxy = "workers = 3\nmax_processes = 2"
    config = tmp_path / "hopward.toml"
    config.write_text(f'[authority]\nissuer = "http://127.0.0.1:8700"\n[proxy]\n{proxy}\n')
    process = started(config, "mcp", "serve")
    _, err = process.communicate(timeout=60)
    assert "proxy.max_processes: is shared out among 3 workers, so it must be at least that" in err.decode()


def test_each_worker_has_its_share_of_what_all_may_have_at_once(tmp_path: Path) -> None:
    proxy = (
        "workers = 3\nmax_processes = 10\nmax_connections = 3\nmax_requests = 31\nmax_requests_per_caller = 6"
    )
    settings = read_settings(install(tmp_path, http_server("http://127.0.0.1:1/mcp"), proxy=proxy))
    own = share_of(settings).proxy
    assert (own.max_processes, own.max_connections, own.max_requests) == (3, 1, 10)
    assert (own.max_requests_per_caller, own.max_message_bytes) == (2, settings.proxy.max_message_bytes)
