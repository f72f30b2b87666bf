"""npm's `@modelcontextprotocol/server-everything`, guarded, before the SDK's client of 2026-07-28."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

from hopward.project import create

from .project import HOPWARD, Project
from .public import RECORDED, installed

Transport: TypeAlias = Literal["stdio", "http"]

TOOLS = (
    *("echo", "get-sum", "get-structured-content", "get-roots-list", "toggle-simulated-logging"),
    *("toggle-subscriber-updates", "trigger-long-running-operation", "trigger-elicitation-request"),
    *("trigger-url-elicitation", "trigger-sampling-request", "simulate-research-query"),
)

ASKED = ("roots/list", "sampling/createMessage", "elicitation/create")

SETTINGS = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[proxy]
call_timeout_seconds = 50

[agents.tester]
owner = "ana@example.com"
purpose = "Tries everything"

[[agents.tester.ceiling]]
tools = ["everything/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["e"]

[workflows.trying]
agent = "tester"
purpose = "Try everything"
expires_in = 3600
budget = {{ calls = 1000000, writes = 1000000 }}

[[workflows.trying.capabilities]]
tools = ["everything/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["e"]

[servers.everything]
{reached}
resource = "urn:example:everything"
workflow = "trying"
"""

ENTRY = '{{ action = "read", sensitivity = "internal", integrity = "trusted", destination = "e" }}'


def over_stdio(folder: Path) -> Project:
    """A new project in which the server is a command, and keeps what it is sent in `sent.jsonl`."""
    words = json.dumps([*RECORDED, *installed("everything.sh")])
    return _project(folder, f'command = {words}\ncredential = {{ by = "meta" }}')


def over_http(folder: Path, url: str) -> Project:
    """A new project in which the server is at a URL."""
    return _project(folder, f'url = "{url}"\ncredential = {{ by = "authorization" }}')


def _project(folder: Path, reached: str) -> Project:
    """The task may do everything that is classified."""
    made = Project(folder)
    entry = ENTRY.format()
    lines = [SETTINGS.format(reached=reached)]
    lines += ["[servers.everything.tools]", *(f"{name} = {entry}" for name in TOOLS)]
    lines += ["[servers.everything.mcp_resources]", f'"demo://*" = {entry}']
    lines += ["[servers.everything.server_requests]"]
    lines += [f'"{method}" = {entry}' for method in ASKED]
    lines += ["[servers.everything.prompts]"]
    lines += [f"{name} = {entry}" for name in ("simple-prompt", "args-prompt", "completable-prompt")]
    made.config.write_text("\n".join(lines) + "\n", "utf-8")
    create(folder)
    return made


@dataclass
class Person:
    """Who answers what the server asks for, and what has come besides answers."""

    asked: list[Any] = field(default_factory=list)
    logged: list[Any] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    answer: str = "accept"

    async def elicited(self, _: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append(params)
        content = {"name": "Ana", "color": "red"} if params.mode != "url" else None
        return types.ElicitResult(action=self.answer, content=content)  # type: ignore[arg-type]

    async def sampled(self, _: Any, params: Any) -> types.CreateMessageResult:
        self.asked.append(params)
        text = types.TextContent(type="text", text="a sampled sentence")
        return types.CreateMessageResult(role="assistant", content=text, model="none")

    async def rooted(self, _: Any) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///work/of/ana", name="ana's")])  # type: ignore[arg-type]

    async def log(self, params: Any) -> None:
        self.logged.append(params)

    async def note(self, progress: float, _total: float | None, _message: str | None) -> None:
        self.progress.append(progress)

    def taking(self, **less: Any) -> dict[str, Any]:
        """The callbacks for a client."""
        whole = {
            "elicitation_callback": self.elicited,
            "sampling_callback": self.sampled,
            "list_roots_callback": self.rooted,
            "logging_callback": self.log,
        }
        return {**whole, "mode": "2026-07-28", **less}


@asynccontextmanager
async def connected(
    made: Project, transport: Transport, person: Person, token: str = "", **less: Any
) -> AsyncIterator[Client]:
    """A client of 2026-07-28 before the guarded server; `token` is for one over HTTP."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(60))
        if transport == "stdio":
            words = ["--config", str(made.config), "mcp", "run", "everything"]
            said = stack.enter_context((made.folder / "said.txt").open("w", encoding="utf-8"))
            way: Any = stdio_client(StdioServerParameters(command=str(HOPWARD), args=words), errlog=said)
        else:
            headers = {"Authorization": f"Bearer {token}"}
            http = await stack.enter_async_context(create_mcp_http_client(headers=headers))
            way = streamable_http_client(made.endpoint("everything"), http_client=http)
        yield await stack.enter_async_context(Client(way, **person.taking(**less)))
