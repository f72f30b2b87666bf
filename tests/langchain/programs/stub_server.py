"""An MCP server on stdio that is no server: it leaves a ping, or a call, without a proper answer.

Run as `python stub_server.py RECEIVED silent|failing`.
"""

import json
import sys
from pathlib import Path
from typing import Any

SECRET = "what the server says of itself"

INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "stub", "version": "1"},
}
TOOL = {"name": "read_note", "inputSchema": {"type": "object", "properties": {"note": {"type": "string"}}}}


def answered(method: str, silent: bool) -> dict[str, Any] | None:
    """What a request is answered with, if it is."""
    if method == "initialize":
        return {"result": INITIALIZED}
    if method == "tools/list":
        return {"result": {"tools": [TOOL]}}
    if method == "ping":
        return None if silent else {"result": {}}
    return {"error": {"code": -32000 if method == "tools/call" else -32601, "message": SECRET}}


def serve(received: Path, silent: bool) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "tools/call":
            with received.open("a") as file:
                file.write(line)
        answer = answered(message.get("method", ""), silent) if "id" in message else None
        if answer is not None:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2] == "silent")
