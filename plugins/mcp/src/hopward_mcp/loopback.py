"""The proxy's own path for a client in this process: the same pump, the same front, a transport of the SDK.

Nothing here decides or forwards anything. A stdio server is reached through the pump of `hopward mcp run`,
over a pair of pipes; a server with a url through the front of `hopward mcp serve`, over a loopback socket.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import mcp_types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from hopward import Chain
from hopward_mcp.child import command
from hopward_mcp.client_end import ClientEnd
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.front import Front
from hopward_mcp.gate import Gate
from hopward_mcp.http_end import HttpEnd
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.listener import Listener
from hopward_mcp.stdio import Pump
from hopward_mcp.upstream import Upstream

_FLUSH = 1.0
_BACKLOG = 16


@dataclass(slots=True)
class Loopback:
    """The way to one guarded server, for one chain. `ended` is how a stdio server ended by itself, if it did.

    `transport` is for one client of the SDK.
    """

    gate: Gate
    chain: Chain
    ended: str = field(default="", init=False)

    @asynccontextmanager
    async def transport(self) -> AsyncGenerator[Any]:
        """The streams of a transport.

        Raises `ConfigError` where the server cannot be started, `HopwardError` without a token for its
        endpoint.
        """
        way = self._http() if self.gate.guard.settings.servers[self.gate.server].url else self._stdio()
        async with way as streams:
            yield streams

    @asynccontextmanager
    async def _stdio(self) -> AsyncGenerator[Any]:
        (proxy_reads, we_write), (we_read, proxy_writes) = os.pipe(), os.pipe()
        pumping = asyncio.create_task(self._pump(proxy_reads, proxy_writes))
        try:
            async with _client(we_read, we_write, self.gate.max_bytes) as streams:
                yield streams
        finally:
            self.ended = await pumping

    async def _pump(self, reads: int, writes: int) -> str:
        """One session of the proxy. However it ends, the other side is told by the end of its pipes."""
        gate = self.gate
        started = command(gate.guard.settings, gate.server, gate.courier, os.environ)
        with os.fdopen(reads, "rb", 0) as source, os.fdopen(writes, "wb", 0) as sink:
            return await Pump(gate, self.chain).run(started, source, sink)

    @asynccontextmanager
    async def _http(self) -> AsyncGenerator[Any]:
        gate, guard = self.gate, self.gate.guard
        public = guard.settings.proxy.public_url
        token, _ = guard.access_token(self.chain, gate.server)
        upstream = Upstream(guard.settings.servers[gate.server].url, gate.courier.headers, gate.max_bytes)
        endpoint = Endpoint(gate, HttpEnd(gate, upstream), public)
        listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        front = Front(guard, [endpoint])
        listener = Listener(front, front.most_connections, front.too_many)
        await listener.begin([listening])
        headers = {"Authorization": f"Bearer {token}", "Host": urlsplit(public).netloc}
        url = f"http://127.0.0.1:{listening.getsockname()[1]}{endpoint.path}"
        try:
            async with (
                httpx2.AsyncClient(headers=headers, timeout=None, trust_env=False) as http,
                streamable_http_client(url, http_client=http) as streams,
            ):
                yield streams
        finally:
            listener.close()
            gate.ongoing.end_all()
            await listener.end(_FLUSH)
            await endpoint.close()
            front.tally.close()


@asynccontextmanager
async def _client(reads: int, writes: int, max_bytes: int) -> AsyncGenerator[Any]:
    """The client's end of a pair of pipes, one message per line."""
    to_session, from_proxy = anyio.create_memory_object_stream[SessionMessage | Exception](float("inf"))
    to_proxy, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    lines = Lines(max_bytes)

    def heard(data: bytes) -> None:
        for line in lines.feed(data):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                to_session.send_nowait(_read(line))

    end = ClientEnd(on_data=heard, on_end=to_session.close, on_lost=_nothing, on_full=_nothing)
    await end.open(os.fdopen(reads, "rb", 0), os.fdopen(writes, "wb", 0))

    async def write() -> None:
        async for one in from_session:
            end.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    writing = asyncio.create_task(write())
    try:
        yield from_proxy, to_proxy
    finally:
        writing.cancel()
        for stream in (to_session, from_proxy, to_proxy, from_session):
            stream.close()
        await end.close(_FLUSH)


def _read(line: bytes | Overlong) -> SessionMessage | Exception:
    if isinstance(line, Overlong):
        return ValueError("A message is too large.")
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


def _nothing(*_: object) -> None:
    """The proxy's side tells of its end by itself."""
