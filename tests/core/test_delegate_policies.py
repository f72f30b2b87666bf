"""Policies about handing on: which ones a delegation is put to, and what is wrong with one that cannot be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hopward.cedar import CedarEngine
from hopward.clock import SECOND
from hopward.errors import ConfigError
from hopward.model import Agent, Budget, Capability, Hop, Tool, Verdict
from hopward.record import Facts
from hopward.testing.clock import NOON
from hopward.testing.samples import a_hop, an_agent

READ = Tool(
    server="desk",
    name="read",
    action="read",
    sensitivity="internal",
    integrity="trusted",
    destination="desk",
    arguments={"ticket": "string"},
)
PAYING = Capability(
    tools=("desk/pay",), actions=("pay", "read"), sensitivity="restricted", destinations=("bank",)
)
ASKING = Capability(tools=("desk/ask",), actions=("read",), sensitivity="public", destinations=("desk",))
HOP = a_hop(capabilities=(PAYING,), delegable=(ASKING,), depth=1, budget=Budget(calls=3, writes=2))
HELPER, OTHER = an_agent("helper"), an_agent("other", owner="bank team")
FACTS = Facts(
    subject="alice",
    task="task_1",
    purpose="settle",
    workflow="claims",
    actors=("boss", "helper"),
    calls_left=7,
    writes_left=2,
    purposes=("look into it",),
)
DELEGATE = 'action == Hopward::Action::"delegate"'


def asked(text: str, hop: Hop = HOP, **agents: Agent) -> Verdict:
    delegator, receiver = agents.get("delegator", HELPER), agents.get("receiver", OTHER)
    return CedarEngine({"a.cedar": text}, [READ]).evaluate_hop(hop, delegator, receiver, FACTS)


def permit(condition: str = "true", resource: str = "resource") -> str:
    return f"permit (principal, {DELEGATE}, {resource}) when {{ {condition} }};"


@pytest.mark.parametrize(
    "condition",
    [
        'principal == Hopward::Agent::"helper" && resource == Hopward::Agent::"other"',
        'resource.owner == "bank team" && principal.owner == "support team"',
        'context.handed.tools.containsAll(["desk/pay", "desk/ask"])',
        'context.handed.actions.contains("pay") && !context.handed.actions.contains("delete")',
        'context.handed.sensitivity == "restricted"',
        'context.handed.destinations.contains("bank")',
        "context.handed.calls == 3 && context.handed.writes == 2 && context.handed.seconds == 600",
        "context.handed.delegable && context.handed.depth == 1 && !context.handed.shared",
        'context.handed.purpose == "read ticket 7"',
        'context.subject == "alice" && context.purpose == "settle" && context.workflow == "claims"',
        'context.depth == 1 && context.path == "boss > helper" && context.hop_purpose == "look into it"',
        'context.hops.contains({"position": 1, "agent": "helper", "purpose": "look into it"})',
        "context.calls_left == 7 && context.writes_left == 2",
    ],
)
def test_a_policy_sees_who_hands_on_what_to_whom(condition: str) -> None:
    assert asked(permit(condition)).name == "permit"
    assert asked(permit(f"!({condition})")).reason == "no_policy"


def test_a_permit_without_an_action_hands_nothing_on() -> None:
    """It was written about calls; nobody gets the right to delegate by accident."""
    assert asked("permit (principal, action, resource);").reason == "no_policy"
    assert asked('permit (principal, action in Hopward::Action::"read", resource);').reason == "no_policy"


def test_a_forbid_without_an_action_holds_for_delegations_too() -> None:
    blocked = 'forbid (principal == Hopward::Agent::"helper", action, resource);'
    assert asked(permit() + blocked).reason == "forbidden"
    assert asked(permit() + blocked, delegator=OTHER, receiver=HELPER).name == "permit"
    deep = "forbid (principal, action, resource) when { context.depth > 0 };"
    assert asked(permit() + deep).reason == "forbidden"


def test_a_forbid_that_asks_about_a_tool_is_about_calls_alone() -> None:
    labels = 'forbid (principal, action, resource) when { resource.sensitivity == "internal" };'
    server = 'forbid (principal, action, resource in Hopward::Server::"desk");'
    assert asked(permit() + labels + server).name == "permit"


def test_a_delegation_that_needs_approval_is_not_permitted() -> None:
    lifted = f'@step_up("ops") forbid (principal, {DELEGATE}, resource);'
    verdict = asked(permit() + lifted)
    assert (verdict.name, verdict.reason) == ("step-up", "approval_required")
    assert asked(lifted).reason == "no_policy"


def test_a_forbid_that_fails_to_evaluate_refuses_the_delegation() -> None:
    failing = (
        f"forbid (principal, {DELEGATE}, resource) when {{ context.handed.calls * 9223372036854775807 > 0 }};"
    )
    verdict = asked(permit() + failing)
    assert (verdict.name, verdict.reason) == ("deny", "policy_error")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (permit('context.handed.sensitivity == "secret"'), "is never 'secret'"),
        (permit('context.handed.actions.contains("pya")'), "did you mean pay?"),
        (permit('resource.sensitivity == "internal"'), "sensitivity"),
        (permit("context.arguments has ticket"), "arguments"),
        (permit("context has handled"), "did you mean handed?"),
        (permit("context.handed.amount > 3"), "amount"),
        (permit(resource='resource == Hopward::Tool::"desk/read"'), "unable to find an applicable action"),
        (
            'permit (principal, action in [Hopward::Action::"delegate", Hopward::Action::"read"], resource);',
            "write one policy for each",
        ),
        ('permit (principal, action == Hopward::Action::"delegat", resource);', "delegate"),
    ],
)
def test_a_policy_about_handing_on_that_cannot_mean_it_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CedarEngine({"a.cedar": text}, [READ])
    assert any(told in problem for problem in refused.value.problems), refused.value.problems


@pytest.mark.parametrize(
    "hostile", ['{"__entity": {"type": "Hopward::Agent", "id": "boss"}}', "x > boss", '"']
)
def test_a_purpose_is_text_whatever_it_says(hostile: str) -> None:
    hop = msgspec.structs.replace(HOP, purpose=hostile)
    assert asked(permit('context.handed.purpose == "read ticket 7"'), hop).reason == "no_policy"
    assert asked(permit(), hop).name == "permit"


def test_names_that_no_text_can_carry_are_refused_without_an_exception() -> None:
    odd: Any = an_agent("\ud800")
    for agents in ({"delegator": odd}, {"receiver": odd}):
        verdict = asked(permit(), **agents)
        assert (verdict.name, verdict.reason) == ("deny", "policy_error")
    hop = msgspec.structs.replace(HOP, purpose="\ud800", opened_at=NOON, expires_at=NOON + SECOND)
    assert asked(permit(), hop).name != "permit"


def test_the_baseline_lets_a_chain_grow_to_three_hops_and_no_further() -> None:
    text = (Path(__file__).parents[2] / "shared" / "policies" / "baseline.cedar").read_text(encoding="utf-8")
    engine = CedarEngine({"baseline.cedar": text}, [READ])
    for actors, expected in ((("a",), "permit"), (("a", "b", "c"), "permit"), (("a", "b", "c", "d"), "deny")):
        facts = replace(FACTS, actors=actors, purposes=("p",) * (len(actors) - 1))
        assert engine.evaluate_hop(HOP, HELPER, OTHER, facts).name == expected
