"""Authority and proxy as two users of one machine who share the decision log through a group. Needs root."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from .fronting import modern_call
from .installation import environment, hopward, http_server, install, opened, rows
from .recording_http import RecordingServer
from .remoting import free_port, remote

GROUP, AUTHORITY, PROXY = 20_000, 20_001, 20_002


def become(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups"]


def can_become_another_user() -> bool:
    """Whether this is root, and other users can run this Python."""
    if os.geteuid() != 0:
        return False
    probe = [*become(PROXY), sys.executable, "-c", "import hopward_mcp.run, hopward_authority, uvloop"]
    try:
        return subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not can_become_another_user(), reason="cannot become two other users here")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def share(folder: Path) -> None:
    """What docs/guides/separate-the-authority.md says to do."""
    state = folder / ".hopward"
    for path in (state, *state.rglob("*")):
        os.chown(path, AUTHORITY, GROUP)
    state.chmod(0o2770)
    (state / "decisions.db").chmod(0o660)
    (state / "keys").chmod(0o750)
    os.chown(state / "keys/proxy.json", PROXY, GROUP)


def run_as(user: int, config: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*become(user), *hopward(config, *words)],
        capture_output=True,
        env=environment(),
        cwd=config.parent,
        check=False,
    )


@contextmanager
def running_as(user: int, config: Path, *words: str) -> Iterator[None]:
    """A command that serves, once it has said so."""
    process = subprocess.Popen(
        [*become(user), *hopward(config, *words)],
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=config.parent,
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert b"listens on" in told or b"is guarded at" in told, told + process.stderr.read()
        yield
    finally:
        process.terminate()
        process.communicate()


async def called(base: str, token: str) -> bool:
    """Whether a call was executed."""
    message, headers = modern_call("echo", {"x": 1})
    headers |= {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    body = {"jsonrpc": "2.0", **message}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{base}/desk/mcp", json=body, headers=headers) as answer,
    ):
        return "isError" not in (await answer.json())["result"]


async def test_two_users_share_a_log_and_the_signing_key_stays_with_one_of_them(folder: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    listen = f'listen = "127.0.0.1:{port}"\npublic_url = "{base}"'
    async with RecordingServer() as server:
        config = install(folder, http_server(server.url), proxy=listen, authority=remote(free_port()))
        share(folder)
        opening = run_as(PROXY, config, "task", "open", "--workflow", "tickets", "--json")
        task = json.loads(opening.stdout)["id"]
        assert run_as(PROXY, config, "task", "token", task, "--server", "desk").returncode == 2
        token = run_as(AUTHORITY, config, "task", "token", task, "--server", "desk").stdout.decode().strip()
        with running_as(PROXY, config, "mcp", "serve"):
            with running_as(AUTHORITY, config, "authority", "serve"):
                assert await called(base, token)
                assert run_as(AUTHORITY, config, "authority", "rotate").returncode == 0
                assert await called(base, token)
            assert not await called(base, token)
        assert len(server.calls) == 2
    with opened(config) as guard:
        assert [row.record["outcome"]["status"] for row in rows(guard, "outcome")] == ["ok", "ok", "error"]
        assert guard.ledger.verify().ok
    said = run_as(PROXY, config, "doctor").stdout.decode()
    assert "0 broken" in said
    assert "cannot sign by itself" in said
    assert "can read the authority's signing key" in run_as(AUTHORITY, config, "doctor").stdout.decode()
