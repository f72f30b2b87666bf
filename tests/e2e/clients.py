"""The MCP clients that people have, behind one face: the SDK's and FastMCP's, in every era they speak."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import fastmcp
import pytest
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import EmptyResult, Request

from .project import HOPWARD

Library: TypeAlias = Literal["sdk", "fastmcp"]
Mode: TypeAlias = Literal["legacy", "2026-07-28", "auto"]


@dataclass(frozen=True)
class Kind:
    """A client library, and the era it is told to speak."""

    library: Library
    mode: Mode

    def __str__(self) -> str:
        return f"{self.library}-{self.mode}"


EVERY = [
    Kind("sdk", "legacy"),
    Kind("sdk", "2026-07-28"),
    Kind("sdk", "auto"),
    Kind("fastmcp", "legacy"),
    Kind("fastmcp", "auto"),
]


@dataclass(frozen=True)
class Answer:
    """What the agent sees of a tool call."""

    text: str
    structured: dict[str, Any] | None
    is_error: bool
    decision: dict[str, Any]


class Agent:
    """A connected client. It holds whatever the agent may hold: no credential of any server."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def version(self) -> str:
        """The protocol version spoken."""
        return str(self._client.protocol_version)

    async def tools(self) -> set[str]:
        """The names of the tools it is shown; none where it is refused the list."""
        try:
            listed = await self._client.list_tools()
        except MCPError:
            return set()
        return {tool.name for tool in getattr(listed, "tools", listed)}

    async def call(self, tool: str, **arguments: Any) -> Answer:
        """Call a tool. An error in place of a result is an answer too: its text is all that an agent sees."""
        try:
            return _seen(await self._call(tool, arguments))
        except MCPError as error:
            return Answer(error.error.message, None, True, {})

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Any:
        if isinstance(self._client, fastmcp.Client):
            return await self._client.call_tool(tool, arguments, raise_on_error=False)
        return await self._client.call_tool(tool, arguments)

    async def read(self, uri: str) -> str:
        """The text of an MCP resource, or of the error in its place."""
        try:
            found = await self._client.read_resource(uri)
        except MCPError as error:
            return error.error.message
        return getattr(found, "contents", found)[0].text

    async def prompt(self, name: str, **arguments: str) -> str:
        """The text of a prompt, or of the error in its place."""
        try:
            return (await self._client.get_prompt(name, arguments)).messages[0].content.text
        except MCPError as error:
            return error.error.message

    async def unknown(self, method: str) -> int:
        """The code of the error with which a request is answered that no client library knows."""
        with pytest.raises(MCPError) as refused:
            await self._client.session.send_request(Request(method=method, params=None), EmptyResult)
        return refused.value.code


def _seen(result: Any) -> Answer:
    text = "".join(getattr(block, "text", "") for block in result.content)
    decision = (result.meta or {}).get("dev.hopward/decision", {})
    return Answer(text, result.structured_content, bool(result.is_error), decision)


@asynccontextmanager
async def over_stdio(kind: Kind, folder: Path, server: str, *options: str) -> AsyncIterator[Agent]:
    """A client that starts `hopward mcp run SERVER` as the command of a server."""
    said = folder / "said.txt"
    arguments = ["--config", str(folder / "hopward.toml"), "mcp", "run", server, *options]
    if kind.library == "fastmcp":
        transport = StdioTransport(str(HOPWARD), arguments, keep_alive=False, log_file=said)
        async with fastmcp.Client(transport, mode=kind.mode) as client:
            yield Agent(client)
        return
    started = StdioServerParameters(command=str(HOPWARD), args=arguments)
    with said.open("w", encoding="utf-8") as log:
        async with Client(stdio_client(started, errlog=log), mode=kind.mode) as client:
            yield Agent(client)


@asynccontextmanager
async def over_http(kind: Kind, url: str, token: str) -> AsyncIterator[Agent]:
    """A client at an endpoint of `hopward mcp serve`, with the token of a task."""
    headers = {"Authorization": f"Bearer {token}"}
    if kind.library == "fastmcp":
        async with fastmcp.Client(StreamableHttpTransport(url, headers=headers), mode=kind.mode) as client:
            yield Agent(client)
        return
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=kind.mode) as client,
    ):
        yield Agent(client)
