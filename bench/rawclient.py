"""A minimal MCP client without the SDK, so that the client's own cost does not hide what is measured.

Speaks one era, `2026-07-28` (stateless) or `2025-11-25` (sessions), over stdio or Streamable HTTP.
"""

import asyncio
import contextlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import BenchError

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_CLIENT = {"name": "hopward-bench", "version": "1"}
_MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_LINE_LIMIT = 1 << 24


def _request(number: int, method: str, params: dict[str, Any], era: str) -> bytes:
    if era == MODERN:
        params = {**params, "_meta": _MODERN_META}
    return _dump({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def _dump(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _hello(number: int, era: str) -> bytes:
    if era == MODERN:
        return _request(number, "server/discover", {}, era)
    return _request(
        number, "initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": _CLIENT}, era
    )


_INITIALIZED = _dump({"jsonrpc": "2.0", "method": "notifications/initialized"})


def check_echo(answer: dict[str, Any], text: str) -> None:
    """Raise unless a JSON-RPC answer is a successful echo of the text."""
    result = answer.get("result")
    if not result or result.get("isError") or result["content"] != [{"type": "text", "text": text}]:
        raise BenchError(f"a measured call was not echoed: {json.dumps(answer)[:600]}")


class RawStdio:
    """One stdio session; any number of calls may be in flight."""

    def __init__(self, process: asyncio.subprocess.Process, era: str) -> None:
        self._process = process
        self._era = era
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls, command: Sequence[str], era: str, log: Path, environment: dict[str, str] | None = None
    ) -> "RawStdio":
        """Start the command and open a session with it."""
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=sink,
                limit=_LINE_LIMIT,
                env={**os.environ, **(environment or {})},
            )
        session = cls(process, era)
        try:
            await session.hello()
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def pid(self) -> int:
        """The process this session talks to."""
        return self._process.pid

    async def hello(self) -> None:
        """Open the session; the first answer the process gives."""
        answer = await self._ask(lambda number: _hello(number, self._era))
        if "result" not in answer:
            raise BenchError(f"the session was refused: {json.dumps(answer)[:600]}")
        if self._era == LEGACY:
            self._send(_INITIALIZED)

    async def echo(self, text: str) -> None:
        """Call the echo tool and check the answer."""
        params = {"name": "echo", "arguments": {"text": text}}
        check_echo(await self._ask(lambda number: _request(number, "tools/call", params, self._era)), text)

    async def _ask(self, build: Callable[[int], bytes]) -> dict[str, Any]:
        number = next(self._numbers)
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._send(build(number))
        return await waiting

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if "method" not in message and message.get("id") in self._waiting:
                self._waiting.pop(message["id"]).set_result(message)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BenchError("the stdio process under measurement ended"))

    async def close(self) -> None:
        """End the session by closing the process's input; kill it if that is not enough."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader


class RawHttp:
    """One HTTP/1.1 connection that is kept open; one call at a time."""

    def __init__(self, url: str, era: str, token: Callable[[], str] | None) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = str(parts.hostname), int(parts.port or 80), parts.path
        self._era = era
        self._numbers = itertools.count(1)
        self._head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            f"MCP-Protocol-Version: {era}\r\n"
        )
        self._token = token

    @classmethod
    async def open(cls, url: str, era: str, token: Callable[[], str] | None = None) -> "RawHttp":
        """Connect and open a session."""
        session = cls(url, era, token)
        await session._connect()
        number = next(session._numbers)
        headers, answer = await session._post(_hello(number, era), number, "server/discover", "")
        if "result" not in answer:
            raise BenchError(f"the session was refused: {json.dumps(answer)[:600]}")
        if "mcp-session-id" in headers:
            session._head += f"Mcp-Session-Id: {headers['mcp-session-id']}\r\n"
        if era == LEGACY:
            await session._post(_INITIALIZED, 0, "", "")
        return session

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=_LINE_LIMIT)

    async def echo(self, text: str) -> None:
        """Call the echo tool and check the answer."""
        number = next(self._numbers)
        body = _request(number, "tools/call", {"name": "echo", "arguments": {"text": text}}, self._era)
        _, answer = await self._post(body, number, "tools/call", "echo")
        check_echo(answer, text)

    async def _post(
        self, body: bytes, number: int, method: str, name: str
    ) -> tuple[dict[str, str], dict[str, Any]]:
        head = self._head
        if self._token is not None:
            head += f"Authorization: Bearer {self._token()}\r\n"
        if self._era == MODERN:
            head += f"Mcp-Method: {method}\r\n" + (f"Mcp-Name: {name}\r\n" if name else "")
        if self._reader.at_eof():  # the server has closed a connection that stood idle
            self._writer.close()
            await self._connect()
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            status, headers = await self._read_head()
            content = await self._read_body(status, headers)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise BenchError(f"the HTTP server under measurement closed the connection: {error}") from error
        if headers.get("connection", "").lower() == "close":
            self._writer.close()
            await self._connect()
        if status == 202:
            return headers, {}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return headers, _from_events(content, number)
        try:
            return headers, json.loads(content)
        except ValueError as error:
            raise BenchError(f"HTTP {status}: {content[:600]!r}") from error

    async def _read_head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def _read_body(self, status: int, headers: dict[str, str]) -> bytes:
        if status == 204:
            return b""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        parts: list[bytes] = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readline()
        return b"".join(parts)

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def _from_events(content: bytes, number: int) -> dict[str, Any]:
    for line in content.decode().splitlines():
        if line.startswith("data:") and line[5:].strip():
            message = json.loads(line[5:])
            if message.get("id") == number:
                return message
    raise BenchError(f"no answer in the event stream: {content[:600]!r}")
