"""The MCP SDK's client, each session owned by a task, so that none runs inside another's cancel scope."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from bench.errors import BenchError

_TIMEOUT = httpx2.Timeout(30.0, read=300.0)
_TLS = ssl.create_default_context()
"""Shared, because making one per client takes longer than all the calls; nothing here uses TLS."""


class SdkSession:
    """One open session of `mcp.Client`."""

    def __init__(self, enter: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self._enter = enter
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own())
        self._client: Client | None = None

    @classmethod
    async def open(cls, enter: Callable[[], AbstractAsyncContextManager[Client]]) -> "SdkSession":
        """Enter the client in a task that owns it."""
        session = cls(enter)
        session._client = await session._ready
        return session

    async def _own(self) -> None:
        try:
            async with self._enter() as client:
                self._ready.set_result(client)
                await self._stop.wait()
        except Exception as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def echo(self, text: str) -> None:
        """Call the echo tool and check the answer."""
        assert self._client is not None
        try:
            result = await self._client.call_tool("echo", {"text": text})
        except MCPError as error:
            raise BenchError(f"a measured call was not echoed: {error}") from error
        if result.is_error or result.content != [TextContent(type="text", text=text)]:
            raise BenchError(f"a measured call was not echoed: {str(result)[:600]}")

    async def close(self) -> None:
        """Leave the client."""
        self._stop.set()
        await self._owner


async def open_stdio(
    command: Sequence[str], era: str, log: Path, environment: dict[str, str] | None = None
) -> SdkSession:
    """A session with a process started for it."""
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env=environment)

    @asynccontextmanager
    async def enter() -> AsyncGenerator[Client]:
        with log.open("a") as sink:
            async with Client(stdio_client(parameters, errlog=sink), mode=_mode(era)) as client:
                yield client

    return await SdkSession.open(enter)


class _Bearer(httpx2.Auth):
    """The token of the moment on every request."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


async def open_http(url: str, era: str, token: Callable[[], str] | None = None) -> SdkSession:
    """A session with its own HTTP client."""

    @asynccontextmanager
    async def enter() -> AsyncGenerator[Client]:
        auth = _Bearer(token) if token else None
        async with (
            httpx2.AsyncClient(auth=auth, timeout=_TIMEOUT, verify=_TLS) as http,
            Client(streamable_http_client(url, http_client=http), mode=_mode(era)) as client,
        ):
            yield client

    return await SdkSession.open(enter)


def _mode(era: str) -> str:
    """The SDK's connect mode for a protocol era."""
    return "legacy" if era < "2026" else era
