"""How an agent has been behaving decides what it may do next: through a guard and its log."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hopward import Budget, Chain, Guard, Narrowing, Outcome
from hopward.behaviour import risk
from hopward.clock import SECOND
from hopward.ledger import RowFilter
from hopward.model import Capability
from hopward.testing.clock import NOON, FixedClock

from .watching import FORBIDDEN, Make, chain_of, made, opened, read, refused

DENIALS = "[risk.thresholds]\ndenials = 3\nstreak = 3\n"
ALONE = "[risk]\nelevated = 15\nhigh = 20\ncritical = 30\n"
"""A denial streak is elevated, denials are high, both together are critical."""

EVERYTHING = Capability(
    tools=("desk/*",), actions=("read",), sensitivity="internal", destinations=("internal",)
)
NARROWED = Narrowing(
    purpose="look", capabilities=(EVERYTHING,), budget=Budget(calls=1, writes=0), expires_in=60
)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def make(tmp_path: Path, clock: FixedClock) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(risk: str = "", policy: str = "") -> Guard:
            path = tmp_path / "hopward.toml"
            guard = opened(path if path.exists() else made(tmp_path, risk, policy), clock)
            stack.callback(guard.close)
            return guard

        yield make


def level(guard: Guard, chain: Chain) -> str:
    states = guard.ledger.behaviour(chain.actor, chain.task)
    return risk(states, guard.now, guard.settings.risk).level


def facts(guard: Guard, decision: str) -> dict[str, Any]:
    return guard.ledger.row(decision).record["facts"]


def test_ordinary_work_is_of_low_risk_and_its_rows_say_nothing_of_it(make: Make) -> None:
    guard = make()
    chain = chain_of(guard)
    decisions = [
        guard.authorize(read(number % 3, tool), chain) for number in range(300) for tool in ("read",)
    ]
    assert all(one.permitted for one in decisions)
    assert level(guard, chain) == "low"
    assert not facts(guard, decisions[-1].id).keys() & {"risk", "risk_points", "signals"}


def test_a_fresh_agent_whose_every_tool_is_new_is_of_low_risk(make: Make) -> None:
    guard = make()
    chain = chain_of(guard)
    for tool in ("read", "search", "list"):
        assert guard.authorize(read(1, tool), chain).permitted
    assert level(guard, chain) == "low"


def test_denials_make_a_policy_refuse_what_it_permitted_and_the_row_says_why(make: Make) -> None:
    forbid = 'forbid (principal, action, resource) when { context.risk != "low" };'
    guard = make(ALONE + DENIALS, forbid)
    chain = chain_of(guard)
    refused(guard, chain, 2)
    assert guard.authorize(read(), chain).permitted
    refused(guard, chain, 1)
    decision = guard.authorize(read(), chain)
    assert decision.verdict.reason == "forbidden"
    told = facts(guard, decision.id)
    assert (told["risk"], told["risk_points"]) == ("high", 20)
    assert told["signals"] == {"denials": "3 calls refused within 60 s; from 3 on it is a signal."}


@pytest.mark.parametrize(
    "condition", ["context.risk_points > 0", 'context.signals.contains("denials")', 'context.risk == "high"']
)
def test_each_fact_of_behaviour_reaches_policies(make: Make, condition: str) -> None:
    guard = make(ALONE + DENIALS, f"forbid (principal, action, resource) when {{ {condition} }};")
    chain = chain_of(guard)
    assert guard.authorize(read(), chain).permitted
    refused(guard, chain, 2)
    assert guard.authorize(read(), chain).permitted
    refused(guard, chain, 1)
    assert not guard.authorize(read(), chain).permitted


def test_the_risk_is_forgotten_after_its_window_and_not_before(make: Make, clock: FixedClock) -> None:
    guard = make(ALONE + DENIALS)
    chain = chain_of(guard)
    refused(guard, chain, 3)
    clock.advance(599 * SECOND)
    assert level(guard, chain) == "elevated"
    clock.advance(SECOND)
    assert level(guard, chain) == "low"


def test_denials_of_one_agent_make_no_other_agent_worse(make: Make) -> None:
    guard = make(ALONE + DENIALS)
    bad, good = chain_of(guard), chain_of(guard, "lookup")
    refused(guard, bad, 50)
    assert level(guard, bad) == "critical"
    assert guard.ledger.behaviour(good.actor, good.task) == (b"", b"")
    assert guard.authorize(read(), good).permitted


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "mallory"},
        {"task": "task_of_nobody"},
        {"actors": ("other",)},
        {"hops": ("hop_of_nobody",)},
        {"expires_at": NOON - SECOND},
    ],
)
def test_a_flood_of_denials_of_a_chain_that_does_not_stand_is_held_against_nobody(
    make: Make, change: dict[str, Any]
) -> None:
    guard = make(ALONE + DENIALS)
    chain = chain_of(guard)
    false = Chain(**{name: getattr(chain, name) for name in chain.__struct_fields__} | change)
    refused(guard, false, 50)
    for agent, task in (("helper", chain.task), ("other", "task_of_nobody")):
        assert guard.ledger.behaviour(agent, task) == (b"", b"")


def test_what_is_turned_away_before_any_decision_is_held_against_nobody(make: Make) -> None:
    guard = make(ALONE + DENIALS)
    chain = chain_of(guard)
    for _ in range(50):
        guard.refuse("desk", "malformed", "Not JSON.", chain)
    assert guard.ledger.behaviour("helper", chain.task) == (b"", b"")


def test_a_delegation_is_held_against_who_hands_on_and_not_the_receiver(make: Make) -> None:
    guard = make(ALONE + DENIALS)
    chain = chain_of(guard)
    nothing = Narrowing(purpose="look", capabilities=(), budget=Budget(calls=1, writes=0), expires_in=60)
    for _ in range(3):
        assert not guard.delegate(chain, "other", nothing).decision.permitted
    assert level(guard, chain) == "critical"
    assert guard.ledger.behaviour("other", "")[0] == b""


def test_open_hops_count_as_fan_out_until_they_end(make: Make) -> None:
    guard = make("[risk]\nelevated = 10\n[risk.thresholds]\nfan_out = 2\n")
    chain = chain_of(guard)
    first = guard.delegate(chain, "other", NARROWED)
    assert level(guard, chain) == "low"
    assert guard.delegate(chain, "other", NARROWED).decision.permitted
    assert level(guard, chain) == "elevated"
    assert first.chain is not None
    guard.complete_hop(first.chain)
    assert level(guard, chain) == "low"


def test_failures_of_calls_are_a_signal(make: Make) -> None:
    guard = make("[risk]\nelevated = 10\n[risk.thresholds]\nerrors = 2\n")
    chain = chain_of(guard)
    for number, status in enumerate(("tool_error", "ok", "error")):
        guard.settle(guard.authorize(read(number), chain), Outcome(status=status))
    assert level(guard, chain) == "elevated"


def test_two_calls_in_turn_are_a_loop_even_if_each_is_refused(make: Make) -> None:
    guard = make("[risk]\nelevated = 10\n[risk.weights]\ndenials = 0\nstreak = 0\n")
    chain = chain_of(guard)
    for _ in range(10):
        assert guard.authorize(read(), chain).permitted
        assert not guard.authorize(FORBIDDEN, chain).permitted
    states = guard.ledger.behaviour(chain.actor, chain.task)
    found = risk(states, guard.now, guard.settings.risk)
    assert found.signals[0].sentence.startswith("The same 2 calls in turn 10 times")


def test_throttled_means_refused_until_it_says_so(make: Make, clock: FixedClock) -> None:
    guard = make(f'{ALONE}actions = {{ high = "throttle" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    decision = guard.authorize(read(), chain)
    assert decision.verdict.reason == "throttled"
    assert "Try again in 60 s" in decision.verdict.sentence
    assert guard.ledger.row(decision.id).record["facts"]["risk"] == "critical"
    clock.advance(60 * SECOND)
    assert guard.authorize(read(), chain).permitted


def test_what_is_throttled_does_not_raise_the_risk_any_further(make: Make, clock: FixedClock) -> None:
    guard = make(f'{ALONE}actions = {{ high = "throttle" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    for number in range(30):
        clock.advance(SECOND)
        assert guard.authorize(read(number), chain).verdict.reason == "throttled"
    clock.advance(30 * SECOND)
    assert guard.authorize(read(), chain).permitted


def test_a_hop_is_throttled_like_a_call(make: Make) -> None:
    guard = make(f'{ALONE}actions = {{ high = "throttle" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    assert guard.delegate(chain, "other", NARROWED).decision.verdict.reason == "throttled"


def test_a_higher_level_without_an_action_has_that_of_the_level_below(make: Make) -> None:
    guard = make(f'{ALONE}actions = {{ elevated = "throttle" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    assert level(guard, chain) == "critical"
    assert guard.authorize(read(), chain).verdict.reason == "throttled"


def test_a_step_up_asks_the_group_and_its_yes_permits_exactly_that_call(make: Make) -> None:
    guard = make(f'{ALONE}approvers = "duty"\nactions = {{ high = "step-up" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    asked = guard.authorize(read(), chain)
    assert (asked.verdict.name, asked.verdict.reason) == ("step-up", "approval_required")
    assert "Needs approval by duty first." in asked.verdict.sentence
    guard.approvals.approve(asked.verdict.approval, by="dana", why="looked at it")
    assert guard.authorize(read(2), chain).verdict.name == "step-up"
    assert guard.authorize(read(), chain).permitted
    assert guard.authorize(read(), chain).verdict.name == "step-up"


def test_a_step_up_never_permits_what_policies_forbid(make: Make) -> None:
    forbid = 'forbid (principal, action == Hopward::Action::"desk/list", resource);'
    guard = make(f'{ALONE}approvers = "duty"\nactions = {{ high = "step-up" }}\n{DENIALS}', forbid)
    chain = chain_of(guard)
    refused(guard, chain, 3)
    assert guard.authorize(read(1, "list"), chain).verdict.reason == "forbidden"


@pytest.mark.parametrize("what", ["task", "agent"])
def test_what_is_suspended_is_quarantined_with_its_evidence(make: Make, what: str) -> None:
    guard = make(f'{ALONE}actions = {{ critical = "suspend-{what}" }}\n{DENIALS}')
    chain, another, good = chain_of(guard), chain_of(guard), chain_of(guard, "lookup")
    refused(guard, chain, 3)
    decision = guard.authorize(read(), chain)
    assert decision.verdict.reason == "suspended_by_risk"
    (row,) = guard.ledger.rows(RowFilter(kind="containment"))
    name = chain.task if what == "task" else "helper"
    assert (row.record["kind"], row.record["id"], row.record["by"]) == (what, name, "hopward:risk")
    assert row.record["evidence"]["decision"] == decision.id
    assert set(row.record["evidence"]["signals"]) == {"denials", "streak"}
    assert guard.authorize(read(), chain).verdict.reason == "quarantined"
    # What the agent has done counts wherever it acts; each of its tasks is suspended when it acts there.
    reason = "suspended_by_risk" if what == "task" else "quarantined"
    assert guard.authorize(read(), another).verdict.reason == reason
    assert guard.authorize(read(), good).permitted


def test_a_suspended_sub_agent_leaves_the_agents_before_it_alone(make: Make) -> None:
    guard = make(f'{ALONE}actions = {{ critical = "suspend-agent" }}\n{DENIALS}')
    chain = chain_of(guard)
    handed = guard.delegate(chain, "other", NARROWED).chain
    assert handed is not None
    refused(guard, handed, 3)
    assert guard.authorize(read(), handed).verdict.reason == "suspended_by_risk"
    assert [(one.kind, one.id) for one in guard.contained()] == [("agent", "other")]


def test_what_could_not_be_quarantined_is_refused_and_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = make(f'{ALONE}actions = {{ critical = "suspend-task" }}\n{DENIALS}')
    chain = chain_of(guard)
    refused(guard, chain, 3)
    monkeypatch.setattr(guard, "_quarantines", None)
    for _ in range(2):
        assert guard.authorize(read(), chain).verdict.reason == "suspended_by_risk"
    assert guard.contained() == ()
    monkeypatch.undo()
    assert guard.authorize(read(), chain).verdict.reason == "suspended_by_risk"
    assert [one.id for one in guard.contained()] == [chain.task]


def test_a_clock_set_back_neither_forgets_nor_remembers_for_ever(make: Make, clock: FixedClock) -> None:
    guard = make(f'{ALONE}actions = {{ high = "throttle" }}\n{DENIALS}')
    chain = chain_of(guard)
    clock.advance(7_200 * SECOND)
    refused(guard, chain, 3)
    clock.advance(-3_600 * SECOND)
    assert guard.authorize(read(), chain).verdict.reason == "throttled"
    clock.advance(70 * SECOND)
    assert guard.authorize(read(), chain).permitted


def test_an_agent_under_another_name_begins_anew_and_the_old_name_keeps_what_it_did(
    make: Make, tmp_path: Path
) -> None:
    guard = make(ALONE + DENIALS)
    chain = chain_of(guard)
    refused(guard, chain, 3)
    path = tmp_path / "hopward.toml"
    path.write_text(path.read_text().replace("helper", "renamed"))
    again = make()
    renamed = chain_of(again)
    assert renamed.actor == "renamed"
    assert level(again, renamed) == "low"
    assert again.ledger.behaviour("helper", "")[0] == guard.ledger.behaviour("helper", "")[0] != b""


def test_what_is_remembered_of_a_task_goes_with_it(make: Make) -> None:
    guard = make()
    chain = chain_of(guard)
    guard.authorize(read(), chain)
    assert guard.ledger.behaviour("helper", chain.task)[1] != b""
    guard.complete_task(chain.task)
    assert guard.ledger.behaviour("helper", chain.task)[1] == b""
    assert guard.ledger.behaviour("helper", chain.task)[0] != b""


def test_a_risk_that_rose_between_evaluation_and_commit_decides_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard, other = (make(f'{ALONE}actions = {{ high = "throttle" }}\n{DENIALS}') for _ in range(2))
    chain = chain_of(guard)
    refused(guard, chain, 2)
    record = guard.ledger.record

    def meanwhile(drafts: Any) -> Any:
        monkeypatch.undo()
        refused(other, chain, 1)
        return record(drafts)

    monkeypatch.setattr(guard.ledger, "record", meanwhile)
    assert guard.authorize(read(), chain).verdict.reason == "throttled"


def test_many_calls_in_one_commit_all_count(make: Make) -> None:
    guard = make("[risk]\nelevated = 10\n[risk.thresholds]\ncalls = 20\n")
    chain = chain_of(guard)
    decided = guard.decide([(read(number), chain) for number in range(20)])
    assert all(one.permitted for one in decided)
    assert level(guard, chain) == "elevated"


def test_what_cannot_be_read_of_an_agent_refuses_its_calls(make: Make) -> None:
    guard = make()
    chain = chain_of(guard)
    assert guard.authorize(read(), chain).permitted
    guard.ledger._writer.run(  # pyright: ignore[reportPrivateUsage]
        lambda connection, _: connection.execute("UPDATE behaviour SET state = x'c1'")
    )
    assert not guard.authorize(read(), chain).permitted
