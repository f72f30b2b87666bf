"""One process that serves the front, from its first connection to its last.

Told to drain, it takes no connection any more, ends the streams that go on without a call, and lets calls
under way end, for so many seconds; then, or when told again, it answers them in the server's place. No call
is left without an outcome.
"""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from hopward import Guard
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.endpoints import open_endpoints
from hopward_mcp.front import Front
from hopward_mcp.listener import Listener
from hopward_mcp.remote import TokenEndpoint

_LAST = 5.0
"""Seconds in which requests that were ended must have been answered."""


class Serving:
    """Serves the servers of a guard; an async context manager. Raises `ConfigError` on entry where there is
    nothing to serve, or it cannot be."""

    def __init__(self, guard: Guard) -> None:
        self.endpoints: list[Endpoint] = []
        self._guard = guard
        self._open = AsyncExitStack()
        self._drain = asyncio.Event()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Serving":
        async with AsyncExitStack() as stack:
            authority = TokenEndpoint(self._guard) if self._guard.token_endpoint else None
            if authority is not None:
                stack.push_async_callback(authority.close)
            self.endpoints = open_endpoints(self._guard, authority)
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
        listener = Listener(self._front, self._front.most_connections, self._front.too_many)
        await listener.begin(listening)
        await self._drain.wait()
        self._front.draining = True
        listener.close()
        for one in listening:
            one.close()
        for endpoint in self.endpoints:
            endpoint.gate.ongoing.end_streams()
        await self._unless_stopped(listener.quiet(), self._guard.settings.proxy.drain_seconds)
        for endpoint in self.endpoints:
            endpoint.gate.ongoing.end_all()
        await listener.end(_LAST)

    async def _unless_stopped(self, quiet: Coroutine[Any, Any, None], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Task[Any]] = [loop.create_task(quiet), loop.create_task(self._stop.wait())]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
