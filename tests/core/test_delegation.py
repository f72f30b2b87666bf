"""One hop after another: what a chain may hand on, what is left of it, and every way it ends."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import capability
from hopward.clock import SECOND
from hopward.commitment import opened_digest
from hopward.constraint import Range
from hopward.errors import LedgerError, StateError
from hopward.model import MOST_ACTORS, Budget, Capability, Chain, Hop, Revocation, RevocationKind, Task
from hopward.record import Draft, Receipt
from hopward.testing.clock import NOON

from .delegating import (
    BOTH,
    NOTE,
    PAY,
    PAY_CALL,
    PAYING,
    POLICY,
    READ,
    READ_CALL,
    READING,
    Office,
    a_task,
    asking,
)


def small(amount: int) -> Capability:
    return msgspec.structs.replace(PAYING, constraints={"amount": (Range(minimum=0, maximum=amount),)})


def test_a_restricted_orchestrator_directs_a_privileged_worker_without_being_able_to_do_the_work() -> None:
    office = Office()
    assert office.reason(office.boss, PAY_CALL) == "outside_task"
    worker = office.handed(office.boss, capabilities=(PAYING,))
    assert worker.actors == ("boss", "worker")
    assert office.reason(worker, PAY_CALL) == "permitted"
    assert office.reason(office.boss, PAY_CALL) == "outside_task"


def test_what_a_worker_gets_comes_from_the_task_never_from_its_own_ceiling() -> None:
    office = Office(task=a_task(delegable=(READING,)))
    assert office.refused(office.boss, capabilities=(PAYING,)) == "nothing_delegated"
    worker = office.handed(office.boss, capabilities=BOTH)
    assert office.reason(worker, PAY_CALL) == "outside_hop"


def test_the_right_to_call_is_no_right_to_hand_on() -> None:
    office = Office(task=a_task(capabilities=BOTH, delegable=(PAYING,)))
    assert office.reason(office.boss) == "permitted"
    assert office.refused(office.boss, capabilities=(READING,)) == "nothing_delegated"


def test_an_agent_that_may_never_hand_on_does_not_although_the_task_says_so() -> None:
    office = Office()
    office.change_agent("boss", delegable=())
    assert office.refused(office.boss) == "nothing_delegated"


def test_a_hop_is_a_decision_of_its_own_with_the_whole_story_in_the_log() -> None:
    office = Office()
    found = office.hand(office.boss, capabilities=(PAYING,))
    row = office.ledger.row(found.decision.id)
    assert (row.kind, row.tool, row.server, row.verdict) == ("decision", "delegate:worker", "", "permit")
    assert row.record["delegation"]["asked"] == json.loads(msgspec.json.encode(asking(PAYING)))
    assert row.record["chain"]["actors"] == ["boss"]
    (hop,) = (other for other in office.ledger.rows() if other.kind == "hop")
    assert (hop.decision, hop.agent, hop.record["event"]) == (found.decision.id, "worker", "opened")
    assert hop.record["hop"] == json.loads(msgspec.json.encode(office.ledger.hops("task_1")[0]))


def test_a_refused_hop_stands_in_the_log_and_leaves_nothing_behind() -> None:
    office = Office(policy='permit (principal, action in Hopward::Action::"read", resource);')
    found = office.hand(office.boss)
    assert found.decision.verdict.reason == "no_policy"
    assert office.ledger.row(found.decision.id).verdict == "deny"
    assert office.ledger.hops("task_1") == []
    assert office.spent() == (0, 0)


def test_a_hop_commits_to_the_link_before_it_as_that_was_opened() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    office.handed(middle, "clerk", budget=Budget(calls=1, writes=0))
    first, second = office.ledger.hops("task_1")
    assert first.parent_digest == opened_digest(office.task)
    assert second.parent_digest == opened_digest(first)
    ended = msgspec.structs.replace(first, state="completed")
    assert opened_digest(ended) == second.parent_digest
    other = msgspec.structs.replace(first, purpose="something else")
    assert opened_digest(other) != second.parent_digest


def test_an_agent_is_never_twice_in_a_chain() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    assert office.refused(middle, "boss") == "actor_twice"
    assert office.refused(middle, "worker") == "actor_twice"
    assert office.refused(office.boss, "boss") == "actor_twice"


def test_a_chain_ends_where_its_depth_does() -> None:
    office = Office(task=a_task(depth=1))
    middle = office.handed(office.boss, delegable=BOTH, depth=5, fan_out=5)
    assert office.ledger.hops("task_1")[0].depth == 0
    assert office.refused(middle, "clerk") == "depth_exhausted"
    assert Office(task=a_task(depth=0)).refused(office.boss) == "depth_exhausted"


def test_no_chain_is_longer_than_the_limit() -> None:
    names = tuple(f"a{number}" for number in range(MOST_ACTORS))
    office = Office(task=a_task(depth=50, agent="boss"), agents=("boss", *names))
    chain = office.boss
    for name in names[:-1]:
        budget = Budget(calls=20, writes=0)
        chain = office.handed(chain, name, delegable=BOTH, depth=50, fan_out=5, shared=True, budget=budget)
    assert office.reason(chain) == "permitted"
    assert office.refused(chain, names[-1], shared=True) == "chain_too_long"


def test_only_so_many_hops_of_one_agent_are_open_at_once() -> None:
    office = Office(task=a_task(fan_out=1))
    first = office.handed(office.boss)
    assert office.refused(office.boss, "clerk") == "fan_out_exhausted"
    office.guard.complete_hop(first)
    assert office.handed(office.boss, "clerk")


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_nothing_is_handed_to_an_agent_that_may_not_act(state: str) -> None:
    office = Office()
    office.change_agent("worker", state=state)
    assert office.refused(office.boss) == f"agent_{state}"


def test_nothing_is_handed_to_a_stranger() -> None:
    office = Office()
    assert office.refused(office.boss, "ghost") == "agent_unregistered"
    assert office.refused(office.boss, "") == "agent_unregistered"
    office.ledger.put_agent(msgspec.structs.replace(office.ledger.agent("clerk"), id="left"), NOTE)
    assert office.refused(office.boss, "left") == "agent_unregistered"


def test_nothing_is_handed_to_an_agent_revoked_since_the_task_was_opened() -> None:
    office = Office()
    office.clock.advance(SECOND)
    office.ledger.revoke(Revocation(kind="agent", id="worker", at=office.clock.now(), by="x", why="y"), NOTE)
    assert office.refused(office.boss) == "agent_revoked"
    assert office.handed(office.boss, "clerk")


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "  "},
        {"expires_in": 0},
        {"expires_in": -5},
        {"depth": -1},
        {"fan_out": -1},
        {"budget": Budget(calls=1, writes=2)},
        {"budget": Budget(calls=-1, writes=-1)},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    office = Office()
    assert office.refused(office.boss, **wrong) == "narrowing_invalid"


def test_text_that_the_log_cannot_carry_is_refused_and_recorded() -> None:
    office = Office()
    found = office.hand(office.boss, purpose="\ud800")
    assert found.chain is None
    assert office.ledger.row(found.decision.id).verdict == "deny"
    found = office.guard.delegate(office.boss, "\ud800", asking())
    assert found.chain is None
    assert office.ledger.row(found.decision.id).verdict == "deny"


def test_a_hop_never_outlives_task_chain_or_the_hop_before() -> None:
    office = Office()
    assert office.handed(office.boss, expires_in=10**6).expires_at == office.task.expires_at
    shorter = msgspec.structs.replace(office.boss, expires_at=NOON + 50 * SECOND)
    assert office.handed(shorter, "clerk").expires_at == NOON + 50 * SECOND
    middle = office.handed(office.boss, expires_in=30, delegable=BOTH, depth=1, fan_out=1)
    leaf = office.handed(middle, "clerk", expires_in=600, budget=Budget(calls=1, writes=0))
    assert leaf.expires_at == NOON + 30 * SECOND
    office.clock.advance(29 * SECOND + 1)
    assert office.refused(middle, "clerk") in ("task_expired", "chain_expired")


def test_a_split_budget_is_set_aside_and_siblings_cannot_touch_it() -> None:
    office = Office(task=a_task(budget=Budget(calls=9, writes=4)))
    first = office.handed(office.boss, "worker", budget=Budget(calls=3, writes=2))
    second = office.handed(office.boss, "clerk", budget=Budget(calls=3, writes=2))
    assert office.spent() == (8, 4)
    assert [office.reason(first) for _ in range(4)] == ["permitted"] * 3 + ["budget_exhausted"]
    assert office.spent() == (8, 4)
    assert [office.reason(second) for _ in range(4)] == ["permitted"] * 3 + ["budget_exhausted"]
    assert [office.reason(office.boss) for _ in range(2)] == ["permitted", "budget_exhausted"]


def test_what_is_not_there_cannot_be_set_aside() -> None:
    office = Office(task=a_task(budget=Budget(calls=5, writes=0)))
    assert office.refused(office.boss, budget=Budget(calls=5, writes=0)) == "budget_exhausted"
    assert office.handed(office.boss, budget=Budget(calls=4, writes=0))
    assert office.refused(office.boss, "clerk", budget=Budget(calls=0, writes=0)) == "budget_exhausted"


def test_the_rest_of_a_split_budget_is_the_delegators_again_once_the_hop_is_completed() -> None:
    office = Office()
    worker = office.handed(office.boss, budget=Budget(calls=5, writes=2))
    assert office.reason(worker, PAY_CALL) == "permitted"
    assert office.spent() == (6, 2)
    office.guard.complete_hop(worker)
    assert office.spent() == (2, 1)


def test_a_shared_budget_counts_in_the_whole_tree() -> None:
    office = Office(task=a_task(budget=Budget(calls=6, writes=6)))
    first = office.handed(office.boss, "worker", shared=True, budget=Budget(calls=4, writes=1))
    second = office.handed(office.boss, "clerk", shared=True, budget=Budget(calls=4, writes=1))
    assert [office.reason(first, PAY_CALL) for _ in range(2)] == ["permitted", "budget_exhausted"]
    assert [office.reason(second) for _ in range(4)] == ["permitted"] * 3 + ["budget_exhausted"]
    assert office.spent() == (6, 1)
    assert office.spent(first.hops[0]) == (1, 1)


def test_a_shared_hop_below_a_split_one_counts_up_to_the_split_and_no_further() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1, budget=Budget(calls=4, writes=0))
    leaf = office.handed(middle, "clerk", shared=True, budget=Budget(calls=4, writes=0))
    before = office.spent()
    assert [office.reason(leaf) for _ in range(4)] == ["permitted"] * 3 + ["budget_exhausted"]
    assert office.spent() == before
    assert office.spent(middle.hops[0]) == (4, 0)


def test_handing_on_costs_a_call_of_the_delegators_own() -> None:
    office = Office(task=a_task(budget=Budget(calls=2, writes=0)))
    for _ in range(2):
        chain = office.handed(office.boss, shared=True)
        office.guard.complete_hop(chain)
    assert office.refused(office.boss, shared=True) == "budget_exhausted"


def test_completing_a_hop_refuses_it_and_everything_below_on_the_next_call() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    leaf = office.handed(middle, "clerk", budget=Budget(calls=1, writes=0))
    assert (office.reason(middle), office.reason(leaf)) == ("permitted", "permitted")
    office.guard.complete_hop(middle)
    assert office.reason(middle) == office.reason(leaf) == "hop_completed"
    assert office.refused(middle, "clerk") == "hop_completed"
    assert office.reason(office.boss) == "permitted"
    assert not office.guard.stands(leaf)
    with pytest.raises(StateError):
        office.guard.complete_hop(middle)


def test_completing_a_lower_hop_leaves_the_one_above() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    leaf = office.handed(middle, "clerk", budget=Budget(calls=1, writes=0))
    office.guard.complete_hop(leaf)
    assert office.reason(leaf) == "hop_completed"
    assert office.reason(middle) == "permitted"


def test_a_chain_without_hops_has_none_to_complete() -> None:
    office = Office()
    with pytest.raises(StateError):
        office.guard.complete_hop(office.boss)
    with pytest.raises(StateError):
        office.guard.complete_hop(msgspec.structs.replace(office.boss, hops=("hop_9",)))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("agent", "boss"), ("agent", "worker"), ("subject", "alice"), ("hop", ""), ("task", "task_1")],
)
def test_revoking_anything_refuses_everything_below(kind: RevocationKind, name: str) -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    leaf = office.handed(middle, "clerk", budget=Budget(calls=1, writes=0))
    revoked = Revocation(kind=kind, id=name or middle.hops[0], at=office.clock.now(), by="x", why="y")
    office.ledger.revoke(revoked, NOTE)
    assert office.reason(leaf) == f"{kind}_revoked"
    assert office.reason(middle) == f"{kind}_revoked"


def test_ending_the_task_ends_every_hop() -> None:
    office = Office()
    worker = office.handed(office.boss)
    office.ledger.set_task_state("task_1", "completed", NOTE)
    assert office.reason(worker) == "task_completed"
    assert office.refused(office.boss, "clerk") == "task_completed"


def test_chains_cannot_be_spliced_swapped_truncated_or_extended() -> None:
    office = Office()
    replace = msgspec.structs.replace
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    leaf = office.handed(middle, "clerk", budget=Budget(calls=1, writes=0))
    sibling = office.handed(office.boss, "clerk", budget=Budget(calls=1, writes=0))
    first, second = leaf.hops
    forged = [
        replace(leaf, hops=(second, first)),
        replace(leaf, hops=(first,)),
        replace(leaf, hops=()),
        replace(leaf, hops=(first, sibling.hops[0])),
        replace(leaf, actors=("boss", "clerk"), hops=(second,)),
        replace(leaf, actors=("boss",)),
        replace(leaf, actors=("boss", "clerk", "worker")),
        replace(leaf, actors=("worker", "clerk"), hops=(second,)),
        replace(sibling, actors=("boss", "worker")),
        replace(office.boss, actors=("boss", "worker")),
        replace(office.boss, hops=(first,)),
        replace(leaf, hops=(first, second, second), actors=("boss", "worker", "clerk", "clerk")),
    ]
    for chain in forged:
        assert office.reason(chain) in ("chain_broken", "wrong_agent", "hop_unknown")
        assert office.hand(chain, "worker").chain is None


def test_a_hop_of_another_task_is_worth_nothing_here() -> None:
    office = Office()
    other = a_task(id="task_2", subject="mallory")
    office.ledger.put_task(other, NOTE)
    worker = office.handed(office.boss)
    moved = msgspec.structs.replace(worker, task="task_2", subject="mallory")
    assert office.reason(moved) == "chain_broken"


def test_a_truncated_scope_of_the_delegator_does_not_widen_below() -> None:
    """The scope of a hop follows from what it carries, and the call must lie within that all the same."""
    office = Office()
    worker = office.handed(office.boss, capabilities=(READING,))
    wider = msgspec.structs.replace(worker, scope=("*", "desk/*"))
    assert office.reason(wider, PAY_CALL) == "outside_hop"


def test_a_chain_of_reduced_scope_hands_on_nothing_beyond_it() -> None:
    office = Office(task=a_task(capabilities=BOTH))
    reduced = msgspec.structs.replace(office.boss, scope=("desk/read",))
    assert office.refused(reduced, capabilities=(PAYING,)) == "nothing_delegated"
    worker = office.handed(reduced, capabilities=BOTH)
    assert office.reason(worker) == "permitted"
    assert office.reason(worker, PAY_CALL) == "outside_hop"


def test_what_could_be_handed_on_is_told_without_a_row_or_a_hop() -> None:
    office = Office(task=a_task(depth=1))
    rows = office.ledger.head()
    assert office.guard.delegable(office.boss, "worker", asking())
    assert not office.guard.delegable(office.boss, "boss", asking())
    assert not office.guard.delegable(office.boss, "nobody", asking())
    assert office.ledger.head() == rows
    worker = office.handed(office.boss)
    assert not office.guard.delegable(worker, "clerk", asking())


@pytest.mark.parametrize(
    ("task", "wanted"),
    [
        ({"fan_out": 1}, {}),
        ({"budget": Budget(calls=6, writes=9)}, {"budget": Budget(calls=3, writes=1)}),
        ({"budget": Budget(calls=20, writes=3)}, {"budget": Budget(calls=3, writes=2)}),
        ({"budget": Budget(calls=1, writes=0)}, {"shared": True, "budget": Budget(calls=1, writes=0)}),
    ],
    ids=["fan-out", "calls", "writes", "shared"],
)
def test_what_is_used_up_could_not_be_handed_on_either(task: dict[str, Any], wanted: dict[str, Any]) -> None:
    office = Office(task=a_task(**task))
    narrowed = asking(**wanted)
    assert office.guard.delegable(office.boss, "worker", narrowed)
    assert office.guard.delegate(office.boss, "worker", narrowed).decision.permitted
    assert not office.guard.delegable(office.boss, "worker", narrowed)
    assert not office.guard.delegate(office.boss, "worker", narrowed).decision.permitted


class EndingLedger:
    """Ends the hop between the evaluation of a call and its commit, as another process would."""

    def __init__(self, office: Office, hop: str) -> None:
        self._office, self._hop = office, hop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._office.ledger, name)

    def record(self, drafts: list[Draft]) -> list[Receipt]:
        if self._hop:
            hop, self._hop = self._hop, ""
            self._office.ledger.complete_hop(hop, NOTE)
        return self._office.ledger.record(drafts)


def test_a_hop_that_ends_between_evaluation_and_commit_refuses_the_call() -> None:
    office = Office()
    worker = office.handed(office.boss)
    racing: Any = EndingLedger(office, worker.hops[0])
    office.guard._ledger = racing
    assert office.reason(worker) == "hop_completed"


def test_a_hop_that_ends_between_evaluation_and_commit_hands_nothing_on() -> None:
    office = Office()
    middle = office.handed(office.boss, delegable=BOTH, depth=1, fan_out=1)
    racing: Any = EndingLedger(office, middle.hops[0])
    office.guard._ledger = racing
    assert office.refused(middle, "clerk") == "hop_completed"
    assert len(office.ledger.hops("task_1")) == 1


class DeafLedger:
    """A log that can be read and not written."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def __getattr__(self, name: str) -> Any:
        return getattr(self._office.ledger, name)

    def record(self, drafts: list[Draft]) -> list[Receipt]:
        raise LedgerError("The disk is full.", error="log_full")


def test_without_a_log_nothing_is_handed_on() -> None:
    office = Office()
    deaf: Any = DeafLedger(office)
    office.guard._ledger = deaf
    found = office.hand(office.boss)
    assert (found.chain, found.decision.recorded, found.decision.permitted) == (None, False, False)
    assert found.decision.verdict.reason == "log_unavailable"


def test_policy_sees_who_hands_what_to_whom() -> None:
    no_money = (
        'forbid (principal == Hopward::Agent::"boss", action == Hopward::Action::"delegate", '
        'resource == Hopward::Agent::"worker") when { context.handed.actions.contains("pay") };'
    )
    office = Office(policy=POLICY + no_money)
    assert office.refused(office.boss, capabilities=(PAYING,)) == "forbidden"
    assert office.handed(office.boss, capabilities=(READING,))
    assert office.handed(office.boss, "clerk", capabilities=(PAYING,), budget=Budget(calls=1, writes=1))


def test_policy_sees_the_whole_chain_and_the_purpose_of_each_hop() -> None:
    only = (
        'permit (principal, action in Hopward::Action::"read", resource) when { '
        'context.path like "boss > worker*" && context.depth == 2 && context.hop_purpose == "check" '
        '&& context.hops.contains({"position": 1, "agent": "worker", "purpose": "gather"}) };'
        'permit (principal, action == Hopward::Action::"delegate", resource);'
    )
    office = Office(policy=only)
    more = {"delegable": BOTH, "depth": 1, "fan_out": 1}
    middle = office.handed(office.boss, purpose="gather", **more)
    leaf = office.handed(middle, "clerk", purpose="check", budget=Budget(calls=2, writes=0))
    assert office.reason(leaf) == "permitted"
    assert office.reason(middle) == "no_policy"
    office.guard.complete_hop(leaf)
    leaf = office.handed(middle, "clerk", purpose="something else", budget=Budget(calls=1, writes=0))
    assert office.reason(leaf) == "no_policy"


amounts = st.integers(min_value=0, max_value=9)
some = st.lists(st.one_of(st.just(READING), amounts.map(small)), min_size=0, max_size=3, unique_by=repr).map(
    tuple
)
wishes = st.fixed_dictionaries(
    {
        "capabilities": some,
        "delegable": some,
        "depth": st.integers(0, 3),
        "fan_out": st.integers(0, 3),
        "shared": st.booleans(),
        "expires_in": st.integers(1, 900),
        "budget": st.tuples(st.integers(0, 12), st.integers(0, 12)).map(
            lambda pair: Budget(calls=max(pair), writes=min(pair))
        ),
    }
)


@settings(max_examples=200, deadline=None)
@given(
    delegable=some,
    registered=st.tuples(some, some),
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["worker", "clerk", "boss"]), wishes), max_size=6
    ),
)
def test_no_hop_ever_exceeds_its_parent_in_any_dimension(
    delegable: tuple[Capability, ...],
    registered: tuple[tuple[Capability, ...], tuple[Capability, ...]],
    steps: list[tuple[int, str, dict[str, Any]]],
) -> None:
    office = Office(task=a_task(delegable=delegable))
    office.change_agent("worker", ceiling=registered[0], delegable=registered[1])
    chains = [office.boss]
    for index, to, wish in steps:
        found = office.hand(chains[index % len(chains)], to, **wish)
        if found.chain is not None:
            chains.append(found.chain)
    hops = {hop.id: hop for hop in office.ledger.hops("task_1")}
    for hop in hops.values():
        parent: Task | Hop = hops[hop.parent] if hop.parent else office.task
        _check_within(hop, parent)
    for chain in chains[1:]:
        _check_calls(office, chain, [hops[one] for one in chain.hops])
    used = office.ledger.usage("task_1")
    assert used.calls <= office.task.budget.calls
    assert used.writes <= office.task.budget.writes


def _check_within(hop: Hop, parent: Task | Hop) -> None:
    for mine in (*hop.capabilities, *hop.delegable):
        assert any(capability.within(mine, theirs) for theirs in parent.delegable)
    assert hop.depth < parent.depth
    assert hop.fan_out <= parent.fan_out
    assert hop.expires_at <= parent.expires_at
    assert hop.budget.calls <= parent.budget.calls
    assert hop.budget.writes <= parent.budget.writes
    assert hop.parent_digest == opened_digest(parent)


def _check_calls(office: Office, chain: Chain, hops: list[Hop]) -> None:
    """Whatever the guard permits, the task may hand on, and so may each hop before the last."""
    for amount in range(0, 10, 3):
        call = msgspec.structs.replace(PAY_CALL, arguments={"amount": amount})
        if office.guard.authorize(call, chain).permitted:
            for link in (office.task, *hops[:-1]):
                assert capability.covers_any(link.delegable, call, PAY)
    if office.guard.authorize(READ_CALL, chain).permitted:
        for link in (office.task, *hops[:-1]):
            assert capability.covers_any(link.delegable, READ_CALL, READ)
