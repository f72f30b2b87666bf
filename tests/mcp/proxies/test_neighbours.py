"""A server that is slow, dead, broken or mad costs the others nothing but their patience with it.

Nothing is timed here (`make bench` does that, group `isolation`): while a neighbour does its worst, and has
been seen to do it, calls to another server come back, and the neighbour's own callers are told something.
"""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hopward_mcp import relay
from hopward_mcp.child import Child
from hopward_mcp.pace import LINE, UNSEEN
from hopward_mcp.sse import Event, Events
from hopward_mcp.visit import Visit

from .fronting import Answered, Fronted, front, modern_call
from .installation import SERVER, classified, http_server, rows

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOLD = (
    b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\r\n\r\n'
)
FLOOD = 100_000

Neighbour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def asked(reader: asyncio.StreamReader) -> None:
    """Read a request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))


async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a machine whose process has stopped: the kernel takes the connection, and that is all."""


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)


async def ends_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.transport.abort()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A head that never ends, byte by byte."""
    await asked(reader)
    for sign in HEAD[:-4]:
        writer.write(bytes([sign]))
        await writer.drain()


async def heads_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(20_000):
        writer.write(b"X-%d: %s\r\n" % (number, b"y" * 400))
        await writer.drain()


async def body_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(2_000):
        writer.write(chunk(b" " * 1_000))
        await writer.drain()


async def event_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(HEAD)
    for _ in range(2_000):
        writer.write(chunk(b"data: " + b"x" * 1_000 + b"\n"))
        await writer.drain()


async def stream_that_stays_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(HEAD + chunk(TOLD))


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(HEAD)
    for _ in range(FLOOD // 1_000):
        writer.write(chunk(TOLD * 1_000))
        await writer.drain()


async def keeps_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(HEAD)
    for _ in range(FLOOD // 1_000):
        writer.write(chunk(b":\n\n" * 1_000))
        await writer.drain()


async def refused_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Every one of these is a row in the log."""
    await asked(reader)
    writer.write(HEAD)
    for _ in range(20):
        writer.write(chunk(b'data: {"jsonrpc":"2.0","id":999999,"result":{}}\r\n\r\n' * 1_000))
        await writer.drain()


async def sends_blank_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Neither events nor anything that grows."""
    await asked(reader)
    writer.write(HEAD)
    for _ in range(200):
        writer.write(chunk(b"\n" * 10_000))
        await writer.drain()


async def sends_crumbs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As many pieces of HTTP as there are bytes."""
    await asked(reader)
    writer.write(HEAD)
    for _ in range(200):
        writer.write(chunk(b"\n") * 1_000)
        await writer.drain()


async def answers_in_crumbs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        writer.write(chunk(b" ") * 1_000)
        await writer.drain()


@asynccontextmanager
async def neighbour(behaves: Neighbour) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that behaves so and then holds the connection; its URL, and whether anybody is connected."""
    came, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await behaves(reader, writer)
            await left.wait()
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp", came
    finally:
        left.set()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def beside(behaves: Neighbour, folder: Path) -> AsyncIterator[tuple[Fronted, asyncio.Event]]:
    """The front with `desk`, and the neighbour as `other`."""
    async with (
        neighbour(behaves) as (url, came),
        front(folder, ("desk",), more=http_server(url, "other")) as running,
    ):
        yield running, came


HOLDING = [
    never_reads,
    never_answers,
    drips,
    stream_that_stays_open,
    floods,
    keeps_alive,
    refused_without_end,
    sends_blank_lines,
    sends_crumbs,
    answers_in_crumbs,
]
BREAKING = [ends_at_once, heads_without_end, body_without_end, event_without_end]


async def served(running: Fronted, token: str, calls: int = 20) -> None:
    """Calls to the other server, in both ways of answering."""
    for number in range(calls):
        tool = "stream" if number % 2 else "echo"
        answered = await running.call(token, tool, {"n": number}, message_id=number)
        assert f'"n\\": {number}' in answered.body.decode()


@pytest.mark.parametrize("behaves", [*HOLDING, *BREAKING], ids=lambda one: one.__name__)
async def test_a_bad_server_over_http_keeps_nobody_from_another(tmp_path: Path, behaves: Neighbour) -> None:
    async with asyncio.timeout(60), beside(behaves, tmp_path) as (running, came):
        token, theirs = running.token(), running.token("other")
        bad = [asyncio.create_task(called(running, theirs, number)) for number in range(3)]
        await came.wait()
        await served(running, token)
        if behaves in HOLDING:
            assert not any(one.done() for one in bad)
        else:
            for answered in await asyncio.gather(*bad):
                assert answered.message["error"]["code"] == -32000
        for one in bad:
            one.cancel()
        await asyncio.gather(*bad, return_exceptions=True)
        await served(running, token, 2)
        outcomes = [row.reason for row in rows(running.guard, "outcome") if row.server == "desk"]
        assert outcomes == ["ok"] * 22


async def called(running: Fronted, token: str, number: int) -> Answered:
    """A call of the bad server, and whatever comes of it."""
    message, headers = modern_call("slow", message_id=number)
    return await running.post(token, message, headers, "other")


async def test_a_flood_is_passed_on_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has come, one turn of the loop passes on no more than there is credit for."""
    turns, passed = 0, Counter[int]()
    took = Visit.took

    def counted(visit: Visit, seconds: float = 0.0) -> None:
        passed[turns] += 1
        took(visit, seconds)

    monkeypatch.setattr(Visit, "took", counted)
    async with asyncio.timeout(60), beside(floods, tmp_path) as (running, _):
        token = running.token("other")
        bad = asyncio.create_task(called(running, token, 1))
        while passed.total() < 200:
            turns += 1
            await asyncio.sleep(0)
        bad.cancel()
        await asyncio.gather(bad, return_exceptions=True)
    assert max(passed.values()) <= 0.001 / UNSEEN + 1


@pytest.mark.parametrize("behaves", [floods, keeps_alive, sends_blank_lines, sends_crumbs])
async def test_whatever_a_stream_is_made_of_it_is_cut_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaves: Neighbour
) -> None:
    """Also before anybody knows which era the server is of: that is asked first, and may be flooded."""
    turns, lines = 0, Counter[int]()
    line = Events._line  # pyright: ignore[reportPrivateUsage] - how much is cut in one turn shows nowhere else

    def counted(events: Events, whole: bytes) -> Event | None:
        lines[turns] += 1
        return line(events, whole)

    monkeypatch.setattr(Events, "_line", counted)
    async with asyncio.timeout(60), beside(behaves, tmp_path) as (running, _):
        bad = asyncio.create_task(called(running, running.token("other"), 1))
        while lines.total() < 6_000:
            turns += 1
            await asyncio.sleep(0)
        bad.cancel()
        await asyncio.gather(bad, return_exceptions=True)
    # Credit grows while it is used, and while the machine does something else.
    assert max(lines.values()) < 0.001 / LINE * 3


@pytest.mark.parametrize("behaves", [sends_crumbs, answers_in_crumbs])
async def test_an_answer_in_crumbs_is_taken_out_of_http_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaves: Neighbour
) -> None:
    turns, crumbs = 0, Counter[int]()
    feed = aiohttp.StreamReader.feed_data

    def counted(reader: aiohttp.StreamReader, data: bytes, size: int = 0) -> bool:
        crumbs[turns] += 1
        return feed(reader, data, size)

    monkeypatch.setattr(aiohttp.StreamReader, "feed_data", counted)
    async with asyncio.timeout(60), beside(behaves, tmp_path) as (running, _):
        bad = asyncio.create_task(called(running, running.token("other"), 1))
        while crumbs.total() < 5_000:
            turns += 1
            await asyncio.sleep(0)
        bad.cancel()
        await asyncio.gather(bad, return_exceptions=True)
    assert max(crumbs.values()) < 2_000


async def test_what_follows_the_answer_is_not_read_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers and then sends on has its connection closed."""
    closed = asyncio.Event()

    async def sends_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: (\d+)", head.lower())[0])
        message = json.loads(await reader.readexactly(length))
        result = {"content": [], "resultType": "complete", "supportedVersions": ["2026-07-28"]}
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        writer.write(HEAD + chunk(b"data: " + answer + b"\n\n"))
        try:
            while b"tools/call" in head:
                writer.write(chunk(TOLD * 1_000))
                await writer.drain()
        except ConnectionError:
            closed.set()

    # However long the server may take to end its stream, this one does not.
    monkeypatch.setattr(relay, "_TAIL", 600)
    async with asyncio.timeout(60), beside(sends_on, tmp_path) as (running, _):
        answered = await called(running, running.token("other"), 1)
        assert '"content":[]' in answered.body.decode()
        await closed.wait()


STUCK = "import time; time.sleep(600)"
ENDLESS = "import os\nwhile True: os.write(1, b'x' * 65536)"
NOISY = """
import json, os, sys
os.write(2, b"noise " * 50_000)
for line in sys.stdin: pass
"""
CHATTY = """
import os
told = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\\n' * 500
while True: os.write(1, told)
"""
ASKING = """
import os
asked = b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}\\n' * 500
while True: os.write(1, asked)
"""
BLANK = "import os\nwhile True: os.write(1, b'\\n' * 65536)"
PROGRAMS = {
    "stuck": STUCK,
    "endless": ENDLESS,
    "noisy": NOISY,
    "chatty": CHATTY,
    "asking": ASKING,
    "blank": BLANK,
}


def program(folder: Path, text: str) -> str:
    """The configuration of the server `other`, which is that program."""
    file = folder / "program.py"
    file.write_text(text)
    transport = f"command = {json.dumps([sys.executable, '-I', '-S', str(file)])}"
    server = SERVER.format(name="other", transport=transport, credential='{ by = "meta" }')
    return server + classified("other")


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_bad_process_keeps_nobody_from_another_server(tmp_path: Path, name: str) -> None:
    other = program(tmp_path, PROGRAMS[name])
    async with asyncio.timeout(60), front(tmp_path, ("desk",), more=other) as running:
        token, theirs = running.token(), running.token("other")
        bad = [asyncio.create_task(opened_session(running, theirs)) for _ in range(3)]
        await served(running, token)
        assert not any(one.done() for one in bad)
        for one in bad:
            one.cancel()
        await asyncio.gather(*bad, return_exceptions=True)
        await served(running, token, 2)


async def test_a_process_that_sends_blank_lines_is_not_listened_to_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, hold = asyncio.Event(), Child.hold

    def seen(child: Child, held_back: bool) -> None:
        if held_back:
            held.set()
        hold(child, held_back)

    monkeypatch.setattr(Child, "hold", seen)
    other = program(tmp_path, BLANK)
    async with asyncio.timeout(60), front(tmp_path, ("desk",), more=other) as running:
        bad = asyncio.create_task(opened_session(running, running.token("other")))
        await held.wait()
        bad.cancel()
        await asyncio.gather(bad, return_exceptions=True)


async def opened_session(running: Fronted, token: str) -> Answered:
    """A session that such a process does not open, with more than its pipe takes."""
    params: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {"x": "y" * 60_000}}
    message = {"id": 0, "method": "initialize", "params": params}
    return await running.post(token, message, server="other")
