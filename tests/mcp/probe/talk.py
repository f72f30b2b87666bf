"""A client's end of one session: raw JSON-RPC messages over the transports of the SDK.

The SDK's transports know about streams, sessions and how a stream is resumed; its typed client is not used,
because it keeps only what its models know.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import httpx2
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.inbound import encode_header_value
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types.jsonrpc import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from .feature import DiffersError, steady

Json = dict[str, Any]
Era: TypeAlias = Literal["older", "modern"]
Transport: TypeAlias = Literal["stdio", "http"]
VERSIONS: dict[Era, str] = {"older": "2025-11-25", "modern": "2026-07-28"}
ROOT = Path(__file__).parents[3]
PATIENCE = 20.0
"""Seconds after which what has not come is taken not to come."""

NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The parameter that the header `Mcp-Name` repeats (2026-07-28)."""
ICON = {
    "src": "https://example.com/client.png",
    "mimeType": "image/png",
    "sizes": ["16x16"],
    "theme": "light",
}
CLIENT: Json = {
    "name": "prober",
    "title": "Prober",
    "version": "4.5.6",
    "description": "Asks for every feature.",
    "websiteUrl": "https://example.com/prober",
    "icons": [ICON],
}
CAPABILITIES: Json = {
    "sampling": {"context": {}, "tools": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {"listChanged": True},
    "experimental": {"example.com/experiment": {"level": 1}},
    "extensions": {"example.com/extension": {}},
}
OF_OLDER: Json = {
    "tasks": {
        "list": {},
        "cancel": {},
        "requests": {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}},
    }
}
"""Capabilities that only the older era has."""
OF_MODERN: Json = {"extensions": {"example.com/extension": {}, "io.modelcontextprotocol/tasks": {}}}
"""Those that are more in 2026-07-28."""


@dataclass
class Heard:
    """A message of the server that answers nothing, in the order they came."""

    method: str
    params: Json
    id: object = None


Answerer: TypeAlias = Callable[[Json], Awaitable[Json]]


@dataclass
class Talk:
    """One client in one session, and the era of what the server offers. `key` is of this session alone;
    `wire` keeps every message for `spec`."""

    era: Era
    offered: Era
    transport: Transport
    key: str
    write: Any
    http: httpx2.AsyncClient | None = None
    url: str = ""
    version: str = ""
    initialized: Json = field(default_factory=dict)
    answers: dict[str, Answerer] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    wire: list[tuple[str, Json]] = field(default_factory=list)
    answered_with: list[tuple[int, str]] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[object, asyncio.Future[Json]] = field(default_factory=dict)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def modern(self) -> bool:
        return self.era == "modern"

    @property
    def bridged(self) -> bool:
        """Whether the server is of the other era."""
        return self.offered != self.era

    # What a feature says.

    async def begin(self, method: str, params: Mapping[str, Any] | None = None, **headers: str) -> int:
        """Send a request; its id. `headers` are added where the transport has any."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        shown = self._params(params)
        # Params that are None would be sent as null, which is no JSON-RPC.
        more: Json = {} if shown is None else {"params": shown}
        await self._send(JSONRPCRequest(jsonrpc="2.0", id=number, method=method, **more), headers)
        return number

    async def answer(self, number: int) -> Json:
        """The answer to a request: an object with `result` or `error`."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._waiting[number]), PATIENCE)
        except TimeoutError:
            raise DiffersError("no answer came") from None

    async def ask(self, method: str, params: Mapping[str, Any] | None = None, **headers: str) -> Json:
        """Send a request and wait for its answer."""
        return await self.answer(await self.begin(method, params, **headers))

    async def result(self, method: str, params: Mapping[str, Any] | None = None, **headers: str) -> Json:
        """Send a request and wait for its result; an error is not what was wanted."""
        return result(await self.ask(method, params, **headers))

    async def call(self, tool: str, **arguments: Any) -> Json:
        """The result of a tools/call."""
        return await self.result("tools/call", {"name": tool, "arguments": arguments})

    async def told(self, tool: str, **arguments: Any) -> Json:
        """What a tool shows to the client's program."""
        found = await self.call(tool, **arguments)
        if not isinstance(found.get("structuredContent"), dict):
            raise DiffersError(steady(f"{tool} answers {found}"))
        return found["structuredContent"]

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification."""
        more: Json = {} if params is None else {"params": dict(params)}
        await self._send(JSONRPCNotification(jsonrpc="2.0", method=method, **more), {})

    async def hear(self, method: str, since: int = 0, count: int = 1) -> list[Heard]:
        """The first `count` messages with this method after position `since`, as soon as they have come."""

        def found() -> list[Heard]:
            return [one for one in self.heard[since:] if one.method == method]

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: len(found()) >= count), PATIENCE)
            except TimeoutError:
                raise DiffersError(f"{len(found())} of {count} {method} came") from None
        return found()[:count]

    # How it gets there.

    def _params(self, params: Mapping[str, Any] | None) -> Json | None:
        if not self.modern:
            return dict(params) if params is not None else None
        envelope = {
            "io.modelcontextprotocol/protocolVersion": VERSIONS["modern"],
            "io.modelcontextprotocol/clientInfo": CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {**CAPABILITIES, **OF_MODERN},
        }
        given = dict(params or {})
        return {**given, "_meta": {**envelope, **given.get("_meta", {})}}

    async def _send(self, message: Any, headers: Mapping[str, str]) -> None:
        self.wire.append(("client", message.model_dump(by_alias=True, exclude_unset=True)))
        if self.transport == "http":
            headers = self.headers(message) | {key.replace("_", "-"): value for key, value in headers.items()}
            await self.write.send(SessionMessage(message, metadata=ClientMessageMetadata(headers=headers)))
        else:
            await self.write.send(SessionMessage(message))

    def headers(self, message: Any) -> dict[str, str]:
        """The headers of a message over HTTP, as its era has them."""
        if not self.modern:
            return {"mcp-protocol-version": self.version} if self.version else {}
        found = {"mcp-protocol-version": VERSIONS["modern"], "mcp-method": message.method}
        name = (message.params or {}).get(NAMED.get(message.method, ""))
        return found | ({"mcp-name": encode_header_value(name)} if isinstance(name, str) else {})

    async def listen(self, read: Any) -> None:
        """Take in what comes, until nothing more can."""
        async for one in read:
            if isinstance(one, Exception):
                continue
            message = one.message
            self.wire.append(("server", message.model_dump(by_alias=True, exclude_unset=True)))
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._close(message)
            elif isinstance(message, JSONRPCRequest | JSONRPCNotification):
                number = message.id if isinstance(message, JSONRPCRequest) else None
                await self._take(Heard(message.method, dict(message.params or {}), number))

    def _close(self, message: Any) -> None:
        waiting = self._waiting.get(message.id)
        if waiting is not None and not waiting.done():
            body = message.model_dump(by_alias=True, exclude_unset=True)
            waiting.set_result({key: body[key] for key in ("result", "error") if key in body})

    async def _take(self, heard: Heard) -> None:
        async with self._news:
            self.heard.append(heard)
            self._news.notify_all()
        if heard.id is not None:
            task = asyncio.ensure_future(self._reply(heard))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _reply(self, heard: Heard) -> None:
        answerer = self.answers.get(heard.method)
        try:
            if answerer is None:
                raise LookupError(heard.method)
            message: Any = JSONRPCResponse(jsonrpc="2.0", id=heard.id, result=await answerer(heard.params))
        except Unanswered:
            return
        except LookupError:
            error = {"code": -32601, "message": "The client does not know this."}
            message = JSONRPCError(jsonrpc="2.0", id=heard.id, error=error)
        self.wire.append(("client", message.model_dump(by_alias=True, exclude_unset=True)))
        await self.write.send(SessionMessage(message))


class Unanswered(Exception):
    """Raised by an answerer that gives no answer."""


def result(answer: Json) -> Json:
    """The result in an answer; raises `DiffersError` for an error."""
    if "error" in answer:
        error = answer["error"]
        raise DiffersError(steady(f"error {error['code']}: {error['message']}"))
    return answer["result"]


@asynccontextmanager
async def over_stdio(eras: tuple[Era, Era], key: str, command: list[str], said: Any) -> AsyncGenerator[Talk]:
    """A session with the server that a command starts; what it says on stderr goes to a file. `eras` are the
    client's and the server's."""
    started = StdioServerParameters(command=command[0], args=command[1:], cwd=ROOT)
    async with stdio_client(started, errlog=said) as (read, write):
        talk = Talk(*eras, "stdio", key, write)
        async with _listening(talk, read):
            yield talk


@asynccontextmanager
async def over_http(eras: tuple[Era, Era], key: str, url: str, token: str = "") -> AsyncGenerator[Talk]:
    """A session at an endpoint, with an access token if that wants one."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=None) as http:
        transport = streamable_http_client(url, http_client=http, max_sse_event_size=1 << 24)
        async with transport as (read, write):
            talk = Talk(*eras, "http", key, write, http, url)

            async def note(response: httpx2.Response) -> None:
                talk.answered_with.append((response.status_code, response.headers.get("content-type", "")))

            http.event_hooks = {"response": [note]}
            async with _listening(talk, read):
                yield talk


@asynccontextmanager
async def _listening(talk: Talk, read: Any) -> AsyncGenerator[None]:
    listening = asyncio.ensure_future(talk.listen(read))
    try:
        await _open(talk)
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError, anyio.ClosedResourceError):
            await listening


async def _open(talk: Talk) -> None:
    """The handshake of the older era; the other has none."""
    if talk.modern:
        talk.version = VERSIONS["modern"]
        return
    hello = {
        "protocolVersion": VERSIONS["older"],
        "capabilities": {**CAPABILITIES, **OF_OLDER},
        "clientInfo": CLIENT,
        "_meta": {"example.com/hello": 1},
        "x-probe": {"kept": True},
    }
    talk.initialized = await talk.result("initialize", hello)
    talk.version = talk.initialized["protocolVersion"]
    await talk.notify("notifications/initialized", {"_meta": {"example.com/ready": 1}})
