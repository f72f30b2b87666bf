"""Policies about handing on: which ones a delegation is put to, and what is wrong with one that cannot be."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from hopward.cedar import CedarEngine
from hopward.cedar.request import BETWEEN
from hopward.clock import SECOND
from hopward.config.forms import wrong_name
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
PAY = msgspec.structs.replace(
    READ, name="pay", action="pay", destination="bank", sensitivity="restricted", arguments={}
)
ASK = msgspec.structs.replace(READ, name="ask", sensitivity="public")
TOOLS = (READ, PAY, ASK)
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
    return CedarEngine({"a.cedar": text}, TOOLS, ["ops"]).evaluate_hop(hop, delegator, receiver, FACTS)


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
        (permit("context.handed has call"), "context.handed never has 'call'; did you mean calls?"),
        (permit('["raed"].containsAll(context.handed.actions)'), "did you mean read?"),
        (permit('context.handed.actions.containsAny(["read", "pya"])'), "did you mean pay?"),
        (permit('context.handed.actions == ["pya"]'), "did you mean pay?"),
        (permit('context.handed.tools.contains("desk/raed")'), "did you mean desk/read?"),
        (permit('!context.handed.tools.containsAny(["desk/raed", "desk/pay"])'), "did you mean desk/read?"),
        (permit('["desk/raed"].containsAll(context.handed.tools)'), "did you mean desk/read?"),
        (permit('context.hops.contains({"position": 1, "agent": "x"})'), "are not compatible"),
        (permit('context.hops.contains({"position": "1", "agent": "x", "purpose": ""})'), "not compatible"),
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
        CedarEngine({"a.cedar": text}, TOOLS)
    assert any(told in problem for problem in refused.value.problems), refused.value.problems


NAMES_IT = 'a policy about handing on says so in its scope: `action == Hopward::Action::"delegate"`'


@pytest.mark.parametrize(
    "text",
    [
        'forbid (principal, action, resource == Hopward::Agent::"other");',
        "forbid (principal, action, resource is Hopward::Agent);",
        'forbid (principal, action, resource is Hopward::Agent in Hopward::Agent::"other");',
        "forbid (principal, action, resource) when { context.handed.calls > 3 };",
        "forbid (principal, action, resource) when { context has handed };",
        'forbid (principal, action, resource) when { action == Hopward::Action::"delegate" };',
    ],
)
def test_a_policy_that_asks_about_handing_on_is_told_to_name_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CedarEngine({"a.cedar": text}, TOOLS)
    (problem,) = refused.value.problems
    assert problem.endswith(NAMES_IT)


def test_an_argument_may_be_called_like_what_is_handed_on() -> None:
    odd = msgspec.structs.replace(READ, arguments={"handed": "string", "delegate": "string"})
    for name in odd.arguments:
        text = f'forbid (principal, action, resource) when {{ context.arguments.{name} == "x" }};'
        with pytest.raises(ConfigError) as refused:
            CedarEngine({"a.cedar": text}, [odd])
        assert all(NAMES_IT not in problem for problem in refused.value.problems)
        assert any(f"context.arguments has {name}" in problem for problem in refused.value.problems)


def test_a_mistake_in_a_policy_about_handing_on_is_told_with_its_line() -> None:
    text = permit() + "\n" + permit('context.handed.tools.contains("desk/raed")').replace("when", "\nwhen")
    with pytest.raises(ConfigError) as refused:
        CedarEngine({"a.cedar": text}, TOOLS)
    (problem,) = refused.value.problems
    assert problem.startswith("a.cedar:3: policy 'a.cedar#2': ")


def test_the_agents_of_a_policy_need_not_be_registered() -> None:
    text = f'forbid (principal == Hopward::Agent::"gone", {DELEGATE}, resource == Hopward::Agent::"new");'
    assert asked(permit() + text).name == "permit"


@pytest.mark.parametrize("tools", [("*",), ("desk/*",), ("desk/p*",), ("desk/pay",)])
def test_a_forbid_about_one_tool_is_not_dodged_by_a_prefix(tools: tuple[str, ...]) -> None:
    everything = msgspec.structs.replace(PAYING, tools=tools, destinations=("b*", "d*"))
    dear = f'forbid (principal, {DELEGATE}, resource) when {{ context.handed.tools.contains("desk/pay") }};'
    bank = (
        f'forbid (principal, {DELEGATE}, resource) when {{ context.handed.destinations.contains("bank") }};'
    )
    hop = msgspec.structs.replace(HOP, capabilities=(everything,), delegable=())
    again = msgspec.structs.replace(HOP, capabilities=(ASKING,), delegable=(everything,))
    reading = msgspec.structs.replace(everything, actions=("read",))
    harmless = msgspec.structs.replace(HOP, capabilities=(reading,), delegable=())
    for forbid in (dear, bank):
        assert asked(permit() + forbid, hop).reason == "forbidden"
        assert asked(permit() + forbid, again).reason == "forbidden"
        if tools != ("desk/pay",):
            assert asked(permit() + forbid, harmless).name == "permit"


@pytest.mark.parametrize(
    "condition",
    [
        'context.handed["\\u{74}ools"].contains("desk/pay")',
        '(if context.depth > 0 then context else context).handed.tools.contains("desk/pay")',
        '(if context.depth > 0 then context.handed else context.handed).tools.contains("desk/pay")',
        "[context.handed].containsAny([context.handed]) && "
        '{".": context}["."].handed.tools.contains("desk/pay")',
        '!(["desk/read", "desk/ask"].containsAll(context.handed.tools))',
        'context.handed == {purpose: "read ticket 7", tools: ["desk/*", "desk/pay", "desk/read", "desk/ask"],'
        'destinations: ["bank", "desk"], actions: ["pay", "read"], sensitivity: "restricted", calls: 3, '
        "writes: 2, shared: false, seconds: 600, delegable: false, depth: 1}",
    ],
)
def test_what_a_prefix_reaches_is_told_however_a_policy_asks(condition: str) -> None:
    everything = msgspec.structs.replace(PAYING, tools=("desk/*",), destinations=("bank", "desk"))
    hop = msgspec.structs.replace(HOP, capabilities=(everything,), delegable=())
    forbid = f"forbid (principal, {DELEGATE}, resource) when {{ {condition} }};"
    assert asked(permit() + forbid, hop).reason == "forbidden"
    assert asked(permit(condition), hop).name == "permit"


def test_a_permit_that_lists_tools_does_not_hold_for_a_prefix() -> None:
    """What a prefix reaches today is not what it reaches once one more tool is classified."""
    listed = permit('["desk/read", "desk/ask", "desk/pay"].containsAll(context.handed.tools)')
    reading = msgspec.structs.replace(ASKING, tools=("desk/read", "desk/ask"), sensitivity="internal")
    hop = msgspec.structs.replace(HOP, capabilities=(reading,), delegable=())
    assert asked(listed, hop).name == "permit"
    wide = msgspec.structs.replace(reading, tools=("desk/*",))
    assert asked(listed, msgspec.structs.replace(hop, capabilities=(wide,))).reason == "no_policy"


def test_one_of_a_family_of_tools_may_be_asked_for() -> None:
    family = msgspec.structs.replace(ASK, name="resource:ticket://*")
    one = msgspec.structs.replace(ASKING, tools=("desk/resource:ticket://7",))
    hop = msgspec.structs.replace(HOP, capabilities=(one,), delegable=())
    for name in ("desk/resource:ticket://7", "desk/resource:ticket://*"):
        engine = CedarEngine({"a.cedar": permit(f'context.handed.tools.contains("{name}")')}, [family])
        assert engine.evaluate_hop(HOP, HELPER, OTHER, FACTS).reason == "no_policy"
        assert engine.evaluate_hop(hop, HELPER, OTHER, FACTS).name == "permit"
    with pytest.raises(ConfigError):
        CedarEngine({"a.cedar": permit('context.handed.tools.contains("desk/resource:x://7")')}, [family])


def test_a_policy_may_ask_for_a_prefix_as_it_is_written() -> None:
    wide = msgspec.structs.replace(ASKING, tools=("desk/*",))
    hop = msgspec.structs.replace(HOP, capabilities=(wide,))
    assert asked(permit('context.handed.tools.contains("desk/*")'), hop).name == "permit"


def test_a_hop_that_carries_nothing_gets_a_real_answer() -> None:
    empty = msgspec.structs.replace(HOP, capabilities=(), delegable=())
    assert asked(permit('context.handed.sensitivity == "public"'), empty).name == "permit"
    assert asked(permit("context.handed.tools.isEmpty()"), empty).name == "permit"


@pytest.mark.parametrize(
    "odd",
    [
        {"purpose": "\ud800"},
        {"budget": Budget(calls=2**63, writes=0)},
        {"depth": -(2**63) - 1},
        {"expires_at": 2**90},
        {"capabilities": (msgspec.structs.replace(PAYING, tools=("\ud800",)),)},
        {"delegable": (msgspec.structs.replace(PAYING, destinations=("\ud800*",)),)},
    ],
)
def test_a_hop_that_the_schema_cannot_take_is_refused(odd: dict[str, Any]) -> None:
    verdict = asked(permit(), msgspec.structs.replace(HOP, **odd))
    assert (verdict.name, verdict.reason) == ("deny", "policy_error")


@pytest.mark.parametrize("short", [{"purposes": ()}, {"actors": ("a", "boss", "helper")}])
def test_no_hop_is_hidden_from_a_policy_because_its_purpose_is_not_known(short: dict[str, Any]) -> None:
    engine = CedarEngine({"a.cedar": permit("context.hops.isEmpty()")}, TOOLS)
    assert engine.evaluate_hop(HOP, HELPER, OTHER, replace(FACTS, **short)).reason == "no_policy"
    told = permit(
        'context.hop_purpose == "" && context.hops.contains({position: 1, agent: "helper", purpose: ""})'
    )
    engine = CedarEngine({"a.cedar": told}, TOOLS)
    assert engine.evaluate_hop(HOP, HELPER, OTHER, replace(FACTS, purposes=())).name == "permit"


def test_no_agent_has_a_name_that_a_path_could_mistake_for_two() -> None:
    assert wrong_name("boss > helper")
    assert not wrong_name("boss")
    assert BETWEEN.join(("boss", "helper")) == "boss > helper"


def test_one_engine_answers_for_each_pair_of_agents_on_its_own() -> None:
    text = (
        f'permit (principal == Hopward::Agent::"helper", {DELEGATE}, resource);'
        f'permit (principal, {DELEGATE}, resource == Hopward::Agent::"helper")'
        'when { principal.owner == "x" };'
        f'@step_up("ops") forbid (principal, {DELEGATE}, resource == Hopward::Agent::"bank");'
    )
    agents = (HELPER, an_agent("other", owner="x"), an_agent("bank"))
    pairs = [(one, two) for one in agents for two in agents if one is not two]
    for asked_first in (pairs, pairs[::-1]):
        engine = CedarEngine({"a.cedar": text}, TOOLS, ["ops"])
        verdicts = {
            (one.id, two.id): engine.evaluate_hop(HOP, one, two, FACTS).name
            for one, two in (*asked_first, *pairs)
        }
        assert verdicts == {
            ("helper", "other"): "permit",
            ("helper", "bank"): "step-up",
            ("other", "helper"): "permit",
            ("other", "bank"): "deny",
            ("bank", "helper"): "deny",
            ("bank", "other"): "deny",
        }


def test_handing_on_is_put_to_its_own_policies_only() -> None:
    """So that the cost of a decision does not grow with the set."""
    others = "".join(
        f'permit (principal == Hopward::Agent::"a{n}", {DELEGATE}, resource);'
        f'permit (principal, {DELEGATE}, resource == Hopward::Agent::"b{n}");'
        f'forbid (principal, action in Hopward::Action::"read", resource) when {{ context.depth > {n} }};'
        for n in range(100)
    )
    engine = CedarEngine({"a.cedar": permit() + others}, TOOLS)
    assert len(engine.policies) == 301
    assert [policy.id for policy in engine.in_question_of_hop("helper", "other")] == ["a.cedar#1"]
    assert len(engine.in_question_of_hop("a7", "b7")) == 3
    assert len(engine.in_question_of_hop("a7", "other")) == 2
    assert engine.evaluate_hop(HOP, HELPER, OTHER, FACTS).policies == ("a.cedar#1",)


def test_whether_anything_can_be_handed_on_is_known_without_asking() -> None:
    assert CedarEngine({"a.cedar": permit("false")}, TOOLS).could_permit_hop()
    assert not CedarEngine({"a.cedar": "permit (principal, action, resource);"}, TOOLS).could_permit_hop()


def test_an_explanation_tells_what_each_policy_does_about_handing_on() -> None:
    text = (
        f'@id("all") {permit()} @id("far") forbid (principal, action, resource) when {{ context.depth > 5 }};'
        f'@id("calls") permit (principal, action, resource);'
        f'@id("broken") forbid (principal, {DELEGATE}, resource) when {{ context.depth + {2**63 - 1} > 0 }};'
        f'@id("stranger") permit (principal == Hopward::Agent::"x", {DELEGATE}, resource);'
    )
    found = CedarEngine({"a.cedar": text}, TOOLS).explain_hop(HOP, HELPER, OTHER, FACTS)
    assert found.verdict.reason == "policy_error"
    results = [(step.policy.id, step.result) for step in found.steps]
    assert results == [("all", "applies"), ("far", "does not apply"), ("broken", "error")]
    assert found.aside == 2


HOSTILE = [
    '{"__entity": {"type": "Hopward::Agent", "id": "boss"}}',
    '", action, resource); permit (principal, action, resource); //',
    "boss > helper",
    "a\x00b\n",
    "\\u{61}",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_in_what_is_handed_on_stay_names(name: str) -> None:
    odd = Capability(tools=(name,), actions=("read",), sensitivity="public", destinations=(name,))
    hop = msgspec.structs.replace(HOP, capabilities=(odd,), delegable=(), purpose=name)
    strict = permit(
        'context.handed.tools == ["desk/read"] || context.handed.purpose == "read ticket 7" || '
        'context.handed.destinations == ["desk"] || context.path != "boss > helper"'
    )
    assert asked(strict, hop).reason == "no_policy"
    assert asked(permit(), hop, delegator=an_agent(name), receiver=an_agent(name + "x")).name == "permit"


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
    engine = CedarEngine({"baseline.cedar": text}, [READ], ["operators"])
    for actors, expected in ((("a",), "permit"), (("a", "b", "c"), "permit"), (("a", "b", "c", "d"), "deny")):
        facts = replace(FACTS, actors=actors, purposes=("p",) * (len(actors) - 1))
        assert engine.evaluate_hop(HOP, HELPER, OTHER, facts).name == expected
