"""An observed server of a program, and one behind the proxy: tools go on, and the stream says so."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent

from hopward.clock import SystemClock

from . import notes, office, till
from .carried import adapter, noted
from .notes import at_server
from .office import Office
from .till import SUBJECT, USER, Till, calls, scripted

LAST = datetime.now(UTC).date() + timedelta(days=5)
OBSERVED = f'mode = "observe"\nobserve_until = {LAST}\n'


@pytest.fixture
def observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Till:
    """A till whose own tools are observed."""
    monkeypatch.setattr(
        till, "CONFIG", till.CONFIG.replace('workflow = "refund"', f'workflow = "refund"\n{OBSERVED}')
    )
    till.install(tmp_path)
    made = Till(tmp_path, SystemClock())
    made.hopward.install()
    return made


def test_a_tool_that_would_be_refused_runs_and_the_stream_says_so(observed: Till) -> None:
    agent = create_agent(
        scripted(calls(("pay", {"amount": 500}))), observed.hopward.protect([observed.sync_tool()])
    )
    with observed.hopward.task(subject=SUBJECT):
        told = [one["hopward"] for one in agent.stream(USER, stream_mode="custom")]
    assert observed.paid == [500]
    assert observed.verdicts() == ["deny"]
    assert observed.outcomes() == ["ok"]
    assert [(one["verdict"], one["reason"], one["observed"]) for one in told] == [("deny", "forbidden", True)]


def test_a_permitted_tool_is_not_told_as_observed(observed: Till) -> None:
    agent = create_agent(
        scripted(calls(("pay", {"amount": 5}))), observed.hopward.protect([observed.sync_tool()])
    )
    with observed.hopward.task(subject=SUBJECT):
        told = [one["hopward"] for one in agent.stream(USER, stream_mode="custom")]
    assert [("observed" in one, one["verdict"]) for one in told] == [(False, "permit")]


@pytest.fixture
def observed_library(
    open_office: Callable[..., Office], received: Path, monkeypatch: pytest.MonkeyPatch
) -> Office:
    """An office whose notes, behind the proxy, are observed; its boss may not read them."""
    monkeypatch.setattr(office, "CONFIG", notes.configured())
    served = notes.server(f"{OBSERVED}{notes.on_stdio(received)}")
    made = open_office(served, SystemClock())
    made.hopward.install()
    return made


def test_a_call_behind_the_proxy_that_would_be_refused_goes_on(
    observed_library: Office, received: Path
) -> None:
    async def program() -> list[Any]:
        async with adapter(observed_library) as client:
            (read,) = await noted(observed_library, client)
            agent = create_agent(scripted(calls(("read_note", {"note": "n1"}))), [read])
            with observed_library.task():
                return [told["hopward"] async for told in agent.astream(USER, stream_mode="custom")]

    told = asyncio.run(program())
    assert [one["tool"] for one in at_server(received)] == ["read_note"]
    assert [(one["verdict"], one["reason"], one["observed"]) for one in told] == [
        ("deny", "outside_task", True)
    ]
