"""The one rule of standing: a test for each way a chain can have fallen."""

from itertools import product
from typing import Any

import msgspec
import pytest

from hopward.clock import SECOND
from hopward.model import Agent, Revocation, RevocationKind, Usage
from hopward.record import Standing, StandingHop
from hopward.revocation import why_agent_fallen, why_fallen, why_revoked
from hopward.testing.clock import NOON
from hopward.testing.samples import a_chain, a_task, an_agent, hops_along

NOW = NOON + SECOND
CHAIN = a_chain(token="tok_c", key="kid_c", lineage=("token:tok_p", "key:kid_p"))


def revoked(kind: RevocationKind, name: str, at: int = NOON) -> Revocation:
    return Revocation(kind=kind, id=name, at=at, by="bob", why="lost laptop")


def standing(**changes: Any) -> Standing:
    fields: dict[str, Any] = {
        "epoch": 1,
        "task": a_task(),
        "usage": Usage(calls=0, writes=0),
        "agents": {"helper": an_agent()},
        "revocations": (),
    }
    return Standing(**(fields | changes))


def along(*actors: str) -> tuple[Any, tuple[StandingHop, ...]]:
    """The chain of these agents, and its hops as they stand."""
    hops = hops_along(*actors)
    found = tuple(StandingHop(hop, Usage(calls=0, writes=0)) for hop in hops)
    return a_chain(actors=actors, hops=tuple(hop.id for hop in hops)), found


def reason(found: Standing, chain: Any = CHAIN, now: int = NOW) -> str:
    fallen = why_fallen(found, chain, now)
    assert fallen is None or fallen[1].endswith(".")
    return fallen[0] if fallen else ""


def test_a_chain_of_an_open_task_and_active_agents_stands() -> None:
    assert reason(standing()) == ""


def test_a_task_that_is_unknown_or_another_fells_the_chain() -> None:
    assert reason(standing(task=None)) == "task_unknown"
    assert reason(standing(task=a_task("task_2"))) == "task_unknown"


@pytest.mark.parametrize("state", ["completed", "revoked", "expired"])
def test_a_task_that_is_not_open_fells_the_chain(state: str) -> None:
    assert reason(standing(task=a_task(state=state))) == f"task_{state}"


def test_a_task_is_over_at_the_instant_it_expires() -> None:
    ends = a_task(expires_at=NOW)
    assert reason(standing(task=ends)) == "task_expired"
    assert reason(standing(task=ends), now=NOW - 1) == ""


def test_a_chain_is_over_at_the_instant_it_expires() -> None:
    assert reason(standing(), a_chain(expires_at=NOW)) == "chain_expired"
    assert reason(standing(), a_chain(expires_at=NOW + 1)) == ""


def test_a_chain_of_another_subject_or_agent_is_not_the_tasks() -> None:
    agents = {"helper": an_agent(), "other": an_agent("other")}
    assert reason(standing(), a_chain(subject="mallory")) == "wrong_subject"
    assert reason(standing(agents=agents), a_chain(actors=("other",))) == "wrong_agent"
    assert reason(standing(agents=agents), a_chain(actors=("other", "helper"))) == "wrong_agent"
    assert reason(standing(agents=agents), a_chain(actors=())) == "wrong_agent"
    chain, hops = along("helper", "other")
    assert reason(standing(agents=agents, hops=hops), chain) == ""


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_every_actor_must_be_active(state: str) -> None:
    for actors in (("helper",), ("helper", "other"), ("helper", "third", "other")):
        agents: dict[str, Agent] = {name: an_agent(name) for name in actors}
        chain, hops = along(*actors)
        assert reason(standing(agents=agents, hops=hops), chain) == ""
        for name in actors:
            found = standing(agents=agents | {name: an_agent(name, state=state)}, hops=hops)
            assert reason(found, chain) == f"agent_{state}"


def test_a_chain_needs_exactly_one_hop_between_each_agent_and_the_next() -> None:
    agents = {name: an_agent(name) for name in ("helper", "other", "third")}
    chain, hops = along("helper", "other", "third")
    replace = msgspec.structs.replace
    assert reason(standing(agents=agents, hops=hops), chain) == ""
    assert reason(standing(agents=agents), replace(chain, hops=())) == "chain_broken"
    assert reason(standing(agents=agents, hops=hops[:1]), replace(chain, hops=("hop_1",))) == "chain_broken"
    assert reason(standing(agents=agents, hops=hops[:1]), chain) == "hop_unknown"
    assert reason(standing(agents=agents, hops=hops[::-1]), chain) == "hop_unknown"
    swapped = replace(chain, hops=("hop_2", "hop_1"))
    assert reason(standing(agents=agents, hops=hops[::-1]), swapped) == "chain_broken"
    longer = replace(chain, actors=("helper",))
    assert reason(standing(agents=agents, hops=hops), longer) == "chain_broken"


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "task_2"},
        {"parent": "hop_9"},
        {"delegator": "third"},
        {"agent": "third"},
    ],
)
def test_a_hop_of_another_chain_fells_the_chain_it_is_spliced_into(changes: dict[str, Any]) -> None:
    agents = {name: an_agent(name) for name in ("helper", "other")}
    chain, (one,) = along("helper", "other")
    spliced = StandingHop(msgspec.structs.replace(one.hop, **changes), one.usage)
    assert reason(standing(agents=agents, hops=(spliced,)), chain) == "chain_broken"


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    ("changes", "expected"), [({"state": "completed"}, "hop_completed"), ({"expires_at": NOW}, "hop_expired")]
)
def test_any_hop_that_is_over_fells_everything_below_it(
    position: int, changes: dict[str, Any], expected: str
) -> None:
    agents = {name: an_agent(name) for name in ("helper", "other", "third")}
    chain, hops = along("helper", "other", "third")
    over = list(hops)
    over[position] = StandingHop(msgspec.structs.replace(hops[position].hop, **changes), hops[position].usage)
    assert reason(standing(agents=agents, hops=tuple(over)), chain) == expected


def test_a_revoked_hop_fells_its_own_chain_and_no_other() -> None:
    agents = {name: an_agent(name) for name in ("helper", "other", "third")}
    chain, hops = along("helper", "other", "third")
    for name in ("hop_1", "hop_2"):
        found = standing(agents=agents, hops=hops, revocations=(revoked("hop", name),))
        assert reason(found, chain) == "hop_revoked"
    found = standing(agents=agents, hops=hops[:1], revocations=(revoked("hop", "hop_2"),))
    assert reason(found, msgspec.structs.replace(chain, actors=("helper", "other"), hops=("hop_1",))) == ""


def test_every_actor_must_be_registered_under_its_own_name() -> None:
    assert reason(standing(agents={})) == "agent_unregistered"
    assert reason(standing(agents={"helper": an_agent("other")})) == "agent_unregistered"
    assert reason(standing(), a_chain(actors=("helper", "ghost"))) == "agent_unregistered"


@pytest.mark.parametrize(("kind", "name"), [("task", "task_1"), ("agent", "helper"), ("subject", "alice")])
def test_what_was_issued_at_or_before_a_cutoff_falls_and_what_came_later_stands(
    kind: RevocationKind, name: str
) -> None:
    cutoff = (revoked(kind, name, NOON),)
    before, after = (
        standing(revocations=cutoff),
        standing(task=a_task(opened_at=NOON + 1), revocations=cutoff),
    )
    for found in (before, after):
        assert reason(found, a_chain(issued_at=NOON)) == f"{kind}_revoked"
        assert reason(found, a_chain(issued_at=NOON - 1)) == f"{kind}_revoked"
    assert reason(after, a_chain(issued_at=NOON + 1)) == ""


def test_a_token_dated_after_a_cutoff_falls_with_the_task_it_was_got_for() -> None:
    """The clock was ahead when the token was issued, and was set right before the revocation."""
    cutoffs: tuple[tuple[RevocationKind, str], ...] = (("agent", "helper"), ("subject", "alice"))
    for kind, name in cutoffs:
        found = standing(task=a_task(opened_at=NOON), revocations=(revoked(kind, name, NOON),))
        assert reason(found, a_chain(issued_at=NOON + 600 * SECOND)) == f"{kind}_revoked"


@pytest.mark.parametrize(
    ("kind", "name"), [("token", "tok_c"), ("token", "tok_p"), ("key", "kid_c"), ("key", "kid_p")]
)
def test_a_revoked_token_or_key_fells_its_chain_whenever_that_was(kind: RevocationKind, name: str) -> None:
    for at in (0, NOON, NOW + SECOND):
        assert reason(standing(revocations=(revoked(kind, name, at),))) == f"{kind}_revoked"


def test_any_actor_of_a_chain_can_be_revoked() -> None:
    agents = {"helper": an_agent(), "other": an_agent("other")}
    chain, hops = along("helper", "other")
    for name in ("helper", "other"):
        found = standing(agents=agents, hops=hops, revocations=(revoked("agent", name),))
        assert reason(found, chain) == "agent_revoked"


def test_a_revocation_of_something_else_fells_nothing() -> None:
    """The ledger may return too much; what it returns is matched again."""
    strangers = (
        revoked("task", "task_2"),
        revoked("agent", "other"),
        revoked("subject", "bob"),
        revoked("token", "tok_x"),
        revoked("key", "kid_x"),
        revoked("token", "kid_c"),
        revoked("key", "tok_p"),
        revoked("subject", "helper"),
        revoked("agent", "alice"),
        revoked("token", ""),
    )
    assert reason(standing(revocations=strangers)) == ""
    assert reason(standing(revocations=(revoked("token", ""), revoked("key", ""))), a_chain()) == ""


def test_the_latest_cutoff_wins() -> None:
    """Advisory rows 39 and 53 (CVE-2026-8922): an earlier or narrower cut-off never hides a later one."""
    named: tuple[tuple[RevocationKind, str], ...] = (
        ("task", "task_1"),
        ("agent", "helper"),
        ("subject", "alice"),
    )
    offsets = (-SECOND, 0, SECOND)
    chain = a_chain(issued_at=NOON)
    for first, second in product(product(named, offsets), repeat=2):
        cutoffs = tuple(revoked(kind, name, NOON + offset) for (kind, name), offset in (first, second))
        falls = max(first[1], second[1]) >= 0
        assert (why_revoked(cutoffs, chain) is not None) == falls


def test_an_agent_alone_must_be_registered_and_active() -> None:
    assert why_agent_fallen(an_agent(), "helper") is None
    assert why_agent_fallen(None, "helper") == ("agent_unregistered", "Agent helper is not registered.")
    assert why_agent_fallen(an_agent(state="suspended"), "helper") == (
        "agent_suspended",
        "Agent helper is suspended.",
    )
