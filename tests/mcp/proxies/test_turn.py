"""One durable commit for everything a turn of the event loop asks."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hopward import Chain, Decision, Guard, Outcome, ToolCall
from hopward_mcp.turn import Turn


class CountingGuard:
    """A real guard behind a counter; refuses to decide calls of the tool `poison`."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.groups: list[tuple[int, int]] = []

    def decide(
        self, asked: Sequence[tuple[ToolCall, Chain]], settled: Sequence[tuple[Decision, Outcome]] = ()
    ) -> list[Decision]:
        self.groups.append((len(asked), len(settled)))
        if any(call.tool == "poison" for call, _ in asked):
            raise RuntimeError("poison")
        return self.guard.decide(asked, settled)


async def turned(guard: Guard) -> tuple[CountingGuard, Turn, Chain]:
    counting = CountingGuard(guard)
    chain = guard.enter(guard.open_task("tickets", "alice").id)
    return counting, Turn(counting, asyncio.get_running_loop()), chain  # type: ignore[arg-type]


async def next_turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def call(tool: str) -> ToolCall:
    return ToolCall(server="desk", tool=tool, arguments={})


async def test_what_is_asked_in_one_turn_is_decided_together_and_in_order(guard: Guard) -> None:
    counting, turn, chain = await turned(guard)
    answers: list[Any] = []
    for tool in ("echo", "hidden", "echo"):
        turn.authorize(call(tool), chain, answers.append)
    assert answers == []
    await next_turn()
    assert [decision.permitted for decision in answers] == [True, False, True]
    assert counting.groups == [(3, 0)]


async def test_outcomes_and_decisions_share_the_commit(guard: Guard) -> None:
    counting, turn, chain = await turned(guard)
    answers: list[Any] = []
    turn.authorize(call("echo"), chain, answers.append)
    await next_turn()
    turn.authorize(call("echo"), chain, answers.append)
    turn.settle(answers[0], Outcome(status="ok"), answers.append)
    await next_turn()
    assert counting.groups == [(1, 0), (1, 1)]
    assert answers[1] is True


async def test_one_call_that_cannot_be_decided_refuses_no_other(guard: Guard) -> None:
    _, turn, chain = await turned(guard)
    answers: dict[str, Any] = {}
    for tool in ("echo", "poison", "env"):
        turn.authorize(call(tool), chain, lambda decision, tool=tool: answers.update({tool: decision}))
    await next_turn()
    assert answers["echo"].permitted
    assert answers["env"].permitted
    assert answers["poison"] is None


async def test_one_caller_that_fails_keeps_no_other_waiting(guard: Guard) -> None:
    _, turn, chain = await turned(guard)
    answers: list[Any] = []

    def failing(_: Any) -> None:
        raise RuntimeError("gone")

    turn.authorize(call("echo"), chain, failing)
    turn.authorize(call("echo"), chain, answers.append)
    await next_turn()
    assert len(answers) == 1


async def test_an_outcome_that_cannot_be_recorded_alone_is_told_as_such(guard: Guard) -> None:
    _, turn, chain = await turned(guard)
    decision = guard.decide([(call("hidden"), chain)])[0]
    told: list[Any] = []
    # A refused call has no outcome: neither in the group nor alone.
    turn.settle(decision, Outcome(status="ok"), told.append)
    turn.authorize(call("echo"), chain, told.append)
    await next_turn()
    assert told[0] is False
    assert told[1].permitted


async def test_a_guard_that_answers_too_few_calls_has_refused_the_rest(guard: Guard) -> None:
    class Short(CountingGuard):
        def decide(self, asked: Any, settled: Any = ()) -> list[Decision]:
            return super().decide(asked, settled)[: 1 if len(asked) == 1 else -1]

    chain = guard.enter(guard.open_task("tickets", "alice").id)
    turn = Turn(Short(guard), asyncio.get_running_loop())  # type: ignore[arg-type]
    told: list[Any] = []
    for tool in ("echo", "hidden"):
        turn.authorize(call(tool), chain, told.append)
    await next_turn()
    assert [decision.permitted for decision in told] == [True, False]
