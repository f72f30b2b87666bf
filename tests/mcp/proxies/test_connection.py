"""What a caller can do before anybody knows who it is: little, and not for long."""

import asyncio
import json

import pytest

from hopward_mcp.connection import Connection

from .fronting import Fronted, modern_call


async def connected(fronted: Fronted) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    """A connection to the front, and how a request begins on it."""
    host, _, port = fronted.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    return reader, writer, f"POST /desk/mcp HTTP/1.1\r\nHost: {host}:{port}\r\n"


def good(begin: str, token: str, *, body: bytes = b"", more: str = "") -> bytes:
    """A whole modern call."""
    message, headers = modern_call("echo")
    body = body or json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    headers |= {"Content-Length": str(len(body))}
    return (begin + "".join(f"{key}: {value}\r\n" for key, value in headers.items()) + more).encode() + (
        b"\r\n" + body
    )


async def flooded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Sends without end, and fails if it is let."""
    answer = asyncio.create_task(reader.read())
    try:
        for _ in range(400):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()
        await asyncio.gather(answer, return_exceptions=True)
    pytest.fail("a hundred megabytes were taken")


@pytest.mark.parametrize("begun", ["X-Long: ", "", "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: "])
async def test_a_head_or_trailer_that_never_ends_is_refused_and_not_kept(
    fronted: Fronted, begun: str
) -> None:
    reader, writer, begin = await connected(fronted)
    writer.write((begin + begun).encode())
    piece = b"a" * 250_000 if begun else b"".join(b"X-%d: y\r\n" % n for n in range(25_000))
    await flooded(reader, writer, piece)
    assert (await fronted.call(fronted.token(), "echo")).status == 200


async def test_a_head_that_is_too_large_is_told_so(fronted: Fronted) -> None:
    reader, writer, begin = await connected(fronted)
    writer.write(begin.encode() + (b"X: " + b"a" * 1_000 + b"\r\n") * 66)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"too large" in answer
    writer.close()


async def test_extensions_of_a_chunk_that_never_end_are_refused(fronted: Fronted) -> None:
    reader, writer, begin = await connected(fronted)
    writer.write((begin + "Transfer-Encoding: chunked\r\n\r\n1;x=").encode())
    await flooded(reader, writer, b"a" * 250_000)
    assert (await fronted.call(fronted.token(), "echo")).status == 200


async def test_a_head_that_does_not_come_is_not_waited_for(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "patience", 0.01)
    for sent in ("", "\r\n", "POST /desk/mcp HTTP/1.1\r\nHost: "):
        reader, writer, _ = await connected(fronted)
        writer.write(sent.encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 400 "), sent
        writer.close()


@pytest.mark.parametrize("sent", ["\r\n", "POST /desk/mcp HTTP/1.1\r\nHost: "])
async def test_the_next_head_on_a_connection_is_not_waited_for_either(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    reader, writer, begin = await connected(fronted)
    writer.write(good(begin, fronted.token()))
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
    await reader.readexactly(int(length[16:]))
    monkeypatch.setattr(Connection, "patience", 0.01)
    writer.write(sent.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_a_request_that_takes_its_time_to_be_answered_keeps_its_connection(
    fronted: Fronted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "patience", 0.01)
    slow = asyncio.create_task(fronted.call(fronted.token(), "slow"))
    while not fronted.servers["desk"].calls:
        await asyncio.sleep(0)
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, late.set)
    await late.wait()
    fronted.servers["desk"].release.set()
    assert (await slow).events[-1]["result"]["vendor"] == 1


async def test_trailer_fields_are_no_headers(fronted: Fronted) -> None:
    token = fronted.token()
    message, headers = modern_call("echo")
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    headers |= {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    for before, trailer, status in (
        ("", f"Authorization: Bearer {token}\r\n", b"401"),
        (f"Authorization: Bearer {token}\r\n", "Authorization: Bearer other\r\nMcp-Name: hidden\r\n", b"200"),
    ):
        reader, writer, begin = await connected(fronted)
        head = begin + before + "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        writer.write(head.encode() + b"\r\n" + chunk + trailer.encode() + b"\r\n")
        assert (await reader.readline()).split(b" ")[1] == status
        writer.close()


async def test_a_large_body_in_small_pieces_is_no_large_head(fronted: Fronted) -> None:
    reader, writer, begin = await connected(fronted)
    text = "x" * 60_000
    message, _ = modern_call("echo", {"text": text})
    whole = good(begin, fronted.token(), body=json.dumps({"jsonrpc": "2.0", **message}).encode())
    for start in range(0, len(whole), 1_000):
        writer.write(whole[start : start + 1_000])
        await writer.drain()
    assert (await reader.readline()).split(b" ")[1] == b"200"
    writer.close()


async def test_requests_sent_ahead_are_answered_in_their_order(fronted: Fronted) -> None:
    reader, writer, begin = await connected(fronted)
    tokens = [fronted.token(subject=name) for name in ("ana", "ben", "cho")]
    writer.write(b"".join(good(begin, token) for token in tokens[:2]))
    writer.write(good(begin, tokens[2], more="Connection: close\r\n"))
    assert (await reader.read()).count(b'"vendor":1') == 3
    writer.close()
    subjects = [
        fronted.guard.issuer.verify((call.header("authorization") or "")[7:]).subject
        for call in fronted.servers["desk"].calls
    ]
    assert subjects == ["ana", "ben", "cho"]
