"""A guard in a folder of its own, a session in memory, and the whole front over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hopward import Guard

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
