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
from contextlib import suppress
from pathlib import Path

import click
import uvloop

from hopward import ConfigError, HopwardError, Settings, read_settings
from hopward_mcp.observing import announce, announce_lacking
from hopward_mcp.reading import reread
from hopward_mcp.told import Line, Said, failed, refused, reloaded

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0
_LASTS = 60.0
"""Seconds after which a worker counts as one that lasts."""
_SPARE = 10.0
"""Seconds that workers have to end beyond `drain_seconds`."""


def run(config: Path, settings: Settings, listening: socket.socket) -> None:
    """Serve with several workers until told to end. Raises `ConfigError` when one cannot be started."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Parent(config, reread(config), settings, listening).run())


class _Place:
    """A worker's place: its process and the line to it, others once it is started again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.line: Line | None = None
        self.serves = False
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

    async def asked(self, message: Said) -> Said | ConfigError | None:
        """What the worker answers: an error where it cannot do it, None where it has ended."""
        if self.line is None:
            return None
        self.line.say(message)
        answer = await self.line.hear()
        return failed(answer) if answer is not None and "failed" in answer else answer


class Parent:
    """Runs the workers. `text` is what stands in the configuration."""

    def __init__(self, config: Path, text: str, settings: Settings, listening: socket.socket) -> None:
        self._config = config
        self._text = text
        self._drain_seconds = settings.proxy.drain_seconds
        self._listening = listening
        self._places = [_Place(number) for number in range(settings.proxy.workers)]
        self._changing = asyncio.Lock()
        self._again = asyncio.Event()
        self._ending = asyncio.Event()
        self._folder = ""

    async def run(self) -> None:
        """Run until told to end, and every worker has ended."""
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(prefix="hopward-", ignore_cleanup_errors=True) as folder:
            self._folder = folder
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._end)
            loop.add_signal_handler(signal.SIGHUP, self._again.set)
            try:
                await self._begin()
                reloading = loop.create_task(self._reloaded())
                await asyncio.gather(*map(self._kept, self._places))
                reloading.cancel()
            finally:
                if not self._ending.is_set():
                    # Those that could be started may have calls under way.
                    self._end()
                await asyncio.gather(*(place.process.wait() for place in self._places if place.process))
                await asyncio.gather(*(place.line.close() for place in self._places if place.line))

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
        if place.line is not None:
            await place.line.close()
        # Before it is there: one that cannot be started has not lasted either.
        place.since = asyncio.get_running_loop().time()
        place.process, ours = await self._process(place)
        place.line = await Line.over(ours)
        told = {"config": str(self._config), "text": self._text}
        place.say({"start": {**told, "folder": self._folder, "number": place.number}})
        answer = await place.line.hear()
        if answer is not None and "ready" in answer:
            place.serves = True
            return answer["ready"]
        status = await place.process.wait()
        if answer is None:
            raise ConfigError(f"{place.name} has ended before it could serve, with status {status}.")
        raise failed(answer)

    async def _process(self, place: _Place) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """A new process and our end of the line to it."""
        ours, theirs = socket.socketpair()
        passed = (theirs.fileno(), self._listening.fileno())
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "hopward_mcp.sibling", *map(str, passed)),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=passed,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise ConfigError(f"{place.name} cannot be started: {error.strerror}.") from error
        return process, ours

    async def _kept(self, place: _Place) -> None:
        """Start a worker again whenever it has ended, until all are to end."""
        while place.process is not None:
            status = await place.process.wait()
            place.serves = False
            if self._ending.is_set():
                return
            pause = self._pause(place)
            again = f"in {pause:g} s" if pause else "now"
            how = f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
            _log.error("hopward: %s %s; it is started again %s", place.name, how, again)
            await self._unless_ending(pause)
            try:
                # Not while the configuration changes: it serves what the others serve.
                async with self._changing:
                    await self._start(place)
            except HopwardError as error:
                _log.error("%s cannot be started: %s", place.name, error)

    async def _reloaded(self) -> None:
        """Read the configuration again whenever told to."""
        while await self._again.wait():
            self._again.clear()
            try:
                async with self._changing:
                    await self._change(reread(self._config))
            except HopwardError as error:
                click.echo(refused(self._config, str(error)), err=True)
            else:
                click.echo(reloaded(self._config), err=True)
                with suppress(HopwardError):
                    settings = read_settings(self._config)
                    announce(settings)
                    announce_lacking(settings)

    async def _change(self, text: str) -> None:
        """Put a configuration in force in every worker, or in none: all of them check it first, one alone, so
        that what is wrong with it is found once. Raises `ConfigError`."""
        serving = [place for place in self._places if place.serves]
        if not serving:
            raise ConfigError("No worker serves at the moment.", advice="Send SIGHUP again when one does.")
        prepared = await _asked(serving[:1], {"prepare": text})
        if not isinstance(prepared[0], ConfigError):
            prepared += await _asked(serving[1:], {"prepare": text})
        for answer in prepared:
            if isinstance(answer, ConfigError):
                for place in serving:
                    place.say({"abandon": True})
                raise answer
            if answer is not None:
                self._drain_seconds = answer["prepared"]
        # Whoever is started again from now on starts with it.
        self._text = text
        for place, answer in zip(serving, await _asked(serving, {"adopt": True}), strict=True):
            if isinstance(answer, ConfigError):
                # It must not go on with what the others have left behind.
                _log.error("%s cannot reload, and is started again: %s", place.name, answer)
                place.say({"end": True})

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


async def _asked(places: Sequence[_Place], message: Said) -> list[Said | ConfigError | None]:
    """What each of them answers."""
    return await asyncio.gather(*(place.asked(message) for place in places))
