"""An unguarded proxy written by hand on the MCP SDK: its low-level server before one connected client."""

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import uvicorn
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import CallToolRequestParams, CallToolResult, ListToolsResult


def build(client: Client, schemas: Mapping[str, Any]) -> Server[Any]:
    """A server that passes every call on. Without the schemas, the SDK would list the tools for each call."""

    async def list_tools(ctx: Any, params: Any) -> ListToolsResult:
        return await client.list_tools()

    async def call_tool(ctx: Any, params: CallToolRequestParams) -> CallToolResult:
        return await client.call_tool(params.name, params.arguments)

    return Server(
        "bench-passthrough",
        version="1",
        get_tool_input_schema=schemas.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _upstream(options: argparse.Namespace, http: httpx2.AsyncClient) -> AbstractAsyncContextManager[Any]:
    if options.url:
        return streamable_http_client(options.url, http_client=http)
    return stdio_client(StdioServerParameters(command=options.command[0], args=options.command[1:]))


async def _run(options: argparse.Namespace) -> None:
    async with (
        httpx2.AsyncClient(timeout=httpx2.Timeout(30.0, read=300.0)) as http,
        Client(_upstream(options, http), mode=options.mode) as client,
    ):
        tools = (await client.list_tools()).tools
        server = build(client, {tool.name: tool.input_schema for tool in tools})
        if options.port:
            app = server.streamable_http_app()
            config = uvicorn.Config(app, host="127.0.0.1", port=options.port, log_level="warning")
            await uvicorn.Server(config).serve()
            return
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--url", default="")
    parser.add_argument("command", nargs="*")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
