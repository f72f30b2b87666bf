"""Clients of the older era before the SDK-built server of 2026-07-28, over every pair of transports."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiohttp
import fastmcp
from fastmcp.client.elicitation import ElicitResult as FastElicitResult
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.types import CreateMessageResult, ElicitRequestURLParams, ElicitResult, ListRootsResult, TextContent

from hopward import Guard

from .fronting import Fronted, front
from .installation import ENTRY, SERVER, caller_token, environment, hopward, install, opened, rows
from .remoting import free_port

MODERN_SERVER = Path(__file__).with_name("modern_server.py")
TOOLS = (
    *("echo", "steps", "slow", "chatter", "form", "visit", "sample", "roots", "all", "endless", "later"),
    *("touch", "die"),
)
ASKED = ("roots/list", "sampling/createMessage", "elicitation/create")

Pair: TypeAlias = tuple[Literal["stdio", "http"], Literal["command", "url"]]
PAIRS: list[Pair] = [("stdio", "command"), ("stdio", "url"), ("http", "command"), ("http", "url")]


def modern_settings(transport: str, by: str, asked: tuple[str, ...]) -> str:
    """A `[servers.desk]` before that server, everything of it classified; `asked` is what it may ask."""
    entries = [ENTRY.format(server="desk", group="tools", tool=tool, action="read") for tool in TOOLS]
    names = [("mcp_resources", '"ticket://*"'), ("prompts", "summary")]
    for group, name in names + [("server_requests", f'"{one}"') for one in asked]:
        entries.append(ENTRY.format(server="desk", group=group, tool=name, action="read"))
    return SERVER.format(name="desk", transport=transport, credential=f'{{ by = "{by}" }}') + "".join(entries)


def by_command(record: Path) -> str:
    """The server as a command."""
    return f"command = ['{sys.executable}', '{MODERN_SERVER}', '{record}', 'stdio']"


@contextmanager
def serving_http(record: Path) -> Iterator[str]:
    """The server over HTTP; its URL."""
    port = free_port()
    words = [sys.executable, str(MODERN_SERVER), str(record), "http", str(port)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.communicate()


async def answering(url: str) -> None:
    """Wait until a server answers at a URL."""
    async with aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0)


@dataclass(slots=True)
class Place:
    """An installation before the server, and what its handlers have seen."""

    folder: Path
    guard: Guard
    front: Fronted | None = None

    @property
    def seen(self) -> list[dict[str, Any]]:
        record = self.folder / "record"
        # What stands after the last newline is still being written.
        *lines, _ = record.read_text().split("\n") if record.exists() else [""]
        return [json.loads(line) for line in lines]

    def params(self, method: str) -> list[dict[str, Any]]:
        return [one["params"] for one in self.seen if one.get("method") == method]

    async def until(self, entry: dict[str, Any], count: int = 1) -> None:
        """Wait until the server has seen something so often."""
        while sum(1 for one in self.seen if entry.items() <= one.items()) < count:
            await asyncio.sleep(0)

    def log(self) -> list[tuple[str, str]]:
        """Every decision on a call with its outcome, `?` for one that has none."""
        return [one for one in self._log() if not one[0].startswith("request:")]

    def questions(self) -> list[tuple[str, str]]:
        """The same for what the server has asked the client."""
        return [one for one in self._log() if one[0].startswith("request:")]

    def _log(self) -> list[tuple[str, str]]:
        ended = {row.decision: row.reason for row in rows(self.guard, "outcome")}
        return [(row.tool, ended.get(row.decision, "?")) for row in rows(self.guard, "decision")]


@asynccontextmanager
async def placed(
    folder: Path, pair: Pair, proxy: str = "", asked: tuple[str, ...] = ASKED
) -> AsyncIterator[Place]:
    """An installation for a pair of transports."""
    client, server = pair
    with serving_http(folder / "record") if server == "url" else _no_url() as url:
        if url:
            await answering(url)
        transport = f'url = "{url}"' if url else by_command(folder / "record")
        settings = modern_settings(transport, "authorization" if url else "meta", asked)
        if client == "http":
            async with front(folder, (), limits=proxy, more=settings) as running:
                yield Place(folder, running.guard, running)
        else:
            config = install(folder, settings, proxy=proxy)
            with opened(config) as guard:
                yield Place(folder, guard)


@contextmanager
def _no_url() -> Iterator[str]:
    yield ""


@dataclass(slots=True)
class Person:
    """Whoever sits at the client: answers what the server wants to know, hears what it tells."""

    asked: list[Any] = field(default_factory=list[Any])
    logged: list[str] = field(default_factory=list[str])
    heard: list[str] = field(default_factory=list[str])

    async def elicit(self, _ctx: Any, params: Any) -> ElicitResult:
        self.asked.append(params)
        if isinstance(params, ElicitRequestURLParams):
            return ElicitResult(action="accept")
        return ElicitResult(action="accept", content={"name": "bo"})

    async def sample(self, _ctx: Any, params: Any) -> CreateMessageResult:
        self.asked.append(params)
        return CreateMessageResult(role="assistant", content=TextContent(text="hi"), model="m")

    async def roots(self, _ctx: Any) -> ListRootsResult:
        return ListRootsResult.model_validate({"roots": [{"uri": "file:///w"}]})

    async def log(self, params: Any) -> None:
        self.logged.append(params.data)

    async def hear(self, message: Any) -> None:
        method = getattr(message, "method", "")
        uri = getattr(message.params, "uri", "") if method else ""
        self.heard.append(f"{method} {uri}".strip())

    async def until(self, told: str) -> None:
        while told not in self.heard:
            await asyncio.sleep(0)


@asynccontextmanager
async def sdk_client(place: Place, person: Person) -> AsyncIterator[Client]:
    """The SDK's client, told to speak the older era."""
    callbacks: dict[str, Any] = {
        "mode": "legacy",
        "sampling_callback": person.sample,
        "elicitation_callback": person.elicit,
        "list_roots_callback": person.roots,
        "logging_callback": person.log,
        "message_handler": person.hear,
    }
    if place.front is None:
        program, *words = hopward(place.folder / "hopward.toml", "mcp", "run", "desk")
        started = StdioServerParameters(command=program, args=words, env=environment())
        with (place.folder / "said.txt").open("w") as said:
            async with Client(stdio_client(started, errlog=said), **callbacks) as client:
                yield client
        return
    token, _ = caller_token(place.guard, "desk")
    url = f"{place.front.base}/desk/mcp"
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {token}"}) as http,
        Client(streamable_http_client(url, http_client=http), **callbacks) as client,
    ):
        yield client


@asynccontextmanager
async def fastmcp_client(place: Place, person: Person) -> AsyncIterator["fastmcp.Client[Any]"]:
    """FastMCP's client, told to speak the older era."""

    async def elicit(_message: str, _type: Any, params: Any, _ctx: Any) -> Any:
        person.asked.append(params)
        return FastElicitResult(action="accept", content={"name": "bo"})

    async def sample(_messages: Any, _params: Any, _ctx: Any) -> str:
        return "hi"

    if place.front is None:
        program, *words = hopward(place.folder / "hopward.toml", "mcp", "run", "desk")
        transport: Any = StdioTransport(program, words, keep_alive=False, log_file=place.folder / "said.txt")
    else:
        headers = {"Authorization": f"Bearer {caller_token(place.guard, 'desk')[0]}"}
        transport = StreamableHttpTransport(f"{place.front.base}/desk/mcp", headers=headers)
    async with fastmcp.Client(
        transport,
        mode="legacy",
        elicitation_handler=elicit,
        sampling_handler=sample,
        roots=["file:///w"],
        log_handler=person.log,
        message_handler=person.hear,
    ) as client:
        yield client


def shown(result: Any) -> Any:
    """What a tool of the server says it was given."""
    return json.loads(result.content[0].text)
