"""How many processes of a server there may be, whose, and for how long; the time is the test's."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hopward import Chain, Guard, HopwardError
from hopward_mcp.child import command
from hopward_mcp.delivery import courier
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Message
from hopward_mcp.pending import Pending
from hopward_mcp.session import Session
from hopward_mcp.turn import Turn
from hopward_mcp.worker import Worker
from hopward_mcp.workers import Workers

from .installation import install, opened
from .processes import META, process_server
from .test_http_sessions import LoopTime


async def unintroduced(_method: str) -> dict[str, str]:
    return {}


def modern_request(chain: Chain) -> Pending:
    """A request of 2026-07-28 under way."""
    params = {"_meta": META}
    return Pending(Message("request", 1, "tools/list", params, {"params": params}), chain, 0.0)


@dataclass
class Pool:
    """The processes of `desk`, at most eight, so that a principal has at most two."""

    guard: Guard
    gate: Gate
    time: LoopTime
    workers: Workers

    def principal(self, subject: str = "alice") -> Chain:
        return self.guard.enter(self.guard.open_task("tickets", subject).id)

    async def open(self, chain: Chain) -> str:
        return (await self.workers.open(chain, Session(self.gate))).id

    async def shared(self, chain: Chain) -> Worker:
        return await self.workers.shared(chain, modern_request(chain), unintroduced)

    def lives(self, session: str, chain: Chain) -> bool:
        return self.workers.sessions.find(session, chain) is not None


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    config = install(tmp_path, process_server(tmp_path / "record"), proxy="max_processes = 8")
    with opened(config) as guard:
        attached = courier(guard.settings, "desk", {})
        gate = Gate(guard, "desk", courier=attached, turn=Turn(guard, asyncio.get_running_loop()))
        gate.now = time = LoopTime()
        workers = Workers(gate, command(guard.settings, "desk", attached, {}))
        yield Pool(guard, gate, time, workers)
        await workers.close()
        assert len(workers) == 0


async def test_a_principals_own_longest_unused_session_gives_way_when_it_has_too_many(pool: Pool) -> None:
    ours, theirs = pool.principal(), pool.principal("bob")
    other = await pool.open(theirs)
    first, second = await pool.open(ours), await pool.open(ours)
    pool.time.seconds = 1.0
    assert pool.lives(first, ours)
    pool.workers.of(pool.workers.sessions.find(first, ours)).write(b'{"method":"x"}')  # type: ignore[arg-type]
    await pool.open(ours)
    assert not pool.lives(second, ours)
    assert pool.lives(first, ours)
    assert pool.lives(other, theirs)


async def test_when_all_processes_are_taken_others_are_told_so_and_nobody_gives_way(pool: Pool) -> None:
    chains = [pool.principal(f"user-{n}") for n in range(9)]
    sessions = [await pool.open(chain) for chain in chains[:8]]
    with pytest.raises(HopwardError, match="Too many processes") as refused:
        await pool.open(chains[8])
    assert refused.value.error == "too_many_processes"
    with pytest.raises(HopwardError, match="Too many processes"):
        await pool.shared(chains[8])
    assert all(pool.lives(*one) for one in zip(sessions, chains, strict=False))


async def test_many_that_come_at_once_get_no_more_than_there_may_be(pool: Pool) -> None:
    chains = [pool.principal(f"user-{n}") for n in range(12)]
    begun = await asyncio.gather(*(pool.open(chain) for chain in chains), return_exceptions=True)
    assert [isinstance(one, HopwardError) for one in begun] == [False] * 8 + [True] * 4
    assert len(pool.workers) == 8


async def test_what_is_unused_for_too_long_ends_and_what_is_in_use_does_not(pool: Pool) -> None:
    ours = pool.principal()
    idle, streaming = await pool.open(ours), await pool.open(ours)
    shared = await pool.shared(pool.principal("bob"))
    listening = pool.workers.of(pool.workers.sessions.find(streaming, ours))  # type: ignore[arg-type]
    listening.listen(listening.outlet(open=True))
    pool.time.seconds = 901.0
    pool.workers.sweep()
    assert len(pool.workers) == 1
    assert not shared.alive
    assert [pool.lives(idle, ours), pool.lives(streaming, ours)] == [False, True]


async def test_requests_that_come_together_start_one_process(pool: Pool) -> None:
    ours = pool.principal()
    found = await asyncio.gather(*(pool.shared(ours) for _ in range(5)))
    assert len({id(one) for one in found}) == len(pool.workers) == 1


async def test_a_caller_that_leaves_while_a_process_starts_leaves_none_behind(pool: Pool) -> None:
    opening = asyncio.create_task(pool.open(pool.principal()))
    while not len(pool.workers):
        await asyncio.sleep(0)
    opening.cancel()
    while len(pool.workers):
        await asyncio.sleep(0)
    assert opening.cancelled()


async def test_the_pause_grows_with_every_end_and_is_over_once_a_request_was_answered(pool: Pool) -> None:
    ours = pool.principal()
    for pause in (0.0, 1.0, 2.0, 4.0):
        worker = await pool.shared(ours)
        worker._gone("exited")
        pool.time.seconds += max(pause - 0.5, 0.0)
        if pause:
            with pytest.raises(HopwardError, match="started again in 1 s"):
                await pool.shared(ours)
        pool.time.seconds += 0.5
    worker = await pool.shared(ours)
    worker.served = True
    worker._gone("exited")
    assert (await pool.shared(ours)).alive


async def test_a_server_that_cannot_be_started_is_told_without_its_command(tmp_path: Path) -> None:
    settings = process_server(tmp_path / "record").replace("command = ['", "command = ['no-such-")
    with opened(install(tmp_path, settings)) as guard:
        attached = courier(guard.settings, "desk", {})
        gate = Gate(guard, "desk", courier=attached, turn=Turn(guard, asyncio.get_running_loop()))
        workers = Workers(gate, command(guard.settings, "desk", attached, {}))
        chain = guard.enter(guard.open_task("tickets", "alice").id)
        for begin in (
            workers.open(chain, Session(gate)),
            workers.shared(chain, modern_request(chain), unintroduced),
        ):
            with pytest.raises(HopwardError) as refused:
                await begin
            assert (refused.value.error, str(refused.value)) == (
                "not_started",
                "The server cannot be started.",
            )
        await workers.close()
