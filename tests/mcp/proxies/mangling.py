"""Messages as somebody sends them who wants to be misread: good ones with some bytes changed, and worse."""

import json
import random
from collections.abc import Iterator
from typing import Any

from hopward.base64url import decode
from hopward.canonical import digest
from hopward_mcp.methods import CLIENT_NOTIFICATIONS, CLIENT_REQUESTS

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "dev.hopward/credential": "forged",
    "progressToken": "p",
}
_NAMES = (*("echo",) * 9, "hidden", "refund", "unknown", "Echo", "summary", "echo\u200b")
_PIECES = (
    *(b'"name":"hidden"', b'"Name":"hidden"', b'"method":"tools/call"', b'"id":1', b'"ID":2', b'"params":{}'),
    *(
        b'"arguments":{"amount":99}',
        b",",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\n",
        b"\r\n",
        b"\x00",
        b"\\u0065",
        b"\xff",
    ),
    *(b'"_meta":{"dev.hopward/credential":"forged"}', b"1e999", b"\\ud800", b"\xe2\x80\xa8", b" " * 70, b'"'),
)


def good(chance: random.Random) -> dict[str, Any]:
    """A message that may pass."""
    name, number = (
        chance.choice(_NAMES),
        chance.choice([1, "a", *(chance.randrange(10**6) for _ in range(6))]),
    )
    arguments = {"amount": chance.choice([1, 49, 51]), "x": chance.choice(["a", [1], {"name": "hidden"}])}
    params: dict[str, Any] = {"name": name, "arguments": arguments}
    if chance.random() < 0.5:
        params["_meta"] = META
    return chance.choice(
        [
            *[{"id": number, "method": "tools/call", "params": params}] * 6,
            {"id": number, "method": "tools/call", "params": {"name": name}},
            {"id": number, "method": "resources/read", "params": {"uri": f"ticket://{chance.choice('ab.')}"}},
            {"id": number, "method": "prompts/get", "params": {"name": name}},
            {"id": number, "method": "tools/list"},
            {"method": "tools/call", "params": params},
            {"method": "notifications/cancelled", "params": {"requestId": number}},
            {"id": number, "result": params},
        ]
    )


def mangled(chance: random.Random, count: int) -> Iterator[bytes]:
    """So many lines, some of them as they should be."""
    for _ in range(count):
        raw = bytearray(json.dumps({"jsonrpc": "2.0", **good(chance)}, ensure_ascii=False).encode())
        for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 5])):
            at = chance.randrange(len(raw) + 1)
            match chance.randrange(5):
                case 0:
                    raw[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    del raw[at : at + chance.randint(1, 8)]
                case 2:
                    raw[at:at] = raw[chance.randrange(len(raw)) :][: chance.randint(1, 40)] if raw else b""
                case 3:
                    raw[at:at] = chance.choice(_PIECES)
                case _:
                    raw[:] = raw[at:] + raw[:at]
            raw = raw or bytearray(b"{")
        yield bytes(raw)


def unlogged(received: list[dict[str, Any]], rows: list[Any]) -> list[str]:
    """What of the messages that a server has received nobody has decided on; `rows` are all of the log.

    Each call has a credential that names a permit for exactly it, and no permit lets two calls pass.
    """
    permits = {row.decision: row for row in rows if row.kind == "decision" and row.verdict == "permit"}
    wrong: list[str] = []
    for message in received:
        method = message.get("method", "")
        if CLIENT_REQUESTS.get(method) == "authorize":
            wrong += _unlogged_call(message, permits)
        elif method not in CLIENT_REQUESTS and method not in CLIENT_NOTIFICATIONS:
            wrong.append(f"{method} is no method that passes")
    return wrong


def _unlogged_call(message: dict[str, Any], permits: dict[str, Any]) -> list[str]:
    params = message["params"]
    token = params.get("_meta", {}).get("dev.hopward/credential", "")
    if token.count(".") != 2 or "id" not in message:
        return [f"{message} has no credential, or no id"]
    claims = json.loads(decode(token.split(".")[1]))
    details = claims["authorization_details"][0]
    row = permits.pop(claims["decision"], None)
    if row is None:
        return [f"{message} has no permit of its own"]
    prefix = {"tools/call": "", "prompts/get": "prompt:"}.get(message["method"], "resource:")
    tool, arguments = prefix + params.get("name", params.get("uri", "")), params.get("arguments", {})
    said = (row.tool, row.record["call"]["arguments"], details["tool"], details["arguments_digest"])
    if said != (tool, arguments, tool, digest(arguments)):
        return [f"{message} is not the call that was decided on: {said}"]
    return []
