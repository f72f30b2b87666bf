"""The engine: what it permits, what it refuses, and that no input makes it permit or raise by accident."""

import json
from collections.abc import Sequence
from typing import Any

import cedarpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward.cedar import CedarEngine, schema_text
from hopward.cedar.schema import decimal, quote
from hopward.errors import ConfigError
from hopward.model import Agent, Tool, ToolCall, Verdict
from hopward.record import Facts

REFUND = Tool(
    server="desk",
    name="refund",
    action="pay",
    sensitivity="confidential",
    integrity="trusted",
    destination="customer",
    arguments={"amount": "decimal", "note": "string", "n": "integer", "tags": "strings"},
)
READ = Tool(
    server="desk",
    name="read",
    action="read",
    sensitivity="internal",
    integrity="untrusted",
    destination="internal",
    arguments={"id": "string", "n": "integer"},
)
QUERY = Tool(
    server="bank",
    name="query",
    action="read",
    sensitivity="restricted",
    integrity="trusted",
    destination="internal",
    arguments={"n": "integer"},
)
TOOLS = (REFUND, READ, QUERY)
BOT = Agent(id="bot", owner="ops", purpose="support", state="active", ceiling=())

ALL = '@id("all") permit(principal, action, resource);\n'
OVERFLOW = '@id("broken") forbid(principal, action, resource) when { context.calls_left + 1 > 3 };\n'
MOST = 2**63 - 1


def engine(text: str, tools: Sequence[Tool] = TOOLS) -> CedarEngine:
    return CedarEngine({"a.cedar": text}, tools, ["leads", "board"])


def facts(**given: Any) -> Facts:
    usual: dict[str, Any] = {
        "subject": "ines",
        "task": "task_1",
        "purpose": "support",
        "workflow": "triage",
        "actors": ("bot",),
        "calls_left": 1,
        "writes_left": 1,
    }
    return Facts(**(usual | given))


def ask(
    policies: CedarEngine | str,
    arguments: dict[str, Any] | None = None,
    *,
    tool: Tool = REFUND,
    agent: Agent = BOT,
    **given: Any,
) -> Verdict:
    found = engine(policies) if isinstance(policies, str) else policies
    call = ToolCall(server=tool.server, tool=tool.name, arguments=arguments or {})
    return found.evaluate(call, tool, agent, facts(**given))


def problems(text: str, tools: Sequence[Tool] = TOOLS) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        engine(text, tools)
    assert "hopward policy check" in refused.value.advice
    return list(refused.value.problems)


# Verdicts


def test_a_permit_names_the_policies_and_the_set_that_decided() -> None:
    found = engine(ALL)
    verdict = ask(found)
    assert (verdict.name, verdict.reason, verdict.policies) == ("permit", "permitted", ("all",))
    assert verdict.policy_set == found.policy_set
    assert verdict.errors == ()


def test_what_no_policy_permits_is_refused() -> None:
    verdict = ask('permit(principal, action in Hopward::Action::"read", resource);')
    assert (verdict.name, verdict.reason, verdict.policies) == ("deny", "no_policy", ())


CAP = """
@id("cap") @reason("At most 50.")
forbid(principal, action == Hopward::Action::"desk/refund", resource)
when { context.arguments has amount && context.arguments.amount.greaterThan(decimal("50.0")) };
"""


def test_a_forbid_wins_and_tells_its_reason() -> None:
    verdict = ask(ALL + CAP, {"amount": 50.01})
    assert (verdict.name, verdict.reason, verdict.policies) == ("deny", "forbidden", ("cap",))
    assert verdict.sentence == "Forbidden by policy cap: At most 50."
    assert ask(ALL + CAP, {"amount": 50}).name == "permit"


def test_policies_see_agent_tool_server_and_facts() -> None:
    everything = """
    permit(
      principal == Hopward::Agent::"bot",
      action in Hopward::Action::"pay",
      resource in Hopward::Server::"desk"
    )
    when {
      principal.owner == "ops" && principal.purpose == "support" &&
      resource.server == "desk" && resource.name == "refund" && resource.action == "pay" &&
      resource.sensitivity == "confidential" && resource.integrity == "trusted" &&
      resource.destination == "customer" &&
      context.subject == "ines" && context.task == "task_1" && context.purpose == "support" &&
      context.workflow == "triage" && context.depth == 1 && context.calls_left == 3 &&
      context.writes_left == 2 && context.actors.containsAll(["first", "bot"])
    };
    """
    found = engine(everything)
    assert ask(found, actors=("first", "bot"), calls_left=3, writes_left=2).name == "permit"
    assert ask(found, actors=("bot",), calls_left=3, writes_left=2).name == "deny"


def test_the_first_agent_of_a_task_has_depth_zero() -> None:
    found = engine("permit(principal, action, resource) when { context.depth == 0 };")
    assert ask(found).name == "permit"
    assert ask(found, actors=("first", "bot")).name == "deny"


# Errors of a policy


def test_a_forbid_that_fails_to_evaluate_refuses_the_call() -> None:
    verdict = ask(ALL + OVERFLOW, calls_left=MOST)
    assert (verdict.name, verdict.reason) == ("deny", "policy_error")
    assert verdict.errors == ("broken: integer overflow while attempting to add the values",)


def test_a_permit_that_fails_to_evaluate_refuses_the_call_beside_one_that_permits() -> None:
    broken = '@id("broken") permit(principal, action, resource) when { context.calls_left + 1 > 3 };'
    assert ask(ALL + broken, calls_left=MOST).reason == "policy_error"


def test_errors_quote_no_argument() -> None:
    text = (
        ALL
        + """
    @id("sum") forbid(principal, action == Hopward::Action::"desk/refund", resource)
    when { context.arguments has n && context.arguments.n + 4242 > 3 };
    """
    )
    found = engine(text)
    verdict = ask(found, {"n": MOST})
    assert verdict.reason == "policy_error"
    assert str(MOST) not in repr(verdict)


@pytest.mark.parametrize(
    "given",
    [
        {"calls_left": 2**63},
        {"writes_left": -(2**63) - 1},
        {"subject": "\ud800"},
        {"actors": ("bot", "\ud800")},
        {"calls_left": 1.5},
        {"purpose": None},
    ],
)
def test_facts_that_the_schema_cannot_take_refuse_the_call(given: dict[str, Any]) -> None:
    verdict = ask(ALL, **given)
    assert (verdict.name, verdict.reason) == ("deny", "policy_error")
    assert verdict.errors == ("the call does not fit the schema",)


def test_an_agent_whose_name_is_no_text_is_refused() -> None:
    agent = Agent(id="\ud800", owner="ops", purpose="x", state="active", ceiling=())
    assert ask(ALL, agent=agent).reason == "policy_error"
    agent = Agent(id="bot", owner="\ud800", purpose="x", state="active", ceiling=())
    assert ask(ALL, agent=agent).reason == "policy_error"


def test_a_tool_the_policies_were_not_checked_against_is_refused() -> None:
    stranger = Tool(**{**{f: getattr(REFUND, f) for f in REFUND.__struct_fields__}, "name": "wire"})
    relabelled = Tool(**{**{f: getattr(REFUND, f) for f in REFUND.__struct_fields__}, "action": "read"})
    for tool in (stranger, relabelled):
        assert ask(ALL, tool=tool).reason == "tool_unclassified"


# Arguments are data


ESCAPES = [
    {"__entity": {"type": "Hopward::Agent", "id": "boss"}},
    {"__extn": {"fn": "decimal", "arg": "1.0"}},
    {"__extn": {"fn": "ip", "arg": "10.0.0.1"}},
    {"__expr": "true"},
    {"type": "Hopward::Agent", "id": "boss"},
]


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("name", ["amount", "note", "n", "tags"])
def test_an_escape_in_a_declared_argument_refuses_the_call_and_names_the_argument(
    name: str, escape: Any
) -> None:
    for value in (escape, [escape]):
        verdict = ask(ALL, {name: value})
        assert (verdict.name, verdict.reason) == ("deny", "argument_type")
        assert repr(name) in verdict.sentence


@pytest.mark.parametrize("escape", ESCAPES)
@pytest.mark.parametrize("name", ["other", "__entity", "__extn", "subject", "arguments"])
def test_an_escape_in_an_undeclared_argument_never_reaches_a_policy(name: str, escape: Any) -> None:
    assert ask(ALL, {name: escape}).name == "permit"
    assert ask(OVERFLOW, {name: escape}).reason == "no_policy"


def test_a_null_is_not_an_absent_argument() -> None:
    verdict = ask(ALL + CAP, {"amount": None})
    assert verdict.reason == "argument_type"
    assert verdict.sentence.endswith("it is null.")


def test_an_argument_is_never_quoted_in_a_refusal() -> None:
    assert "secret" not in ask(ALL, {"n": "secret"}).sentence


def test_argument_types_reach_policies_as_declared() -> None:
    text = """
    permit(principal, action == Hopward::Action::"desk/refund", resource)
    when {
      context.arguments has amount && context.arguments.amount == decimal("49.99") &&
      context.arguments has n && context.arguments.n == -7 &&
      context.arguments has note && context.arguments.note like "ticket *" &&
      context.arguments has tags && context.arguments.tags.contains("vip")
    };
    """
    found = engine(text)
    given: dict[str, Any] = {"amount": 49.99, "n": -7, "note": "ticket \u0000 7", "tags": ["vip", "vip"]}
    assert ask(found, given).name == "permit"
    for name in given:
        assert ask(found, {key: value for key, value in given.items() if key != name}).name == "deny"


# Names are data


ODD = ["it's", 'a"b', "a\\b", "a\nb", "a\x00b", "a\x7fb", "a\u200bb", "a\u0301b", "", "\\u{61}dmin", "😀"]


@pytest.mark.parametrize("name", ODD)
def test_an_agent_of_any_name_gets_a_real_decision(name: str) -> None:
    found = engine(f"permit(principal == Hopward::Agent::{quote(name)}, action, resource);")
    agent = Agent(id=name, owner=name, purpose=name, state="active", ceiling=())
    assert ask(found, agent=agent, actors=(name,)).name == "permit"
    assert ask(found).reason == "no_policy"


@pytest.mark.parametrize("name", [name for name in ODD if name])
def test_a_tool_of_any_name_gets_a_real_decision(name: str) -> None:
    odd = Tool(
        server=name, name=name, action="read", sensitivity="public", integrity="trusted", destination=name,
        arguments={name: "string"},
    )  # fmt: skip
    text = (
        f"permit(principal, action == Hopward::Action::{quote(f'{name}/{name}')}, "
        f"resource in Hopward::Server::{quote(name)}) when {{ resource.name == {quote(name)} && "
        f'context.arguments has {quote(name)} && context.arguments[{quote(name)}] == "x" }};'
    )
    found = engine(text, [odd])
    assert ask(found, {name: "x"}, tool=odd).name == "permit"
    assert ask(found, {name: "y"}, tool=odd).reason == "no_policy"


@pytest.mark.parametrize(
    "name",
    [
        '", action, resource); permit(principal, action, resource); //',
        '"); permit(principal, action, resource',
        "x/../refund",
        "x[0]",
        'x" || true || "',
    ],
)
def test_a_name_in_a_request_never_becomes_part_of_a_policy(name: str) -> None:
    """CVE-2025-46569 and its kind: a name in a request is compared, and is never read as policy."""
    found = engine('permit(principal == Hopward::Agent::"boss", action, resource);')
    agent = Agent(id=name, owner=name, purpose=name, state="active", ceiling=())
    for _ in range(2):
        verdict = ask(found, {"note": name}, agent=agent, subject=name, workflow=name, actors=(name,))
        assert verdict.reason == "no_policy"


def test_two_requests_share_a_cache_key_only_if_they_are_equal() -> None:
    """CVE-2026-34972 and its kind: what is held for one agent and tool never answers for another."""
    tools = [
        Tool(
            server=server, name=name, action="read", sensitivity="public", integrity="trusted", destination=""
        )
        for server, name in (
            ("a", "b|c"),
            ("a|b", "c"),
            ("a", "1"),
            ("a", "01"),
            ("\u00e9", "x"),
            ("e\u0301", "x"),
        )
    ]
    found = engine("permit(principal, action, resource) when { principal.owner == resource.server };", tools)
    agents = [
        Agent(id=name, owner=owner, purpose=purpose, state="active", ceiling=())
        for name in ("x", "x|a", "a")
        for owner in ("a", "a|b", "\u00e9", "e\u0301")
        for purpose in ("", "a", "b|c")
    ]
    for _ in range(2):
        for tool in tools:
            for agent in agents:
                permitted = ask(found, tool=tool, agent=agent).name == "permit"
                assert permitted is (agent.owner == tool.server)


def test_an_agent_without_a_name_shares_nothing_with_the_others() -> None:
    text = 'permit(principal == Hopward::Agent::"", action, resource);'
    nameless = Agent(id="", owner="", purpose="", state="active", ceiling=())
    for agents in ([nameless, BOT], [BOT, nameless]):
        found = engine(text)
        assert {agent.id: ask(found, agent=agent).name for agent in agents} == {"": "permit", "bot": "deny"}


def test_many_agents_make_no_difference_to_what_is_decided() -> None:
    found = engine('permit(principal, action, resource) when { principal.owner == "ops" };')
    for number in range(5_000):
        agent = Agent(id=f"a{number}", owner="ops", purpose="", state="active", ceiling=())
        assert ask(found, agent=agent).name == "permit"
    assert len(found._entities) <= 4096
    assert ask(found).name == "permit"


# Step-up


STEP_UP = '@id("ask") @step_up("leads") @reason("A lead looks first.") forbid(principal, action, resource);\n'


def test_a_step_up_forbid_alone_asks_for_approval() -> None:
    verdict = ask(ALL + STEP_UP)
    assert (verdict.name, verdict.reason, verdict.policies) == ("step-up", "approval_required", ("ask",))
    assert verdict.sentence == "Needs approval by leads first, says policy ask: A lead looks first."


def test_two_step_up_forbids_name_both_groups() -> None:
    verdict = ask(ALL + STEP_UP + '@id("also") @step_up("board") forbid(principal, action, resource);')
    assert verdict.name == "step-up"
    assert verdict.policies == ("ask", "also")
    assert "board and leads" in verdict.sentence


def test_approval_cannot_lift_what_another_forbid_forbids() -> None:
    verdict = ask(ALL + STEP_UP + '@id("never") forbid(principal, action, resource);')
    assert (verdict.name, verdict.reason) == ("deny", "forbidden")
    assert set(verdict.policies) == {"ask", "never"}
    assert verdict.sentence == "Forbidden by policy never."


def test_approval_is_not_asked_for_what_nothing_permits() -> None:
    verdict = ask(STEP_UP)
    assert (verdict.name, verdict.reason) == ("deny", "no_policy")


def test_approval_is_not_asked_while_a_policy_fails() -> None:
    assert ask(ALL + STEP_UP + OVERFLOW, calls_left=MOST).reason == "policy_error"


def test_a_step_up_forbid_that_does_not_match_changes_nothing() -> None:
    text = ALL + '@step_up("leads") forbid(principal, action, resource) when { context.depth > 0 };'
    assert ask(text).name == "permit"
    assert ask(text, actors=("first", "bot")).name == "step-up"


# Slices


def test_one_of_a_thousand_tools_is_put_to_its_own_policies_only() -> None:
    tools = [
        Tool(
            server=f"s{n % 10}", name=f"t{n}", action="read", sensitivity="public", integrity="trusted",
            destination="", arguments={"n": "integer"},
        )
        for n in range(1_000)
    ]  # fmt: skip
    text = "\n".join(
        f'@id("p{n}") permit(principal, action == Hopward::Action::"s{n % 10}/t{n}", resource) '
        f"when {{ context.arguments has n && context.arguments.n < {n} }};"
        for n in range(1_000)
    )
    wide = '@id("wide") forbid(principal, action, resource) when { context.depth > 3 };'
    found = CedarEngine({"many.cedar": text, "wide.cedar": wide}, tools)
    assert len(found.policies) == 1_001
    for n in (0, 7, 999):
        assert [policy.id for policy in found.in_question(tools[n])] == [f"p{n}", "wide"]
    assert ask(found, {"n": 6}, tool=tools[7]).policies == ("p7",)
    assert ask(found, {"n": 7}, tool=tools[7]).reason == "no_policy"


def test_one_of_a_thousand_agents_is_put_to_its_own_policies_only() -> None:
    text = "\n".join(
        f'@id("p{n}") permit(principal == Hopward::Agent::"a{n}", action, resource);' for n in range(1_000)
    )
    found = engine(text)
    agent = Agent(id="a7", owner="", purpose="", state="active", ceiling=())
    assert [policy.id for policy in found.in_question(REFUND, "a7")] == ["p7"]
    assert ask(found, agent=agent).policies == ("p7",)
    assert ask(found).reason == "no_policy"
    assert len(found._slices) == 2


SCOPES = st.tuples(
    st.sampled_from(
        [
            "principal",
            "principal is Hopward::Agent",
            'principal == Hopward::Agent::"bot"',
            'principal in Hopward::Agent::"bot"',
            'principal is Hopward::Agent in Hopward::Agent::"other"',
            'principal == Hopward::Agent::"other"',
        ]
    ),
    st.sampled_from(
        [
            "action",
            'action == Hopward::Action::"desk/refund"',
            'action == Hopward::Action::"bank/query"',
            'action in Hopward::Action::"pay"',
            'action in Hopward::Action::"read"',
            'action in Hopward::Action::"desk/read"',
            'action in [Hopward::Action::"desk/read", Hopward::Action::"pay"]',
            'action in [Hopward::Action::"send", Hopward::Action::"read"]',
        ]
    ),
    st.sampled_from(
        [
            "resource",
            "resource is Hopward::Tool",
            'resource == Hopward::Tool::"desk/refund"',
            'resource == Hopward::Tool::"desk/read"',
            'resource in Hopward::Tool::"bank/query"',
            'resource in Hopward::Server::"desk"',
            'resource in Hopward::Server::"bank"',
            'resource is Hopward::Tool in Hopward::Server::"desk"',
        ]
    ),
)

CONDITIONS = st.sampled_from(
    [
        "",
        "when { context.depth > 0 }",
        "unless { context.depth > 0 }",
        'when { resource in Hopward::Server::"desk" }',
        'when { action in Hopward::Action::"read" }',
        'when { resource.sensitivity == "restricted" }',
        "when { context.calls_left + 1 > 3 }",
        'when { principal == Hopward::Agent::"bot" || context.writes_left + 1 > 3 }',
        "when { context.arguments has n && context.arguments.n > 3 }",
        'when { context.arguments has "\\u{6e}" }',
        "unless { context.arguments == context.arguments }",
        "when { [context.arguments].contains(context.arguments) }",
        "when { (if context.depth > 0 then context.arguments else context.arguments) has n }",
        'when { context.path like "x > *" }',
        'when { context["\\u{70}ath"] == "bot" }',
        "unless { context.hops.isEmpty() }",
        'when { context.hops.contains({position: 1, agent: "other", purpose: "look"}) }',
        "when { context has hops && context has path && context has hop_purpose }",
        'when { context.hop_purpose == "look" }',
        'when { context.taken_integrity == "untrusted" || context.taken_sensitivity == "restricted" }',
        'when { context.untrusted_servers.contains("desk") && context.above_ceiling }',
        'when { context.pin == "none" }',
        "when { context.bytes_left < 100 || context.destinations_left < 1 }",
        'when { context has currency && context.currency == "EUR" }',
        'when { context has amount && context.amount.lessThan(decimal("5.0")) }',
        'unless { context has money_left && context.money_left.lessThan(decimal("5.0")) }',
        "when { context.names_known || context.names_untrusted > 0 || context has provenance }",
        'when { (if context.depth > 0 then context else context).hop_purpose == "look" }',
        """when { {".": context}["."] has hops }""",
        """unless { {".": context} == {".": context} }""",
        """when { {"left": context}.left.path == "bot" }""",
        """when { {"left": {"attr": context}}["left"]["attr"].arguments has n }""",
    ]
)

POLICIES = st.lists(
    st.tuples(st.sampled_from(["permit", "forbid"]), SCOPES, CONDITIONS), min_size=1, max_size=8
)


_APART = (
    *("purposes", "pin_digest", "bytes_out", "new_destinations"),
    *("currency", "amount", "money_left"),
)
"""Facts that policies do not see as they are."""


def unsliced(text: str, tool: Tool, agent: Agent, given: Facts) -> tuple[str, set[int], bool]:
    """Cedar's own answer on the whole set, the whole schema and all tools: decision, policies, any error."""
    schema = cedarpy.Schema.from_str(schema_text(TOOLS))
    entities: list[dict[str, Any]] = [
        {"uid": {"type": "Hopward::Server", "id": server}, "attrs": {}, "parents": []}
        for server in ("desk", "bank")
    ]
    entities.append(
        {
            "uid": {"type": "Hopward::Agent", "id": agent.id},
            "attrs": {"owner": agent.owner, "purpose": agent.purpose},
            "parents": [],
        }
    )
    for one in TOOLS:
        labels = ("server", "name", "action", "sensitivity", "integrity", "ceiling", "destination")
        entities.append(
            {
                "uid": {"type": "Hopward::Tool", "id": one.full_name},
                "attrs": {label: getattr(one, label) for label in labels},
                "parents": [{"type": "Hopward::Server", "id": one.server}],
            }
        )
    context: dict[str, Any] = {name: getattr(given, name) for name in Facts.__slots__ if name not in _APART}
    context |= {"risk": given.risk.level, "risk_points": given.risk.points, "signals": given.risk.names}
    if given.currency:
        amounts = {"amount": given.amount, "money_left": given.money_left}
        context |= {name: decimal(units) for name, units in amounts.items()}
        context["currency"] = given.currency
    context |= {"arguments": {"n": 4}, "depth": len(given.actors) - 1, "path": " > ".join(given.actors)}
    received = enumerate(zip(given.actors[1:], given.purposes, strict=True), 1)
    context["hops"] = [{"position": n, "agent": name, "purpose": why} for n, (name, why) in received]
    context |= {"names_known": False, "names_untrusted": 0}
    context["hop_purpose"] = given.purposes[-1] if given.purposes else given.purpose
    request = {
        "principal": {"type": "Hopward::Agent", "id": agent.id},
        "action": {"type": "Hopward::Action", "id": tool.full_name},
        "resource": {"type": "Hopward::Tool", "id": tool.full_name},
        "context": json.dumps(context),
    }
    handle = cedarpy.Entities.from_json_str(json.dumps(entities), schema)
    answer = cedarpy.is_authorized(request, text, handle, schema)
    matched = {int(reason.removeprefix("policy")) for reason in answer.diagnostics.reasons}
    return answer.decision.value, matched, bool(answer.diagnostics.errors)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(POLICIES)
def test_a_slice_told_only_what_it_asks_for_answers_exactly_as_the_whole_set_told_everything(
    written: list[Any],
) -> None:
    texts = [f"{effect} ({', '.join(scope)}) {condition};" for effect, scope, condition in written]
    text = "\n".join(texts)
    try:
        found = engine(text)
    except ConfigError as error:
        # A scope that no action and resource can meet together is refused, not sliced.
        assert all("unable to find an applicable action" in problem for problem in error.problems)  # noqa: PT017
        return
    other = Agent(id="other", owner="", purpose="", state="active", ceiling=())
    for tool in TOOLS:
        for agent in (BOT, other):
            for given_facts in (
                facts(),
                facts(actors=("x", agent.id), purposes=("look",)),
                facts(calls_left=MOST, writes_left=MOST),
                facts(taken_integrity="untrusted", untrusted_servers=("desk",), above_ceiling=True),
                facts(currency="EUR", amount=30_000, money_left=90_000, bytes_left=7, destinations_left=0),
            ):
                decision, matched, failed = unsliced(text, tool, agent, given_facts)
                call = ToolCall(server=tool.server, tool=tool.name, arguments={"n": 4})
                verdict = found.evaluate(call, tool, agent, given_facts)
                assert set(verdict.policies) == {f"a.cedar#{number + 1}" for number in matched}
                if failed:
                    assert verdict.reason == "policy_error"
                else:
                    assert verdict.name == ("permit" if decision == "Allow" else "deny")


def test_a_tool_that_no_policy_could_permit_is_known_without_a_call() -> None:
    found = engine(
        'permit(principal, action in Hopward::Action::"read", resource); forbid(principal, action, resource);'
    )
    assert found.could_permit(READ)
    assert not found.could_permit(REFUND)


# The set in force


def test_the_digest_of_a_set_changes_with_any_text_name_or_classification() -> None:
    digests = {
        CedarEngine(files, tools).policy_set
        for files, tools in [
            ({"a.cedar": ALL}, TOOLS),
            ({"b.cedar": ALL}, TOOLS),
            ({"a.cedar": ALL + " "}, TOOLS),
            ({"a.cedar": ALL}, TOOLS[:1]),
        ]
    }
    assert len(digests) == 4
    both = {"a.cedar": ALL, "b.cedar": STEP_UP}
    turned = dict(reversed(both.items()))
    groups = ["leads"]
    first, second = CedarEngine(both, TOOLS, groups), CedarEngine(turned, TOOLS[::-1], groups)
    assert first.policy_set == second.policy_set


def test_a_policy_of_four_hundred_conditions_works() -> None:
    chain = " || ".join(f'context.subject == "s{n}"' for n in range(200))
    found = engine(f"permit(principal, action, resource) when {{ {chain} }};")
    assert ask(found, subject="s199").name == "permit"
    assert ask(found, subject="s200").name == "deny"


def test_policies_nested_past_reading_are_refused_not_ignored() -> None:
    chain = " || ".join(f'context.subject == "s{n}"' for n in range(3_000))
    (problem,) = problems(f"permit(principal, action, resource) when {{ {chain} }};")
    assert "nest too deeply" in problem


# Explaining


def test_an_explanation_tells_what_every_policy_in_question_did() -> None:
    elsewhere = '@id("elsewhere") permit(principal, action == Hopward::Action::"bank/query", resource);'
    found = engine(ALL + CAP + OVERFLOW + elsewhere)
    call = ToolCall(server="desk", tool="refund", arguments={"amount": 60})
    told = found.explain(call, REFUND, BOT, facts(calls_left=MOST))
    assert {step.policy.id: step.result for step in told.steps} == {
        "all": "applies",
        "cap": "applies",
        "broken": "error",
    }
    assert told.aside == 1
    assert told.verdict.reason == "policy_error"
    assert "overflow" in next(step.detail for step in told.steps if step.result == "error")
    told = found.explain(call, REFUND, BOT, facts())
    assert [step.result for step in told.steps] == ["applies", "applies", "does not apply"]


def test_an_ill_typed_call_is_explained_by_its_verdict_alone() -> None:
    found = engine(ALL)
    told = found.explain(ToolCall(server="desk", tool="refund", arguments={"n": "1"}), REFUND, BOT, facts())
    assert told.steps == ()
    assert told.verdict.reason == "argument_type"


# Mistakes in policy files


def when(condition: str) -> str:
    return f"forbid(principal, action, resource) when {{ {condition} }};"


PLAIN = "permit(principal, action, resource)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "permit(principal,\n  action,\n  resource)\nwhen { 1 + };",
            "a.cedar:4: policy 1 of the file: unexpected token `}`",
        ),
        (f"{ALL}\n{PLAIN}", "a.cedar:3: policy 2 of the file: it is not finished"),
        (f'{ALL}\n{PLAIN} when\n{{ "x }};', "a.cedar:4: policy 2 of the file: invalid token"),
        ("\nforbid(principle, action, resource);", "a.cedar:2: policy 1 of the file: found an invalid"),
        (
            '@id("a")\n@id("b")\npermit(principal, action, resource);',
            "a.cedar:1: policy 1 of the file: duplicate annotation",
        ),
        (
            'permit(principal, action in Hopward::Action::"raed",\nresource);',
            "policy 'a.cedar#1': unrecognized action `Hopward::Action::\"raed\"`; "
            'did you mean Hopward::Action::"read"?',
        ),
        (
            "permit(principal is Agent, action, resource);",
            "unrecognized entity type `Agent`; did you mean Hopward::Agent?",
        ),
        (
            "permit(principal, action, resource)\nwhen { context.calls_lft > 1 };",
            "a.cedar:2: policy 'a.cedar#1': attribute `calls_lft` not found; did you mean calls_left?",
        ),
        (
            'permit(principal, action == Hopward::Action::"desk/refund", resource)\nwhen {\n'
            "context.arguments.n > 1 };",
            "a.cedar:3: policy 'a.cedar#1': unable to guarantee safety of access to optional attribute "
            "`arguments.n`; ask `context.arguments has n` first",
        ),
        (
            'forbid(principal, action in Hopward::Action::"pay", resource)\n'
            "when { context.arguments has amuont };",
            "a.cedar:2: policy 'a.cedar#1': no tool this policy can be about declares an argument 'amuont'; "
            "did you mean amount?",
        ),
        (when("context has subjct"), "context never has 'subjct'; did you mean subject?"),
        (when("principal has role"), "principal never has 'role'"),
        (when("resource has lable"), "resource never has 'lable'"),
        (
            'forbid(principal, action, resource in Hopward::Server::"dsek");',
            "there is no server with a classified tool called 'dsek'; did you mean desk?",
        ),
        (
            'forbid(principal, action, resource == Hopward::Tool::"desk/refnd");',
            "there is no tool called 'desk/refnd'; did you mean desk/refund?",
        ),
        (
            when('resource in [Hopward::Server::"dsek"]'),
            "there is no server with a classified tool called 'dsek'",
        ),
        (
            'forbid(principal, action == Hopward::Action::"pay", resource);',
            "no call has the action 'pay' itself: write `action in Hopward::Action::\"pay\"`",
        ),
        (
            when('resource.sensitivity == "secret"'),
            "resource.sensitivity is never 'secret'",
        ),
        (
            'forbid(principal, action, resource) unless { "trused" != resource.integrity };',
            "resource.integrity is never 'trused'; did you mean trusted?",
        ),
        (
            when('Hopward::Agent::"boss".owner == "x"'),
            'Hopward::Agent::"boss" may only stand beside == and !=, or right of `in`',
        ),
        (
            when('Hopward::Tool::"desk/read" in Hopward::Server::"desk"'),
            'Hopward::Tool::"desk/read" may only stand beside',
        ),
        (
            when('(if true then principal else Hopward::Agent::"b") has owner'),
            'Hopward::Agent::"b" may only stand beside',
        ),
        (
            when('{a: Hopward::Agent::"b"}.a has owner'),
            'Hopward::Agent::"b" may only stand beside',
        ),
        ("permit(principal == ?principal, action, resource);", "a template permits and forbids nothing"),
        (
            "permit(principal, action, resource is Hopward::Tool in ?resource);",
            "a template permits and forbids nothing",
        ),
        ('@cntrol("x") permit(principal, action, resource);', "did you mean @control?"),
        ('@step_up("x") permit(principal, action, resource);', "@step_up belongs on a forbid"),
        ("// nothing but a comment", "there is no policy"),
        ("", "there is no policy"),
    ],
)
def test_a_mistake_in_a_policy_is_told_with_its_place(text: str, expected: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    "condition",
    [
        'principal == Hopward::Agent::"boss"',
        'principal in Hopward::Agent::"boss"',
        '[Hopward::Agent::"a", Hopward::Agent::"b"].contains(principal)',
        '[principal].contains(Hopward::Agent::"a")',
        'principal in [Hopward::Agent::"a", Hopward::Agent::"b"]',
        'resource is Hopward::Tool in Hopward::Server::"desk"',
        '{Value: 1, "==": 2, __entity: 3} has Value',
        'action in Hopward::Action::"read"',
        'resource.destination == "anywhere"',
        "context has subject",
    ],
)
def test_a_question_that_can_be_answered_is_accepted(condition: str) -> None:
    assert len(engine(f"permit(principal, action, resource) when {{ {condition} }};").policies) == 1


def test_an_argument_that_one_of_the_tools_in_question_declares_may_be_asked_for() -> None:
    text = 'forbid(principal, action in Hopward::Action::"read", resource) when { context.arguments has id };'
    assert len(engine(text).policies) == 1


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    files = {
        "b.cedar": 'permit(principal, action in Hopward::Action::"raed", resource);\n'
        f'@x("y") {PLAIN} when {{ context.nope }};\n@id("same") {PLAIN};',
        "a.cedar": f'@id("same") {PLAIN};',
        "c.cedar": f"{PLAIN} when {{ ) }};\n{PLAIN} when {{ ] }};",
    }
    with pytest.raises(ConfigError) as refused:
        CedarEngine(files, TOOLS)
    assert [problem.split(" ", 1)[0] for problem in refused.value.problems] == [
        "b.cedar:1:",
        "b.cedar:2:",
        "b.cedar:2:",
        "c.cedar:1:",
        "c.cedar:2:",
        "b.cedar:3:",
    ]
    assert "a.cedar:1 has the same @id" in refused.value.problems[-1]


def test_a_set_with_an_id_twice_in_one_file_is_refused() -> None:
    (problem,) = problems(ALL + ALL)
    assert problem == "a.cedar:2: policy 'all': a.cedar:1 has the same @id"


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_a_policy_file_of_any_text_is_accepted_whole_or_refused_with_places(text: str) -> None:
    try:
        engine(text)
    except ConfigError as error:
        assert error.problems  # noqa: PT017
        assert all(problem.startswith(("a.cedar:", "there is no policy")) for problem in error.problems)  # noqa: PT017
