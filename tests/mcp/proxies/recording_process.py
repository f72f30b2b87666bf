"""An MCP server over stdio that speaks both eras and keeps every message it receives, with its own number.

    recording_process.py RECORD [both|legacy|modern|mute|picky]

A line of RECORD is `{"pid": ..., "message": ...}`. The first request decides the era of a process, as
with the SDK; `mute` answers nothing at all, `picky` is a legacy one that greets clients of 2025-11-25 only.
A tool's name says what it does: `echo` answers with what it received, `slow` never, `pair` only once two of
it are under way, and then the later one first; `ask` asks the client, and answers with the client's answer;
`torrent` and `pester` send notifications or requests without end.
"""

import json
import os
import sys
import threading
from typing import Any

VERSION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
MODERN = "2026-07-28"
TOOLS = ("echo", "slow", "ask", "hidden")


class Server:
    """One process of the server."""

    def __init__(self, era: str) -> None:
        self.era = "legacy" if era == "picky" else era
        self.picky = era == "picky"
        self.modern: bool | None = None
        self.paired: list[Any] = []
        self.asking: list[Any] = []

    def handle(self, message: dict[str, Any]) -> None:
        """Answer one message, if it is owed an answer."""
        if "method" not in message:
            self.answered(message)
        elif "id" not in message:
            self.told(message)
        elif self.era != "mute":
            self.requested(message, message.get("params", {}))

    def requested(self, message: dict[str, Any], params: dict[str, Any]) -> None:
        method, message_id = message["method"], message["id"]
        enveloped = VERSION in params.get("_meta", {})
        if self.modern is None:
            self.modern = enveloped and method != "initialize" and self.era != "legacy"
        if self.modern is not enveloped or self.era not in ("both", "modern" if enveloped else "legacy"):
            send({"id": message_id, "error": {"code": -32601, "message": "not in this era"}})
        elif method == "initialize" and self.picky and params["protocolVersion"] != "2025-11-25":
            send({"id": message_id, "error": {"code": -32602, "message": "too old"}})
        elif method == "tools/call":
            self.called(message_id, params)
        else:
            self.answer(message_id, self.result(method, params))
            if method == "subscriptions/listen":
                tagged = {"_meta": {SUBSCRIPTION: message_id}}
                send({"method": "notifications/tools/list_changed", "params": tagged})

    def result(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        """The result of a request that calls nothing; None while it goes on."""
        if method == "subscriptions/listen":
            return None
        info = {"name": "recording", "version": "1"}
        return {
            "initialize": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info},
            "server/discover": {"supportedVersions": [MODERN], "capabilities": {}, "ttlMs": 0},
            "tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]},
            "resources/read": {"contents": [{"uri": params.get("uri"), "text": "a ticket"}]},
            "prompts/get": {"messages": [{"role": "user", "content": {"type": "text", "text": "sum up"}}]},
            "completion/complete": {"completion": {"values": ["one"]}},
            "tasks/get": {"taskId": "task-1", "status": "completed", "result": {"content": []}},
            "tasks/result": {"content": []},
            "tasks/list": {"tasks": [{"taskId": "task-1"}, {"taskId": "task-2"}]},
        }.get(method, {})

    def called(self, message_id: Any, params: dict[str, Any]) -> None:
        name, meta = params["name"], params.get("_meta", {})
        match name:
            case "slow":
                return
            case "die":
                os._exit(3)
            case "broken":
                send({"id": message_id, "error": {"code": -32602, "message": "broken"}})
            case "garbage":
                os.write(1, b'{"jsonrpc":"2.0","id":%d,"result":{"a":1,"a":2}}\n' % message_id)
            case "flood":
                head = b'{"jsonrpc":"2.0","id":%d,"result":{"text":"' % message_id
                os.write(1, head + b"x" * 300_000 + b'"}}\n')
            case "pair":
                self.paired.append((message_id, params))
                if len(self.paired) == 2:
                    for one, its in reversed(self.paired):
                        self.progress(its)
                        self.answer(one, text(its))
            case "ask":
                self.asking.append(message_id)
                send({"id": len(self.asking), "method": "roots/list", "params": {}})
                send({"id": 99, "method": "sampling/createMessage", "params": {"messages": []}})
            case "later":
                task = {"taskId": "task-1", "status": "working"}
                made = {"resultType": "task", **task} if self.modern else {"task": task}
                send({"id": message_id, "result": made})
            case "torrent" | "pester":
                threading.Thread(target=torrent, args=(name == "pester",), daemon=True).start()
            case "stream":
                self.progress(params)
                send({"method": "notifications/message", "params": {"level": "info", "data": "working"}})
                send({"method": "notifications/tools/list_changed"})
                self.answer(message_id, text(params))
            case _:
                self.answer(message_id, text({**params, "credential": bool(meta), "pid": os.getpid()}))

    def progress(self, params: dict[str, Any]) -> None:
        token = params.get("_meta", {}).get("progressToken")
        if token is not None:
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})

    def told(self, message: dict[str, Any]) -> None:
        if message["method"] == "notifications/initialized":
            send({"method": "notifications/resources/list_changed"})

    def answered(self, message: dict[str, Any]) -> None:
        """The client has answered a request of ours."""
        if message["id"] != 99:
            self.answer(self.asking[message["id"] - 1], text(message))

    def answer(self, message_id: Any, result: dict[str, Any] | None) -> None:
        if result is not None:
            send(
                {
                    "id": message_id,
                    "result": {**result, **({"resultType": "complete"} if self.modern else {})},
                }
            )


def torrent(asking: bool) -> None:
    told = {"method": "notifications/message", "params": {"level": "info", "data": "x" * 1_000}}
    while True:
        send({"id": 1, "method": "sampling/createMessage"} if asking else told)


def send(message: dict[str, Any]) -> None:
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def text(value: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(value)}], "vendor": {"kept": True}}


def main() -> None:
    server = Server(sys.argv[2] if len(sys.argv) > 2 else "both")
    with open(sys.argv[1], "ab", buffering=0) as record:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            record.write(json.dumps({"pid": os.getpid(), "message": message}).encode() + b"\n")
            server.handle(message)


if __name__ == "__main__":
    main()
