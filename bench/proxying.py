"""The group `calls`: opens every way to the echo tool, then runs the rounds."""

import asyncio
from contextlib import AsyncExitStack

from bench.calls import Lane, run_round, warm_up
from bench.context import Context
from bench.results import Entry
from bench.routes import CLIENTS, HttpWay, StdioWay, Workbench, direct, fastmcp


def measure(context: Context) -> list[Entry]:
    """One entry per transport, client and way."""
    return asyncio.run(_measure(context))


async def _measure(context: Context) -> list[Entry]:
    bench = Workbench(context.folder, context.era, context.plan.clients)
    ways = [direct(), fastmcp(bench, reuse=False), fastmcp(bench, reuse=True)]
    lanes: list[Lane] = []
    async with AsyncExitStack() as stack:
        for stdio, http in ways:
            lanes += await _open(bench, stdio, http, stack)
        context.expect(len(lanes) * context.plan.rounds)
        await warm_up(lanes)
        for number in range(context.plan.rounds):
            await run_round(lanes, context.plan, number, context.step)
        return [lane.rounds.entry(lane.group, lane.name) for lane in lanes]


async def _open(bench: Workbench, stdio: StdioWay, http: HttpWay, stack: AsyncExitStack) -> list[Lane]:
    over_stdio = [await stdio.open(bench, client, stack) for client in CLIENTS]
    return [*over_stdio, *await http.open(bench, CLIENTS, stack)]
