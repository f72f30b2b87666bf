"""Where a scenario is played: a project of its own, the real proxy, a real client, the office behind it."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequestParams, ElicitResult

from hopward import Chain, Guard, Task, read_settings
from hopward.ledger import RowFilter
from hopward.record import Row
from hopward_mcp.change import checked
from hopward_mcp.reading import reread
from hopward_mcp.serving import Serving

from .office import OFFERED
from .project import Change, settled, template

ERA = "2026-07-28"
SUBJECT = "ines@firm.example"
OFFICE = Path(__file__).with_name("office.py")
HOPWARD = Path(sys.executable).with_name("hopward")
SERVERS = ("app", *OFFERED)
"""What `hopward mcp serve` speaks of when it starts."""

TLS = ssl.create_default_context()
"""Not used, and costly to make for each client."""

DECISION = "dev.hopward/decision"


class Office:
    """The process of the firm's servers; each run has a folder in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = 0
        self._template = folder / "template"
        template(self._template)
        words = [sys.executable, str(OFFICE), str(folder)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def run(self) -> tuple[Path, str]:
        """The folder and the base URL of a new run."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        shutil.copytree(self._template, folder)
        return folder, f"http://127.0.0.1:{self._port}/{folder.name}/"

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=30)


Effects: TypeAlias = tuple[tuple[str, dict[str, Any]], ...]
"""What the office has done: `SERVER/TOOL` and arguments, in order."""


@dataclass(frozen=True)
class Answer:
    """What the agent sees of a call: `reason` is why it was not executed, empty if it was."""

    text: str
    reason: str = ""
    decision: str = ""
    approval: str = ""


@dataclass(frozen=True)
class Proxy:
    """A running proxy; `reload` has it take over hopward.toml and the policies as they are now.

    `guard` is its own, where it runs in this process.
    """

    url: str
    reload: Callable[[], Awaitable[None]]
    guard: Guard | None = None


@dataclass
class Stage:
    """One task at the proxy, whose agent is injected. `seen` is all that the agent has been told.

    Where it `agrees`, its client says yes to whatever it is to ask its person.
    """

    folder: Path
    office: str
    proxy: Proxy
    guard: Guard
    task: Task
    exits: AsyncExitStack
    seen: list[str] = field(default_factory=list[str])
    decisions: list[str] = field(default_factory=list[str])
    approval: str = ""
    agrees: bool = False
    _clients: dict[tuple[str, str], Client] = field(default_factory=dict[tuple[str, str], Client])

    @property
    def chain(self) -> Chain:
        """The task's own chain."""
        return self.guard.enter(self.task.id)

    def token(self, server: str, task: str = "") -> str:
        """What the agent of a task presents at a server's endpoint of the proxy."""
        return self.guard.access_token(self.guard.enter(task or self.task.id), server)[0]

    async def client(self, server: str, task: str = "") -> Client:
        """The agent's MCP client at a server's endpoint."""
        key = (server, task or self.task.id)
        if key not in self._clients:
            self._clients[key] = await self.exits.enter_async_context(self._connected(*key))
        return self._clients[key]

    @asynccontextmanager
    async def _connected(self, server: str, task: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {self.token(server, task)}"}
        url = f"{self.proxy.url}/{server}/mcp"
        asked: dict[str, Any] = {"elicitation_callback": _agreed} if self.agrees else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=TLS) as http,
            Client(streamable_http_client(url, http_client=http), mode=ERA, cache=None, **asked) as client,
        ):
            yield client

    async def call(
        self, name: str, arguments: dict[str, Any], meta: Mapping[str, Any] | None = None, task: str = ""
    ) -> Answer:
        """Call `SERVER/TOOL` with the SDK's client."""
        server, tool = name.split("/", 1)
        client, before = await self.client(server, task), len(self.rows(kind="refusal"))
        try:
            result = await client.call_tool(tool, arguments, meta=dict(meta) if meta else None)  # type: ignore[arg-type]
        except MCPError as error:
            found = _refused(error.error.message, error.error.data)
            return self._told(found if found.decision else replace(found, reason=self.turned_away(before)))
        text = "".join(getattr(block, "text", "") for block in result.content)
        decision: dict[str, Any] = (result.meta or {}).get(DECISION, {})
        if not result.is_error:
            return self._told(Answer(text, decision=decision.get("id", "")))
        return self._told(_refused(text, {DECISION: decision}))

    def connect(self, server: str, client: Client) -> None:
        """The agent's client at a server is this one."""
        self._clients[server, self.task.id] = client

    def reconnect(self) -> None:
        """From now on the agent is a new client."""
        self._clients.clear()

    async def tools(self, server: str) -> set[str]:
        """The names of the tools that the agent is shown."""
        client = await self.client(server)
        return {tool.name for tool in (await client.list_tools()).tools}

    async def post(self, url: str, tool: str, body: bytes, token: str = "") -> Answer:
        """Bytes in place of a tools/call, as no client library sends them."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": ERA,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
            "Authorization": f"Bearer {token}",
        }
        async with httpx2.AsyncClient(timeout=60, verify=TLS) as http:
            answer = await http.post(url, content=body, headers=headers)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        told = answer.json() if is_json else {}
        if "result" not in told:
            data = told["error"].get("data", {}) if isinstance(told.get("error"), dict) else {}
            reason = data.get("reason", f"http_{answer.status_code}")
            return self._told(Answer(answer.text, reason, data.get("decision", "")))
        result = told["result"]
        decision = result.get("_meta", {}).get(DECISION, {})
        if not result.get("isError"):
            return self._told(Answer(answer.text, decision=decision.get("id", "")))
        return self._told(_refused(answer.text, {DECISION: decision}))

    def turned_away(self, before: int) -> str:
        """Why a message was refused before any decision, as the log has it behind so many such rows."""
        return next((row.reason for row in self.rows(kind="refusal")[before:]), "unlogged")

    def _told(self, answer: Answer) -> Answer:
        self.seen.append(answer.text)
        if answer.decision:
            self.decisions.append(answer.decision)
        return answer

    async def hopward(self, *words: str) -> str:
        """Run a `hopward` command in the project; `exit_1` or the like where it fails."""
        command = (str(HOPWARD), "--config", str(self.folder / "hopward.toml"), *words)
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        running = await asyncio.create_subprocess_exec(*command, env=_environment(), **streams)
        told, _ = await running.communicate()
        self.seen.append(told.decode())
        return f"exit_{running.returncode}" if running.returncode else ""

    def rows(self, **conditions: Any) -> list[Row]:
        """Rows of the decision log, oldest first."""
        return list(self.guard.ledger.rows(RowFilter(oldest_first=True, **conditions)))

    def done(self) -> Effects:
        """What the office has been made to do in this task."""
        path = self.folder / "done.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        told = [json.loads(line) for line in lines]
        return tuple((one["tool"], one["arguments"]) for one in told if one["task"] == self.task.id)

    def new_task(self, **about: Any) -> str:
        """Another task of another subject."""
        return self.guard.open_task("errands", "omar@firm.example", **about).id


async def _agreed(context: Any, params: ElicitRequestParams) -> ElicitResult:
    """A client that shows nothing to anybody."""
    return ElicitResult(action="accept", content={"approve": "yes"} if params.mode == "form" else None)


def _refused(text: str, data: Any) -> Answer:
    told: dict[str, Any] = data.get(DECISION, data) if isinstance(data, dict) else {}
    return Answer(text, told.get("reason", "error"), told.get("id", ""), told.get("approval", ""))


@asynccontextmanager
async def proxied(folder: Path, office: str, changes: Iterable[Change] = ()) -> AsyncIterator["Proxy"]:
    """`hopward mcp serve` of a new project, in this process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        config = settled(folder, office, port, changes)
        change = checked(config, reread(config))
        async with Serving(change) as serving:
            running = asyncio.create_task(serving.run([listening]))
            try:
                yield Proxy(f"http://127.0.0.1:{port}", partial(_adopt, serving, config), change.guard)
            finally:
                serving.end()
                serving.end()
                await running


@contextmanager
def served(config: Path) -> Iterator[str]:
    """`hopward mcp serve` as a process; where it listens."""
    words = [str(HOPWARD), "--config", str(config), "mcp", "serve"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=_environment(), text=True) as process:
        assert process.stderr is not None
        try:
            said = [process.stderr.readline() for _ in SERVERS]
            assert "is guarded at" in said[-1], said
            yield f"http://{read_settings(config).proxy.listen}"
        finally:
            process.terminate()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HOPWARD")}


async def _adopt(serving: Serving, config: Path) -> None:
    """What SIGHUP does to `hopward mcp serve`."""
    await serving.adopt(checked(config, reread(config), serving.settings))


@asynccontextmanager
async def staged(
    folder: Path, office: str, proxy: Proxy, workflow: str = "errands", **about: Any
) -> AsyncIterator[Stage]:
    """A new task at a proxy that runs before the project in this folder."""
    async with AsyncExitStack() as exits:
        guard = proxy.guard
        if guard is None:
            guard = Guard.open(folder / "hopward.toml")
            exits.callback(guard.close)
        task = guard.open_task(workflow, about.pop("subject", SUBJECT), **about)
        async with AsyncExitStack() as connections:
            yield Stage(folder, office, proxy, guard, task, connections)


@asynccontextmanager
async def over_stdio(
    folder: Path, office: str, server: str, request: str = "", parameters: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """A new task at `hopward mcp run SERVER`, a process that the agent's client starts."""
    config = folder / "hopward.toml"
    words = ["--config", str(config), "mcp", "run", server, "--workflow", "errands", "--subject", SUBJECT]
    words += ["--request", request] if request else []
    words += [word for name, value in (parameters or {}).items() for word in ("--param", f"{name}={value}")]
    started = StdioServerParameters(command=str(HOPWARD), args=words)
    with (folder / "said.txt").open("a", encoding="utf-8") as said, closing(Guard.open(config)) as guard:
        async with AsyncExitStack() as exits, Client(stdio_client(started, errlog=said), mode=ERA) as client:
            # A client of 2026-07-28 says nothing before its first request.
            await client.list_tools()
            opened = guard.ledger.rows(RowFilter(kind="task"))
            task = guard.task(next(row.task for row in opened))
            stage = Stage(folder, office, Proxy("", unmoved), guard, task, exits)
            stage.connect(server, client)
            yield stage


async def unmoved() -> None:
    """A process of its own is not reloaded here."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port: int = listening.getsockname()[1]
        return port
