"""What a server's process has sent for one HTTP request of a caller, until it is written there."""

import asyncio
from collections import deque
from collections.abc import Callable

from hopward_mcp.route import Forward

_MOST_UNREAD = 262_144
"""Bytes that may wait to be written; while more do, the process is not read."""


class Outlet:
    """A queue of judged messages. `on_full` is told whether too much waits; `open` is whether messages that
    answer nothing may come this way: the caller takes an event stream, and is there."""

    def __init__(self, on_full: Callable[["Outlet", bool], None], *, open: bool) -> None:
        self.open = open
        self._on_full = on_full
        self._waiting: deque[tuple[Forward, bool]] = deque()
        self._size = 0
        self._full = False
        self._over = False
        self._came = asyncio.Event()

    def put(self, route: Forward, *, last: bool = False) -> None:
        """Add a message; after the last nothing comes any more."""
        if self._over:
            return
        self._waiting.append((route, last))
        self._over = last
        self._size += len(route.body)
        self._came.set()
        self._tell()

    def end(self) -> None:
        """Nothing comes any more, not even an answer."""
        self.open = False
        self._over = True
        self._came.set()

    async def next(self) -> tuple[Forward, bool] | None:
        """The next message and whether it is the last; None once nothing comes any more."""
        while not self._waiting:
            if self._over:
                return None
            self._came.clear()
            await self._came.wait()
        route, last = self._waiting.popleft()
        self._size -= len(route.body)
        self._tell()
        return route, last

    def rest(self) -> list[Forward]:
        """What nobody has written, and nobody will."""
        left = [route for route, _ in self._waiting]
        self._waiting.clear()
        self._size = 0
        self._tell()
        return left

    def _tell(self) -> None:
        full = self._size > _MOST_UNREAD
        if full is not self._full:
            self._full = full
            self._on_full(self, full)
