"""Whatever is said by whom and in which order, what reaches the server was approved, exactly it, and once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward import Guard, StateError

from .installation import opened, rows
from .stepping import BOTH, FORM, Client, stepping
from .test_step_ups import ACCEPT, NO, YES

CANCEL: dict[str, Any] = {"action": "cancel"}
DECLINE: dict[str, Any] = {"action": "decline"}
BAD: dict[str, Any] = {"action": "accept", "content": {"approve": "sure"}}

numbers = st.integers(0, 5)
amounts = st.sampled_from([1, 2])
answers = st.sampled_from([ACCEPT, YES, NO, CANCEL, DECLINE, BAD])
steps = st.one_of(
    st.tuples(st.just("call"), amounts),
    st.tuples(st.just("answer"), numbers, answers, amounts),
    st.tuples(st.just("approve"), numbers),
    st.tuples(st.just("reject"), numbers),
    st.tuples(st.just("cancel"), numbers),
    st.tuples(st.just("seconds"), st.sampled_from([1, 61, 400])),
    st.tuples(st.just("complete")),
)


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with opened(stepping(tmp_path)) as running:
        yield running


class Scene:
    """A client, the people who approve elsewhere, and what was said: `yes` is how often the form said so."""

    def __init__(self, guard: Guard, *, modern: bool, capabilities: dict[str, Any]) -> None:
        self.client = Client(guard, modern=modern, capabilities=capabilities)
        self.client.forwarded.clear()
        self.guard = guard
        self.calls: list[int] = []
        self.yes = 0

    def call(self, amount: int) -> None:
        self.calls.append(self.client.call(arguments={"amount": amount}))

    def answer(self, number: int, answer: dict[str, Any], amount: int) -> None:
        """To one of the questions so far; in 2026-07-28 maybe with another argument than it was about."""
        self.yes += answer is YES
        if not self.client.modern:
            asked = self.client.questions()
            if number < len(asked):
                self.client.replies(asked[number], **answer)
            return
        results = [one.get("result", {}) for one in self.client.heard]
        states = [one["requestState"] for one in results if "requestState" in one]
        if number < len(states):
            self.calls.append(self.client.retry(states[number], answer, arguments={"amount": amount}))

    def approve(self, number: int) -> None:
        self._says(number, yes=True)

    def reject(self, number: int) -> None:
        self._says(number, yes=False)

    def cancel(self, number: int) -> None:
        if number < len(self.calls):
            gone = {"requestId": self.calls[number]}
            self.client.says({"method": "notifications/cancelled", "params": gone})

    def seconds(self, seconds: int) -> None:
        self.client.time.seconds += seconds
        self.client.look()

    def complete(self) -> None:
        if self.guard.ledger.task(self.client.chain.task).state == "open":
            self.guard.complete_task(self.client.chain.task)

    def _says(self, number: int, *, yes: bool) -> None:
        found = self.guard.approvals.find((), self.client.chain.task)
        if number >= len(found):
            return
        try:
            if yes:
                self.guard.approvals.approve(found[number].id, by="dora")
            else:
                self.guard.approvals.reject(found[number].id, by="dora", why="no")
        except StateError:
            return


@pytest.mark.parametrize("capabilities", [BOTH, FORM], ids=["url", "form"])
@pytest.mark.parametrize("modern", [True, False], ids=["2026-07-28", "2025-11-25"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(steps, max_size=14))
async def test_no_sequence_of_answers_gets_a_call_to_the_server_that_nobody_has_approved(
    guard: Guard, modern: bool, capabilities: dict[str, Any], said: list[tuple[Any, ...]]
) -> None:
    scene = Scene(guard, modern=modern, capabilities=capabilities)
    client, task = scene.client, scene.client.chain.task
    for name, *more in said:
        getattr(scene, name)(*more)
    client.turn.flush()
    permits = [row for row in rows(guard, "decision") if row.task == task and row.verdict == "permit"]
    found = {one.id: one for one in guard.approvals.find((), task)}
    used = [found[row.record["verdict"]["approval"]] for row in permits]
    assert len({one.id for one in used}) == len(used)
    for one in used:
        assert any(answer.yes for answer in one.answers)
        assert all(answer.yes for answer in one.answers)
    by_client = sum(answer.by == "alice" and answer.yes for one in found.values() for answer in one.answers)
    assert by_client <= (scene.yes if capabilities is FORM else 0)
    forwarded = [one["params"]["arguments"]["amount"] for one in client.forwarded if "id" in one]
    approved = Counter(one.arguments["amount"] for one in used)
    assert not Counter(forwarded) - approved
    assert len(client.gate.waiting) == sum(one.waits for _, one in client.session.requests.items())
    heard = Counter(one["id"] for one in client.heard if "id" in one and "method" not in one)
    assert max(heard.values(), default=1) == 1
