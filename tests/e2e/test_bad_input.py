"""What no client should send, over the real stdio proxy: answered clearly, never passed on, and survived."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .project import Project, recorded
from .wire import Wire, told


def call(**changes: Any) -> bytes:
    """A good tools/call, changed."""
    params = {"name": "note", "arguments": {"marked": "bad"}}
    whole = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params} | changes
    return json.dumps(whole).encode()


def nested(levels: int) -> bytes:
    return call().replace(b'"bad"', b"[" * levels + b'"bad"' + b"]" * levels)


ANSWERED: dict[str, tuple[bytes, int, int | None]] = {
    "no JSON": (b"tools/call note", -32700, None),
    "cut short": (call()[:-1], -32700, None),
    "two messages on a line": (call() + call(), -32700, None),
    "trailing comma": (call().replace(b'"bad"}', b'"bad",}'), -32700, None),
    "single quotes": (call().replace(b'"', b"'"), -32700, None),
    "a byte order mark": (b"\xef\xbb\xbf" + call(), -32700, None),
    "invalid UTF-8": (call().replace(b"bad", b"bad\xff"), -32700, None),
    "overlong UTF-8": (call().replace(b"bad", b"bad\xc0\xaf"), -32700, None),
    "a lone surrogate": (call().replace(b"bad", b"bad\\ud800"), -32700, None),
    "a control character": (call().replace(b"bad", b"bad\x01"), -32700, None),
    "nested 65 deep": (nested(65), -32600, 7),
    "nested 100,000 deep": (nested(100_000), -32700, None),
    "10 MB of text": (call().replace(b"bad", b"bad" + b"x" * 10_000_000), -32600, None),
    "10 MB of brackets": (b"[" * 10_000_000, -32600, None),
    "a batch": (b"[" + call() + b"]", -32600, None),
    "an empty batch": (b"[]", -32600, None),
    "a text": (b'"tools/call"', -32600, None),
    "null": (b"null", -32600, None),
    "a number": (b"7", -32600, None),
    "NaN": (call().replace(b'"bad"', b"NaN"), -32600, 7),
    "Infinity": (call().replace(b'"bad"', b"Infinity"), -32600, 7),
    "minus Infinity": (call().replace(b'"bad"', b"-Infinity"), -32600, 7),
    "1e400": (call().replace(b'"bad"', b"1e400"), -32600, 7),
    "10,000 digits": (call().replace(b'"bad"', b"9" * 10_000), -32600, None),
    "a duplicate argument": (call().replace(b'"bad"', b'"good", "marked": "bad"'), -32600, 7),
    "a duplicate tool name": (call().replace(b'"note"', b'"note", "name": "change"'), -32600, 7),
    "a duplicate method": (call().replace(b'"id"', b'"method": "ping", "id"'), -32600, 7),
    "a duplicate id": (call().replace(b'"id": 7', b'"id": 6, "id": 7'), -32600, None),
    "an escaped duplicate": (call().replace(b'"bad"', b'"good", "m\\u0061rked": "bad"'), -32600, 7),
    "arguments that differ in case": (call().replace(b'"bad"', b'"good", "Marked": "bad"'), -32600, 7),
    "a name that differs in case": (call().replace(b'"note"', b'"note", "Name": "change"'), -32600, 7),
    "a method that differs in case": (call().replace(b'"id"', b'"METHOD": "ping", "id"'), -32600, 7),
    "only a method in capitals": (call().replace(b'"method"', b'"Method"'), -32600, 7),
    "the id 1.5": (call(id=1.5), -32600, None),
    "the id 1.0": (call(id=1.0), -32600, None),
    "the id null": (call(id=None), -32600, None),
    "the id true": (call(id=True), -32600, None),
    "an object as id": (call(id={"id": 1}), -32600, None),
    "a list as id": (call(id=[1]), -32600, None),
    "JSON-RPC 1.0": (call(jsonrpc="1.0"), -32600, 7),
    "no version": (call().replace(b'"jsonrpc": "2.0", ', b""), -32600, 7),
    "a number as method": (call(method=1), -32600, 7),
    "a list as params": (call(params=["note", {}]), -32600, 7),
    "null as params": (call(params=None), -32600, 7),
    "a request that is also a result": (call(result={}), -32600, 7),
    "a text as arguments": (call(params={"name": "note", "arguments": "{}"}), -32602, 7),
    "null as arguments": (call(params={"name": "note", "arguments": None}), -32602, 7),
    "a list as _meta": (call(params={"name": "note", "_meta": []}), -32602, 7),
    "a list as tool name": (call(params={"name": ["note"]}), -32602, 7),
    "no tool name": (call(params={"arguments": {}}), -32602, 7),
    "an empty tool name": (call(params={"name": ""}), -32602, 7),
    "a tool name with a newline": (call(params={"name": "note\n"}), -32602, 7),
    "a tool name in full-width letters": (call(params={"name": "\uff4eote"}), -32602, 7),
    "an unknown method": (call(method="tools/erase"), -32601, 7),
    "a method in capitals": (call(method="TOOLS/CALL"), -32601, 7),
    "a method with a space": (call(method="tools/call "), -32601, 7),
}
"""What is wrong: the line, the code of the error, and the id it names: none where none is certain."""

UNANSWERED = {
    "an empty line": b"",
    "a blank line": b" \t\r",
    "a call as a notification": call().replace(b'"id": 7, ', b""),
    "a listing as a notification": b'{"jsonrpc": "2.0", "method": "tools/list"}',
    "an unknown notification": b'{"jsonrpc": "2.0", "method": "notifications/marked"}',
    "a notification of the server": b'{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}',
    "a result nobody asked for": b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
    "an error nobody asked for": b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "bad"}}',
    "the end of a call that is not under way": (
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}'
    ),
}
"""Where JSON-RPC owes no answer: dropped."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return recorded(tmp_path_factory.mktemp("bad-input"))


@pytest.fixture(scope="module")
def wire(project: Project) -> Iterator[Wire]:
    """One session for all that is bad: each test begins where the last one left it."""
    wire = Wire(project)
    wire.greet()
    told(wire.call("note"))
    yield wire
    assert wire.leave() == 0
    wire.end()


def serves_on(wire: Wire, project: Project, before: int) -> None:
    """A good call still works, and is the only thing that the server has been sent meanwhile."""
    decision = told(wire.call("note"))["decision"]
    assert set(project.decision(decision)) == {"decision", "credential", "outcome"}
    sent = [one["message"]["params"]["name"] for one in project.received()[before:]]
    assert sent == ["note"]


@pytest.mark.parametrize("what", ANSWERED)
def test_a_bad_message_gets_an_error_and_the_proxy_serves_on(wire: Wire, project: Project, what: str) -> None:
    line, code, named = ANSWERED[what]
    before = len(project.received())
    wire.send(line)
    answer = wire.read()
    assert answer["jsonrpc"] == "2.0"
    assert (answer["error"]["code"], answer["id"]) == (code, named)
    assert answer["error"]["message"].endswith(".")
    assert "result" not in answer
    assert project.rows()[-1].kind == "refusal"
    serves_on(wire, project, before)


@pytest.mark.parametrize("what", UNANSWERED)
def test_what_is_owed_no_answer_is_dropped_and_the_proxy_serves_on(
    wire: Wire, project: Project, what: str
) -> None:
    before = len(project.received())
    wire.send(UNANSWERED[what])
    serves_on(wire, project, before)


def test_after_all_of_it_the_log_verifies_and_nothing_was_unforeseen(wire: Wire, project: Project) -> None:
    assert project.hopward("log", "verify").startswith("The decision log verifies")
    assert "Traceback" not in wire.said
