"""An MCP server over Streamable HTTP that keeps every request it receives, raw.

Plain asyncio, one event loop with the test. A tool's name says how it answers: `echo` in JSON, `stream` as an
event stream with a notification first, `slow` not before the test says so, `repeat` with the credential of
the call in an event before the answer, `resumable` as a stream that ends before the answer, `torn` as one
that breaks off there, `later` with an MCP task, of either era, that everybody who knows its id may see.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Received:
    """One request as it came in; `head` is its raw bytes down to the empty line."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    head: bytes = b""

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(slots=True)
class RecordingServer:
    """Use as `async with RecordingServer() as server`; `received` is everything, in order.

    `statuses` is what a tool is answered with, `pointing` the headers of that, `silent` the HTTP methods that
    get no answer at all, `late` the messages that a session's stream brings when the test says so,
    `discovered` the requests for its era, `older` whether that is not 2026-07-28, `offers` what an older one
    can do, `rest` what the next callers get who come back for the rest of a stream; a result answers the last
    call.
    """

    received: list[Received] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    pointing: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    late: list[dict[str, Any]] = field(default_factory=list)
    older: bool = False
    offers: dict[str, Any] = field(default_factory=dict)
    discovered: list[Received] = field(default_factory=list)
    rest: list[list[dict[str, Any]]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    sessions: int = 0
    tasks: list[str] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/mcp"

    @property
    def calls(self) -> list[Received]:
        """The tools/call requests among them."""
        return [
            one for one in self.received if one.method == "POST" and one.message.get("method") == "tools/call"
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            self.broken.set()
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = [(key, value.strip()) for key, _, value in (line.partition(":") for line in lines)]
        method, path, _ = first.split(" ")
        length = int(next((value for key, value in headers if key.lower() == "content-length"), "0"))
        request = Received(method, path, headers, await reader.readexactly(length), raw)
        if not await self._discovered(request, writer):
            return True
        self.received.append(request)
        await self._answer(request, reader, writer)
        await writer.drain()
        return True

    async def _discovered(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        """Answer the question for the era, which is kept apart; whether it was another request."""
        if request.method != "POST" or request.message.get("method") != "server/discover":
            return True
        self.discovered.append(request)
        if self.older:
            _respond(
                writer, 400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}'
            )
        else:
            found = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
            _result(writer, request.message["id"], found)
        await writer.drain()
        return False

    async def _answer(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.method in self.silent:
            await self._held(reader, writer)
        elif request.method == "DELETE":
            _respond(writer, 204)
        elif request.method == "GET" and "GET" in self.statuses:
            _respond(writer, self.statuses["GET"])
        elif request.method == "GET" and self.rest and request.header("last-event-id"):
            self._go_on(writer, self.rest.pop(0))
        elif request.method == "GET":
            await self._listen(reader, writer)
        elif "id" not in request.message or "method" not in request.message:
            _respond(writer, 202)
        else:
            await self._result(request, reader, writer)

    def _go_on(self, writer: asyncio.StreamWriter, messages: list[dict[str, Any]]) -> None:
        _begin_stream(writer)
        for message in messages:
            answered = {"id": self.calls[-1].message["id"]} if "result" in message else {}
            _event(writer, {**answered, **message}, event_id=f"rest-{len(self.rest)}")
        _end_stream(writer)

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _begin_stream(writer)
        _event(writer, {"method": "notifications/tools/list_changed"}, event_id="g-1")
        await self._held(reader, writer)
        for message in self.late:
            _event(writer, message, event_id="g-2")
        _end_stream(writer)

    async def _result(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        message = request.message
        params, message_id = message.get("params", {}), message["id"]
        name = params.get("name", "")
        status = self.statuses.get(name)
        if status is not None:
            _respond(writer, status, b"not here", "text/plain", self.pointing)
        elif message["method"] == "initialize":
            self.sessions += 1
            result = {
                "protocolVersion": "2025-11-25",
                "capabilities": self.offers,
                "serverInfo": {"name": "r", "version": "1"},
            }
            _result(writer, message_id, result, {"Mcp-Session-Id": f"upstream-{self.sessions}"})
        elif message["method"] == "tools/list":
            marked = {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
            schema = {"type": "object", **marked}
            tools = [{"name": tool, "inputSchema": schema} for tool in ("echo", "stream", "hidden")]
            _result(
                writer,
                message_id,
                {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "public"},
            )
        elif message["method"] == "subscriptions/listen":
            await self._subscribed(message_id, reader, writer)
        elif name == "flood":
            _result(writer, message_id, _text("x" * 100_000))
        elif name == "garbage":
            _respond(writer, 200, b'{"jsonrpc":"2.0","id":%d,"result":{"a":1,"a":2}}' % message_id)
        elif name == "twice":
            other = json.dumps({"jsonrpc": "2.0", "id": message_id + 1, "result": _text("other")})
            _respond(writer, 200, other.encode())
        elif name == "broken":
            _begin_stream(writer)
            _event(writer, {"method": "notifications/progress", "params": {}}, event_id="")
            _end_stream(writer)
        elif name in ("resumable", "torn"):
            _begin_stream(writer)
            _event(writer, {"method": "notifications/progress", "params": {}}, event_id="r-1")
            if name == "torn":
                await writer.drain()
                raise ConnectionError
            _end_stream(writer)
        elif name == "later" or message["method"].startswith("tasks/"):
            _result(writer, message_id, self._task(message))
        elif name in ("stream", "slow", "ask", "repeat"):
            await self._stream(request, reader, writer)
        else:
            _result(writer, message_id, _text(params.get("arguments")))

    def _task(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a call that becomes a task, or about one."""
        if message["method"] == "tasks/list":
            return {"tasks": [{"taskId": task_id, "status": "working"} for task_id in self.tasks]}
        if message["method"] == "tasks/result":
            return _text(message["params"]["taskId"])
        if message["method"] != "tools/call":
            return {"resultType": "complete", "taskId": message["params"]["taskId"], "status": "working"}
        self.tasks.append(f"task-{len(self.tasks) + 1}")
        task = {"taskId": self.tasks[-1], "status": "working"}
        return {"task": task} if "task" in message["params"] else {"resultType": "task", **task}

    async def _stream(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        message = request.message
        name, arguments = message["params"]["name"], message["params"].get("arguments")
        progress = {"progressToken": "p", "progress": 1}
        _begin_stream(writer)
        _event(writer, {"method": "notifications/progress", "params": progress}, event_id="e-1")
        _event(writer, {"method": "notifications/vendor/x"}, event_id="e-2")
        if name == "slow":
            await self._held(reader, writer)
        if name == "repeat":
            credential = (request.header("authorization") or "").removeprefix("Bearer ")
            _event(writer, {"method": "notifications/message", "params": {"data": credential}}, credential)
        if name == "ask":
            _event(writer, {"id": 7, "method": "roots/list"}, event_id="e-3")
            _event(writer, {"id": 8, "method": "elicitation/create", "params": {}}, event_id="e-4")
        _event(writer, {"id": message["id"], "result": _text(arguments)}, event_id="e-9")
        _end_stream(writer)

    async def _subscribed(
        self, message_id: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": message_id}}
        _begin_stream(writer)
        _event(writer, {"method": "notifications/subscriptions/acknowledged", "params": tag}, event_id="")
        _event(writer, {"method": "notifications/tools/list_changed", "params": tag}, event_id="")
        await self._held(reader, writer)
        _event(writer, {"id": message_id, "result": {**tag, "resultType": "complete"}}, event_id="")
        _end_stream(writer)

    async def _held(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait until the test lets go, or the other side does."""
        await writer.drain()
        released, left = asyncio.create_task(self.release.wait()), asyncio.create_task(reader.read(1))
        _, waiting = await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if left.done() and not left.cancelled():
            raise ConnectionError


def _text(value: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(value)}], "resultType": "complete", "vendor": 1}


def _result(
    writer: asyncio.StreamWriter, message_id: Any, result: Any, headers: dict[str, str] | None = None
) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": message_id, "result": result}).encode()
    _respond(writer, 200, body, "application/json", headers)


def _respond(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes = b"",
    kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> None:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Content-Type: {kind}"]
    lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        b"Set-Cookie: upstream=1\r\nX-Upstream: secret\r\n\r\n"
    )


def _event(writer: asyncio.StreamWriter, message: Any, event_id: str) -> None:
    content = json.dumps({"jsonrpc": "2.0", **message})
    named = f"id: {event_id}\r\n" if event_id else ""
    data = f"event: message\r\n{named}data: {content}\r\n\r\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _end_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"0\r\n\r\n")
