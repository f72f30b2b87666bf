"""An MCP server over stdio, of the era 2025-11-25, with the tools named on its command line.

    offering_stdio.py BEHAVIOUR TOOL...

`good` answers; `silent` never does; `crash` ends with a last word on stderr; `endless` has a next page of its
list always. Each tool takes `title` (text), `count` (whole number), `ratio` (number), `loud` (true or false)
and `tags` (list); a call answers with its arguments, the names of its environment and its working folder.
"""

import json
import os
import sys
from typing import Any

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "loud": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
}


def result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            info = {"name": "offering", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            tools = [{"name": name, "inputSchema": SCHEMA} for name in sys.argv[2:]]
            return {"tools": tools} | ({"nextCursor": "more"} if sys.argv[1] == "endless" else {})
        case "tools/call":
            told = {"arguments": params.get("arguments"), "names": sorted(os.environ), "folder": os.getcwd()}
            broken = params["name"].endswith("_badly")
            return {"content": [{"type": "text", "text": json.dumps(told)}], "isError": broken}
        case _:
            return {}


def main() -> None:
    if sys.argv[1] == "crash":
        sys.exit("there is no database\x1b[2J")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or sys.argv[1] == "silent":
            continue
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] in ("initialize", "tools/list", "tools/call"):
            answer["result"] = result(message["method"], message.get("params", {}))
        else:
            answer["error"] = {"code": -32601, "message": "unknown method"}
        os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
