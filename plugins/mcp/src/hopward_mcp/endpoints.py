"""From settings to endpoints: what guards each server, and the way to it."""

import asyncio
import os
from dataclasses import dataclass

from hopward import ConfigError, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.child import Command, command
from hopward_mcp.delivery import Courier, courier
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.gate import Gate
from hopward_mcp.http_end import HttpEnd
from hopward_mcp.server_end import ServerEnd
from hopward_mcp.siblings import Siblings
from hopward_mcp.stdio_end import StdioEnd
from hopward_mcp.tracing import Tracing
from hopward_mcp.turn import Turn
from hopward_mcp.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Way:
    """How a server is reached: its URL, or a command, and what carries its credentials. While that stays the
    same, so do its sessions and processes."""

    server: str
    courier: Courier
    to: str | Command


@dataclass(frozen=True, slots=True)
class Shared:
    """What all endpoints of a process share. `authority` is asked for credentials, where this process does
    not mint them; `siblings` are the other workers; `tracing` is told of calls."""

    guard: Guard
    turn: Turn
    authority: Authority | None = None
    siblings: Siblings | None = None
    tracing: Tracing | None = None


def ways(guard: Guard) -> list[Way]:
    """The way to every server with a `url` or `command`; raises `ConfigError` when there is none, or its API
    key is not there."""
    found: list[Way] = []
    for server, settings in guard.settings.servers.items():
        if not settings.in_process:
            attached = courier(guard.settings, server, os.environ)
            to = settings.url or command(guard.settings, server, attached, os.environ)
            found.append(Way(server, attached, to))
    if not found:
        raise ConfigError(
            "No server in hopward.toml has a `url` or a `command`, so there is nothing to serve over HTTP.",
            advice="Add a [servers.NAME] with one of them.",
        )
    return found


def open_endpoints(
    guard: Guard, authority: Authority | None = None, tracing: Tracing | None = None
) -> list[Endpoint]:
    """An endpoint for every server with a `url` or `command`; raises `ConfigError` when there is none."""
    shared = Shared(guard, Turn(guard, asyncio.get_running_loop()), authority, tracing=tracing)
    return [open_endpoint(way, shared) for way in ways(guard)]


def open_endpoint(way: Way, shared: Shared) -> Endpoint:
    """The endpoint of one server."""
    mark = shared.siblings.mark if shared.siblings is not None else ""
    gate = Gate(
        shared.guard,
        way.server,
        courier=way.courier,
        turn=shared.turn,
        authority=shared.authority,
        mark=mark,
    )
    gate.tracing = shared.tracing
    return Endpoint(gate, _end(gate, way), shared.guard.settings.proxy.public_url, shared.siblings)


def _end(gate: Gate, way: Way) -> ServerEnd:
    if isinstance(way.to, str):
        return HttpEnd(gate, Upstream(way.to, way.courier.headers, gate.max_bytes))
    return StdioEnd(gate, way.to)
