"""One process that serves the front, from its first connection to its last.

Told to drain, it takes no connection any more, ends the streams that go on without a call, and lets calls
under way end, for so many seconds; then, or when told again, it answers them in the server's place. No call
is left without an outcome.

What is served can change meanwhile. Calls that were decided before end as they were decided; whatever comes
after is decided by the new guard. Where the way to a server is the same, its sessions and processes stay.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from hopward_mcp.change import Change
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.endpoints import Shared, Way, open_endpoint, sharing
from hopward_mcp.front import Front, PassedOn
from hopward_mcp.listener import Listener
from hopward_mcp.request import App
from hopward_mcp.share import share_of
from hopward_mcp.siblings import Siblings
from hopward_mcp.telemetry import tracing_of
from hopward_mcp.turn import Turn

_LAST = 5.0
"""Seconds in which requests that were ended must have been answered."""


class Serving:
    """Serves a configuration that was checked; an async context manager. Entered, it has begun.

    `siblings` are the other workers, where there are some. Raises `LedgerError` where the log cannot be
    written.
    """

    def __init__(self, change: Change, siblings: Siblings | None = None) -> None:
        change.guard.begin()
        change.guard.settings = share_of(change.settings)
        self.settings = change.settings
        self._siblings = siblings
        self._tracing = tracing_of(change.settings)
        self._turn = Turn(change.guard, asyncio.get_running_loop())
        self._shared = self._sharing(change)
        self._served = {way.server: (way, open_endpoint(way, self._shared)) for way in change.ways}
        self._left: list[Endpoint] = []
        self._front = Front(change.guard, self.endpoints)
        self._listeners: list[Listener] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._drain = asyncio.Event()
        self._stop = asyncio.Event()

    @property
    def endpoints(self) -> list[Endpoint]:
        """An endpoint for every server."""
        return [endpoint for _, endpoint in self._served.values()]

    async def __aenter__(self) -> "Serving":
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as stack:
            stack.callback(self._shared.guard.close)
            if self._tracing is not None:
                stack.callback(self._tracing.close)
            if self._siblings is not None:
                stack.push_async_callback(self._siblings.close)
            stack.push_async_callback(self._shared.close)
            for endpoint in self.endpoints:
                stack.push_async_callback(endpoint.close)
            stack.callback(self._front.tally.close)
            await asyncio.gather(*self._leaving)

    def end(self) -> None:
        """Drain; at once when told again."""
        (self._stop if self._drain.is_set() else self._drain).set()

    async def adopt(self, change: Change) -> None:
        """Serve another configuration from now on: all of it, or, where a part of it fails, nothing, and what
        it has opened is closed. Raises `LedgerError` where the log cannot be written."""
        change.guard.settings = share_of(change.settings)
        async with AsyncExitStack() as undo:
            undo.callback(change.guard.close)
            shared = self._sharing(change)
            undo.push_async_callback(shared.close)
            opened: dict[str, Endpoint] = {}
            for way in change.ways:
                if self._known(way) is None:
                    opened[way.server] = open_endpoint(way, shared)
                    undo.push_async_callback(opened[way.server].close)
            change.guard.begin()
            undo.pop_all()
        self._change(change, shared, opened)

    def _change(self, change: Change, shared: Shared, opened: dict[str, Endpoint]) -> None:
        """Put in force what has been opened, between two turns of the loop."""
        # What was asked so far is decided as things stood.
        self._turn.flush()
        before, self._shared = self._shared, shared
        self._turn.guard = change.guard
        served = self.endpoints
        kept = {way.server: known for way in change.ways if (known := self._known(way)) is not None}
        for endpoint in kept.values():
            endpoint.adopt(shared.guard, shared.authority_of(endpoint.gate.server))
        ready = kept | opened
        self._served = {way.server: (way, ready[way.server]) for way in change.ways}
        self.settings = change.settings
        self._front.adopt(change.guard, self.endpoints)
        for listener in self._listeners:
            listener.limit(self._front.most_connections)
        left = [endpoint for endpoint in served if endpoint not in self.endpoints]
        for endpoint in left:
            endpoint.retire()
        self._left += left
        leaving = asyncio.get_running_loop().create_task(self._leave(before, served, left))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def run(self, listening: Sequence[socket.socket]) -> None:
        """Serve until told to end; the sockets are closed by then."""
        await self._listen(listening)
        if self._siblings is not None:
            # Beside the callers' connections: those are not to keep the siblings out.
            await self._listen([self._siblings.listening()], PassedOn(self._front))
        await self._drain.wait()
        self._front.draining = True
        for listener in self._listeners:
            listener.close()
        for one in listening:
            one.close()
        for endpoint in self.endpoints:
            endpoint.gate.ongoing.end_streams()
            endpoint.gate.waiting.end()
        await self._unless_stopped(self.settings.proxy.drain_seconds)
        for endpoint in (*self.endpoints, *self._left):
            endpoint.gate.ongoing.end_all()
        await asyncio.gather(*(listener.end(_LAST) for listener in self._listeners))

    def _sharing(self, change: Change) -> Shared:
        return sharing(change.guard, self._turn, siblings=self._siblings, tracing=self._tracing)

    def _known(self, way: Way) -> Endpoint | None:
        """The endpoint that serves a server this very way, if one does."""
        known, endpoint = self._served.get(way.server, (None, None))
        return endpoint if known == way else None

    async def _leave(self, before: Shared, served: list[Endpoint], left: list[Endpoint]) -> None:
        """Give up what was served before, once every request that was under way then has ended."""
        limit = before.guard.settings.proxy.call_timeout_seconds
        await asyncio.gather(*(endpoint.gate.ongoing.settled(limit) for endpoint in served))
        for endpoint in left:
            endpoint.gate.ongoing.end_all()
            await endpoint.gate.ongoing.settled()
            await endpoint.close()
            self._left.remove(endpoint)
        await before.close()
        before.guard.close()

    async def _listen(self, sockets: Sequence[socket.socket], app: App | None = None) -> None:
        listener = Listener(app or self._front, self._front.most_connections, self._front.too_many)
        self._listeners.append(listener)
        await listener.begin(sockets)

    async def _unless_stopped(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        quiet = asyncio.gather(*(listener.quiet() for listener in self._listeners))
        waiting: list[asyncio.Future[Any]] = [quiet, loop.create_task(self._stop.wait())]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
