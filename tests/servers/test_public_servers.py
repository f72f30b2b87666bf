"""Servers that other people wrote, guarded as they come: from npm and PyPI, with two kinds of MCP client.

`make servers` installs them; a server that is not there is skipped, and the reason says so.
"""

import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import fastmcp
import pytest
from fastmcp.client.transports import StdioTransport
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult

HERE = Path(__file__).parent
HOPWARD = Path(sys.executable).with_name("hopward")

CONFIG = """\
[authority]
issuer = "http://127.0.0.1:8700"

[agents.reader]
owner = "ana@example.com"
purpose = "Reads"

[[agents.reader.ceiling]]
tools = ["{name}/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["disk"]

[workflows.reading]
agent = "reader"
purpose = "Read what is meant to be read"
expires_in = 600
budget = {{ calls = 20, writes = 0 }}

[[workflows.reading.capabilities]]
tools = {tools}
actions = ["read"]
sensitivity = "internal"
destinations = ["disk"]
constraints = {constraints}

[servers.{name}]
command = {command}
resource = "urn:example:{name}"
credential = {{ by = "meta" }}
workflow = "reading"

[servers.{name}.tools]
{classified}
"""
READS = '{ action = "read", sensitivity = "internal", integrity = "untrusted", destination = "disk" }'
WRITES = '{ action = "write", sensitivity = "internal", integrity = "untrusted", destination = "disk" }'


class Session:
    """What the tests do with either client."""

    def __init__(
        self,
        names: Callable[[], Any],
        call: Callable[[str, dict[str, Any]], Any],
    ) -> None:
        self.names = names
        self.call = call


Connect: TypeAlias = Callable[[Path, str], AbstractAsyncContextManager[Session]]


@asynccontextmanager
async def sdk(folder: Path, server: str) -> AsyncGenerator[Session]:
    """The client of the MCP Python SDK."""
    started = StdioServerParameters(command=str(HOPWARD), args=["mcp", "run", server], cwd=folder)
    async with Client(started) as client:

        async def names() -> set[str]:
            return {tool.name for tool in (await client.list_tools()).tools}

        yield Session(names, client.call_tool)


@asynccontextmanager
async def fast(folder: Path, server: str) -> AsyncGenerator[Session]:
    """FastMCP's client."""
    transport = StdioTransport(str(HOPWARD), ["mcp", "run", server], cwd=str(folder), keep_alive=False)
    async with fastmcp.Client(transport) as client:

        async def names() -> set[str]:
            return {tool.name for tool in await client.list_tools()}

        yield Session(names, client.call_tool_mcp)


CLIENTS = pytest.mark.parametrize("connect", [sdk, fast], ids=["mcp-sdk", "fastmcp"])


@dataclass(frozen=True)
class Guarded:
    """A project that guards one public server, and the folder the server works on."""

    project: Path
    work: Path

    def log_verifies(self) -> bool:
        return self.hopward("log", "verify").returncode == 0

    def hopward(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(HOPWARD), *arguments]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=False)


def installed(script: str) -> list[str]:
    """The command of a server under `.cache/servers`; skips the test where it is not installed."""
    found = subprocess.run([str(HERE / script), "--if-present"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"not installed: run tests/servers/{script}, or make servers")
    return shlex.split(found.stdout)


def guarded(folder: Path, name: str, command: list[str], rest: dict[str, str]) -> Guarded:
    project, work = folder / "project", folder / "work"
    project.mkdir()
    filled = CONFIG.format(name=name, command=str(command).replace("'", '"'), **rest)
    (project / "hopward.toml").write_text(filled, "utf-8")
    result = Guarded(project, work)
    made = result.hopward("init")
    assert made.returncode == 0, made.stderr
    return result


@pytest.fixture
def files(tmp_path: Path) -> Guarded:
    """The npm server `filesystem` over a folder of which the task may read one half."""
    command = installed("filesystem.sh")
    work = tmp_path / "work"
    (work / "public").mkdir(parents=True)
    (work / "public" / "a.txt").write_text("for everybody")
    (work / "secret.txt").write_text("for nobody")
    rest = {
        "tools": '["files/read_text_file", "files/list_directory"]',
        "constraints": f'{{ path = [{{ kind = "path_under", root = "{work}/public" }}] }}',
        "classified": f"read_text_file = {READS}\nlist_directory = {READS}\nwrite_file = {WRITES}\n",
    }
    return guarded(tmp_path, "files", [*command, str(work)], rest)


@pytest.fixture
def repository(tmp_path: Path) -> Guarded:
    """The PyPI server `mcp-server-git` over a repository the task may look at."""
    command = installed("git.sh")
    work = tmp_path / "work"
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    (work / "new.txt").write_text("not yet added")
    rest = {
        "tools": '["repository/git_status"]',
        "constraints": f'{{ repo_path = [{{ kind = "equals", value = "{work}" }}] }}',
        "classified": f"git_status = {READS}\ngit_add = {WRITES}\n",
    }
    return guarded(tmp_path, "repository", [*command, "--repository", str(work)], rest)


@CLIENTS
async def test_a_filesystem_server_reads_inside_the_task_and_nowhere_else(
    files: Guarded, connect: Connect
) -> None:
    async with connect(files.project, "files") as session:
        assert await session.names() == {"read_text_file", "list_directory"}
        read = await session.call("read_text_file", {"path": f"{files.work}/public/a.txt"})
        secret = await session.call("read_text_file", {"path": f"{files.work}/secret.txt"})
        climbing = await session.call("read_text_file", {"path": f"{files.work}/public/../secret.txt"})
        written = await session.call("write_file", {"path": f"{files.work}/public/b.txt", "content": "x"})
        moved = await session.call("move_file", {"source": f"{files.work}/secret.txt", "destination": "x"})
    assert "for everybody" in text_of(read)
    assert [reason_of(result) for result in (read, secret, climbing, written, moved)] == [
        "",
        "outside_task",
        "outside_task",
        "outside_scope",
        "tool_unclassified",
    ]
    assert not (files.work / "public" / "b.txt").exists()
    assert files.log_verifies()


@CLIENTS
async def test_a_git_server_tells_its_status_and_adds_nothing(repository: Guarded, connect: Connect) -> None:
    path = str(repository.work)
    async with connect(repository.project, "repository") as session:
        assert await session.names() == {"git_status"}
        status = await session.call("git_status", {"repo_path": path})
        elsewhere = await session.call("git_status", {"repo_path": str(repository.project)})
        added = await session.call("git_add", {"repo_path": path, "files": ["new.txt"]})
    assert "new.txt" in text_of(status)
    reasons = [reason_of(result) for result in (status, elsewhere, added)]
    assert reasons == ["", "outside_task", "outside_scope"]
    diff = ["git", "-C", path, "diff", "--cached"]
    staged = subprocess.run(diff, capture_output=True, text=True, check=True)
    assert staged.stdout == ""
    assert repository.log_verifies()


def text_of(result: CallToolResult) -> str:
    return " ".join(str(part) for part in result.content)


def reason_of(result: CallToolResult) -> str:
    """Why a decision refused the call; empty for one that was executed without error."""
    decision = (result.meta or {}).get("dev.hopward/decision", {})
    assert bool(decision) is bool(result.is_error), result
    return str(decision.get("reason", ""))
