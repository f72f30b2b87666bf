"""`hopward mcp serve` with one worker, which is this process: it obeys signals itself."""

import asyncio
import signal
import socket
from pathlib import Path

import click
import uvloop

from hopward import Guard, Settings
from hopward_mcp.serving import Serving


def run(config: Path, _settings: Settings, listening: socket.socket) -> None:
    """Serve until told to end. Raises `ConfigError` where it cannot."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listening))


async def _serve(config: Path, listening: socket.socket) -> None:
    guard = Guard.open(config)
    try:
        async with Serving(guard) as serving:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, serving.end)
            for endpoint in serving.endpoints:
                click.echo(f"hopward: {endpoint.gate.server} is guarded at {endpoint.resource}", err=True)
            await serving.run([listening])
    finally:
        guard.close()
