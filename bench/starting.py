"""The group `start-up`: CPU time until a proxy has answered its first request, and of `import mcp`."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from bench.context import Context
from bench.errors import BenchError
from bench.processes import total_cpu_ns
from bench.rawclient import RawStdio
from bench.results import Entry, Rounds
from bench.routes import StdioWay, Workbench, fastmcp, hopward
from bench.stats import median

GROUP = "start-up"
_QUIET_SECONDS = 0.05


def measure(context: Context) -> list[Entry]:
    """Each started several times a round, one after the other; the median of the round counts."""
    bench = Workbench(context.folder, context.era, context.plan.clients)
    stdio, _ = hopward(bench, "process")
    rival, _ = fastmcp(bench, reuse=False)
    starts: dict[str, Callable[[], tuple[float, float]]] = {
        "hopward": lambda: asyncio.run(_first_response(bench, stdio)),
        "fastmcp": lambda: asyncio.run(_first_response(bench, rival)),
        "import mcp": lambda: _python("import mcp"),
        "bare Python": lambda: _python("pass"),
    }
    rounds = {name: Rounds() for name in starts}
    context.expect(len(starts) * context.plan.rounds)
    for start in starts.values():
        start()
    for _ in range(context.plan.rounds):
        for name, start in starts.items():
            context.step(f"{GROUP}: {name}")
            cpus, walls = zip(*(start() for _ in range(context.plan.starts)), strict=True)
            rounds[name].note("wall_us", median(walls))
            rounds[name].note("cpu_us", median(cpus))
    return [found.entry(GROUP, name) for name, found in rounds.items()]


async def _first_response(bench: Workbench, way: StdioWay) -> tuple[float, float]:
    """CPU microseconds of the proxy, without its server, up to its first response, and the wall time."""
    pids, log = bench.folder / f"start-{way.name}.pids", bench.folder / f"start-{way.name}.log"
    command = way.command(bench.echo_command(pids, credential=way.credential))
    start = time.perf_counter()
    async with AsyncExitStack() as stack:
        session = await RawStdio.open(command, bench.era, log)
        stack.push_async_callback(session.close)
        seconds = time.perf_counter() - start
        await asyncio.sleep(_QUIET_SECONDS)
        return total_cpu_ns([session.pid]) / 1_000, seconds * 1e6


def _python(code: str) -> tuple[float, float]:
    """CPU and wall microseconds of a Python process that runs a line of code."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"python -c {code!r} failed")
    return (usage.ru_utime + usage.ru_stime) * 1e6, (time.perf_counter() - start) * 1e6
