"""One HTTP request of a caller, over ASGI: bounded body, one answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from hopward_mcp.jsonrpc import too_large
from hopward_mcp.sse import Event, written

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]
"""An ASGI application."""

JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream"


class GoneError(Exception):
    """The caller left before its request was complete."""


class Request:
    """A request and the way to answer it. `started` and `ended` tell how far the answer has come.

    `told` are headers of its answer, whatever that is. `passed_on` is true of one that another worker has got
    and let in.
    """

    def __init__(self, method: str, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        self.method = method
        self.headers = headers
        self.started = False
        self.ended = False
        self.passed_on = False
        self.told: dict[str, str] = {}
        self._receive = receive
        self._send = send

    def through(self, send: Send) -> "Request":
        """The same request, whose answer goes to `send`."""
        return Request(self.method, self.headers, self._receive, send)

    async def body(self, max_bytes: int) -> bytes:
        """The whole body; raises `MessageError` when it is too large, `GoneError` when it never ends."""
        announced = self.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > max_bytes:
            raise too_large(max_bytes)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise GoneError
            part = message.get("body", b"")
            size += len(part)
            if size > max_bytes:
                raise too_large(max_bytes)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def departure(self) -> None:
        """Return once the caller has gone; the body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)

    async def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """The whole answer; JSON if it has a body. Once an event stream has begun, its last event."""
        if self.started and not self.ended:
            await self.write(written(Event(), body) if body else b"", last=True)
            return
        self.ended = True
        whole = {"content-length": str(len(body)), **(headers or {})}
        if body:
            whole.setdefault("content-type", JSON_TYPE)
        await self._begin(status, whole)
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def stream(self, headers: Mapping[str, str] | None = None) -> None:
        """Begin an event stream, if it has not begun."""
        if not self.started:
            whole = {
                "content-type": STREAM_TYPE,
                "cache-control": "no-cache, no-transform",
                **(headers or {}),
            }
            await self._begin(200, whole)

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the event stream."""
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    async def send(self, sent: MutableMapping[str, Any]) -> None:
        """Send one ASGI message of the answer."""
        self.started = True
        self.ended = self.ended or not sent.get("more_body", True)
        await self._send(sent)

    async def end(self) -> None:
        """End the event stream if one has begun and not ended; else answer that nothing is served now."""
        if not self.started:
            await self.answer(503)
        elif not self.ended:
            await self.write(b"", last=True)

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        whole = {**self.told, **headers}
        pairs = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in whole.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
