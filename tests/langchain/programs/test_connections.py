"""The access tokens that an MCP client of the program sends over HTTP: one per chain, replaced in time."""

from collections.abc import Callable

import pytest

from hopward.testing.clock import FixedClock
from langchain_hopward.connection import Tokens

from . import notes
from . import office as offices
from .office import Office

HTTP = 'url = "http://127.0.0.1:9/mcp"\ncredential = { by = "authorization" }'


def test_a_token_serves_its_chain_until_shortly_before_its_end(
    open_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offices, "CONFIG", notes.configured())
    clock = FixedClock()
    office = open_office(notes.server(HTTP), clock)
    guard, tokens = office.guard, Tokens(office.guard, "notes")
    hop = guard.settings.servers["app"].hops["researcher"]
    with office.task() as task:
        boss = guard.enter(task.id)
        first, second = (guard.delegate(boss, "researcher", hop.narrowing).chain for _ in range(2))
        assert first is not None
        assert second is not None
        token, seconds = tokens.token(first), guard.access_token(first, "notes")[1]
        assert tokens.token(second) != token
        clock.advance((seconds - 31) * 1_000_000)
        assert tokens.token(first) == token
        clock.advance(1_000_000)
        assert tokens.token(first) != token
