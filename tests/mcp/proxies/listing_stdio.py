"""An MCP server over stdio, of the era 2025-11-25, that lists what stands in a file at that moment.

    listing_stdio.py FILE

The file holds the tools as JSON. A call answers with nothing.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def result(method: str) -> dict[str, Any]:
    match method:
        case "initialize":
            info = {"name": "listing", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            file = Path(sys.argv[1])
            return {"tools": json.loads(file.read_text()) if file.exists() else sys.exit("no tools here")}
        case _:
            return {"content": []}


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] in ("initialize", "tools/list", "tools/call"):
            answer["result"] = result(message["method"])
        else:
            answer["error"] = {"code": -32601, "message": "unknown method"}
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
