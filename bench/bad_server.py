"""A server that is no good neighbour, for the group `isolation`: `bad_server.py PORT BEHAVIOUR`.

slow      answers each call after two seconds
dead      takes connections and reads nothing
silent    reads calls and answers none
flooding  answers each call with notifications without end
"""

import asyncio
import json
import sys

_SLOW_SECONDS = 2.0
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TOLD = (
    b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\r\n\r\n'
)
_MANY = _TOLD * 100


async def _asked(reader: asyncio.StreamReader) -> int:
    """The id of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return int(json.loads(await reader.readexactly(int(length.partition(b":")[2])))["id"])


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        number = await _asked(reader)
        await asyncio.sleep(_SLOW_SECONDS)
        result = {"content": [{"type": "text", "text": "at last"}], "resultType": "complete"}
        body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


async def _dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await _asked(reader)


async def _flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _asked(reader)
    writer.write(_HEAD)
    piece = f"{len(_MANY):x}\r\n".encode() + _MANY + b"\r\n"
    while True:
        writer.write(piece)
        await writer.drain()


BEHAVIOURS = {"slow": _slow, "dead": _dead, "silent": _silent, "flooding": _flooding}


async def main(port: int, behaviour: str) -> None:
    """Serve until stopped."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await BEHAVIOURS[behaviour](reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
