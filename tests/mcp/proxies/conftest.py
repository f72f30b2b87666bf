"""A guard in a folder of its own, a session in memory, and the whole front over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hopward import Guard
from hopward.testing.clock import FixedClock

from .carrying import TEAM, Program, Session, watched
from .conversation import Conversation
from .fronting import Fronted, front
from .installation import install, opened, stdio_server


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """The guard of one stdio server `desk`."""
    with opened(install(tmp_path, stdio_server(tmp_path / "record"))) as opened_guard:
        yield opened_guard


@pytest.fixture
async def conversation(guard: Guard) -> Conversation:
    """A client and `desk` in one session, in memory."""
    return Conversation(guard)


@pytest.fixture
async def fronted(tmp_path: Path) -> AsyncIterator[Fronted]:
    """`desk` and `other` behind the HTTP front, both recording."""
    async with asyncio.timeout(60), front(tmp_path, ("desk", "other")) as running:
        yield running


@pytest.fixture
def program(tmp_path: Path, clock: FixedClock) -> Iterator[Program]:
    """A program of three agents in front of `desk`; the time of the whole installation is `clock`."""
    servers = "".join(stdio_server(tmp_path / "record", name) for name in ("desk", "other"))
    with opened(install(tmp_path, servers + TEAM), clock) as guard:
        yield Program(guard)


@pytest.fixture
async def session(tmp_path: Path, program: Program, clock: FixedClock) -> AsyncIterator[Session]:
    """A proxy that takes nothing but carried chains, with a guard of its own on the program's log."""
    with opened(tmp_path / "hopward.toml", clock) as guard:
        running = Session(guard, program)
        with watched(program, running):
            yield running


@pytest.fixture
def clock() -> FixedClock:
    """It stands still until a test moves it."""
    return FixedClock()
