"""`hopward mcp serve` as a process: it says where it listens, serves, and ends in order."""

import asyncio
import http.client
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .fronting import modern_call
from .installation import caller_token, http_server, install, opened, rows, started, stdio_server
from .processes import process_server
from .recording_http import RecordingServer

IN_PROGRAM = """
[servers.desk]
in_process = true
resource = "urn:example:desk"
credential = { by = "context" }
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def proxy(port: int) -> str:
    return f'listen = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"'


@contextmanager
def serving(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = started(config, "mcp", "serve")
    assert process.stderr is not None
    assert b"is guarded at" in process.stderr.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def call(port: int, token: str, tool: str) -> bytes:
    message, headers = modern_call(tool)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    authorized = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
    connection.request("POST", "/desk/mcp", json.dumps({"jsonrpc": "2.0", **message}), authorized)
    body = connection.getresponse().read()
    connection.close()
    return body


async def test_the_front_serves_as_a_process_and_ends_in_order(tmp_path: Path) -> None:
    port = free_port()
    async with RecordingServer() as server:
        config = install(tmp_path, http_server(server.url), proxy=proxy(port))
        with opened(config) as guard, serving(config) as process:
            token, _ = caller_token(guard, "desk")
            answered = json.loads(await asyncio.to_thread(call, port, token, "echo"))
            assert answered["result"]["vendor"] == 1
            waiting = asyncio.create_task(asyncio.to_thread(call, port, token, "slow"))
            while len(server.calls) < 2:
                await asyncio.sleep(0)
            process.send_signal(signal.SIGTERM)
            server.release.set()
            assert b"vendor" in await waiting
            assert await asyncio.to_thread(process.wait, 20) == 0
            assert [row.reason for row in rows(guard, "outcome")] == ["ok", "ok"]


async def test_a_revoked_task_is_refused_at_its_next_call_by_a_process_already_serving(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with RecordingServer() as server:
        config = install(tmp_path, http_server(server.url), proxy=proxy(port))
        with opened(config) as guard, serving(config):
            token, task = caller_token(guard, "desk")
            await asyncio.to_thread(call, port, token, "echo")
            guard.revoke("task", task, by="ana", why="a test")
            answered = json.loads(await asyncio.to_thread(call, port, token, "echo"))
            assert answered["result"]["isError"] is True
            assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("port", "told"),
    [(0, "No server in hopward.toml has a `url` or a `command`"), (1, "cannot listen on 127.0.0.1")],
)
def test_what_cannot_be_served_is_refused_with_advice(tmp_path: Path, port: int, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if port else free_port()
        servers = stdio_server(tmp_path / "record") if "listen" in told else IN_PROGRAM
        process = started(install(tmp_path, servers, proxy=proxy(port)), "mcp", "serve")
        _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert told in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_server_with_a_command_is_served_and_its_processes_end_with_the_front(tmp_path: Path) -> None:
    port = free_port()
    config = install(tmp_path, process_server(tmp_path / "record"), proxy=proxy(port))
    with opened(config) as guard, serving(config) as process:
        token, _ = caller_token(guard, "desk")
        answered = json.loads(await asyncio.to_thread(call, port, token, "echo"))
        server = os.pidfd_open(json.loads(answered["result"]["content"][0]["text"])["pid"])
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
        assert select.select([server], [], [], 10)[0]
        os.close(server)
        assert [row.reason for row in rows(guard, "outcome")] == ["ok"]


async def test_a_process_that_serves_takes_no_head_without_end(tmp_path: Path) -> None:
    port = free_port()
    config = install(tmp_path, http_server("http://127.0.0.1:1/mcp"), proxy=proxy(port))
    with serving(config):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\n" + (b"X: " + b"a" * 1_000 + b"\r\n") * 66)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
