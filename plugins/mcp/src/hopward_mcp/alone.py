"""`hopward mcp serve` with one worker, which is this process: it obeys signals itself."""

import asyncio
import logging
import signal
import socket
from pathlib import Path

import click
import uvloop

from hopward import HopwardError, Settings
from hopward_mcp.change import checked
from hopward_mcp.observing import announce, announce_lacking
from hopward_mcp.reading import reread
from hopward_mcp.serving import Serving
from hopward_mcp.told import refused, reloaded

_log = logging.getLogger(__name__)


def run(config: Path, _settings: Settings, listening: socket.socket) -> None:
    """Serve until told to end. Raises `ConfigError` where it cannot."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, listening))


async def _serve(config: Path, listening: socket.socket) -> None:
    loop, again = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, again.set)
    async with Serving(checked(config, reread(config))) as serving:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.end)
        reloading = loop.create_task(_reloaded(config, serving, again))
        for endpoint in serving.endpoints:
            click.echo(f"hopward: {endpoint.gate.server} is guarded at {endpoint.resource}", err=True)
        await serving.run([listening])
        reloading.cancel()


async def _reloaded(config: Path, serving: Serving, again: asyncio.Event) -> None:
    """Read the configuration again whenever told to."""
    while await again.wait():
        again.clear()
        try:
            # Loading policies takes its time, and calls go on meanwhile.
            await serving.adopt(await asyncio.to_thread(checked, config, reread(config), serving.settings))
        except HopwardError as error:
            click.echo(refused(config, str(error)), err=True)
        except Exception:  # noqa: BLE001 - named boundary: the next time may be better, and must be heard
            _log.exception("%s could not be reloaded", config)
        else:
            click.echo(reloaded(config), err=True)
            announce(serving.settings)
            announce_lacking(serving.settings)
