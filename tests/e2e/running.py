"""Processes that a test starts, what they say meanwhile, and their end."""

import os
import re
import resource
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

PATIENCE = 60.0
"""Seconds after which something that has not happened is taken to be stuck."""


def environment() -> dict[str, str]:
    """This process's environment, but for what would point Hopward at another project."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOPWARD_")}


class Running:
    """A process. What it and those it starts say on standard error is read until all of them have ended."""

    def __init__(self, command: Sequence[str], folder: Path, *, talks: bool = False) -> None:
        """With `talks`, standard input and output are pipes to us; else it gets none, and says it all."""
        self._reading, writing = os.pipe()
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(),
                stdin=pipe if talks else subprocess.DEVNULL,
                stdout=pipe if talks else writing,
                stderr=writing,
                bufsize=0,
            )
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)
        self.said = ""
        self._ended = False
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def stdin(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        return cast("IO[bytes]", self.process.stdout)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match of a pattern in what the process says, as soon as it has said it."""
        with self._heard:
            self._heard.wait_for(lambda: self._ended or re.search(pattern, self.said), PATIENCE)
            found = re.search(pattern, self.said)
        assert found, f"{self.process.args!r} has not said {pattern!r}: {self.said}"
        return found

    def over(self) -> int:
        """The exit status, once the process and all that it started have ended."""
        status = self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        assert not self._listener.is_alive(), f"{self.process.args!r} has left a process behind"
        return status

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """No file that this process writes can grow, as on a disk that is full."""
        pid, limit = self.process.pid, resource.RLIMIT_FSIZE
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (0, before[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, limit, before)

    def end(self) -> None:
        """Make sure that nothing is left of it, whatever state it is in."""
        self.process.terminate()
        try:
            self.over()
        finally:
            self.process.kill()
            for open_pipe in (self.process.stdin, self.process.stdout):
                if open_pipe is not None:
                    with suppress(BrokenPipeError):
                        open_pipe.close()

    def _listen(self) -> None:
        with os.fdopen(self._reading, "rb", buffering=0) as reading:
            while data := reading.read(1 << 16):
                with self._heard:
                    self.said += data.decode("utf-8", "replace")
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()
