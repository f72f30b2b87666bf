"""`hopward mcp run`: the stdio proxy in front of one server, for one task.

Imports neither an MCP SDK nor anything of the HTTP side: a client waits for this process to start. Only where
the authority is not in this process, or the server has a `url`, it takes an HTTP client to reach it.
"""

import asyncio
import importlib
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from hopward import Chain, ConfigError, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.carried import NOBODY
from hopward_mcp.child import command
from hopward_mcp.client_end import take_over
from hopward_mcp.delivery import courier, in_process
from hopward_mcp.gate import Gate
from hopward_mcp.observing import announce, announce_lacking
from hopward_mcp.opening import Opening, about, end_on_signal, opened, opening_of
from hopward_mcp.stdio import Pump
from hopward_mcp.telemetry import tracing_of
from hopward_mcp.turn import Turn


@click.command()
@click.argument("server")
@click.option("--workflow", default="", help="The task to open.  [default: the server's `workflow`]")
@click.option("--subject", default="", help="On whose behalf.  [default: local:USER]")
@about
@click.option("--carried", is_flag=True, help="Open no task: each call has to carry the chain of its agent.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def run(ctx: click.Context, server: str, carried: bool, config: Path | None, **asked: Any) -> None:
    """Guard SERVER over stdin and stdout, for one task that ends with the session.

    Put this command where an MCP client expects the command of the server itself. A program with agents of
    its own starts it with --carried: its calls then bring their chains, and belong to the program's task.
    """
    opened = config if config is not None else ctx.obj.config
    if carried and any(asked.values()):
        told = (
            "--carried opens no task, so --workflow, --subject, --param, --request, --from-prompt: no effect."
        )
        raise click.UsageError(told)
    opening = None if carried else opening_of(asked)
    try:
        status = asyncio.run(_serve(opened, server, opening))
    except asyncio.CancelledError:
        status = 0
    ctx.exit(status)


async def _serve(config: Path, server: str, opening: Opening | None) -> int:
    end_on_signal()
    async with AsyncExitStack() as stack:
        guard = Guard.open(config)
        stack.callback(guard.close)
        _runnable(guard, server, opening)
        announce(guard.settings, server)
        announce_lacking(guard.settings, server)
        attached = courier(guard.settings, server, os.environ)
        tracing = tracing_of(guard.settings)
        if tracing is not None:
            stack.callback(tracing.close)
        authority = _authority(guard, server)
        if authority is not None:
            stack.push_async_callback(authority.close)
        chain = NOBODY if opening is None else _chain(guard, server, opening, stack)
        turn = Turn(guard, asyncio.get_running_loop())
        gate = Gate(guard, server, courier=attached, turn=turn, authority=authority)
        gate.tracing = tracing
        return await _pump(gate, chain)


def _chain(guard: Guard, server: str, opening: Opening, stack: AsyncExitStack) -> Chain:
    """The chain of a task that ends with the stack."""
    task = opened(guard, server, opening, stack)
    click.echo(f"hopward: {server} is guarded; task {task.id} ({task.workflow})", err=True)
    return guard.enter(task.id)


async def _pump(gate: Gate, chain: Chain) -> int:
    if gate.guard.settings.servers[gate.server].url:
        outbound = importlib.import_module("hopward_mcp.outbound").Outbound(gate, chain)
        how: str = await outbound.run(*take_over())
    else:
        started = command(gate.guard.settings, gate.server, gate.courier, os.environ)
        how = await Pump(gate, chain).run(started, *take_over())
    if not how:
        return 0
    click.echo(f"hopward: the server {how}", err=True)
    return 1


def _authority(guard: Guard, server: str) -> Authority | None:
    """Who mints the server's credentials, if not this process; raises `ConfigError` where it could not be
    asked."""
    name = guard.settings.servers[server].credential.authorization_server
    if name:
        external: Authority = importlib.import_module("hopward_mcp.external").ExternalAuthority(guard, name)
        return external
    if not guard.token_endpoint:
        return None
    authority: Authority = importlib.import_module("hopward_mcp.remote").TokenEndpoint(guard)
    return authority


def _runnable(guard: Guard, server: str, opening: Opening | None) -> None:
    """Raise `ConfigError` for a server that cannot be run at all."""
    if server not in guard.settings.servers:
        importlib.import_module("hopward_mcp.configured").require_server(guard.settings, server)
    settings = guard.settings.servers[server]
    if settings.in_process:
        raise in_process(server)
    if settings.url and opening is None:
        raise ConfigError(
            f"servers.{server} has a `url`; calls that carry their chains reach it at `hopward mcp serve`.",
            advice="Leave out --carried, or use the server's endpoint there.",
        )
