"""Each target against everything that once failed, and against texts that come close to a good one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward_mcp import headers, sse
from hopward_mcp.lines import Lines

from . import targets
from .targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_failed_fails_no_more(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus_to_begin_with() -> None:
    assert {path.parent.name for path in KEPT} == TARGETS.keys()


words = st.sampled_from(
    [
        *("jsonrpc", "id", "method", "params", "result", "error", "_meta", "name", "arguments", "uri", "ref"),
        *("Method", "PARAMS", "iD", "Name", "Arguments", "\u017f", "tool\u017f", "\u212a", "notifications"),
        *("resourceSubscriptions", "resourcesubscriptions", "isError", "iserror", "tools", "Tools", "_Meta"),
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from(["2.0", "tools/call", "echo", "\ud800", "", "x" * 70])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(words | st.text(max_size=4), inner), max_size=4)
    ),
    max_leaves=12,
)


def text_of(value: Any) -> str:
    """JSON of a value in which objects are lists of pairs: so a key may come twice."""
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return "{" + ",".join(f"{json.dumps(key)}:{text_of(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    return json.dumps(value)


good: list[tuple[str, Any]] = [
    ("jsonrpc", "2.0"),
    ("id", 1),
    ("method", "tools/call"),
    ("params", [("name", "a")]),
]
messages = st.one_of(
    st.binary(max_size=64),
    values.map(lambda value: text_of(value).encode("utf-8", "surrogatepass")),
    st.lists(st.tuples(words, values), max_size=3).flatmap(
        lambda more: st.permutations([*good, *more]).map(
            lambda pairs: text_of(list(pairs)).encode("utf-8", "surrogatepass")
        )
    ),
    st.builds(
        lambda kind, value: text_of([("jsonrpc", "2.0"), ("id", 7), (kind, value)]).encode(
            "utf-8", "surrogatepass"
        ),
        st.sampled_from(["result", "error", "Result"]),
        values,
    ),
    st.integers(1, 20).map(lambda n: text_of([*good[:3], ("params", [("x", nested(n))])]).encode()),
)


def nested(levels: int) -> list[Any]:
    """Lists in lists."""
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize("target", ["client_message", "server_message"])
@settings(max_examples=400, deadline=None)
@given(raw=messages)
def test_messages_are_read_as_the_plain_rules_say(target: str, raw: bytes) -> None:
    TARGETS[target](raw)


header_texts = st.text(max_size=24) | st.sampled_from(
    ["=?base64?YQ==?=", "=?base64?YR==?=", "=?base64??=", " a", "a "]
)


@settings(max_examples=400, deadline=None)
@given(raw=header_texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=24))
def test_a_text_comes_through_a_header_whole(raw: bytes) -> None:
    TARGETS["header_values"](raw)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(["echo", "caf\u00e9", " x", "a\r\nb: c", "=?base64?YQ==?="]) | st.text(max_size=6),
    method=st.sampled_from(["tools/call", "prompts/get", "resources/read", "tools/list"]),
    said=st.lists(
        st.tuples(
            st.sampled_from(
                [b"mcp-method", b"mcp-name", b"mcp-protocol-version", b"mcp-param-x", b"accept", b"cookie"]
            ),
            st.sampled_from(
                [b"tools/call", b"echo", b"2026-07-28", b"2025-11-25", b"=?base64?Y2Fmw6k=?=", b"\xe9"]
            )
            | st.binary(max_size=12),
        ),
        max_size=5,
    ),
)
def test_headers_agree_only_with_the_body_they_repeat(
    name: str, method: str, said: list[tuple[bytes, bytes]]
) -> None:
    params = {"name": name, "uri": name, "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    lines = [key + b":" + value.replace(b"\n", b"") for key, value in said]
    TARGETS["header_block"](b"\n".join([body, *lines]))


fields = st.sampled_from(
    [b"data: x", b"data", b"data:", b"id: 1", b"id:\0", b"event: m", b"retry: 10", b": c", b"retry: \xd9\xa1"]
)
ends = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"])
streams = st.lists(st.tuples(fields | st.binary(max_size=12), ends), max_size=12).map(
    lambda parts: b"".join(map(b"".join, parts))
)


@pytest.mark.parametrize("target", ["events", "lines"])
@settings(max_examples=400, deadline=None)
@given(cuts=st.binary(min_size=8, max_size=8), stream=streams | st.binary(max_size=200))
def test_a_stream_reads_the_same_wherever_it_is_cut(target: str, cuts: bytes, stream: bytes) -> None:
    TARGETS[target](cuts + stream)


def test_the_targets_notice_code_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that always agrees would find nothing."""
    wrong: list[tuple[str, object, str, object, bytes]] = [
        (
            "client_message",
            targets,
            "CLIENT",
            targets.SERVER,
            b'{"jsonrpc":"2.0","method":"m","params":{"a":1,"A":2}}',
        ),
        ("server_message", targets.SERVER, "_id", lambda _: 1, b'{"jsonrpc":"2.0","id":2,"result":{}}'),
        ("header_values", headers, "encoded", lambda text: text, b"a\r\nb"),
        ("header_block", headers, "agree", lambda *_: None, DISAGREEING),
        ("events", sse.Events, "_field", lambda *_: None, b"12345678data: x\n\n"),
        ("lines", Lines, "end", lambda _: [], b"12345678last"),
    ]
    for target, place, name, broken, raw in wrong:
        with monkeypatch.context() as patched:
            patched.setattr(place, name, broken)
            with pytest.raises(AssertionError):
                TARGETS[target](raw)
        TARGETS[target](raw)


DISAGREEING = b"""{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{}}}
mcp-protocol-version:2026-07-28
mcp-name:hidden"""
