"""One worker of several: a process of its own, started by `hopward_mcp.parent` and told by it what to do.

    python -P -m hopward_mcp.sibling CONTROL LISTENING     numbers of inherited file descriptors

Signals are the parent's business: some service managers send them to every process there is. When the parent
has gone, the worker drains too.
"""

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

import uvloop

from hopward import HopwardError
from hopward_mcp.change import Change, checked
from hopward_mcp.serving import Serving
from hopward_mcp.siblings import Siblings
from hopward_mcp.told import Line, Said, failure

_log = logging.getLogger(__name__)


def main() -> None:
    """Serve until told to end."""
    control, listening = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_live(control, listening))


async def _live(control: socket.socket, listening: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, _heard)
    line = await Line.over(control)
    told = await line.hear()
    if told is not None:
        try:
            await _serve(told["start"], line, listening)
        except HopwardError as error:
            line.say(failure(error))
            await line.flushed()
    await line.close()


async def _serve(start: Said, line: Line, listening: socket.socket) -> None:
    config, siblings = Path(start["config"]), Siblings(Path(start["folder"]), start["number"])
    async with Serving(checked(config, start["text"]), siblings) as serving:
        line.say({"ready": [[one.gate.server, one.resource] for one in serving.endpoints]})
        obeying = asyncio.create_task(_obey(config, line, serving))
        await serving.run([listening])
        obeying.cancel()


async def _obey(config: Path, line: Line, serving: Serving) -> None:
    """Do what the parent says, and end when it says nothing any more."""
    change: Change | None = None
    while (told := await line.hear()) is not None:
        try:
            if "prepare" in told:
                if change is not None:
                    change.guard.close()
                change = await asyncio.to_thread(checked, config, told["prepare"], serving.settings)
                line.say({"prepared": change.settings.proxy.drain_seconds})
            elif "adopt" in told and change is not None:
                prepared, change = change, None
                await serving.adopt(prepared)
                line.say({"adopted": True})
            elif "abandon" in told and change is not None:
                change.guard.close()
                change = None
            elif "end" in told:
                serving.end()
        except HopwardError as error:
            line.say(failure(error))
        except Exception:  # noqa: BLE001 - named boundary: the parent must be heard, whatever fails
            _log.exception("the parent could not be obeyed")
            line.say(failure(HopwardError("The configuration could not be put in force.")))
    if change is not None:
        change.guard.close()
    serving.end()


def _heard() -> None:
    """A signal that the parent has got as well."""


if __name__ == "__main__":
    main()
