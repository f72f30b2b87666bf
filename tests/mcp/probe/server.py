"""The probe's server: every feature, in one era or in both, over stdio or over Streamable HTTP.

    python -m tests.mcp.probe.server both|older|modern    over stdio
    python -m tests.mcp.probe.server --http PORT          all three, at /both/mcp, /older/mcp and /modern/mcp;
                                                          /json/mcp speaks both and answers in JSON

It is the SDK's low-level server with one middleware that answers with raw dicts: the SDK's own models would
drop what they do not know.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvicorn
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.runner import modern_on_request, serve_loop
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.routing import Mount

from . import offers, task_methods
from .asked import Asked, Json, Places
from .behaviour import LEVELS, TOOLS, asking, listening
from .offers import TASKS_EXTENSION

KINDS = ("both", "older", "modern")
_PAGES = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
OF_OLDER = frozenset({"ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
OF_MODERN = frozenset({"server/discover", "subscriptions/listen"})
"""Methods that only one era has."""
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
_CACHED = {"ttlMs": 60_000, "cacheScope": "public"}


class Probe:
    """Answers every message of one server."""

    def __init__(self, kind: str, places: Places) -> None:
        self._kind = kind
        self._places = places
        self._methods: dict[str, Callable[[Asked], Awaitable[Json]]] = {
            "server/discover": self._discover,
            "ping": _empty,
            "tools/call": _call,
            **dict.fromkeys(_PAGES, _page),
            "resources/read": _read,
            "resources/subscribe": _subscribe,
            "resources/unsubscribe": _unsubscribe,
            "prompts/get": _prompt,
            "completion/complete": _complete,
            "logging/setLevel": _level,
            "subscriptions/listen": listening,
            "example.com/echo": _echo,
        }

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        asked = Asked(ctx, self._places)
        if ctx.request_id is None:
            if not asked.modern:
                asked.notified(ctx.method).put_nowait(asked.params)
            return await call_next(ctx)
        if ctx.method == "initialize":
            return await self._initialize(asked, call_next)
        if ctx.method in (OF_OLDER if asked.modern else OF_MODERN):
            raise MCPError(-32601, "Method not found", ctx.method)
        tasks = task_methods.OF_EXTENSION if asked.modern else task_methods.OF_CORE
        method = task_methods.METHODS[ctx.method] if ctx.method in tasks else self._methods.get(ctx.method)
        if method is None:
            raise MCPError(-32601, "Method not found", ctx.method)
        answer = await method(asked)
        if asked.modern:
            return {**answer, "_meta": {SERVER_INFO: offers.INFO, **answer.get("_meta", {})}}
        return {key: inner for key, inner in answer.items() if key != "resultType"}

    async def _initialize(self, asked: Asked, call_next: CallNext) -> Json:
        if self._kind == "modern":
            supported = {
                "supported": list(MODERN_PROTOCOL_VERSIONS),
                "requested": asked.params["protocolVersion"],
            }
            raise MCPError(-32022, "Unsupported protocol version", supported)
        found = await call_next(asked.ctx)
        assert isinstance(found, dict)
        asked.state["initialize"] = asked.params
        capabilities = {**offers.CAPABILITIES, "tasks": offers.TASKS, "extensions": offers.EXTENSIONS}
        return {
            **found,
            "serverInfo": offers.INFO,
            "instructions": offers.INSTRUCTIONS,
            "capabilities": capabilities,
            "_meta": offers.META,
            **offers.UNKNOWN,
        }

    async def _discover(self, asked: Asked) -> Json:
        return {
            "resultType": "complete",
            "supportedVersions": list(MODERN_PROTOCOL_VERSIONS),
            "capabilities": {**offers.CAPABILITIES, "extensions": offers.EXTENSIONS | {TASKS_EXTENSION: {}}},
            "instructions": offers.INSTRUCTIONS,
            "_meta": offers.META,
            **_CACHED,
            **offers.UNKNOWN,
        }


async def _empty(asked: Asked) -> Json:
    return {"resultType": "complete"}


async def _echo(asked: Asked) -> Json:
    return {"resultType": "complete", "echo": asked.params.get("x"), **offers.UNKNOWN}


async def _call(asked: Asked) -> Json:
    name = asked.params["name"]
    if name not in TOOLS:
        raise MCPError(-32602, f"Unknown tool: {name}", {"name": name})
    if asked.arguments.get("as_requester"):
        return await task_methods.as_requester(asked)
    if task_methods.wants_task(asked):
        return await task_methods.created(asked)
    return await TOOLS[name](asked)


async def _page(asked: Asked) -> Json:
    """A list in two pages, with everything that a page can have."""
    member = _PAGES[asked.method]
    items = {
        "tools": offers.tools(modern=asked.modern),
        "resources": offers.RESOURCES,
        "resourceTemplates": offers.TEMPLATES,
        "prompts": offers.PROMPTS,
    }[member]
    half = (len(items) + 1) // 2
    cursor = asked.params.get("cursor")
    if cursor not in (None, "page 2 é"):
        raise MCPError(-32602, "Invalid cursor", {"cursor": cursor})
    page: Json = {"nextCursor": "page 2 é"} if cursor is None else {}
    page |= {member: items[:half] if cursor is None else items[half:], "_meta": offers.META}
    return {"resultType": "complete", **page, **offers.UNKNOWN} | (_CACHED if asked.modern else {})


async def _read(asked: Asked) -> Json:
    uri = asked.params["uri"]
    if uri == "probe://asking":
        found = await _with_input(asked, {"contents": [{"uri": uri, "text": "answered"}]})
        return found | (_CACHED if asked.modern and "contents" in found else {})
    if uri == "probe://missing":
        code = -32602 if asked.modern else -32002
        raise MCPError(code, "Resource not found", {"uri": uri})
    contents = offers.CONTENTS if uri == "probe://rich" else [{"uri": uri, "text": uri}]
    found = {"contents": contents, "_meta": offers.META, "resultType": "complete", **offers.UNKNOWN}
    return found | (_CACHED if asked.modern else {})


async def _with_input(asked: Asked, found: Json) -> Json:
    """A result for which the client has to be asked something, as a tool would."""
    params = {**asked.params, "arguments": {"of": ["form"]}}
    inner = Asked(_Replaced(asked.ctx, params), asked.places)  # type: ignore[arg-type]
    answer = await asking(inner)
    if answer.get("resultType") == "input_required":
        return answer
    answers = {"example.com/answers": answer["structuredContent"]["answers"]}
    return {**found, "_meta": answers, "resultType": "complete"}


class _Replaced:
    """A context with other params."""

    def __init__(self, ctx: ServerRequestContext[Any, Any], params: Json) -> None:
        self._ctx = ctx
        self.params = params

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


async def _subscribe(asked: Asked) -> Json:
    asked.state.setdefault("subscribed", set()).add(asked.params["uri"])
    return {}


async def _unsubscribe(asked: Asked) -> Json:
    asked.state.setdefault("subscribed", set()).discard(asked.params["uri"])
    return {}


async def _prompt(asked: Asked) -> Json:
    if asked.params["name"] == "asking":
        return await _with_input(asked, {"messages": []})
    found = {"description": "As asked.", "messages": offers.MESSAGES, "_meta": offers.META, **offers.UNKNOWN}
    return {**found, "resultType": "complete", "arguments": asked.params.get("arguments")}


async def _complete(asked: Asked) -> Json:
    asked_for = {key: asked.params.get(key) for key in ("ref", "argument", "context")}
    completion = {"values": ["paris", "zürich"], "total": 3, "hasMore": True}
    return {"resultType": "complete", "completion": completion, "_meta": {"example.com/asked": asked_for}}


async def _level(asked: Asked) -> Json:
    level = asked.params["level"]
    if level not in LEVELS:
        raise MCPError(-32602, "Invalid log level", {"level": level})
    asked.state["level"] = level
    return {}


class Events(EventStore):
    """Every event of every stream, so that any of them can be resumed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        number = int(last_event_id)
        stream_id = self._events[number - 1][0]
        for later, (stream, message) in enumerate(list(self._events[number:]), number + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(later)))
        return stream_id


def made(kind: str, places: Places) -> "Server[Any]":
    """A server that speaks one era, or both."""
    schemas = {tool["name"]: tool["inputSchema"] for tool in offers.tools(modern=True)}
    server: Server[Any] = Server("probe", version="1.2.3", get_tool_input_schema=schemas.get)
    server.middleware[:] = [Probe("both" if kind == "json" else kind, places)]
    return server


async def over_stdio(kind: str) -> None:
    """Serve one client."""
    server = made(kind, Places())
    async with stdio_server() as (read, write):
        if kind == "older":
            await serve_loop(server, read, write, lifespan_state={})
        elif kind == "modern":
            dispatcher: JSONRPCDispatcher[Any] = JSONRPCDispatcher(read, write)
            answer = modern_on_request(server, {})

            async def ignore(*_: Any) -> None:
                return None

            await dispatcher.run(answer, ignore)
        else:
            await server.run(read, write, server.create_initialization_options())


class OneEra:
    """Refuses over HTTP what a server of the other era would not understand."""

    def __init__(self, app: Any, kind: str) -> None:
        self._app = app
        self._kind = kind

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        modern = version in MODERN_PROTOCOL_VERSIONS
        if scope["type"] != "http" or modern is (self._kind == "modern"):
            await self._app(scope, receive, send)
            return
        supported = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": version}
        error = {"code": -32022, "message": "Unsupported protocol version", "data": supported}
        if self._kind == "older":
            error = {"code": -32000, "message": "Bad Request: Unsupported protocol version"}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        start = {
            "type": "http.response.start",
            "status": 400,
            "headers": [(b"content-type", b"application/json")],
        }
        await send(start)
        await send({"type": "http.response.body", "body": body})


def application() -> Starlette:
    """All kinds over Streamable HTTP; they share what is kept by key."""
    places = Places()
    apps: dict[str, Any] = {}
    for kind in (*KINDS, "json"):
        server, json_response = made(kind, places), kind == "json"
        apps[kind] = server.streamable_http_app(
            event_store=Events(),
            retry_interval=10,
            json_response=json_response,
            max_request_body_size=1 << 23,
        )

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        async with AsyncExitStack() as stack:
            for app in apps.values():
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield

    mounts = [
        Mount(f"/{kind}", app if kind in ("both", "json") else OneEra(app, kind))
        for kind, app in apps.items()
    ]
    return Starlette(routes=mounts, lifespan=lifespan)


def main(words: list[str]) -> None:
    """Serve as the command line says."""
    if words[0] == "--http":
        config = uvicorn.Config(application(), port=int(words[1]), log_level="warning", lifespan="on")
        server = uvicorn.Server(config)

        async def serve() -> None:
            serving = asyncio.ensure_future(server.serve())
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            sys.stdout.write("listening\n")
            sys.stdout.flush()
            await serving

        asyncio.run(serve())
        return
    asyncio.run(over_stdio(words[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
