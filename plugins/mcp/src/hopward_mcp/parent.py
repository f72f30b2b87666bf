"""`hopward mcp serve` with several workers: the process that starts them, and keeps so many of them running.

It listens, and every worker accepts from the one socket: whoever is idle takes the next connection, and one
that has died leaves no connections behind that nobody takes. The first worker is started alone, so that what
is wrong with the configuration is found, and told, once. A worker that dies later is started again, at once
at first, and after a growing pause while it does not last.
"""

import asyncio
import logging
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import uvloop

from hopward import ConfigError, HopwardError, Settings
from hopward_mcp.told import Line, Said

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_LASTS = 60.0
"""Seconds after which a worker counts as one that lasts."""
_SPARE = 10.0
"""Seconds that workers have to end beyond `drain_seconds`."""


def run(config: Path, settings: Settings, listening: socket.socket) -> None:
    """Serve with several workers until told to end. Raises `ConfigError` when one cannot be started."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Parent(config, config.read_text("utf-8"), settings, listening).run())


class _Place:
    """A worker's place: its process and the line to it, others once it is started again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.line: Line | None = None
        self.failures = 0
        self.since = 0.0

    @property
    def name(self) -> str:
        return f"worker {self.number + 1}"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def say(self, message: Said) -> None:
        if self.line is not None:
            self.line.say(message)


class Parent:
    """Runs the workers. `text` is what stands in the configuration."""

    def __init__(self, config: Path, text: str, settings: Settings, listening: socket.socket) -> None:
        self._config = config
        self._text = text
        self._drain_seconds = settings.proxy.drain_seconds
        self._listening = listening
        self._places = [_Place(number) for number in range(settings.proxy.workers)]
        self._ending = asyncio.Event()
        self._folder = ""

    async def run(self) -> None:
        """Run until told to end, and every worker has ended."""
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="hopward-", ignore_cleanup_errors=True) as folder:
            self._folder = folder
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._end)
            try:
                await self._begin()
                await asyncio.gather(*map(self._kept, self._places))
            finally:
                self._kill()
                await asyncio.gather(*(place.process.wait() for place in self._places if place.process))

    async def _begin(self) -> None:
        first, *others = self._places
        guarded = await self._start(first)
        begun = await asyncio.gather(*map(self._start, others), return_exceptions=True)
        for found in begun:
            if isinstance(found, BaseException):
                raise found
        for server, resource in guarded:
            click.echo(f"hopward: {server} is guarded at {resource}", err=True)
        click.echo(f"hopward: {len(self._places)} workers serve", err=True)

    async def _start(self, place: _Place) -> Sequence[tuple[str, str]]:
        """Start a worker; the servers it guards, once it serves. Raises `ConfigError` when it cannot."""
        if self._ending.is_set():
            return ()
        ours, theirs = socket.socketpair()
        passed = (theirs.fileno(), self._listening.fileno())
        with theirs:
            place.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "hopward_mcp.sibling", *map(str, passed)),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=passed,
                start_new_session=True,
            )
        place.line = await Line.over(ours)
        place.since = asyncio.get_running_loop().time()
        told = {"config": str(self._config), "text": self._text}
        place.say({"start": {**told, "folder": self._folder, "number": place.number}})
        answer = await place.line.hear()
        if answer is not None and "ready" in answer:
            return answer["ready"]
        status = await place.process.wait()
        if answer is None:
            raise ConfigError(f"{place.name} has ended before it could serve, with status {status}.")
        failed = answer["failed"]
        raise ConfigError(failed["message"], problems=tuple(failed["problems"]), advice=failed["advice"])

    async def _kept(self, place: _Place) -> None:
        """Start a worker again whenever it has ended, until all are to end."""
        while place.process is not None:
            status = await place.process.wait()
            if place.line is not None:
                place.line.close()
            if self._ending.is_set():
                return
            pause = self._pause(place)
            again = f"in {pause:g} s" if pause else "now"
            _log.error("%s has ended with status %d; it is started again %s", place.name, status, again)
            await self._unless_ending(pause)
            try:
                await self._start(place)
            except HopwardError as error:
                _log.error("%s cannot be started: %s", place.name, error)

    def _pause(self, place: _Place) -> float:
        lasted = asyncio.get_running_loop().time() - place.since > _LASTS
        place.failures = 1 if lasted else place.failures + 1
        return min(2.0 ** (place.failures - 2), _LONGEST_PAUSE) if place.failures > 1 else 0.0

    async def _unless_ending(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return

    def _end(self) -> None:
        """Have every worker drain; at once when told again."""
        if not self._ending.is_set():
            self._ending.set()
            self._listening.close()
            asyncio.get_running_loop().call_later(self._drain_seconds + _SPARE, self._kill)
        for place in self._places:
            place.say({"end": True})

    def _kill(self) -> None:
        for place in self._places:
            if place.process is not None and place.runs:
                _log.error("%s does not end, and is killed", place.name)
                place.process.kill()
