"""The client's end of the stdio proxy: our stdin and stdout as asyncio pipes.

They are taken over, so that nothing else in this process can write to the client: what is printed goes to
stderr.
"""

import asyncio
import os
import stat
from collections.abc import Callable
from typing import BinaryIO

_READ = 262_144


def take_over() -> tuple[BinaryIO, BinaryIO]:
    """Claim file descriptors 0 and 1 as source and sink; 1 becomes another stderr."""
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(source, "rb", buffering=0), os.fdopen(sink, "wb", buffering=0)


class ClientEnd:
    """Reads `source` and writes `sink`. Callbacks: `on_data`, `on_end` once when the client sends no more,
    `on_lost` when it takes no more, `on_full` with whether it takes no more for now."""

    def __init__(
        self,
        *,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_lost: Callable[[], None],
        on_full: Callable[[bool], None],
    ) -> None:
        self._on_data = on_data
        self._on_end = on_end
        self._on_lost = on_lost
        self._on_full = on_full
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None
        self._file: BinaryIO | None = None
        self._flushed = asyncio.Event()

    async def open(self, source: BinaryIO, sink: BinaryIO) -> None:
        """Start reading. A regular file (`< requests.jsonl`) works on either side."""
        loop = asyncio.get_running_loop()
        if stat.S_ISREG(os.fstat(sink.fileno()).st_mode):
            self._file = sink
            self._flushed.set()
        else:
            self._writing, _ = await loop.connect_write_pipe(lambda: _Output(self._lost, self._on_full), sink)
        if _is_endless(source):
            self._reading, _ = await loop.connect_read_pipe(
                lambda: _Input(self._on_data, self._on_end), source
            )
        else:
            loop.call_soon(self._read_whole, source)

    def write(self, data: bytes) -> None:
        """Send bytes to the client; dropped when it is gone."""
        if self._writing is not None and not self._writing.is_closing():
            self._writing.write(data)
        elif self._file is not None:
            self._file.write(data)

    def hold(self, held: bool) -> None:
        """Stop or go on reading what the client sends."""
        if self._reading is None or self._reading.is_closing():
            return
        if held:
            self._reading.pause_reading()
        else:
            self._reading.resume_reading()

    async def close(self, seconds: float) -> None:
        """Send what is still buffered, for at most so long, and close both directions."""
        if self._reading is not None:
            self._reading.close()
        if self._writing is not None:
            self._writing.close()
        try:
            await asyncio.wait_for(self._flushed.wait(), seconds)
        except TimeoutError:
            if self._writing is not None:
                self._writing.abort()
        if self._file is not None:
            self._file.close()

    def _lost(self) -> None:
        self._flushed.set()
        self._on_lost()

    def _read_whole(self, source: BinaryIO) -> None:
        with source:
            while data := source.read(_READ):
                self._on_data(data)
        self._on_end()


def _is_endless(source: BinaryIO) -> bool:
    """Whether a file can be waited for: a pipe, a socket or a terminal, not a regular file or /dev/null."""
    mode = os.fstat(source.fileno()).st_mode
    return not stat.S_ISREG(mode) and (not stat.S_ISCHR(mode) or os.isatty(source.fileno()))


class _Input(asyncio.Protocol):
    def __init__(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_data = on_data
        self._on_end = on_end

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()


class _Output(asyncio.BaseProtocol):
    def __init__(self, on_lost: Callable[[], None], on_full: Callable[[bool], None]) -> None:
        self._on_lost = on_lost
        self._on_full = on_full

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()

    def pause_writing(self) -> None:
        self._on_full(True)

    def resume_writing(self) -> None:
        self._on_full(False)
