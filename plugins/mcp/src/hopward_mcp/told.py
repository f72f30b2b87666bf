"""What a parent and its workers say to each other: JSON messages over a socket pair, one per line.

parent                           worker
{"start": ...}                   {"ready": [...]} or {"failed": ...}
{"prepare": TEXT}                {"prepared": SECONDS} or {"failed": ...}; nothing is in force yet
{"adopt": true}, or "abandon"    {"adopted": true} or {"failed": ...}, or nothing
{"end": true}, once or twice
"""

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from hopward import ConfigError, HopwardError

Said: TypeAlias = dict[str, Any]

_LONGEST = 64 * 1024 * 1024
"""Bytes; a message holds a whole hopward.toml, of at most 4 MB, escaped."""


class Line:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Line":
        """Over this end, which is closed with it."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LONGEST))

    def say(self, message: Said) -> None:
        """Send a message; dropped when the other side has gone."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> Said | None:
        """The next message; None once the other side has gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    async def flushed(self) -> None:
        """Wait until what was said is with the kernel."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def failure(error: HopwardError) -> Said:
    """An error as a message."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {"failed": {"message": error.message, "problems": problems, "advice": error.advice}}


def failed(told: Said) -> ConfigError:
    """The error in such a message."""
    found = told["failed"]
    return ConfigError(found["message"], problems=tuple(found["problems"]), advice=found["advice"])


def reloaded(config: Path) -> str:
    """What to say of a configuration that is in force."""
    return f"hopward: {config.name} was reloaded and is in force."


def refused(config: Path, why: str) -> str:
    """What to say of one that is not."""
    return f"hopward: {config.name} was not reloaded, and what was in force stays in force. {why}"
