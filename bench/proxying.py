"""The group `calls`: opens every way to the echo tool, then runs the rounds."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from bench.calls import Lane, run_round, warm_up
from bench.context import Context
from bench.errors import BenchError
from bench.results import Entry
from bench.routes import CLIENTS, HttpWay, StdioWay, Workbench, direct, fastmcp, hopward, passthrough
from hopward.clock import SystemClock
from hopward.ledger import SqliteLedger


def measure(context: Context) -> list[Entry]:
    """One entry per transport, client and way."""
    return asyncio.run(_measure(context))


async def _measure(context: Context) -> list[Entry]:
    bench = Workbench(context.folder, context.era, context.plan.clients)
    ways = [
        direct(),
        hopward(bench, "process"),
        hopward(bench, "power"),
        passthrough(bench),
        fastmcp(bench, reuse=False),
        fastmcp(bench, reuse=True),
    ]
    lanes: list[Lane] = []
    async with AsyncExitStack() as stack:
        for stdio, http in ways:
            lanes += await _open(bench, stdio, http, stack)
        context.expect(len(lanes) * context.plan.rounds)
        await warm_up(lanes)
        for number in range(context.plan.rounds):
            await run_round(lanes, context.plan, number, context.step)
    check_logs(bench, sum(lane.calls for lane in lanes if lane.guarded))
    return [lane.rounds.entry(lane.group, lane.name) for lane in lanes]


async def _open(bench: Workbench, stdio: StdioWay, http: HttpWay, stack: AsyncExitStack) -> list[Lane]:
    over_stdio = [await stdio.open(bench, client, stack) for client in CLIENTS]
    return [*over_stdio, *await http.open(bench, CLIENTS, stack)]


def check_logs(bench: Workbench, calls: int) -> None:
    """Every guarded call has left a permit, a credential and an outcome, and every log verifies."""
    kinds: Counter[str] = Counter()
    for path in bench.folder.glob("*/.hopward/decisions.db"):
        ledger = SqliteLedger.open(path, clock=SystemClock())
        found = ledger.verify()
        if not found.ok:
            raise BenchError(f"a log written during the run does not verify: {found.problems[0]}")
        kinds.update(f"{row.kind} {row.verdict}".strip() for row in ledger.rows() if row.decision)
        ledger.close()
    counts = [kinds[kind] for kind in ("decision permit", "credential", "outcome")]
    if counts != [calls] * 3 or kinds.total() != 3 * calls:
        raise BenchError(f"{calls} guarded calls left other rows: {dict(kinds)}")
