"""`hopward mcp serve`: the HTTP front in front of every server, one endpoint each.

SIGTERM and SIGINT drain, and end at once when they come again.
"""

import asyncio
import signal
import socket
from pathlib import Path

import click
import uvloop

from hopward import ConfigError, Guard
from hopward_mcp.serving import Serving

_BACKLOG = 1024


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
    guard = Guard.open(config)
    try:
        async with Serving(guard) as serving:
            listening = _listen(guard.settings.proxy.listen)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, serving.end)
            for endpoint in serving.endpoints:
                click.echo(f"hopward: {endpoint.gate.server} is guarded at {endpoint.resource}", err=True)
            await serving.run([listening])
    finally:
        guard.close()


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
