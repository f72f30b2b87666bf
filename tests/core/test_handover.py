"""What a request says is handed on: exactly one delegation, bounded in size, nothing ignored."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward import handover
from hopward.clock import SECOND
from hopward.constraint import Range
from hopward.errors import ExchangeRefusedError
from hopward.model import Budget, Capability, Narrowing
from hopward.testing.clock import NOON
from hopward.testing.samples import a_hop

READING = Capability(
    tools=("desk/read",),
    actions=("read",),
    sensitivity="internal",
    destinations=("desk",),
    constraints={"ticket": (Range(minimum=1, maximum=9),)},
)
ASKED = Narrowing(
    purpose="read ticket 7",
    capabilities=(READING,),
    budget=Budget(calls=3, writes=1),
    expires_in=600,
    shared=True,
    delegable=(READING,),
    depth=1,
    fan_out=2,
)
ENTRY: dict[str, Any] = handover.asked(ASKED)[0]
ONE: dict[str, Any] = ENTRY["capabilities"][0]
LEAST = {name: ENTRY[name] for name in ("type", "purpose", "capabilities", "budget", "expires_in")}


def refusal(text: str) -> str:
    with pytest.raises(ExchangeRefusedError) as refused:
        handover.read(text)
    assert refused.value.error == "invalid_authorization_details"
    return refused.value.message


def read(**changes: Any) -> Narrowing:
    return handover.read(json.dumps([ENTRY | changes]))


def test_what_is_asked_is_read_back() -> None:
    assert handover.read(json.dumps(handover.asked(ASKED))) == ASKED


def test_the_least_that_can_be_asked() -> None:
    found = handover.read(json.dumps([LEAST]))
    assert (found.shared, found.delegable, found.depth, found.fan_out) == (False, (), 0, 0)


@pytest.mark.parametrize("missing", sorted(LEAST))
def test_what_a_delegation_must_say(missing: str) -> None:
    assert refusal(json.dumps([{name: value for name, value in ENTRY.items() if name != missing}]))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "hopward_tool_call"},
        {"type": "Hopward_Delegation"},
        {"type": None},
        {"type": 7},
        {"locations": ["https://desk.example"]},
        {"agent": "other"},
        {"purpose": 7},
        {"purpose": "a\nb"},
        {"purpose": "a\u0000"},
        {"purpose": "a\u202eb"},
        {"purpose": "x" * 501},
        {"capabilities": {}},
        {"capabilities": [7]},
        {"capabilities": [{**ONE, "tool": "desk/pay"}]},
        {"capabilities": [{**ONE, "actions": ["reed"]}]},
        {"capabilities": [{**ONE, "sensitivity": "secret"}]},
        {"capabilities": [{**ONE, "tools": "desk/read"}]},
        {"capabilities": [{**ONE, "constraints": {"ticket": [{"kind": "exec"}]}}]},
        {"capabilities": [{**ONE, "constraints": {"ticket": [{"kind": "range", "least": 1}]}}]},
        {"capabilities": [ONE] * 9},
        {"delegable": [ONE] * 9},
        {"budget": 3},
        {"budget": {"calls": 3}},
        {"budget": {"calls": 3, "writes": 1, "money": 5}},
        {"budget": {"calls": 3.5, "writes": 1}},
        {"budget": {"calls": True, "writes": 1}},
        {"budget": {"calls": "3", "writes": 1}},
        {"budget": {"calls": -1, "writes": 0}},
        {"budget": {"calls": 2**31, "writes": 0}},
        {"expires_in": 2**31},
        {"expires_in": -1},
        {"expires_in": 10**400},
        {"expires_in": None},
        {"depth": -1},
        {"fan_out": 2**63},
        {"shared": "yes"},
        {"shared": 1},
    ],
    ids=lambda changes: json.dumps(changes)[:60],
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(json.dumps([ENTRY | changes]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "null",
        "{}",
        "[]",
        "[null]",
        "[[]]",
        json.dumps(ENTRY),
        json.dumps([ENTRY, ENTRY]),
        json.dumps([ENTRY])[:-2] + ',"depth":7}]',
        json.dumps([ENTRY])[:-2] + ',"x":NaN}]',
        '[{"type":"hopward_delegation","purpose":"\\ud800"}]',
        "[" * 8_000,
        json.dumps([ENTRY]) + " " * handover.LONGEST,
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_single_delegation_is_refused(text: str) -> None:
    assert refusal(text)


@given(st.text(max_size=200))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    assert refusal(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_no_value_of_a_member_does_anything_but_be_read_or_refused(value: Any) -> None:
    for name in ENTRY:
        try:
            found = read(**{name: value})
        except ExchangeRefusedError:
            continue
        assert json.loads(json.dumps(handover.asked(found)[0][name])) == value


def test_what_is_carried_is_told_in_the_same_words() -> None:
    hop = a_hop(opened_at=NOON, expires_at=NOON + 61 * SECOND, depth=2, fan_out=1, shared=True)
    (told,) = handover.carried(hop)
    assert (told["type"], told["expires_in"], told["depth"]) == ("hopward_delegation", 61, 2)
    assert told.keys() == ENTRY.keys()
    again = handover.read(json.dumps([told]))
    assert (again.purpose, again.capabilities, again.budget) == (hop.purpose, hop.capabilities, hop.budget)
