"""Attempts to act with another agent's authority: contexts left behind, torn runs, mixed-up hand-overs."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool

from hopward import Guard
from langchain_hopward import AuthorizationDenied

from .office import Office
from .test_tool_hops import Failing

BARE: Any = {"callbacks": []}


def coroutine_tool(name: str, body: Callable[[], Any]) -> StructuredTool:
    """A tool without arguments that awaits what `body` gives."""

    async def call() -> Any:
        return await body()

    return StructuredTool.from_function(coroutine=call, name=name, description=name)


def left_behind(office: Office, attempt: Callable[[], Any], *, torn: bool = False, config: Any = None) -> str:
    """What becomes of an attempt that the body of an unprotected hand-over leaves behind it, or a run
    torn off inside that body."""

    async def program() -> str:
        released = asyncio.Event()
        left: list[asyncio.Task[str]] = []

        async def later() -> str:
            await released.wait()
            try:
                await attempt()
            except AuthorizationDenied as denied:
                return denied.reason
            return "ran"

        async def leave(_: Any = None) -> str:
            left.append(asyncio.create_task(later()))
            return "done"

        async def ask() -> str:
            return await (RunnableLambda(leave).ainvoke("x", BARE) if torn else leave())

        with office.task():
            await coroutine_tool("ask_payer", ask).ainvoke({}, config)
            released.set()
            return await left[0]

    return asyncio.run(program())


def test_what_a_hand_over_leaves_behind_is_nobody_though_it_tears_itself_off_the_run_tree(
    office: Office,
) -> None:
    _pay, look = office.tools()
    office.hopward.install()
    assert left_behind(office, lambda: look.ainvoke({}, BARE)) in ("context_lost", "hop_completed")
    assert office.looked == 0


def test_it_is_nobody_inside_another_run_either(office: Office) -> None:
    _pay, look = office.tools()
    office.hopward.install()

    async def inner(_: Any) -> Any:
        return await look.ainvoke({})

    attempt = lambda: RunnableLambda(inner).ainvoke("x", BARE)  # noqa: E731
    assert left_behind(office, attempt) in ("context_lost", "hop_completed")
    assert office.looked == 0


def test_a_run_torn_off_while_the_hand_over_was_open_does_not_become_the_bosss_afterwards(
    office: Office,
) -> None:
    _pay, look = office.tools()
    office.hopward.install()
    assert left_behind(office, lambda: look.ainvoke({}), torn=True) in ("context_lost", "hop_completed")
    assert office.looked == 0


@pytest.mark.parametrize("torn", [False, True])
def test_in_an_open_hand_over_a_torn_run_is_the_worker_or_nobody(office: Office, torn: bool) -> None:
    pay, _look = office.tools()
    office.hopward.install()
    config = BARE if torn else None

    async def ask() -> Any:
        return await pay.ainvoke({"amount": 5}, config)

    async def program() -> None:
        with office.task():
            await coroutine_tool("ask_payer", ask).ainvoke({})

    asyncio.run(program())
    assert office.story()[-1] == ("boss>payer", "pay", "permit")


def test_a_handler_that_is_only_passed_along_is_not_fooled_by_runs_it_has_not_seen(office: Office) -> None:
    _pay, look = office.tools()
    passed: Any = {"callbacks": [office.hopward.handler()]}
    found = left_behind(office, lambda: look.ainvoke({}, passed), torn=True, config=passed)
    assert found in ("context_lost", "hop_completed")
    assert office.looked == 0


def test_a_hand_over_under_the_id_of_the_run_around_it_is_refused(office: Office) -> None:
    """Else the boss's own run would lie below its own hand-over, and be the payer's."""
    office.hopward.install()
    pay, _look = office.tools()
    mine = uuid.uuid4()
    hand = office.tool("ask_payer", lambda: "done")
    broken: Any = {"run_id": mine, "callbacks": [office.hopward.handler(), Failing()]}

    def boss(_: Any) -> list[str]:
        reasons: list[str] = []
        for attempt in (lambda: hand.invoke({}, broken), lambda: pay.invoke({"amount": 5})):
            try:
                attempt()
            except AuthorizationDenied as denied:
                reasons.append(denied.reason)
        return reasons

    with office.task():
        assert RunnableLambda(boss).invoke("x", {"run_id": mine}) == ["context_lost", "outside_task"]
    assert office.paid == []


@pytest.mark.parametrize("kind", ["hop", "task", "agent"])
def test_what_another_guard_of_the_same_log_revokes_stops_the_worker_at_its_next_call(
    office: Office, kind: str
) -> None:
    office.hopward.install()
    _pay, look = office.tools()
    reasons: list[str] = []

    def work(_: Any) -> str:
        look.invoke({})
        (hop,) = office.guard.ledger.hops(task.id)
        what = {"hop": hop.id, "task": task.id, "agent": "payer"}[kind]
        with closing(Guard.open(office.folder / "hopward.toml", clock=office.clock)) as other:
            other.revoke(kind, what, by="ana", why="a test")
        try:
            look.invoke({})
        except AuthorizationDenied as denied:
            reasons.append(denied.reason)
        return "done"

    hand = office.tool("ask_payer", lambda: RunnableLambda(work).invoke("x"))
    with office.task() as task:
        hand.invoke({})
    assert reasons == [f"{kind}_revoked"]
    assert office.looked == 1


def test_a_worker_that_has_used_up_its_hop_leaves_its_sibling_what_that_has(office: Office) -> None:
    """Eight calls per hop (office.py): the ninth of one is refused, and the other's are not touched."""
    office.hopward.install()
    _pay, look = office.tools()
    reasons: list[str] = []

    def work(_: Any) -> None:
        for _ in range(9):
            try:
                look.invoke({})
            except AuthorizationDenied as denied:
                reasons.append(denied.reason)

    hand = office.tool("ask_payer", lambda: RunnableLambda(work).invoke("x"))
    with office.task():
        hand.invoke({})
        assert (office.looked, reasons) == (8, ["budget_exhausted"])
        hand.invoke({})
    assert (office.looked, reasons) == (16, ["budget_exhausted"] * 2)
