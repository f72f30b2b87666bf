"""`hopward mcp serve`: the HTTP front in front of every server, one endpoint each, in one process or several.

SIGTERM and SIGINT drain, and end at once when they come again.
"""

import importlib
import socket
from pathlib import Path

import click

from hopward import ConfigError, read_settings
from hopward_mcp.observing import announce, announce_lacking
from hopward_mcp.telemetry import require_packages

_BACKLOG = 1024


@click.command()
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def serve(ctx: click.Context, config: Path | None) -> None:
    """Guard every server over HTTP, each at /SERVER/mcp, whether it has a `url` or a `command`.

    Callers bring a token for the endpoint they call, obtained from the authority for a task.
    """
    opened = (config if config is not None else ctx.obj.config).absolute()
    settings = read_settings(opened)
    require_packages(settings)
    for name, server in settings.servers.items():
        if server.in_process:
            click.echo(f"hopward: {name} is the tools of a program (in_process), not served", err=True)
    announce(settings)
    announce_lacking(settings)
    with _listen(settings.proxy.listen) as listening:
        # What serves is slow to import, and a parent of workers does not serve.
        if settings.proxy.workers > 1:
            importlib.import_module("hopward_mcp.parent").run(opened, settings, listening)
        else:
            importlib.import_module("hopward_mcp.alone").run(opened, settings, listening)


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
