"""One process that serves the front, from its first connection to its last.

Told to drain, it takes no connection any more, ends the streams that go on without a call, and lets calls
under way end, for so many seconds; then, or when told again, it answers them in the server's place. No call
is left without an outcome.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from hopward import Guard
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.endpoints import open_endpoints
from hopward_mcp.front import Front
from hopward_mcp.listener import Listener
from hopward_mcp.remote import TokenEndpoint
from hopward_mcp.share import share_of
from hopward_mcp.siblings import Siblings

_LAST = 5.0
"""Seconds in which requests that were ended must have been answered."""


class Serving:
    """Serves the servers of a guard; an async context manager. Raises `ConfigError` on entry where there is
    nothing to serve, or it cannot be. `siblings` are the other workers, where there are some."""

    def __init__(self, guard: Guard, siblings: Siblings | None = None) -> None:
        guard.settings = share_of(guard.settings)
        self.endpoints: list[Endpoint] = []
        self._guard = guard
        self._siblings = siblings
        self._open = AsyncExitStack()
        self._drain = asyncio.Event()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Serving":
        async with AsyncExitStack() as stack:
            authority = TokenEndpoint(self._guard) if self._guard.token_endpoint else None
            if authority is not None:
                stack.push_async_callback(authority.close)
            if self._siblings is not None:
                stack.push_async_callback(self._siblings.close)
            self.endpoints = open_endpoints(self._guard, authority, self._siblings)
            for endpoint in self.endpoints:
                stack.push_async_callback(endpoint.close)
            self._front = Front(self._guard, self.endpoints)
            stack.callback(self._front.tally.close)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def end(self) -> None:
        """Drain; at once when told again."""
        (self._stop if self._drain.is_set() else self._drain).set()

    async def run(self, listening: Sequence[socket.socket]) -> None:
        """Serve until told to end; the sockets are closed by then."""
        listeners = [await self._listener(listening)]
        if self._siblings is not None:
            # Beside the callers' connections: those are not to keep the siblings out.
            listeners.append(await self._listener([self._siblings.listening()]))
        await self._drain.wait()
        self._front.draining = True
        for listener in listeners:
            listener.close()
        for one in listening:
            one.close()
        for endpoint in self.endpoints:
            endpoint.gate.ongoing.end_streams()
        await self._unless_stopped(listeners, self._guard.settings.proxy.drain_seconds)
        for endpoint in self.endpoints:
            endpoint.gate.ongoing.end_all()
        await asyncio.gather(*(listener.end(_LAST) for listener in listeners))

    async def _listener(self, sockets: Sequence[socket.socket]) -> Listener:
        listener = Listener(self._front, self._front.most_connections, self._front.too_many)
        await listener.begin(sockets)
        return listener

    async def _unless_stopped(self, listeners: Sequence[Listener], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        quiet = asyncio.gather(*(listener.quiet() for listener in listeners))
        waiting: list[asyncio.Future[Any]] = [quiet, loop.create_task(self._stop.wait())]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
