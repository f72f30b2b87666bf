"""The processes under measurement: started, found by their pid files, CPU time and memory from the kernel."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.errors import BenchError

_START_SECONDS = 30.0
_POLL_SECONDS = 0.02


def cpu_ns(pid: int) -> int:
    """User and system CPU time of a running process and all its threads, in nanoseconds.

    Reads the process's CPU clock (clock_getcpuclockid(3)), which counts what /proc/PID/stat counts, in
    nanoseconds instead of 10 ms ticks. Exact only while the process sleeps.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError as error:
        raise BenchError(f"process {pid} ended while it was being measured") from error


def total_cpu_ns(pids: Iterable[int]) -> int:
    """CPU time of several processes."""
    return sum(cpu_ns(pid) for pid in pids)


def rss_kib(pids: Iterable[int]) -> int:
    """Resident memory of several processes, in KiB."""
    return sum(int(_status(pid, "VmRSS").split()[0]) for pid in pids)


def _status(pid: int, field: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as error:
        raise BenchError(f"process {pid} ended while it was being measured") from error
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(field + ":"))


def parent(pid: int) -> int:
    """The parent process."""
    return int(_status(pid, "PPid"))


def between(pid: int) -> tuple[int, ...]:
    """The processes between this one and a descendant: a stdio server's proxy, with any wrapper."""
    found: list[int] = []
    current = parent(pid)
    while current not in (os.getpid(), 0, 1):
        found.append(current)
        current = parent(current)
    return tuple(found)


def family(pid: int) -> tuple[int, ...]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(parent(int(entry.name)), []).append(int(entry.name))
            except BenchError:  # ended between the listing and the reading: not ours
                continue
    found = [pid]
    for member in found:
        found.extend(children.get(member, []))
    return tuple(found)


def read_pids(path: Path) -> tuple[int, ...]:
    """The server processes that have written themselves into a pid file, waiting for the first."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().endswith("\n"):
            return tuple(int(line) for line in path.read_text().split())
        time.sleep(_POLL_SECONDS)
    raise BenchError(f"no server has written {path.name} after {_START_SECONDS:.0f} s")


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A long-running HTTP process. Its output goes to a file, shown when it fails to start."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path, environment: dict[str, str] | None = None
    ):
        self._log = log
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
        self.port = port
        try:
            self._wait()
        except BenchError:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(_POLL_SECONDS)
            else:
                return
        raise BenchError(f"{self._log.stem} did not start:\n{self._log.read_text()[-2000:]}")

    def pids(self) -> tuple[int, ...]:
        """The process and whatever workers it has started."""
        return family(self._process.pid)

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
