"""An answer of a server is read in full and in order, and no faster than its pace allows.

The clock of the pace only goes on while it rests, so that whatever rests does so for what it is.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import aiohttp
import pytest

from hopward_mcp.inflow import Inflow
from hopward_mcp.pace import Pace
from hopward_mcp.sse import StreamError
from hopward_mcp.upstream import Upstream

from .test_neighbours import asked, chunk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MOST = 4_194_304


class Counting(Pace):
    """How often whoever reads has rested."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests = 0
        super().__init__(lambda: self.now)

    async def rest(self) -> None:
        if self._rest:
            self.rests += 1
            self.now += self._rest
            self._rest = 0.0


@asynccontextmanager
async def sent(raw: bytes, most: int = MOST) -> AsyncIterator[Inflow]:
    """What comes of a server that sends these bytes and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(raw)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, most)
    try:
        response = await upstream.request("POST", {}, b"x")
        yield Inflow(response, most, Counting())
        response.close()
    finally:
        await upstream.close()
        server.close()
        await server.wait_closed()


def answered(*pieces: bytes, most: int = MOST) -> AbstractAsyncContextManager[Inflow]:
    """An answer in these pieces of HTTP."""
    return sent(HEAD + b"".join(map(chunk, (*pieces, b""))), most)


async def body(inflow: Inflow) -> bytes:
    parts: list[bytes] = []
    while (part := await inflow.piece()) is not None:
        parts.append(part)
    return b"".join(parts)


async def events(inflow: Inflow) -> list[bytes | None]:
    found: list[bytes | None] = []
    while (event := await inflow.event()) is not None:
        found.append(event.data)
    return found


def rests(inflow: Inflow) -> int:
    assert isinstance(inflow.pace, Counting)
    return inflow.pace.rests


@pytest.mark.parametrize("size", [4_096, MOST // 2])
async def test_a_large_answer_never_rests(size: int) -> None:
    whole = json.dumps({"text": "x" * (MOST - 100)}).encode()
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    async with answered(*pieces) as inflow:
        assert await body(inflow) == whole
        assert rests(inflow) == 0
    async with answered(b"data: ", *pieces, b"\n\n") as inflow:
        assert await events(inflow) == [whole]
        assert rests(inflow) == 0


async def test_an_answer_in_the_smallest_pieces_rests_and_comes_whole() -> None:
    whole = json.dumps({"text": "x" * 1_000}).encode()
    async with answered(*(bytes([sign]) for sign in whole)) as inflow:
        assert await body(inflow) == whole
        assert rests(inflow) > 0


@pytest.mark.parametrize("idle", [b"\n", b"retry: 1\n", b":\n\n"])
async def test_lines_that_say_nothing_rest_and_what_follows_them_comes_in_order(idle: bytes) -> None:
    said = [json.dumps({"n": number}).encode() for number in range(10)]
    async with answered(*(idle * 200 + b"data: " + one + b"\n\n" for one in said)) as inflow:
        assert [data for data in await events(inflow) if data is not None] == said
        assert rests(inflow) > 0


async def test_an_event_over_the_limit_ends_the_stream_behind_those_that_are_whole() -> None:
    async with answered(b"data: a\n\ndata: " + b"x" * 200, most=100) as inflow:
        event = await inflow.event()
        assert event is not None
        assert event.data == b"a"
        with pytest.raises(StreamError):
            await inflow.event()


async def test_a_connection_that_breaks_is_no_end() -> None:
    async with sent(HEAD + chunk(b"data: a\n\n")) as inflow:
        assert await inflow.event() is not None
        with pytest.raises(aiohttp.ClientPayloadError):
            await inflow.event()
