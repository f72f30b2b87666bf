"""A verdict is held for as long as nothing that a policy asks about has changed, and no longer."""

from typing import Any

import cedarpy
import pytest
from msgspec.structs import replace

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
    later = replace(FACTS, calls_left=1, writes_left=1, task="task_2", subject="bob", actors=("helper",))
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
