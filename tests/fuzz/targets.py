"""What is fuzzed: functions of bytes that raise `AssertionError`, or anything else, where the code is wrong.

Nothing but what these name may escape from a parser: everything else would be a crash of the proxy.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from hopward_mcp import headers, sse
from hopward_mcp.jsonrpc import Message, MessageError, Parser, dump
from hopward_mcp.lines import Lines, Overlong

from . import strict

LIMITS: dict[str, int] = {"max_bytes": 4_096, "max_depth": 16}
MOST = 64
"""Bytes of an event or a line in these tests: little, so that the limit is met."""

CLIENT = Parser(every_key=True, **LIMITS)
SERVER = Parser(every_key=False, **LIMITS)


def client_message(raw: bytes) -> None:
    """What a client sends is read as the plain rules say, and written so that it is read the same again."""
    _message(CLIENT, raw, every_key=True)


def server_message(raw: bytes) -> None:
    """Likewise what a server sends."""
    _message(SERVER, raw, every_key=False)


def _message(parser: Parser, raw: bytes, *, every_key: bool) -> None:
    try:
        expected: dict[str, Any] | None = strict.read(raw, every_key=every_key, **LIMITS)
    except strict.Unclear:
        expected = None
    message = _parsed(parser, raw)
    if isinstance(message, MessageError):
        assert expected is None, (message.reason, raw)
        assert message.sentence.isprintable()
        dump({"id": message.id, "data": message.data, "told": message.sentence})
        return
    assert expected is not None, raw
    assert same(message.body, expected)
    assert message.params == expected.get("params", {})
    assert (message.method, message.id) == (expected.get("method", ""), expected.get("id"))
    written = dump(message.body)
    assert b"\n" not in written
    assert b"\r" not in written
    assert same(json.loads(written), expected)
    if len(written) <= LIMITS["max_bytes"]:
        assert dump(parser.parse(written).body) == written


def _parsed(parser: Parser, raw: bytes) -> Message | MessageError:
    try:
        return parser.parse(raw)
    except MessageError as fault:
        return fault


def same(one: Any, other: Any) -> bool:
    """Equal, with equal types all the way down and keys in the same order: 1, 1.0 and true differ."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and str(one) == str(other)


def header_values(raw: bytes) -> None:
    """A text comes through a header whole, and a header that is none stands for nothing."""
    text = raw.decode("utf-8", "replace")
    value = headers.encoded(text)
    assert value.isascii()
    assert not any(sign < " " or sign == "\x7f" for sign in value)
    assert value == value.strip(" \t")
    assert headers.decoded(value) == text
    shown = headers.decoded(raw.decode("latin-1"))
    if shown is not None and shown != raw.decode("latin-1"):
        assert headers.decoded(f"=?base64?{raw.decode('latin-1')[9:-2]}?=") == shown


def header_block(raw: bytes) -> None:
    """Headers agree with a body only if what goes to the server from both says the same.

    `raw` is the body, then one header to a line."""
    body, *lines = raw.split(b"\n")
    pairs = [(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines)]
    try:
        read = headers.read(pairs)
        message = CLIENT.parse(body)
        headers.agree(message, read)
    except MessageError:
        return
    assert len(set(read)) == len(read)
    upstream = headers.upstream(message, read)
    assert not {"authorization", "cookie", "host", "content-length"} & set(upstream)
    for name, value in upstream.items():
        assert value.isascii() or not name.startswith("mcp-"), (name, value)
    if headers.is_modern(read):
        _modern(message, read, upstream)


def _modern(message: Message, read: dict[str, str], upstream: dict[str, str]) -> None:
    assert upstream["mcp-method"] == message.method
    name = message.params.get(
        {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(message.method, "")
    )
    if isinstance(name, str):
        assert headers.decoded(upstream["mcp-name"]) == name
    if message.kind == "request":
        assert headers.decoded(read.get("mcp-name")) == name or not isinstance(name, str)
        headers.agree(message, upstream)


def events(raw: bytes) -> None:
    """An event stream is read as the standard says, wherever it is cut."""
    cuts, stream = raw[:8], raw[8:]
    whole = _events([stream])
    assert whole == _events(_cut(stream, cuts))
    assert whole == _events([stream[n : n + 1] for n in range(len(stream))])
    assert whole == _plain_events(stream)
    for event in whole[0]:
        data = None if event.data is None else event.data.replace(b"\n", b" ")
        again, failed = _events([sse.written(event, data)], 4 * MOST)
        assert not failed
        assert [one for one in again if one != sse.Event()] == (
            [sse.Event(data, event.name, event.id, event.retry)] if event != sse.Event() else []
        )


def _events(chunks: list[bytes], most: int = MOST) -> tuple[list[sse.Event], bool]:
    """What comes of a stream cut into these, and whether it ended with an error."""
    reader, found = sse.Events(most), list[sse.Event]()
    try:
        for chunk in chunks:
            for event in reader.feed(chunk):
                found.append(event)
            assert len(reader._partial) <= most
            assert sum(map(len, reader._data)) <= most
    except sse.StreamError:
        return found, True
    return found, False


def _plain_events(stream: bytes) -> tuple[list[sse.Event], bool]:
    """The same, read at once: WHATWG HTML, section 9.2.6."""
    found: list[sse.Event] = []
    block: list[bytes] = []
    plain = stream.removeprefix(b"\xef\xbb\xbf")
    size = len(stream) - len(plain)
    lines = plain.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines):
        ended = number < len(lines) - 1
        size += len(line) + ended
        if size > MOST:
            return found, True
        if not ended:
            break
        if line:
            block.append(line)
            if line.partition(b":")[0] not in (b"data", b"") and not _is_text(line):
                return found, True
            continue
        if block:
            found.append(_plain_event(block))
        block, size = [], 0
    return found, False


def _is_text(line: bytes) -> bool:
    with suppress(UnicodeDecodeError):
        return bool(line.partition(b":")[2].decode() or True)
    return False


def _plain_event(block: list[bytes]) -> sse.Event:
    data: list[bytes] = []
    name, event_id, retry = "", None, None
    for line in block:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode()
        elif field == b"id" and b"\0" not in value:
            event_id = value.decode()
        elif field == b"retry" and value and all(48 <= digit <= 57 for digit in value):
            retry = value.decode()
    return sse.Event(b"\n".join(data) if data else None, name, event_id, retry)


def lines(raw: bytes) -> None:
    """A stream of bytes is the same lines wherever it is cut, and nothing over the limit is kept."""
    cuts, stream = raw[:8], raw[8:]
    expected = [one for one in stream.split(b"\n") if one and (len(one) > MOST or not one.isspace())]
    for chunks in ([stream], _cut(stream, cuts), [stream[n : n + 1] for n in range(len(stream))]):
        reader, found = Lines(MOST), list[bytes | Overlong]()
        for chunk in chunks:
            found += reader.feed(chunk)
            assert len(reader._partial) <= MOST
        found += reader.end()
        assert len(found) == len(expected)
        for one, line in zip(found, expected, strict=True):
            if len(line) > MOST:
                assert isinstance(one, Overlong)
                assert line.startswith(one.start)
                assert one.start
            else:
                assert one == line


def _cut(stream: bytes, cuts: bytes) -> list[bytes]:
    return list(_pieces(stream, cuts))


def _pieces(stream: bytes, cuts: bytes) -> Iterator[bytes]:
    at, turn = 0, 0
    while at < len(stream):
        size = (cuts[turn % len(cuts)] if cuts else 0) % 17 + 1
        yield stream[at : at + size]
        at, turn = at + size, turn + 1


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (client_message, server_message, header_values, header_block, events, lines)
}
