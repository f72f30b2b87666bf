"""`hopward mcp serve`: the HTTP front in front of every server, one endpoint each."""

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import click
import uvicorn
import uvloop

from hopward import ConfigError, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.child import command
from hopward_mcp.connection import Connection
from hopward_mcp.delivery import courier
from hopward_mcp.endpoint import Endpoint
from hopward_mcp.front import Front
from hopward_mcp.gate import Gate
from hopward_mcp.http_end import HttpEnd
from hopward_mcp.remote import TokenEndpoint
from hopward_mcp.server_end import ServerEnd
from hopward_mcp.stdio_end import StdioEnd
from hopward_mcp.turn import Turn
from hopward_mcp.upstream import Upstream

_BACKLOG = 1024
_KEEP_ALIVE = 30
_GRACE = 10
"""Seconds that requests under way have to end after SIGTERM."""


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def serve(ctx: click.Context, config: Path | None) -> None:
    """Guard every server over HTTP, each at /SERVER/mcp, whether it has a `url` or a `command`.

    Callers bring a token for the endpoint they call, obtained from the authority for a task.
    """
    opened = config if config is not None else ctx.obj.config
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(opened))


async def _serve(config: Path) -> None:
    async with AsyncExitStack() as stack:
        guard = Guard.open(config)
        stack.callback(guard.close)
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn ends gracefully and then raises the signal again, which must not end us before we close.
            signal.signal(number, _ignored)
        authority = TokenEndpoint(guard) if guard.token_endpoint else None
        if authority is not None:
            stack.push_async_callback(authority.close)
        endpoints = open_endpoints(guard, authority)
        for endpoint in endpoints:
            stack.push_async_callback(endpoint.close)
        listening = _listen(guard.settings.proxy.listen)
        for endpoint in endpoints:
            click.echo(f"hopward: {endpoint.gate.server} is guarded at {endpoint.resource}", err=True)
        await uvicorn.Server(uvicorn_config(Front(guard, endpoints))).serve(sockets=[listening])


def open_endpoints(guard: Guard, authority: Authority | None = None) -> list[Endpoint]:
    """An endpoint for every server with a `url` or `command`; raises `ConfigError` when there is none.

    `authority` is asked for credentials, where this process does not mint them.
    """
    turn = Turn(guard, asyncio.get_running_loop())
    endpoints: list[Endpoint] = []
    for server, settings in guard.settings.servers.items():
        if settings.in_process:
            click.echo(f"hopward: {server} is the tools of a program (in_process), not served", err=True)
            continue
        attached = courier(guard.settings, server, os.environ)
        gate = Gate(guard, server, courier=attached, turn=turn, authority=authority)
        endpoints.append(Endpoint(gate, _end(gate), guard.settings.proxy.public_url))
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


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        # Since Python 3.11 the text names the address a second time.
        why = str(error.strerror).partition(" (while")[0]
        raise ConfigError(f"proxy.listen: cannot listen on {address}: {why}.") from error


def uvicorn_config(front: Front) -> uvicorn.Config:
    """How uvicorn serves a front."""
    return uvicorn.Config(
        front,
        log_config=None,
        http=Connection,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )


def _ignored(_number: int, _frame: object) -> None:
    """A signal that has been heard already."""
