"""One worker of several: a process of its own, started by `hopward_mcp.parent` and told by it what to do.

    python -P -m hopward_mcp.sibling CONTROL LISTENING     numbers of inherited file descriptors

Signals are the parent's business: a service manager sends them to every process there is. When the parent has
gone, the worker drains too.
"""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import uvloop

from hopward import ConfigError, Guard, HopwardError
from hopward_mcp.serving import Serving
from hopward_mcp.siblings import Siblings
from hopward_mcp.told import Line, Said


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
            line.say({"failed": failure(error)})
            await line.flushed()
    line.close()


async def _serve(start: Said, line: Line, listening: socket.socket) -> None:
    siblings = Siblings(Path(start["folder"]), start["number"])
    guard = Guard.prepared(start["config"], start["text"])
    guard.begin()
    try:
        async with Serving(guard, siblings) as serving:
            line.say({"ready": [[one.gate.server, one.resource] for one in serving.endpoints]})
            obeying = asyncio.create_task(_obey(line, serving))
            await serving.run([listening])
            obeying.cancel()
    finally:
        guard.close()


async def _obey(line: Line, serving: Serving) -> None:
    while await line.hear() is not None:
        serving.end()
    serving.end()


def failure(error: HopwardError) -> Said:
    """An error as a message."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    return {"message": error.message, "problems": problems, "advice": error.advice}


def _heard() -> None:
    """A signal that the parent has got as well."""


if __name__ == "__main__":
    main()
