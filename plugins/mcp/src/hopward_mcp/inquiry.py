"""A request that the era bridge makes in an older caller's place: one of 2026-07-28, to the same endpoint.

It passes through everything that a caller's own request of 2026-07-28 does.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from hopward_mcp.headers import MODERN_VERSIONS, VERSION, upstream
from hopward_mcp.jsonrpc import Message, dump
from hopward_mcp.older_client import worth_asking
from hopward_mcp.request import JSON_TYPE, STREAM_TYPE, Request
from hopward_mcp.sse import Events

_TRACE = ("traceparent", "tracestate")
CHALLENGE: Final = "www-authenticate"


class Inquiry:
    """One request; `came` is awaited with it and each message that comes of it.

    `challenge` is what it was refused with, where the caller's token has too narrow a scope; `answered` is
    for whoever made it to note.
    """

    def __init__(
        self, message: Message, came: Callable[["Inquiry", bytes], Awaitable[None]], max_bytes: int
    ) -> None:
        self.message = message
        self.challenge = ""
        self.answered = False
        self._body = dump(message.body)
        self._came = came
        self._sent = False
        self._left = asyncio.Event()
        self._events = Events(max_bytes * 2)
        self._streams = False

    def request(self, caller: Mapping[str, str], more: Mapping[str, str]) -> Request:
        """The request as an endpoint takes it; `caller` are the caller's headers, `more` further ones."""
        known = {key: caller[key] for key in _TRACE if key in caller} | {VERSION: MODERN_VERSIONS[-1], **more}
        return Request("POST", upstream(self.message, known), self._receive, self._send)

    @property
    def left(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._left.is_set()

    def leave(self) -> None:
        """Go, whether it has been answered or not: in 2026-07-28 that gives up the request."""
        self._left.set()

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._sent:
            self._sent = True
            return {"type": "http.request", "body": self._body}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, sent: MutableMapping[str, Any]) -> None:
        if sent["type"] == "http.response.start":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent["headers"]}
            self._streams = headers.get("content-type") == STREAM_TYPE
            self.challenge = headers.get(CHALLENGE, "") if sent["status"] == 403 else ""
            return
        if not self._streams:
            await self._pass(sent["body"])
            return
        for event in self._events.feed(sent["body"]):
            await self._pass(event.data or b"")

    async def _pass(self, body: bytes) -> None:
        if body and not self.left:
            await self._came(self, body)


class Attempt:
    """An older caller's `initialize` on its way as it is, with the answer held back if it is a refusal.

    `refused` is that refusal. An event stream is none, and passes as it comes.
    """

    def __init__(self, caller: Request) -> None:
        self.request = caller.through(self._send)
        self.refused = b""
        self._caller = caller
        self._held: list[MutableMapping[str, Any]] = []

    async def release(self) -> None:
        """Let the caller have the refusal."""
        held, self._held = self._held, []
        for sent in held:
            await self._caller.send(sent)

    async def _send(self, sent: MutableMapping[str, Any]) -> None:
        if sent["type"] == "http.response.start":
            if (b"content-type", JSON_TYPE.encode()) not in sent["headers"]:
                await self._caller.send(sent)
            else:
                self._held.append(sent)
        elif not self._held:
            await self._caller.send(sent)
        else:
            # Ours are in one piece.
            self._held.append(sent)
            if worth_asking(json.loads(sent["body"])):
                self.refused = sent["body"]
            else:
                await self.release()
