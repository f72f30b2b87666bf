"""From settings to endpoints: what guards each server, and the way to it."""

import asyncio
import os

import click

from hopward import ConfigError, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.child import command
from hopward_mcp.delivery import courier
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.gate import Gate
from hopward_mcp.http_end import HttpEnd
from hopward_mcp.server_end import ServerEnd
from hopward_mcp.siblings import Siblings
from hopward_mcp.stdio_end import StdioEnd
from hopward_mcp.turn import Turn
from hopward_mcp.upstream import Upstream


def open_endpoints(
    guard: Guard, authority: Authority | None = None, siblings: Siblings | None = None
) -> list[Endpoint]:
    """An endpoint for every server with a `url` or `command`; raises `ConfigError` when there is none.

    `authority` is asked for credentials, where this process does not mint them; `siblings` are the other
    workers.
    """
    mark = siblings.mark if siblings is not None else ""
    turn = Turn(guard, asyncio.get_running_loop())
    endpoints: list[Endpoint] = []
    for server, settings in guard.settings.servers.items():
        if settings.in_process:
            click.echo(f"hopward: {server} is the tools of a program (in_process), not served", err=True)
            continue
        attached = courier(guard.settings, server, os.environ)
        gate = Gate(guard, server, courier=attached, turn=turn, authority=authority, mark=mark)
        endpoints.append(Endpoint(gate, _end(gate), guard.settings.proxy.public_url, siblings))
    if not endpoints:
        raise ConfigError(
            "No server in hopward.toml has a `url` or a `command`, so there is nothing to serve over HTTP.",
            advice="Add a [servers.NAME] with one of them.",
        )
    return endpoints


def _end(gate: Gate) -> ServerEnd:
    """The way to a gate's server."""
    settings = gate.guard.settings.servers[gate.server]
    if settings.url:
        return HttpEnd(gate, Upstream(settings.url, gate.courier.headers, gate.max_bytes))
    return StdioEnd(gate, command(gate.guard.settings, gate.server, gate.courier, os.environ))
