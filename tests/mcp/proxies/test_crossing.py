"""200 principals at once, with equal ids wherever there is an id: nobody hears what belongs to another.

A real `hopward mcp serve` between real sockets, before a server over HTTP and before processes; half of the
principals in each era, half of each with the chain of a sub-agent in every call.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hopward import Chain

from . import crossing
from .carrying import TEAM, Program, call_of
from .fronting import LEGACY, MODERN
from .installation import SERVER, classified, http_server, install, opened, rows, stdio_server
from .test_serve import free_port, proxy, serving

PRINCIPALS = 200
CALLS = 4
SECRET = re.compile(rb"secret-of-[\w-]+\.")
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(slots=True)
class Principal:
    """One caller, and every byte it has been sent. `chain` is what its calls carry, None for nothing."""

    client: aiohttp.ClientSession
    program: Program
    url: str
    token: str
    name: str
    modern: bool
    chain: Chain | None
    heard: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=lambda: {"notifications/resources/updated"})
    owed: asyncio.Event = field(default_factory=asyncio.Event)
    asked: Any = None

    async def lives(self) -> None:
        """Everything this principal does."""
        if not self.modern:
            self.wanted.add("roots/list")
            self.headers = {"MCP-Protocol-Version": LEGACY}
            params = {"protocolVersion": LEGACY, "capabilities": {"roots": {}}}
            await self.post({"id": 0, "method": "initialize", "params": params})
            await self.post({"method": "notifications/initialized"})
        stream = asyncio.create_task(self.listens())
        try:
            for number in range(CALLS - 1):
                await self.calls(number)
            await stream
            last = await self.calls(CALLS - 1)
        finally:
            stream.cancel()
            with suppress(asyncio.CancelledError):
                await stream
        assert last[2] == ([] if self.modern else [self.answer()])
        assert set(SECRET.findall(bytes(self.heard))) == {crossing.secret(self.name).encode()}

    async def calls(self, number: int) -> list[Any]:
        """One call: its own progress and its own answer, and nothing else."""
        meta: dict[str, Any] = {"progressToken": crossing.TOKEN, **(META if self.modern else {})}
        arguments = {"of": f"{self.name}.{number}"}
        if self.chain is not None:
            meta["dev.hopward/chain"] = self.program.of_call(self.chain, "echo", arguments)
        params = {**call_of("echo", arguments), "_meta": meta}
        body = await self.post({"id": number, "method": "tools/call", "params": params}, "echo")
        answers = [one for one in messages(body) if "result" in one or "error" in one]
        assert [one["id"] for one in answers] == [number], body
        told = json.loads(answers[0]["result"]["content"][0]["text"])
        assert told[:2] == [arguments, crossing.secret(self.name)]
        progress = [one["params"] for one in messages(body) if one.get("method") == "notifications/progress"]
        assert {one["progressToken"] for one in progress} <= {crossing.TOKEN}
        return told

    async def listens(self) -> None:
        """The stream of what answers nothing, until everything has come that this principal is owed."""
        if self.modern:
            params = {"notifications": {"resourcesListChanged": True}, "_meta": META}
            asked = {"id": crossing.TOKEN, "method": "subscriptions/listen", "params": params}
            request = self.client.post(self.url, json={"jsonrpc": "2.0", **asked}, headers=self.sent(asked))
        else:
            headers = {**self.sent({}), "Accept": "text/event-stream"}
            request = self.client.get(self.url, headers=headers)
        async with request as response:
            assert response.status == 200, await response.read()
            reading = asyncio.create_task(self.reads(response))
            try:
                await self.owed.wait()
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        if not self.modern:
            await self.post({"id": self.asked, **self.roots()})

    async def reads(self, response: aiohttp.ClientResponse) -> None:
        while True:
            self.takes(await response.content.readuntil(b"\r\n\r\n"))

    def takes(self, body: bytes) -> None:
        """Note what has come, on whatever stream."""
        self.heard += body
        for message in messages(body):
            method, tag = message.get("method", ""), message.get("params", {}).get("_meta", {})
            if self.modern and method.endswith("updated"):
                assert tag["io.modelcontextprotocol/subscriptionId"] == crossing.TOKEN
            if method == "roots/list":
                self.asked = message["id"]
            self.wanted.discard(method)
        if not self.wanted:
            self.owed.set()

    def roots(self) -> dict[str, Any]:
        return {"result": {"roots": [{"uri": f"file:///{self.name}"}]}}

    def answer(self) -> str:
        """What the server gets of it: under its own id."""
        return json.dumps({"jsonrpc": "2.0", "id": 1, **self.roots()})

    def sent(self, message: dict[str, Any], name: str = "") -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}", **self.headers}
        headers["Accept"] = "application/json, text/event-stream"
        if self.modern:
            headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
            headers |= {"Mcp-Name": name} if name else {}
        return headers

    async def post(self, message: dict[str, Any], name: str = "") -> bytes:
        body = {"jsonrpc": "2.0", **message}
        async with self.client.post(self.url, json=body, headers=self.sent(message, name)) as response:
            answer = await response.read()
            assert response.status in (200, 202), answer
            if message.get("method") == "initialize":
                self.headers["Mcp-Session-Id"] = response.headers["mcp-session-id"]
        self.takes(answer)
        return answer


def messages(body: bytes) -> list[dict[str, Any]]:
    """The messages of an answer: one, or those of its events."""
    if body.startswith(b"{"):
        return [json.loads(body)]
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]


class HttpServer:
    """`Crossing` over Streamable HTTP, the same one for everybody."""

    def __init__(self) -> None:
        self.crossing = crossing.Crossing(PRINCIPALS)
        self.sessions = 0
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        subject = crossing.subject(request.headers["Authorization"].removeprefix("Bearer "))
        message = json.loads(await request.read()) if request.method == "POST" else {}
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.method == "POST" and ("id" not in message or "method" not in message):
            self.crossing.hear(message, subject, None)
            return web.Response(status=202)
        out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if message.get("method") == "initialize":
            self.sessions += 1
            response.headers["Mcp-Session-Id"] = f"session-{self.sessions}"
        await response.prepare(request)
        if message:
            self.crossing.hear(message, subject, out.put_nowait)
        else:
            self.crossing.tell(subject, out.put_nowait, {})
            self.crossing.ask(out.put_nowait)
        while True:
            told = await out.get()
            data = json.dumps({"jsonrpc": "2.0", **told}).encode()
            await response.write(b"data: " + data + b"\r\n\r\n")
            if "result" in told:
                return response


@asynccontextmanager
async def http_crossing() -> AsyncIterator[HttpServer]:
    """The server, listening."""
    server = HttpServer()
    app = web.Application()
    app.router.add_route("*", "/mcp", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    try:
        yield server
    finally:
        await runner.cleanup()


async def live(folder: Path, desk: str, limits: str = "") -> None:
    """Have all principals live at once before this server `desk`."""
    port = free_port()
    other = stdio_server(folder / "record", "other")
    config = install(folder, desk + other + TEAM, proxy=f"{proxy(port)}\n{limits}")
    with opened(config) as guard, serving(config):
        program = Program(guard)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            everybody: list[Principal] = []
            for number in range(PRINCIPALS):
                name = f"caller-{number}"
                own = program.opened(name)
                chain = program.handed(own) if number % 4 > 1 else None
                token = guard.access_token(own, "desk")[0]
                url = f"http://127.0.0.1:{port}/desk/mcp"
                everybody.append(Principal(client, program, url, token, name, number % 2 == 0, chain))
            async with asyncio.timeout(60), asyncio.TaskGroup() as living:
                for one in everybody:
                    living.create_task(one.lives())
        outcomes = Counter((row.tool, row.reason) for row in rows(guard, "outcome") if row.server == "desk")
        assert outcomes == {("echo", "ok"): PRINCIPALS * CALLS, ("request:roots/list", "ok"): PRINCIPALS // 2}


async def test_nothing_of_200_principals_crosses_before_a_server_over_http(tmp_path: Path) -> None:
    async with http_crossing() as server:
        await live(tmp_path, http_server(server.url))
        assert server.sessions == PRINCIPALS // 2


async def test_nothing_of_200_principals_crosses_before_processes(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", str(Path(crossing.__file__)), "1"]
    transport = f"command = {json.dumps(words)}"
    desk = SERVER.format(name="desk", transport=transport, credential='{ by = "meta" }') + classified("desk")
    await live(tmp_path, desk, f"max_processes = {4 * PRINCIPALS}")
