"""What a server offers, asked with the MCP SDK's own client in whichever era it speaks."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TextIO, TypeVar, cast

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ListToolsRequest, PaginatedRequestParams
from pydantic import RootModel

from hopward import HopwardError, Settings
from hopward_mcp.child import command
from hopward_mcp.delivery import Courier, courier
from hopward_mcp.proposal import Proposal, propose_prompt, propose_resource, propose_tool

T = TypeVar("T")

_METHOD_NOT_FOUND = -32601
_MOST_PAGES = 1_000
_REFUSED_CALLER = (401, 403)

# The SDK logs what it cannot read with a traceback; what is wrong reaches us as an error as well.
logging.getLogger("mcp").addHandler(logging.NullHandler())


class CallerRefusedError(HopwardError):
    """The server answers, but lets nobody in who brings no credential for a call."""

    error = "caller_refused"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server is asked with: the variables of this process, and where its own stderr goes."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    heard: TextIO = field(default_factory=lambda: sys.stderr)


async def inspect(
    settings: Settings, server: str, surroundings: Surroundings | None = None
) -> list[Proposal]:
    """A proposal for every tool, MCP resource and prompt of a server, in the order it lists them.

    Raises `HopwardError` as `asked` does.
    """
    return await asked(settings, server, lambda client: _proposals(server, client), surroundings)


async def asked(
    settings: Settings,
    server: str,
    question: Callable[[Client], Awaitable[T]],
    surroundings: Surroundings | None = None,
) -> T:
    """What a question to a server comes to.

    The server is started, or asked over HTTP, as the proxy would, but without any credential for a call.
    Raises `CallerRefusedError` where it wants one, `HopwardError` when it does not answer otherwise.
    """
    statuses: list[int] = []
    try:
        async with (
            _transport(settings, server, surroundings or Surroundings(), statuses) as transport,
            Client(transport) as client,
        ):
            return await question(client)
    except (MCPError, OSError, TimeoutError, ValueError, *_CUT_OFF) as error:
        raise _unanswered(server, error, statuses) from error
    except ExceptionGroup as group:
        raise _unanswered(server, leaf(group), statuses) from group


_CUT_OFF = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)
"""What the SDK raises where the other end is gone."""


def _unanswered(server: str, error: BaseException, statuses: list[int]) -> HopwardError:
    if isinstance(error, HopwardError):
        return error
    if statuses and statuses[-1] in _REFUSED_CALLER:
        return CallerRefusedError(
            f"The server {server} wants a credential before it lists anything (HTTP {statuses[-1]}).",
            advice=f"Classify its tools by hand: [servers.{server}.tools.TOOL] in hopward.toml.",
        )
    why = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename:
        why = f"{error.filename}: {error.strerror}"
    elif statuses and statuses[-1] >= 400:
        why = f"HTTP {statuses[-1]}"
    return HopwardError(
        f"The server {server} did not answer: {why}",
        error="server_unreachable",
        advice=f"Check `command` or `url` of servers.{server} in hopward.toml, and what it printed above.",
    )


def leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception that is no group: what has happened first."""
    first: BaseException = group.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = cast("BaseExceptionGroup[BaseException]", first).exceptions[0]
    return first


async def _proposals(server: str, client: Client) -> list[Proposal]:
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


class _Whole(RootModel[dict[str, Any]]):
    """A result as it came."""


@dataclass(frozen=True, slots=True)
class ListedPage:
    """One page of a `tools/list` as it came: its tools, what was asked with, and what leads on."""

    tools: list[Any]
    cursor: str
    following: str


async def listing_of(client: Client) -> list[ListedPage]:
    """Every page of tools a server lists, as it came: the SDK's own types leave out what they do not know."""
    pages: list[ListedPage] = []

    async def ask(cursor: str | None) -> Any:
        params = PaginatedRequestParams(cursor=cursor)
        answer = await client.session.send_request(ListToolsRequest(params=params), _Whole)
        tools, following = answer.root.get("tools"), answer.root.get("nextCursor")
        page = ListedPage(
            cast("list[Any]", tools) if isinstance(tools, list) else [],
            cursor or "",
            following if isinstance(following, str) else "",
        )
        pages.append(page)
        return SimpleNamespace(tools=page.tools, next_cursor=page.following)

    await _pages(ask, "tools")
    return pages


async def tools_of(client: Client) -> list[Any]:
    """Every tool a server lists."""
    return await _pages(client.list_tools, "tools")


@asynccontextmanager
async def _transport(
    settings: Settings, server: str, surroundings: Surroundings, statuses: list[int]
) -> AsyncGenerator[Any]:
    """A transport of the SDK to a server; the status of each HTTP answer is added to `statuses`."""
    entry = settings.servers[server]
    attached = courier(settings, server, surroundings.environment)
    if not entry.url:
        yield stdio_client(_started(settings, server, attached, surroundings), errlog=surroundings.heard)
        return

    async def note(response: httpx2.Response) -> None:
        statuses.append(response.status_code)

    async with httpx2.AsyncClient(
        headers=dict(attached.headers), event_hooks={"response": [note]}, trust_env=False
    ) as http:
        yield streamable_http_client(entry.url, http_client=http)


def _started(
    settings: Settings, server: str, attached: Courier, surroundings: Surroundings
) -> StdioServerParameters:
    started = command(settings, server, attached, surroundings.environment)
    program, *arguments = started.checked()
    return StdioServerParameters(
        command=program,
        args=arguments,
        env=dict(started.environment),
        cwd=started.directory,
    )


async def _pages(ask: Callable[..., Awaitable[Any]], member: str) -> list[Any]:
    """Every page of one listing; empty where the server does not have it.

    Raises `HopwardError` for a listing that does not end.
    """
    found: list[Any] = []
    cursor: str | None = None
    seen: set[str] = set()
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
        if cursor in seen or len(seen) > _MOST_PAGES:
            raise HopwardError(f"The list of its {member} does not end.", error="server_unreachable")
        seen.add(cursor)
