"""A verdict is held for as long as nothing that a policy asks about has changed, and no longer."""

from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hopward.behaviour import Risk, Signal
from hopward.cedar import CedarEngine
from hopward.model import Tool, ToolCall
from hopward.record import Facts
from hopward.testing.samples import an_agent

PAY = Tool(
    server="desk",
    name="pay",
    action="pay",
    sensitivity="internal",
    integrity="trusted",
    destination="bank",
    arguments={"amount": "integer", "note": "string"},
)
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
RISKY = Risk("high", 50, (Signal("denials", 50, "", 0),))
HELPER = an_agent("helper")
PERMIT = 'permit (principal, action in Hopward::Action::"pay", resource)'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Cedar was asked, one context for each time."""
    contexts: list[str] = []
    original: Any = cedarpy.is_authorized

    def counting(request: Any, *rest: Any) -> Any:
        contexts.append(request["context"])
        return original(request, *rest)

    monkeypatch.setattr(cedarpy, "is_authorized", counting)
    return contexts


def call(**arguments: Any) -> ToolCall:
    return ToolCall(server="desk", tool="pay", arguments={"amount": 5, "note": "x"} | arguments)


def test_what_no_policy_asks_about_does_not_make_cedar_decide_again(asked: list[str]) -> None:
    engine = CedarEngine({"a.cedar": f"{PERMIT} when {{ context.arguments has amount }};"}, [PAY])
    first = engine.evaluate(call(), PAY, HELPER, FACTS)
    later = replace(
        FACTS, calls_left=1, writes_left=1, task="task_2", subject="bob", actors=("helper",), risk=RISKY
    )
    assert engine.evaluate(call(note="y"), PAY, HELPER, later) == first
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        ("context.calls_left > 3", {"calls_left": 3}),
        ("context.writes_left > 1", {"writes_left": 1}),
        ('context.subject == "alice"', {"subject": "bob"}),
        ('context.task == "task_1"', {"task": "task_2"}),
        ('context.purpose == "settle"', {"purpose": "other"}),
        ('context.workflow == "claims"', {"workflow": "other"}),
        ("context.depth == 1", {"actors": ("helper",), "purposes": ()}),
        ('context.actors.contains("boss")', {"actors": ("chief", "helper")}),
        ('context.path == "boss > helper"', {"actors": ("chief", "helper")}),
        ('context.hop_purpose == "look into it"', {"purposes": ("something else",)}),
        ("!context.bound", {"bound": True}),
        ('context.risk == "low"', {"risk": RISKY}),
        ("context.risk_points < 10", {"risk": RISKY}),
        ('!context.signals.contains("denials")', {"risk": RISKY}),
        (
            'context.hops.contains({"position": 1, "agent": "helper", "purpose": "look into it"})',
            {"purposes": ("something else",)},
        ),
    ],
)
def test_whatever_a_policy_asks_about_is_decided_anew_when_it_changes(
    condition: str, change: dict[str, Any]
) -> None:
    engine = CedarEngine({"a.cedar": f"{PERMIT} when {{ {condition} }};"}, [PAY])
    for _ in range(2):
        assert engine.evaluate(call(), PAY, HELPER, FACTS).name == "permit"
        assert engine.evaluate(call(), PAY, HELPER, replace(FACTS, **change)).name == "deny"


def test_arguments_agents_and_tools_are_told_apart() -> None:
    small = f"{PERMIT} when {{ context.arguments has amount && context.arguments.amount < 10 }};"
    theirs = 'forbid (principal == Hopward::Agent::"other", action, resource);'
    owned = 'forbid (principal, action, resource) when { principal.owner == "mallory" };'
    engine = CedarEngine({"a.cedar": small + theirs + owned}, [PAY])
    for _ in range(2):
        assert engine.evaluate(call(), PAY, HELPER, FACTS).name == "permit"
        assert engine.evaluate(call(amount=10), PAY, HELPER, FACTS).name == "deny"
        assert engine.evaluate(call(), PAY, an_agent("other"), FACTS).name == "deny"
        assert engine.evaluate(call(), PAY, an_agent("helper", owner="mallory"), FACTS).name == "deny"
        assert engine.evaluate(call(amount="5"), PAY, HELPER, FACTS).reason == "argument_type"


LEFT = "context.calls_left"
NOTE = "context.arguments has note && context.arguments.note"
AMOUNT = "context.arguments has amount && context.arguments.amount"


@pytest.mark.parametrize(
    ("condition", "alike"),
    [
        (f"{LEFT} > 0", [replace(FACTS, calls_left=left) for left in (1, 7, 2**62)]),
        (f"0 < {LEFT}", [replace(FACTS, calls_left=left) for left in (1, 7, 2**62)]),
        (f"{LEFT} >= 3 && {LEFT} != 100", [replace(FACTS, calls_left=left) for left in (3, 99, 101)]),
        (f"[1, 2].contains({LEFT}) || {LEFT} > 5", [replace(FACTS, calls_left=left) for left in (6, 9)]),
        ('context.subject != "mallory"', [replace(FACTS, subject=name) for name in ("alice", "bob")]),
    ],
)
def test_what_compares_alike_does_not_make_cedar_decide_again(
    condition: str, alike: list[Facts], asked: list[str]
) -> None:
    engine = CedarEngine({"a.cedar": f"{PERMIT} when {{ {condition} }};"}, [PAY])
    assert {engine.evaluate(call(), PAY, HELPER, facts).name for facts in alike} == {"permit"}
    assert len(asked) == 1


def test_any_text_but_the_one_that_is_forbidden_is_one_request_however_long(asked: list[str]) -> None:
    engine = CedarEngine({"a.cedar": f'{PERMIT} unless {{ {NOTE} == "no" }};'}, [PAY])
    notes = ("x" * 5000, "y", "", "No", "no ")
    assert {engine.evaluate(call(note=note), PAY, HELPER, FACTS).name for note in notes} == {"permit"}
    assert len(asked) == 1
    assert engine.evaluate(call(note="no"), PAY, HELPER, FACTS).name == "deny"
    assert (
        engine.evaluate(ToolCall(server="desk", tool="pay", arguments={}), PAY, HELPER, FACTS).name
        == "permit"
    )
    assert len(asked) == 3


CONDITIONS = (
    f"{LEFT} < 3",
    f"3 <= {LEFT}",
    f"!({LEFT} == 5)",
    f"{LEFT} + 1 > 4",
    f"[2, 4].contains({LEFT})",
    f'[2, 4].contains({LEFT}) || context.subject == "calls_left"',
    "context.writes_left == context.calls_left",
    "context.calls_left < context.writes_left",
    'context.subject == "alice"',
    '["alice", "bob"].contains(context.subject)',
    'context.subject like "a*"',
    "context.purpose == context.subject",
    "context.arguments has note",
    f'{NOTE} == "note"',
    f'{NOTE} != "x"',
    f'{NOTE} like "*o*"',
    f"{NOTE} == context.subject",
    f"{AMOUNT} >= 5",
    "context.arguments has amount && -5 < context.arguments.amount * 2",
    f"{AMOUNT} == {LEFT}",
    f"{AMOUNT} > {2**63 - 1}",
    "context == context && context.calls_left > 2",
    "[2, context.writes_left + 1].contains(context.calls_left)",
    "{calls_left: context.calls_left} == {calls_left: 3}",
    '{"==": context.calls_left}["=="] == 3',
    "(if context.calls_left > 2 then context.writes_left else 1) == 2",
    'context["calls_left"] > 2',
)


AMOUNTS = (-5, -3, 0, 3, 4, 5, 6, 2**63 - 1, True, "5", 5.0)
NOTES = ("note", "x", "no", "", "alice", "\ud800", 3)
VARIED = (
    *((call(), replace(FACTS, calls_left=left)) for left in range(7)),
    *((call(), replace(FACTS, writes_left=left)) for left in range(5)),
    *((call(), replace(FACTS, subject=name)) for name in ("alice", "bob", "calls_left", "x", "")),
    *((call(amount=amount), FACTS) for amount in AMOUNTS),
    *((call(note=note), FACTS) for note in NOTES),
    (ToolCall(server="desk", tool="pay", arguments={}), FACTS),
)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_held_verdict_is_the_one_that_would_be_reached(condition: str) -> None:
    text = f"{PERMIT} when {{ {condition} }};"
    holding = CedarEngine({"a.cedar": text}, [PAY])
    for asking, facts in VARIED:
        fresh = CedarEngine({"a.cedar": text}, [PAY])
        assert holding.evaluate(asking, PAY, HELPER, facts) == fresh.evaluate(asking, PAY, HELPER, facts)


@settings(max_examples=40, deadline=None)
@given(
    chosen=st.lists(
        st.tuples(st.sampled_from(("permit", "forbid")), st.sampled_from(CONDITIONS)), max_size=3
    ),
    asked_for=st.lists(
        st.fixed_dictionaries(
            {
                "left": st.integers(0, 6),
                "writes": st.integers(0, 4),
                "subject": st.sampled_from(("alice", "bob", "calls_left", "note", "")),
                "arguments": st.fixed_dictionaries(
                    {},
                    optional={
                        "amount": st.sampled_from(AMOUNTS),
                        "note": st.sampled_from(NOTES),
                    },
                ),
            }
        ),
        min_size=2,
        max_size=12,
    ),
)
def test_of_several_policies_a_held_verdict_is_the_one_that_would_be_reached(
    chosen: list[tuple[str, str]], asked_for: list[dict[str, Any]]
) -> None:
    scope = '(principal, action in Hopward::Action::"pay", resource)'
    text = "".join(f"{effect} {scope} when {{ {condition} }};\n" for effect, condition in chosen)
    holding = CedarEngine({"a.cedar": text + PERMIT + ";"}, [PAY])
    for one in asked_for:
        facts = replace(FACTS, calls_left=one["left"], writes_left=one["writes"], subject=one["subject"])
        asking = ToolCall(server="desk", tool="pay", arguments=one["arguments"])
        fresh = CedarEngine({"a.cedar": text + PERMIT + ";"}, [PAY])
        assert holding.evaluate(asking, PAY, HELPER, facts) == fresh.evaluate(asking, PAY, HELPER, facts)


def test_a_long_request_is_not_held(asked: list[str]) -> None:
    engine = CedarEngine(
        {
            "a.cedar": f'{PERMIT} when {{ context.arguments.note like "*" }};'.replace(
                "context.arguments.note", "context.arguments has note && context.arguments.note"
            )
        },
        [PAY],
    )
    for _ in range(2):
        assert engine.evaluate(call(note="x" * 5000), PAY, HELPER, FACTS).name == "permit"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "note", ["\ud800", "\\ud800", '"\\ud800"', "\\\\ud800", "\ud83d\ude00", "\U0001f600"]
)
def test_a_verdict_on_half_a_character_holds_for_no_text_that_spells_it(note: str) -> None:
    policy = f"{PERMIT} when {{ context.arguments has note }};"
    fresh, used = (CedarEngine({"a.cedar": policy}, [PAY]) for _ in range(2))
    for other in ("\ud800", "x", "\\ud800", "\U0001f600"):
        used.evaluate(call(note=other), PAY, HELPER, FACTS)
    verdict = used.evaluate(call(note=note), PAY, HELPER, FACTS)
    assert verdict == fresh.evaluate(call(note=note), PAY, HELPER, FACTS)
    assert (verdict.name == "deny") == ("\ud800" <= note[0] < "\ue000")
