"""Noticing that a caller has gone while its request is under way."""

import asyncio
from collections.abc import Callable

from hopward_mcp.request import Request

PATIENCE = 0.05
"""Seconds before a caller that waits is watched for leaving."""


class Departure:
    """Within it, the current task is cancelled when the caller goes; `gone` then tells why. With `then`, that
    is called instead.

    Watching costs a task, so it starts only after `patience` seconds: most answers come sooner.
    """

    def __init__(self, request: Request, patience: float, then: Callable[[], None] | None = None) -> None:
        self.gone = False
        self._request = request
        self._patience = patience
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> "Departure":
        self._timer = self._loop.call_later(self._patience, self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self.ignore()

    def ignore(self) -> None:
        """Watch no longer. Called before the last piece of an answer, after which the caller may go."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _start(self) -> None:
        self._watch = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        await self._request.departure()
        self.gone = True
        if self._then is not None:
            self._then()
        elif self._task is not None:
            self._task.cancel()
