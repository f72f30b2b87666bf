"""The HTTP server under the front: uvicorn, begun and ended by us, because its own end is a matter of luck.

uvicorn's own loop takes signals away from whoever runs it, and looks around ten times a second.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

import uvicorn

from hopward_mcp.connection import Connection
from hopward_mcp.request import App

_KEEP_ALIVE = 30
_LOOK = 0.02
"""Seconds between looks at connections that are about to close."""


class Listener:
    """Serves an ASGI application on sockets. `most` is how many connections there may be, `too_many` is
    called when one has been turned away."""

    def __init__(self, app: App, most: int, too_many: Callable[[], None]) -> None:
        class Counted(Connection):
            def too_many(self) -> None:
                too_many()

        Counted.most = most
        self._connection = Counted
        config = uvicorn.Config(
            app,
            log_config=None,
            http=Counted,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._state = self._server.server_state

    def limit(self, most: int) -> None:
        """How many connections there may be from now on."""
        self._connection.most = most

    async def begin(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections."""
        await self._server.startup(sockets=list(sockets))
        # Once: it sets up the headers of every answer.
        await self._server.on_tick(0)

    def close(self) -> None:
        """Take no more connections, and close those that nothing is asked on."""
        for server in self._server.servers:
            server.close()
        self._shut()

    async def quiet(self) -> None:
        """Wait until everything is answered and every connection closed."""
        while self._state.tasks or self._state.connections:
            self._shut()
            if self._state.tasks:
                await asyncio.wait(self._state.tasks, timeout=_LOOK)
            else:
                await asyncio.sleep(_LOOK)

    async def end(self, seconds: float) -> None:
        """Wait so long until it is quiet; then close what is left, whatever is under way on it."""
        try:
            async with asyncio.timeout(seconds):
                await self.quiet()
        except TimeoutError:
            await self._abort()

    async def _abort(self) -> None:
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _shut(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
