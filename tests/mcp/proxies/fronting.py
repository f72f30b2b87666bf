"""The HTTP front over real sockets, in the test's own event loop, before recording servers."""

import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from hopward import Guard
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.endpoints import open_endpoints
from hopward_mcp.front import Front
from hopward_mcp.listener import Listener
from hopward_mcp.remote import TokenEndpoint
from hopward_mcp.telemetry import tracing_of

from .installation import EMBEDDED, caller_token, http_server, install, opened
from .recording_http import RecordingServer

MODERN = "2026-07-28"
LEGACY = "2025-11-25"


@dataclass(slots=True)
class Answered:
    """An answer as the caller sees it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The messages of an event stream."""
        lines = self.body.decode().splitlines()
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


@dataclass(slots=True)
class Fronted:
    """The front, the servers behind it, and an HTTP client that sends exactly what it is told."""

    guard: Guard
    app: Front
    base: str
    servers: dict[str, RecordingServer]
    client: aiohttp.ClientSession

    def token(self, server: str = "desk", subject: str = "alice") -> str:
        """A token for a new task at one endpoint."""
        return caller_token(self.guard, server, subject)[0]

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answered:
        """One request, and the whole answer."""
        async with self.client.request(
            method, self.base + path, headers=headers, data=body, allow_redirects=False
        ) as response:
            return Answered(response.status, response.headers, await response.read())

    async def post(
        self, token: str, message: Any, headers: Mapping[str, str] | None = None, server: str = "desk"
    ) -> Answered:
        """One message to an endpoint; bytes are sent as they are."""
        body = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        whole = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **(headers or {}),
        }
        return await self.send("POST", f"/{server}/mcp", whole, body)

    async def call(
        self, token: str, tool: str, arguments: Any = None, *, message_id: Any = 1, server: str = "desk"
    ) -> Answered:
        """A tools/call in the modern era."""
        message, headers = modern_call(tool, arguments, message_id)
        return await self.post(token, message, headers, server)

    async def initialize(self, token: str, server: str = "desk") -> str:
        """Open a session in the legacy era; its id."""
        message = {"id": 0, "method": "initialize", "params": {"protocolVersion": LEGACY}}
        answered = await self.post(token, message, server=server)
        assert answered.status == 200, answered
        return answered.headers["mcp-session-id"]


def modern_call(
    tool: str, arguments: Any = None, message_id: Any = 1
) -> tuple[dict[str, Any], dict[str, str]]:
    """A tools/call of 2026-07-28 and the headers that repeat it."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": arguments or {}, "_meta": meta}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
    return {"id": message_id, "method": "tools/call", "params": params}, headers


@asynccontextmanager
async def front(
    folder: Path,
    names: tuple[str, ...],
    credential: str = '{ by = "authorization" }',
    limits: str = "max_message_bytes = 65536",
    authority: str = EMBEDDED,
    more: str = "",
) -> AsyncIterator[Fronted]:
    """A running front before one recording server per name; `more` stands in hopward.toml as well."""
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(RecordingServer()) for name in names}
        listening = socket.create_server(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        proxy = f'listen = "{base.removeprefix("http://")}"\npublic_url = "{base}"\n{limits}'
        settings = "".join(http_server(server.url, name, credential) for name, server in servers.items())
        guard = stack.enter_context(
            opened(install(folder, settings + more, proxy=proxy, authority=authority))
        )
        asked = TokenEndpoint(guard) if guard.token_endpoint else None
        if asked is not None:
            stack.push_async_callback(asked.close)
        tracing = tracing_of(guard.settings)
        if tracing is not None:
            stack.callback(tracing.close)
        endpoints = open_endpoints(guard, asked, tracing)
        for endpoint in endpoints:
            stack.push_async_callback(endpoint.close)
        app = Front(guard, endpoints)
        await stack.enter_async_context(_served(app, listening, endpoints))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Fronted(guard, app, base, servers, client)


@asynccontextmanager
async def _served(app: Front, listening: socket.socket, endpoints: Sequence[Endpoint]) -> AsyncIterator[None]:
    listener = Listener(app, app.most_connections, app.too_many)
    await listener.begin([listening])
    try:
        yield
    finally:
        listener.close()
        for endpoint in endpoints:
            endpoint.gate.ongoing.end_all()
        await listener.end(2)
        app.tally.close()
