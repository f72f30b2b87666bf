"""What comes of a server's answer, read no faster than its pace allows, whatever it is made of.

The kernel slows a server that sends more: what is not read here fills its window (RFC 9293, section 3.8.6).
"""

from collections.abc import Iterator

import aiohttp

from hopward_mcp.pace import LINE, PIECE, Pace
from hopward_mcp.sse import Event, Events

_SMALL = 1_024
"""Bytes; a large answer comes in many pieces, but not in smaller ones."""


class Inflow:
    """The body of one answer: in pieces, or as the events of a stream of at most `max_bytes` each."""

    def __init__(self, response: aiohttp.ClientResponse, max_bytes: int, pace: Pace) -> None:
        self.pace = pace
        self._content = response.content
        self._events = Events(max_bytes)
        self._cut: Iterator[Event | None] = iter(())

    async def piece(self) -> bytes | None:
        """The next piece, which may be empty; None at the end."""
        await self.pace.rest()
        data, ended = await self._content.readchunk()
        if len(data) < _SMALL:
            self.pace.charge(PIECE)
        return data if data or ended else None

    async def event(self) -> Event | None:
        """The next event, after whatever rest is due; None at the end. Raises `StreamError`."""
        while True:
            await self.pace.rest()
            for event in self._cut:
                self.pace.charge(LINE)
                if event is not None:
                    return event
                await self.pace.rest()
            piece = await self.piece()
            if piece is None:
                return None
            self._cut = self._events.steps(piece)
