"""The process of a server with `command`: started with an environment of its own, written to, read, ended.

The process gets its own session, so that ending it ends what it started, and an interrupt at the terminal
reaches it only through Hopward. Its stderr is ours.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hopward import ConfigError, Settings
from hopward_mcp.delivery import Courier
from hopward_mcp.pinned import pinned

_KEPT = frozenset({"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "TZ", "TMPDIR"})
"""Variables of this process a server also gets; everything else stands in its settings."""

_LEAVE = 1.5
_TERMINATE = 1.0
_LAST_WORDS = 0.5
"""Seconds to leave after stdin closed, to end after SIGTERM, and for output after the process has ended."""

_LOOK_AGAIN = 0.02
_NO_SIGNAL = 0

STDOUT = 1


@dataclass(frozen=True, slots=True)
class Command:
    """What is started, where, and with which environment; with `digests`, only if they list its files."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    digests: tuple[str, ...] = ()

    def checked(self) -> tuple[str, ...]:
        """The words as they are to be started; raises `ConfigError` where they are not what was pinned."""
        if not self.digests:
            return self.words
        return pinned(self.words, self.digests, self.environment, self.directory)


def command(settings: Settings, server: str, courier: Courier, environment: Mapping[str, str]) -> Command:
    """The command of a server; `environment` is this process's."""
    root, entry = settings.root, settings.servers[server]
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith("LC_")}
    passed = {name: environment[name] for name in entry.pass_environment if name in environment}
    whole = {**kept, **passed, **entry.environment, **courier.environment}
    directory = root / entry.directory if entry.directory else root
    return Command(entry.command, whole, directory, entry.digests)


class Child(asyncio.SubprocessProtocol):
    """One running server. Callbacks: `on_data` for its stdout, `on_gone` once with how it ended,
    `on_full` with whether its stdin takes no more for now."""

    def __init__(
        self,
        on_data: Callable[[bytes], None],
        on_gone: Callable[[str], None],
        on_full: Callable[[bool], None],
    ) -> None:
        self._on_data = on_data
        self._on_gone = on_gone
        self._on_full = on_full
        self._loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        self._left_nobody = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._stdout: asyncio.ReadTransport | None = None

    async def start(self, started: Command) -> None:
        """Start the process; raises `ConfigError` if that cannot be done, or must not."""
        words = await asyncio.to_thread(started.checked) if started.digests else started.words
        try:
            await self._loop.subprocess_exec(
                lambda: self,
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=None,
                env=dict(started.environment),
                cwd=started.directory,
                start_new_session=True,
            )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigError(
                f"The server's command {started.words[0]!r} cannot be started: {reason}.",
                advice="Check `command` and `directory` of this server in hopward.toml.",
            ) from error

    def write(self, data: bytes) -> None:
        """Send bytes to the process; dropped when it is gone."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    def send(self, body: bytes, _headers: Mapping[str, str]) -> None:
        """Send one message; over a pipe no headers go with it."""
        self.write(body + b"\n")

    def hold(self, held: bool) -> None:
        """Stop or go on reading the process's output."""
        if self._stdout is None or self._gone.is_set() or self._stdout.is_closing():
            return
        if held:
            self._stdout.pause_reading()
        else:
            self._stdout.resume_reading()

    async def end(self, *, patient: bool) -> None:
        """Close its stdin, then SIGTERM, then SIGKILL; `patient` gives it time to leave by itself.

        What it has started and left behind ends too.
        """
        if self._stdin is not None:
            self._stdin.close()
        if patient:
            await self._said_all(_LEAVE)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._signal(number):
                await self._emptied(_TERMINATE)
        await self._said_all(_LAST_WORDS)
        if self._transport is not None:
            self._transport.close()

    async def _said_all(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), seconds)

    async def _emptied(self, seconds: float) -> None:
        """Wait until nothing of the process group is left, for at most so long."""
        until = self._loop.time() + seconds
        while self._signal(_NO_SIGNAL) and self._loop.time() < until:
            await asyncio.sleep(_LOOK_AGAIN)

    def _signal(self, number: int) -> bool:
        """Signal the process and all it has started; False if nobody is left to get it."""
        if self._transport is None or self._left_nobody:
            return False
        try:
            os.killpg(self._transport.get_pid(), number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        self._stdout = cast("asyncio.ReadTransport", self._transport.get_pipe_transport(STDOUT))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDOUT:
            self._on_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == STDOUT:
            self._loop.call_later(_LAST_WORDS, self._leave)

    def process_exited(self) -> None:
        # Asked now: later its number may be another's.
        self._left_nobody = not self._signal(_NO_SIGNAL)
        self._loop.call_later(_LAST_WORDS, self._leave)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        self._on_full(True)

    def resume_writing(self) -> None:
        self._on_full(False)

    def _leave(self) -> None:
        if not self._gone.is_set():
            self._gone.set()
            self._on_gone(self._how())

    def _how(self) -> str:
        status = self._transport.get_returncode() if self._transport is not None else None
        if status is None:
            return "closed its output"
        return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
