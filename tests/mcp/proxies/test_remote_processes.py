"""Both proxies and the authority as processes of their own; the proxies may not open the signing key."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopward import CredentialVerifier

from .fronting import modern_call
from .installation import caller_token, hopward, http_server, install, opened, rows, started, stdio_server
from .piping import INITIALIZE
from .recording_http import RecordingServer
from .remoting import free_port, remote, serving

DENIED = """\
import sys


def deny(event, arguments):
    if event == "open" and str(arguments[0]).endswith("authority.json"):
        raise PermissionError(13, "Permission denied", arguments[0])


sys.addaudithook(deny)
"""
"""Runs in every Python process that finds it: the signing key cannot be read, as by another user."""


@pytest.fixture
def locked_out(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that cannot read the authority's keys."""
    folder = tmp_path / "locked_out"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(DENIED)
    return {"PYTHONPATH": str(folder)}


class Session:
    """A client of `hopward mcp run`."""

    def __init__(self, config: Path, environment: dict[str, str]) -> None:
        self.process = started(config, "mcp", "run", "desk", **environment)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        return json.loads(line)

    def call(self, arguments: Any = None, message_id: int = 1) -> dict[str, Any]:
        params = {"name": "echo", "arguments": arguments or {}}
        return self.ask({"id": message_id, "method": "tools/call", "params": params})["result"]


@contextmanager
def session(config: Path, environment: dict[str, str]) -> Iterator[Session]:
    running = Session(config, environment)
    try:
        running.ask(INITIALIZE)
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def test_the_signing_key_cannot_be_read_in_these_tests(tmp_path: Path, locked_out: dict[str, str]) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    process = started(config, "mcp", "run", "desk", **locked_out)
    _, err = process.communicate()
    assert process.returncode == 2
    assert b"may not read the key" in err
    assert b"authority.json" in err


def test_a_stdio_proxy_works_without_being_able_to_read_the_signing_key(
    tmp_path: Path, locked_out: dict[str, str]
) -> None:
    port = free_port()
    config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(port))
    with serving(config), session(config, locked_out) as client:
        assert client.call({"x": 1})["isError"] is False
        _, err = client.process.communicate(timeout=30)
    assert client.process.returncode == 0, err
    jwks = json.loads((tmp_path / ".hopward/keys/jwks.json").read_text())
    verifier = CredentialVerifier(f"http://127.0.0.1:{port}", "urn:example:desk", jwks)
    _, call = [json.loads(line)["params"] for line in (tmp_path / "record").read_bytes().splitlines()]
    claims = verifier.verify(call["_meta"]["dev.hopward/credential"], tool="echo", arguments={"x": 1})
    with opened(config) as guard:
        logged = [row for row in rows(guard, "credential") if row.decision == claims["decision"]]
        credentials = [row.record["credential"] for row in logged]
        assert [(one["kind"], one["id"]) for one in credentials] == [
            ("token", claims["jti"]),
            ("exchanged", claims["jti"]),
        ]
        assert [row.record["outcome"]["status"] for row in rows(guard, "outcome")] == ["ok"]
        assert guard.ledger.verify().ok


def test_a_stdio_proxy_refuses_while_the_authority_is_stopped_and_serves_when_it_is_back(
    tmp_path: Path, locked_out: dict[str, str]
) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(free_port()))
    with session(config, locked_out) as client:
        refused = client.call()
        with serving(config):
            assert client.call(message_id=2)["isError"] is False
        again = client.call(message_id=3)
        client.process.communicate(timeout=30)
    for answer in (refused, again):
        assert answer["isError"] is True
        assert answer["_meta"]["dev.hopward/decision"]["reason"] == "no_credential"
        assert "was permitted, but no credential could be obtained" in answer["content"][0]["text"]
    received = [json.loads(line) for line in (tmp_path / "record").read_bytes().splitlines()]
    assert [message["method"] for message in received] == ["initialize", "tools/call"]
    with opened(config) as guard:
        errors = [row.record["outcome"]["error"] for row in rows(guard, "outcome")]
    assert errors == ["no_credential authority_unreachable", "", "no_credential authority_unreachable"]


async def test_an_http_proxy_works_without_being_able_to_read_the_signing_key(
    tmp_path: Path, locked_out: dict[str, str]
) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    listen = f'listen = "127.0.0.1:{port}"\npublic_url = "{base}"'
    async with RecordingServer() as server:
        config = install(tmp_path, http_server(server.url), proxy=listen, authority=remote(free_port()))
        with serving(config), opened(config, as_authority=True) as authority:
            token, _ = caller_token(authority, "desk")
            process = started(config, "mcp", "serve", **locked_out)
            try:
                assert process.stderr is not None
                assert b"is guarded at" in process.stderr.readline()
                message, headers = modern_call("echo", {"x": 1})
                headers |= {"Authorization": f"Bearer {token}", "Accept": "application/json"}
                async with (
                    aiohttp.ClientSession() as client,
                    client.post(
                        f"{base}/desk/mcp", json={"jsonrpc": "2.0", **message}, headers=headers
                    ) as answer,
                ):
                    assert "isError" not in (await answer.json())["result"]
            finally:
                process.terminate()
                process.communicate()
        assert len(server.calls) == 1
        assert (server.calls[0].header("authorization") or "").startswith("Bearer ey")


def test_a_proxy_without_published_keys_or_its_own_does_not_start(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"), authority=remote(free_port()))
    for name in ("jwks.json", "proxy.json"):
        key = tmp_path / ".hopward/keys" / name
        kept = key.read_bytes()
        key.unlink()
        done = subprocess.run(
            hopward(config, "mcp", "run", "desk"), capture_output=True, stdin=subprocess.DEVNULL, check=False
        )
        assert (done.returncode, done.stdout) == (2, b"")
        assert name.encode() in done.stderr
        assert b"Traceback" not in done.stderr
        key.write_bytes(kept)
        key.chmod(0o600)
    assert not (tmp_path / "record").exists()
    with opened(config) as guard:
        assert guard.ledger.tasks() == []


def test_tokens_are_for_the_authoritys_user_to_print(tmp_path: Path, locked_out: dict[str, str]) -> None:
    config = install(tmp_path, http_server("http://127.0.0.1:1/mcp"), authority=remote(free_port()))
    with opened(config) as guard:
        task = guard.open_task("tickets", "alice").id
    process = started(config, "task", "token", task, "--server", "desk", **locked_out)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert b"Run this as the user it belongs to" in err
    done = subprocess.run(
        hopward(config, "task", "token", task, "--server", "desk"), capture_output=True, check=True
    )
    assert done.stdout.count(b".") == 2


def test_an_http_client_is_imported_only_to_ask_a_remote_authority(tmp_path: Path) -> None:
    modules = "import hopward_mcp.run, sys; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", modules], capture_output=True, check=True)
    assert done.stdout == b"False\n"
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print('aiohttp:', 'aiohttp' in sys.modules, file=sys.stderr))\n"
    )
    for authority, loaded in (('issuer = "http://127.0.0.1:8700"', b"False"), (remote(free_port()), b"True")):
        folder = tmp_path / loaded.decode()
        folder.mkdir()
        config = install(folder, stdio_server(folder / "record"), authority=authority)
        process = started(config, "mcp", "run", "desk", PYTHONPATH=str(tmp_path))
        _, err = process.communicate(json.dumps({"jsonrpc": "2.0", **INITIALIZE}).encode() + b"\n")
        assert process.returncode == 0, err
        assert b"aiohttp: " + loaded in err
