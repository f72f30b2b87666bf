"""An MCP server over stdio whose processes differ: what each does stands in a file.

    mortal_stdio.py RECORD LIVES

LIVES is a JSON list with an object for each process, in the order they are started; the last one is of all
that follow. `die` names a method at which the process ends, or "start"; `half` has it write half an answer
before; `mute` names a method that is not answered; `deaf` has it read nothing after its second message;
`answers` replaces results, by method. A line of RECORD is `{"pid", "message"}`. The tool `die` ends the
process, `slow` is never answered, `ask` asks the client. Changed roots have it notify every listener.
"""

import json
import os
import sys
import time
from typing import Any

listeners: list[Any] = []
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def send(message: dict[str, Any]) -> None:
    os.write(1, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def result(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        changes = {"listChanged": True}
        capabilities = {"tools": changes, "resources": {**changes, "subscribe": True}, "prompts": {}}
        info = {"name": "mortal", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info}
    if method == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
    if method == "tools/call":
        shown = json.dumps({"pid": os.getpid(), "arguments": params.get("arguments")})
        return {"content": [{"type": "text", "text": shown}]}
    return {}


def handle(life: dict[str, Any], message: dict[str, Any]) -> None:
    method, params = message.get("method", "answer"), message.get("params", {})
    name = params.get("name") if method == "tools/call" else ""
    if method == life.get("die") or name == "die":
        if life.get("half"):
            os.write(1, b'{"jsonrpc":"2.0","id":%d,"result":{"content":[' % message["id"])
        os._exit(3)
    if method == "notifications/roots/list_changed":
        update = {"uri": "ticket://1"}
        for about in ({"_meta": {SUBSCRIPTION: key}} for key in listeners):
            send({"method": "notifications/resources/updated", "params": {**update, **about}})
        send({"method": "notifications/resources/updated", "params": update})
    if "id" not in message or "method" not in message or name == "slow" or method == life.get("mute"):
        return
    if method == "subscriptions/listen":
        listeners.append(message["id"])
        tagged = {"_meta": {SUBSCRIPTION: message["id"]}}
        send({"method": "notifications/subscriptions/acknowledged", "params": tagged})
        return
    if name == "ask":
        send({"id": 1, "method": "roots/list"})
        return
    answer = life.get("answers", {}).get(method, result(method, params))
    send({"id": message["id"], **(answer if "error" in answer else {"result": answer})})


def main() -> None:
    record, lives = sys.argv[1:]
    started = f"{record}.started"
    with open(started, "ab", buffering=0) as count:
        count.write(b".")
    with open(lives) as file:
        every = json.load(file)
    life = every[min(os.path.getsize(started), len(every)) - 1]
    if life.get("die") == "start":
        sys.exit(3)
    with open(record, "ab", buffering=0) as file:
        for line in iter(sys.stdin.buffer.readline, b""):
            message = json.loads(line)
            file.write(json.dumps({"pid": os.getpid(), "message": message}).encode() + b"\n")
            handle(life, message)
            while life.get("deaf") and message.get("method") != "initialize":
                time.sleep(60)


if __name__ == "__main__":
    main()
