"""The server under test: one trivial `echo` tool on the MCP SDK's low-level server, stdio or Streamable HTTP.

`get_tool_input_schema` is given, because without it the SDK lists the tools again on every modern HTTP call.
With `--require-credential`, a call that carries no credential is an error.
"""

import argparse
import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}
_META_KEY = "dev.hopward/credential"


def _credential(ctx: Any) -> str:
    """What the caller sent as a credential: HTTP `Authorization`, or the `_meta` entry on stdio."""
    if ctx.request is not None:
        return str(ctx.request.headers.get("authorization", "")).removeprefix("Bearer ")
    meta: Mapping[str, Any] = ctx.meta or {}
    return str(meta.get(_META_KEY, ""))


def build(*, require_credential: bool) -> Server[Any]:
    """The echo server."""

    async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name="echo", description="Echoes.", input_schema=_SCHEMA)])

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        if params.name != "echo":
            raise ValueError(f"no tool {params.name}")
        if require_credential and _credential(ctx).count(".") != 2:
            raise ValueError("the call carries no credential")
        return CallToolResult(content=[TextContent(type="text", text=(params.arguments or {})["text"])])

    def schema(name: str) -> Mapping[str, Any] | None:
        return _SCHEMA if name == "echo" else None

    return Server(
        "bench-echo",
        version="1",
        get_tool_input_schema=schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _serve_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def main() -> None:
    """Serve until stopped, having appended this process's id to the pid file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pid-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="serve HTTP on this port instead of stdio")
    parser.add_argument("--require-credential", action="store_true")
    options = parser.parse_args()
    server = build(require_credential=options.require_credential)
    with options.pid_file.open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    if options.port:
        uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=options.port, log_level="warning")
    else:
        asyncio.run(_serve_stdio(server))


if __name__ == "__main__":
    main()
