"""What a parent and its workers say to each other: JSON messages over a socket pair, one per line.

parent                        worker
{"start": ...}                {"ready": [...]} or {"failed": ...}
{"end": true}, once or twice
"""

import asyncio
import json
import socket
from typing import Any, TypeAlias

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

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
