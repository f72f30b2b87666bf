"""A tool call through every way there is: direct, guarded by Hopward, through FastMCP's unguarded proxy."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.plan import Plan
from bench.processes import rss_kib, total_cpu_ns
from bench.project import TEXT
from bench.results import Rounds
from bench.stats import percentile

_WARM_UP = 10
_QUIET_SECONDS = 0.02
"""Before CPU time is read: the kernel books a process's time when it goes to sleep."""


class Session(Protocol):
    """An open session of a client with the echo tool behind it."""

    def echo(self, text: str) -> Coroutine[None, None, None]:
        """One call, its answer checked."""
        ...

    async def close(self) -> None:
        """End the session."""
        ...


@dataclass(frozen=True, slots=True)
class Processes:
    """Who spends CPU time on a call besides the client."""

    proxy: tuple[int, ...]
    server: tuple[int, ...]


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Lane:
    """One way to the echo tool from one kind of client, and what its rounds gave.

    `share` scales the number of calls: a way that takes a hundred times as long gets fewer. `calls` counts
    every call made, measured or not. `renew` keeps the caller's token good between rounds. With `alone`,
    calls are only made one after the other.
    """

    group: str
    name: str
    sessions: list[Session]
    processes: Processes
    share: float = 1.0
    guarded: bool = False
    calls: int = 0
    renew: Callable[[], None] = _nothing
    alone: bool = False
    rounds: Rounds = field(default_factory=Rounds)


async def run_round(lanes: Sequence[Lane], plan: Plan, number: int, tick: Callable[[str], None]) -> None:
    """One round: every lane once, starting with another lane each time."""
    first = number % len(lanes)
    for lane in [*lanes[first:], *lanes[:first]]:
        tick(f"{lane.group} {lane.name}")
        lane.renew()
        await _wake(lane)
        await _one_after_the_other(lane, max(2, int(plan.calls * lane.share)))
        if not lane.alone:
            await at_once(lane, max(plan.clients, int(plan.burst * lane.share)), plan.clients)
        lane.rounds.note("proxy_rss_kib", rss_kib(lane.processes.proxy))


async def warm_up(lanes: Sequence[Lane]) -> None:
    """First calls pay for imports and connections; they are not measured."""
    for lane in lanes:
        await _wake(lane)
        for _ in range(_WARM_UP if lane.share >= 1 else 1):
            await lane.sessions[0].echo(TEXT)
            lane.calls += 1


async def _wake(lane: Lane) -> None:
    """Servers close connections that stood idle while other lanes ran: open them again, unmeasured."""
    awake = lane.sessions if lane.share >= 1 else lane.sessions[:1]
    lane.calls += len(awake)
    await _together(session.echo(TEXT) for session in awake)


async def _one_after_the_other(lane: Lane, calls: int) -> None:
    echo = lane.sessions[0].echo
    lane.calls += calls
    walls: list[float] = []
    before = await _cpu(lane)
    for _ in range(calls):
        start = time.perf_counter_ns()
        await echo(TEXT)
        walls.append((time.perf_counter_ns() - start) / 1_000)
    proxy, server = await _spent(lane, before, calls)
    lane.rounds.note("p50_us", percentile(walls, 0.50))
    lane.rounds.note("p99_us", percentile(walls, 0.99))
    lane.rounds.note("proxy_cpu_us", proxy)
    lane.rounds.note("server_cpu_us", server)
    lane.rounds.note("cpu_us", proxy + server)
    lane.rounds.note("per_second_1", 1e6 * calls / sum(walls))


async def at_once(lane: Lane, calls: int, clients: int) -> None:
    """`clients` callers at once: each with its own HTTP connection, or in flight on the one stdio session."""
    lane.calls += calls
    left = iter(range(calls))

    async def caller(echo: Callable[[str], Awaitable[None]]) -> None:
        for _ in left:
            await echo(TEXT)

    before = await _cpu(lane)
    start = time.perf_counter()
    await _together(caller(lane.sessions[number % len(lane.sessions)].echo) for number in range(clients))
    seconds = time.perf_counter() - start
    lane.rounds.note("per_second_32", calls / seconds)
    lane.rounds.note("cpu_32_us", sum(await _spent(lane, before, calls)))


async def _together(calls: Iterable[Coroutine[None, None, None]]) -> None:
    """Run them at once; the first that fails ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _cpu(lane: Lane) -> tuple[int, int]:
    await asyncio.sleep(_QUIET_SECONDS)
    return total_cpu_ns(lane.processes.proxy), total_cpu_ns(lane.processes.server)


async def _spent(lane: Lane, before: tuple[int, int], calls: int) -> tuple[float, float]:
    """CPU microseconds per call since `before`: proxy, server."""
    proxy, server = await _cpu(lane)
    return (proxy - before[0]) / calls / 1_000, (server - before[1]) / calls / 1_000
