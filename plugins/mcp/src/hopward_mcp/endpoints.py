"""From settings to endpoints: what guards each server, and the way to it."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hopward import ConfigError, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.child import Command, command
from hopward_mcp.delivery import Courier, courier
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.external import ExternalAuthority
from hopward_mcp.gate import Gate
from hopward_mcp.http_end import HttpEnd
from hopward_mcp.remote import TokenEndpoint
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
    not mint them, or one of `external`, by name; `siblings` are the other workers; `tracing` is told of
    calls."""

    guard: Guard
    turn: Turn
    authority: Authority | None = None
    siblings: Siblings | None = None
    tracing: Tracing | None = None
    external: Mapping[str, Authority] = field(default_factory=dict[str, Authority])

    def authority_of(self, server: str) -> Authority | None:
        """Who is asked for the credentials of a server."""
        name = self.guard.settings.servers[server].credential.authorization_server
        return self.external[name] if name else self.authority

    async def close(self) -> None:
        """Give up what is asked, and close every connection to who is."""
        for one in (*([self.authority] if self.authority else []), *self.external.values()):
            await one.close()


def sharing(guard: Guard, turn: Turn, **more: Any) -> Shared:
    """Who is asked for credentials under this guard; `more` is what else is shared."""
    authority = TokenEndpoint(guard) if guard.token_endpoint else None
    used = {server.credential.authorization_server for server in guard.settings.servers.values()}
    external = {name: ExternalAuthority(guard, name) for name in sorted(used) if name}
    return Shared(guard, turn, authority, external=external, **more)


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
        authority=shared.authority_of(way.server),
        mark=mark,
    )
    gate.tracing = shared.tracing
    return Endpoint(gate, _end(gate, way), shared.guard.settings.proxy.public_url, shared.siblings)


def _end(gate: Gate, way: Way) -> ServerEnd:
    if isinstance(way.to, str):
        return HttpEnd(gate, Upstream(way.to, way.courier.headers, gate.max_bytes))
    return StdioEnd(gate, way.to)
