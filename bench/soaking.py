"""The group `soak`: a great many calls through one proxy process, and its memory after each tenth of them."""

import asyncio
from contextlib import AsyncExitStack

from bench.calls import Lane, at_once
from bench.context import Context
from bench.errors import BenchError
from bench.processes import rss_kib
from bench.proxying import check_logs
from bench.results import Entry, Rounds
from bench.routes import Workbench, hopward

_PARTS = 10


def measure(context: Context) -> list[Entry]:
    """An entry per transport and tenth of its half of the calls, with the proxy's resident memory."""
    return asyncio.run(_measure(context))


def after(calls: int, part: int) -> str:
    """What is said of the memory after so many tenths of one transport's share of `calls`."""
    return f"after {calls // 2 * part // _PARTS:,} calls"


async def _measure(context: Context) -> list[Entry]:
    folder = context.folder / "soak"
    folder.mkdir()
    bench = Workbench(folder, context.era, context.plan.clients)
    stdio, http = hopward(bench, "process")
    entries: list[Entry] = []
    calls = 0
    context.expect(2 * _PARTS)
    for transport in ("stdio", "http"):
        async with AsyncExitStack() as stack:
            if transport == "stdio":
                lane = await stdio.open(bench, "raw", stack)
            else:
                (lane,) = await http.open(bench, ("raw",), stack)
            entries += await _soaked(transport, lane, context)
            calls += lane.calls
    check_logs(bench, calls)
    return entries


async def _soaked(transport: str, lane: Lane, context: Context) -> list[Entry]:
    share = context.plan.soak // 2 // _PARTS
    if share < 1:
        raise BenchError(f"a soak of {context.plan.soak} calls has no tenths")
    entries: list[Entry] = []
    for part in range(1, _PARTS + 1):
        context.step(f"soak {transport} {part}/{_PARTS}")
        lane.renew()
        await at_once(lane, share, context.plan.clients)
        measured = Rounds()
        measured.note("proxy_rss_kib", rss_kib(lane.processes.proxy))
        entries.append(measured.entry(f"soak {transport}", after(context.plan.soak, part)))
    return entries
