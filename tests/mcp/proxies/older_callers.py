"""Clients of the older era that send exactly what they are told, over stdio and over HTTP."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .fronting import LEGACY
from .installation import caller_token, hopward
from .placing import Place

CAPABILITIES = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
NAME = {"action": "accept", "content": {"name": "bo"}}


def greeting(capabilities: dict[str, Any]) -> dict[str, Any]:
    params = {"protocolVersion": LEGACY, "capabilities": capabilities}
    return {"id": 0, "method": "initialize", "params": params}


def calling(tool: str, message_id: Any = 1, **meta: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"name": tool, "arguments": {}, **({"_meta": meta} if meta else {})}
    return {"id": message_id, "method": "tools/call", "params": params}


class Caller:
    """A client that says what it is told: `begin` makes a request, `next` is what comes because of it."""

    task = ""

    async def begin(self, message: dict[str, Any]) -> None: ...
    async def say(self, message: dict[str, Any]) -> None: ...
    async def next(self) -> dict[str, Any]:
        raise NotImplementedError

    async def leave(self) -> None: ...

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        await self.begin(message)
        return await self.next()


class OverStdio(Caller):
    """At the pipes of `hopward mcp run`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def begin(self, message: dict[str, Any]) -> None:
        await self.say(message)

    async def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        await self.process.stdin.drain()

    async def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(await self.process.stdout.readline())

    async def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()


@dataclass
class OverHttp(Caller):
    """At an endpoint of `hopward mcp serve`; the stream it reads is that of its last request."""

    place: Place
    token: str
    headers: dict[str, str]
    stream: aiohttp.ClientResponse | None = None
    opened: list[aiohttp.ClientResponse] = field(default_factory=list[aiohttp.ClientResponse])

    async def begin(self, message: dict[str, Any]) -> None:
        self.stream = await self._post(message)

    async def say(self, message: dict[str, Any]) -> None:
        async with await self._post(message) as response:
            assert response.status == 202

    async def next(self) -> dict[str, Any]:
        assert self.stream is not None
        if self.stream.content_type == "application/json":
            return await self.stream.json()
        raw = await self.stream.content.readuntil(b"\r\n\r\n")
        return json.loads(raw.decode().partition("data: ")[2])

    async def leave(self) -> None:
        assert self.stream is not None
        self.stream.close()

    async def _post(self, message: dict[str, Any]) -> aiohttp.ClientResponse:
        assert self.place.front is not None
        base = {"Authorization": f"Bearer {self.token}", "Accept": "application/json, text/event-stream"}
        response = await self.place.front.client.post(
            f"{self.place.front.base}/desk/mcp",
            headers={**base, **self.headers},
            json={"jsonrpc": "2.0", **message},
        )
        self.opened.append(response)
        return response


@asynccontextmanager
async def caller(place: Place, capabilities: dict[str, Any] = CAPABILITIES) -> AsyncIterator[Caller]:
    """An older client that has been greeted."""
    if place.front is not None:
        token, task = caller_token(place.guard, "desk")
        over_http = OverHttp(place, token, {})
        over_http.task = task
        greeted = await over_http.ask(greeting(capabilities))
        assert greeted.get("result", {}).get("protocolVersion") == LEGACY, greeted
        assert over_http.stream is not None
        over_http.headers = {"Mcp-Session-Id": over_http.stream.headers["mcp-session-id"]}
        try:
            yield over_http
        finally:
            for response in over_http.opened:
                response.close()
        return
    pipe = asyncio.subprocess.PIPE
    words = hopward(place.folder / "hopward.toml", "mcp", "run", "desk")
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        over_stdio = OverStdio(process)
        assert process.stderr is not None
        found = re.search(r"task (\S+)", (await process.stderr.readline()).decode())
        assert found is not None
        over_stdio.task = found[1]
        assert (await over_stdio.ask(greeting(capabilities)))["result"]["protocolVersion"] == LEGACY
        yield over_stdio
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
