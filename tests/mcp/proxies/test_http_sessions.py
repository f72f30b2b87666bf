"""How many sessions are held at one server, for how long, and what becomes of those that give way."""

import asyncio
from dataclasses import dataclass

import pytest

from hopward import Guard
from hopward_mcp import http_sessions
from hopward_mcp.http_sessions import HttpSessions
from hopward_mcp.session import Session

from .conversation import Conversation
from .installation import rows


@dataclass
class LoopTime:
    """Event-loop time that the test sets."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_session_that_nobody_uses_is_forgotten_and_one_in_use_is_not(
    conversation: Conversation,
) -> None:
    time = LoopTime()
    sessions, chain = HttpSessions(time), conversation.chain
    idle, used = (sessions.open(name, chain, Session(conversation.gate)) for name in ("a", "b"))
    time.seconds = 1_000.0
    assert sessions.find(used.id, chain) is used
    time.seconds = 2_000.0
    sessions.open("c", chain, Session(conversation.gate))
    assert sessions.find(idle.id, chain) is None
    assert sessions.find(used.id, chain) is used


async def test_a_session_whose_stream_is_open_is_not_idle(conversation: Conversation) -> None:
    time = LoopTime()
    sessions, chain = HttpSessions(time), conversation.chain
    first, second = (sessions.open(name, chain, Session(conversation.gate)) for name in ("a", "b"))
    with sessions.in_use(first):
        with sessions.in_use(first):
            time.seconds = 2_000.0
        time.seconds = 4_000.0
        sessions.open("c", chain, Session(conversation.gate))
        assert sessions.find(second.id, chain) is None
        time.seconds = 6_000.0
    sessions.open("d", chain, Session(conversation.gate))
    assert sessions.find(first.id, chain) is first
    time.seconds = 8_000.0
    sessions.open("e", chain, Session(conversation.gate))
    assert len(sessions) == 1
    with sessions.in_use(first):
        assert sessions.find(first.id, chain) is None


async def test_the_longest_unused_session_gives_way_when_there_are_too_many(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sessions, "_MOST", 2)
    sessions, chain = HttpSessions(LoopTime()), conversation.chain
    first, second = (sessions.open(name, chain, Session(conversation.gate)) for name in ("a", "b"))
    assert sessions.find(first.id, chain) is first
    sessions.open("c", chain, Session(conversation.gate))
    assert len(sessions) == 2
    assert sessions.find(second.id, chain) is None


async def test_a_call_under_way_in_a_session_that_ends_has_its_outcome(
    conversation: Conversation, guard: Guard
) -> None:
    sessions = HttpSessions(asyncio.get_running_loop().time)
    sessions.open("a", conversation.chain, conversation.session)
    conversation.call("echo")
    sessions.close_all()
    conversation.turn.flush()
    assert [row.reason for row in rows(guard, "outcome")] == ["unknown"]
