"""Work that was broken off goes on with the hop it was handed over, if that is what would be opened now."""

from typing import Any

import msgspec
import pytest

from hopward.clock import SECOND
from hopward.model import Budget, Chain, Delegation, Revocation, Step

from .delegating import NOTE, PAY_CALL, PAYING, READING, Office, Policies, a_task, asking


def again(office: Office, worker: Chain, chain: Chain | None = None, **changes: Any) -> Delegation:
    """The same work handed on once more, as what the last hop of `worker` was opened for."""
    wish = asking(**changes) if changes else asking()
    return office.guard.delegate(chain or office.boss, "worker", wish, continues=worker.hops[-1])


def other(office: Office, worker: Chain, chain: Chain | None = None, **changes: Any) -> bool:
    """Whether another hop is opened, and a permit it is."""
    found = again(office, worker, chain, **changes)
    assert found.chain is not None, found.decision.verdict
    return found.chain.hops[-1] != worker.hops[-1]


def test_work_goes_on_with_its_hop_and_takes_nothing_more_for_it() -> None:
    office = Office()
    worker = office.handed(office.boss)
    spent, hops = office.spent(), office.ledger.hops("task_1")
    found = again(office, worker)
    assert found.chain == worker
    assert found.decision.permitted
    assert (office.spent(), office.ledger.hops("task_1")) == (spent, hops)
    row = next(row for row in office.ledger.rows() if row.kind == "decision")
    assert row.record["delegation"]["continues"] == worker.hops[-1]
    assert office.reason(worker) == "permitted"


def test_a_hop_that_goes_on_is_no_more_than_one_that_is_open() -> None:
    office = Office(task=a_task(fan_out=1))
    worker = office.handed(office.boss)
    assert office.refused(office.boss) == "fan_out_exhausted"
    assert not other(office, worker)


def test_a_hop_goes_on_with_what_is_left_of_it() -> None:
    office = Office()
    worker = office.handed(office.boss)
    for _ in range(2):
        assert office.reason(worker, PAY_CALL) == "permitted"
        assert not other(office, worker)
    assert office.reason(worker, PAY_CALL) == "budget_exhausted"


def test_a_hop_that_has_ended_does_not_go_on() -> None:
    office = Office()
    worker = office.handed(office.boss)
    office.guard.complete_hop(worker)
    assert other(office, worker)


def test_a_hop_whose_time_is_over_does_not_go_on() -> None:
    office = Office()
    worker = office.handed(office.boss)
    office.clock.advance(300 * SECOND)
    assert other(office, worker)


def test_a_hop_that_was_revoked_does_not_go_on() -> None:
    office = Office()
    worker = office.handed(office.boss)
    now = office.clock.now()
    office.ledger.revoke(Revocation(kind="hop", id=worker.hops[-1], at=now, by="ops", why="gone"), NOTE)
    assert other(office, worker)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "something else"},
        {"capabilities": (PAYING,)},
        {"delegable": (READING,), "depth": 1, "fan_out": 1},
        {"shared": True},
    ],
    ids=str,
)
def test_a_hop_goes_on_only_as_exactly_what_would_be_opened(changes: Any) -> None:
    office = Office()
    worker = office.handed(office.boss)
    wish = msgspec.structs.asdict(asking()) | changes
    assert other(office, worker, **wish)


def test_a_hop_that_would_carry_less_by_now_does_not_go_on() -> None:
    office = Office()
    worker = office.handed(office.boss)
    office.change_agent("boss", delegable=(READING,))
    assert other(office, worker)


def test_nobody_goes_on_with_a_hop_of_somebody_else() -> None:
    office = Office()
    wish = asking(delegable=(READING,), depth=1, fan_out=2)
    middle = office.handed(office.boss, "clerk", **msgspec.structs.asdict(wish))
    few: dict[str, Any] = {"capabilities": (READING,), "budget": Budget(calls=1, writes=0)}
    below, beside = office.handed(middle, **few), office.handed(office.boss, **few)
    assert other(office, below, **few)
    assert other(office, beside, middle, **few)


def test_a_hop_of_another_task_does_not_go_on() -> None:
    office = Office()
    worker = office.handed(office.boss)
    office.ledger.put_task(a_task(id="task_2"), NOTE)
    second = msgspec.structs.replace(office.boss, task="task_2")
    assert other(office, worker, second)


def test_an_unknown_hop_is_as_good_as_none() -> None:
    office = Office()
    found = office.guard.delegate(office.boss, "worker", asking(), continues="hop_none")
    assert found.chain is not None


def test_going_on_is_decided_by_the_policies_of_now() -> None:
    office = Office()
    worker = office.handed(office.boss)
    stricter = 'forbid (principal, action == Hopward::Action::"delegate", resource);'
    office.policies.engine = Policies(f'{office.policy} @id("no-more") {stricter}').engine
    assert again(office, worker).decision.verdict.policies == ("no-more",)


def test_going_on_takes_no_further_step_of_a_path() -> None:
    hand = Step(name="hand", agent="boss", delegate="worker")
    once = (hand, Step(name="pay", agent="worker", tool="desk/pay", after=("hand",)))
    office = Office(task=a_task(steps=once))
    worker = office.handed(office.boss)
    assert office.refused(office.boss) == "off_path"
    assert not other(office, worker)
    assert office.reason(worker, PAY_CALL) == "permitted"
