"""What a server offers, asked with the MCP SDK's own client in whichever era it speaks."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters

from hopward import HopwardError, Settings
from hopward_mcp.child import command
from hopward_mcp.delivery import courier
from hopward_mcp.proposal import Proposal, propose_prompt, propose_resource, propose_tool

_METHOD_NOT_FOUND = -32601


async def inspect(settings: Settings, server: str) -> list[Proposal]:
    """A proposal for every tool, MCP resource and prompt of a server, in the order it lists them.

    The server is started, or asked over HTTP, as the proxy would, but without any credential for a call.
    Raises `HopwardError` when it does not answer.
    """
    try:
        return await _inspected(settings, server)
    except (MCPError, OSError, TimeoutError) as error:
        raise _unanswered(server, error) from error
    except ExceptionGroup as group:
        raise _unanswered(server, _first(group)) from group


def _unanswered(server: str, error: BaseException) -> HopwardError:
    return HopwardError(
        f"The server {server} did not answer: {str(error) or type(error).__name__}",
        error="server_unreachable",
        advice=f"Check `command` or `url` of servers.{server} in hopward.toml, and what it printed above.",
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaf: BaseException = group.exceptions[0]
    while isinstance(leaf, BaseExceptionGroup):
        leaf = cast("BaseExceptionGroup[BaseException]", leaf).exceptions[0]
    return leaf


async def _inspected(settings: Settings, server: str) -> list[Proposal]:
    async with Client(_target(settings, server)) as client:
        tools = await _pages(client.list_tools, "tools")
        resources = await _pages(client.list_resources, "resources")
        templates = await _pages(client.list_resource_templates, "resource_templates")
        prompts = await _pages(client.list_prompts, "prompts")
    return [
        *(propose_tool(server, tool.model_dump(by_alias=True, exclude_none=True)) for tool in tools),
        *(propose_resource(server, str(resource.uri)) for resource in resources),
        *(propose_resource(server, str(template.uri_template)) for template in templates),
        *(propose_prompt(server, str(prompt.name)) for prompt in prompts),
    ]


def _target(settings: Settings, server: str) -> StdioServerParameters | str:
    entry = settings.servers[server]
    if entry.url:
        return entry.url
    started = command(settings, server, courier(settings, server, os.environ), os.environ)
    return StdioServerParameters(
        command=started.words[0],
        args=list(started.words[1:]),
        env=dict(started.environment),
        cwd=started.directory,
    )


async def _pages(ask: Callable[..., Awaitable[Any]], member: str) -> list[Any]:
    """Every page of one listing; empty where the server does not have it."""
    found: list[Any] = []
    cursor: str | None = None
    while True:
        try:
            page = await ask(cursor=cursor)
        except MCPError as error:
            if error.error.code == _METHOD_NOT_FOUND:
                return found
            raise
        found += getattr(page, member)
        cursor = page.next_cursor
        if not cursor:
            return found
