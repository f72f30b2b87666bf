"""The requests that an endpoint is answering, so that they can be ended from outside."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class OverError(Exception):
    """The task, or whatever else a stream that goes on without a call stood on, has ended."""


class Ongoing:
    """The requests of one endpoint. Each runs in a task of its own, which is cancelled to end it; what that
    request still owes its caller and the log, it does then."""

    def __init__(self) -> None:
        self._requests: set[asyncio.Task[object]] = set()
        self._streams: set[asyncio.Task[object]] = set()
        self._ended: set[asyncio.Task[object]] = set()
        self._over = False

    def __len__(self) -> int:
        return len(self._requests)

    @contextmanager
    def request(self) -> Generator[None]:
        """Within it, the current task answers a request; it goes on after it when it was ended."""
        task = _current()
        self._requests.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._ended or task.uncancel():
                raise
        finally:
            self._requests.discard(task)
            self._streams.discard(task)
            self._ended.discard(task)

    def lasts(self) -> None:
        """The current request is a stream that goes on until somebody ends it; raises `OverError` when none
        may begin any more."""
        if self._over:
            raise OverError
        self._streams.add(_current())

    def end_streams(self) -> None:
        """End the streams, and let none begin any more; calls go on."""
        self._over = True
        self._end(self._streams)

    def end_all(self) -> None:
        """End every request."""
        self._over = True
        self._end(self._requests)

    async def settled(self, seconds: float | None = None) -> None:
        """Wait until the requests that are being answered now have been, at most so long."""
        if self._requests:
            await asyncio.wait(set(self._requests), timeout=seconds)

    def _end(self, tasks: set[asyncio.Task[object]]) -> None:
        for task in tasks - self._ended:
            self._ended.add(task)
            task.cancel()


def _current() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a request is answered in a task")
    return task
