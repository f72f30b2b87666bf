"""The HTTP server under the front: uvicorn's protocol, begun and ended by us.

uvicorn's own server takes signals away from whoever runs it, looks around ten times a second, and cancels
what takes too long without waiting for what that still has to record.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

import uvicorn
from uvicorn.server import ServerState

from hopward_mcp.connection import Connection
from hopward_mcp.request import App

_BACKLOG = 1024
_KEEP_ALIVE = 30
_LOOK = 0.02
"""Seconds between looks at connections that are about to close."""


class Listener:
    """Serves an ASGI application on sockets, TCP or Unix. `most` is how many connections there may be,
    `too_many` is called when one has been turned away."""

    def __init__(self, app: App, most: int, too_many: Callable[[], None]) -> None:
        class Counted(Connection):
            def too_many(self) -> None:
                too_many()

        Counted.most = most
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
        self._config = config
        self._connection = Counted
        self._state = ServerState()
        self._state.default_headers = config.encoded_headers
        self._servers: list[asyncio.Server] = []

    def limit(self, most: int) -> None:
        """How many connections there may be from now on."""
        self._connection.most = most

    async def begin(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()
        for one in sockets:
            create = loop.create_unix_server if one.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await create(self._made, sock=one, backlog=_BACKLOG))

    def close(self) -> None:
        """Take no more connections, and close those that nothing is asked on."""
        for server in self._servers:
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

    def _made(self) -> Connection:
        return self._connection(config=self._config, server_state=self._state, app_state={})

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
