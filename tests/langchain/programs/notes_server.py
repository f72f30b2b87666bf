"""An MCP server of notes, on stdio or HTTP, which writes down the credential of every call it gets."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

TOOLS = ("read_note", "burn_note")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}


def build(received: Path) -> Server[Any]:
    """The server; `received` gets one line of JSON for each call."""

    async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(
            tools=[Tool(name=name, description=name, input_schema=SCHEMA) for name in TOOLS]
        )

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        meta = dict(ctx.meta or {})
        header = ctx.request.headers.get("authorization", "") if ctx.request is not None else ""
        token = header.removeprefix("Bearer ") or str(meta.pop("dev.hopward/credential", ""))
        line = {"tool": params.name, "token": token, "meta": sorted(meta)}
        with received.open("a") as file:
            file.write(json.dumps(line) + "\n")
        text = f"{params.name} {(params.arguments or {}).get('note')}"
        return CallToolResult(content=[TextContent(text=text)])

    return Server("notes", on_list_tools=list_tools, on_call_tool=call_tool)


async def on_stdio(server: Server[Any]) -> None:
    """Serve on stdin and stdout."""
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("received", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    served = build(given.received)
    if given.port:
        uvicorn.run(served.streamable_http_app(), host="127.0.0.1", port=given.port)
    else:
        asyncio.run(on_stdio(served))
