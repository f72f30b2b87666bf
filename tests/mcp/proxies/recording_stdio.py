"""An MCP server over stdio that keeps every byte it receives in the file named by its first argument.

It speaks as little of the protocol as the tests need. A tool's name says what it does; `echo` answers with
the arguments and `_meta` it received.
"""

import json
import os
import sys
from typing import Any

TOOLS = (
    "echo",
    "refund",
    "hidden",
    "fail",
    "broken",
    "slow",
    "die",
    "flood",
    "garbage",
    "ask",
    "twice",
    "env",
)


def send(message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def answer(message_id: Any, result: Any) -> None:
    send({"jsonrpc": "2.0", "id": message_id, "result": result})


def text(value: Any) -> dict[str, Any]:
    return {
        "content": [{"type": "text", "text": json.dumps(value)}],
        "isError": False,
        "vendor": {"kept": True},
    }


def call(message_id: Any, params: dict[str, Any]) -> None:
    name = params.get("name")
    if name == "fail":
        answer(message_id, {"content": [{"type": "text", "text": "no"}], "isError": True})
    elif name == "broken":
        send(
            {"jsonrpc": "2.0", "id": message_id, "error": {"code": -32050, "message": "broken", "data": [1]}}
        )
    elif name == "slow":
        return
    elif name == "die":
        os._exit(3)
    elif name == "flood":
        head = b'{"jsonrpc":"2.0","id":' + str(message_id).encode() + b',"result":{"text":"'
        os.write(1, head + b"x" * 300_000 + b'"}}\n')
    elif name == "garbage":
        os.write(1, b"this is a log line, not JSON\n")
        answer(message_id, text("after garbage"))
    elif name == "ask":
        send({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})
        send({"jsonrpc": "2.0", "id": 2, "method": "sampling/createMessage", "params": {"messages": []}})
        send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hi"}})
        send({"jsonrpc": "2.0", "method": "notifications/vendor/secret", "params": {}})
        answer(message_id, text("asked"))
    elif name == "twice":
        answer(message_id, text("first"))
        answer(message_id, text("second"))
        answer(999_999, text("for nobody"))
    elif name == "later":
        answer(message_id, {"task": {"taskId": "task-1", "status": "working"}})
    elif name == "env":
        answer(message_id, text(dict(os.environ)))
    else:
        answer(message_id, text({"arguments": params.get("arguments"), "_meta": params.get("_meta")}))


def handle(message: dict[str, Any]) -> None:
    method, message_id, params = message.get("method"), message.get("id"), message.get("params", {})
    if message_id is None or method is None:
        return
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}, "tasks": {"list": {}}}
        info = {"name": "recording", "version": "1"}
        answer(
            message_id, {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
        )
    elif method == "tasks/result":
        answer(message_id, text(params))
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}, "vendorField": 1} for name in TOOLS]
        answer(message_id, {"tools": tools, "nextCursor": "more"})
    elif method == "tools/call":
        call(message_id, params)
    elif method == "resources/read":
        answer(message_id, {"contents": [{"uri": params["uri"], "text": "a ticket"}]})
    else:
        answer(message_id, {})


def main() -> None:
    with open(sys.argv[1], "ab", buffering=0) as record:
        for line in sys.stdin.buffer:
            record.write(line)
            handle(json.loads(line))


if __name__ == "__main__":
    main()
