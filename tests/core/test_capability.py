"""Capabilities: what they cover, how they attenuate, and that attenuation is an exact meet."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward.capability import (
    NOTHING,
    attenuate,
    attenuate_all,
    check,
    covers,
    covers_any,
    explain,
    explain_any,
    normal,
    normal_all,
    reaches,
    within,
)
from hopward.constraint import Constraint, Equals, Length, OneOf, Pattern, Prefix, Range
from hopward.model import ACTIONS, SENSITIVITIES, Capability, Tool, ToolCall, plain

modest = settings(max_examples=150, deadline=None)

GRANT = Capability(
    tools=("desk/refund",),
    actions=("pay",),
    sensitivity="confidential",
    destinations=("internal", "bank:*"),
    constraints={"amount": (Range(0, 50),)},
)
REFUND = Tool(
    server="desk",
    name="refund",
    action="pay",
    sensitivity="confidential",
    integrity="trusted",
    destination="bank:eu",
)
CALL = ToolCall(server="desk", tool="refund", arguments={"amount": 5})


def granted(**changes: Any) -> Capability:
    """The grant of these tests with some fields changed."""
    return msgspec.structs.replace(GRANT, **changes)


def called(**arguments: Any) -> ToolCall:
    """A refund with these arguments."""
    return ToolCall(server="desk", tool="refund", arguments=arguments)


# Few names and values, so that independent draws meet often.
KEYS = ["a", "b", "/a", "/a/x", "/a/y", "a.x", "/~1a", "/a/~", ""]
conditions: st.SearchStrategy[tuple[Constraint, ...]] = st.lists(
    st.sampled_from(
        [Equals(1), Equals(True), Range(0, 5), Range(1), OneOf((1, 2.0, "s")), Prefix("s"), Length(0, 2)]
    ),
    max_size=2,
).map(tuple)
actions = st.sampled_from(ACTIONS[:3])
sensitivities = st.sampled_from(SENSITIVITIES)
tool_patterns = st.sampled_from(["s/t", "s/u", "s/t*", "s/*", "*", "s2/t", "bad*one", "s/resource:x://*"])
places = st.sampled_from(["in", "out:a", "out:*", "*", ""])
capabilities = st.builds(
    Capability,
    tools=st.lists(tool_patterns, max_size=3).map(tuple),
    actions=st.lists(actions, min_size=1, max_size=3).map(tuple),
    sensitivity=sensitivities,
    destinations=st.lists(places, min_size=1, max_size=2).map(tuple),
    constraints=st.dictionaries(st.sampled_from(KEYS), conditions, max_size=2),
    closed=st.booleans(),
)
# Wide in everything but arguments, so that argument constraints decide.
wide = st.builds(
    Capability,
    tools=st.just(("s/*",)),
    actions=st.just(ACTIONS),
    sensitivity=st.just("restricted"),
    destinations=st.just(("*",)),
    constraints=st.dictionaries(st.sampled_from(KEYS), conditions, max_size=3),
    closed=st.booleans(),
)
either = capabilities | wide
alternatives = st.lists(either, max_size=3).map(tuple)
leaves = st.sampled_from([None, True, 0, 1, 1.0, 2, 5, "s", "st", [], [1]])
objects = st.dictionaries(st.sampled_from(["x", "y", "~"]), leaves, max_size=2)
arguments = st.dictionaries(st.sampled_from(["a", "b", "/a", "a.x", "", "c"]), leaves | objects, max_size=3)
calls = st.builds(
    ToolCall, server=st.just("s"), tool=st.sampled_from(["t", "u", "resource:x://1"]), arguments=arguments
)
tools = st.builds(
    Tool,
    server=st.just("s"),
    name=st.sampled_from(["t", "u", "t*", "resource:x://*"]),
    action=actions,
    sensitivity=sensitivities,
    integrity=st.just("trusted"),
    destination=st.sampled_from(["in", "out:a", "out:b"]),
)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[ToolCall, Tool]:
    """A call, mostly with the classification that is its own."""
    call = draw(calls)
    name = draw(st.just(call.tool) | st.just(call.tool) | st.sampled_from(["t", "resource:x://*"]))
    return call, msgspec.structs.replace(draw(tools), name=name)


def spelled(*some: Capability) -> str:
    """The stored form, which tells 1 from 1.0 and true."""
    return repr(plain(some))


# --- covers ------------------------------------------------------------------------------------------------


def test_a_capability_covers_a_call_that_is_inside_it_in_every_dimension() -> None:
    assert covers(GRANT, CALL, REFUND)
    assert explain(GRANT, CALL, REFUND) is None
    assert explain_any((GRANT,), CALL, REFUND) == ""


@pytest.mark.parametrize(
    ("capability", "call", "why"),
    [
        (granted(tools=("desk/read*",)), CALL, "The tool 'desk/refund' is not granted."),
        (granted(tools=("refund",)), CALL, "The tool 'desk/refund' is not granted."),
        (granted(tools=("desk/REFUND",)), CALL, "The tool 'desk/refund' is not granted."),
        (granted(tools=()), CALL, "The tool 'desk/refund' is not granted."),
        (granted(actions=("read", "write")), CALL, "The action 'pay' of 'desk/refund' is not granted."),
        (
            granted(sensitivity="internal"),
            CALL,
            "Data that is 'confidential' is not granted, at most 'internal'.",
        ),
        (granted(destinations=("bank",)), CALL, "The destination 'bank:eu' is not granted."),
        (
            granted(),
            called(amount=51),
            "The argument 'amount' must be a number of at least 0 and at most 50.",
        ),
        (
            granted(),
            called(),
            "The argument 'amount' is missing; it must be a number of at least 0 and at most 50.",
        ),
        (granted(closed=True), called(amount=5, memo="x"), "The argument 'memo' may not be given."),
    ],
)
def test_one_dimension_outside_is_enough_to_refuse_and_is_explained(
    capability: Capability, call: ToolCall, why: str
) -> None:
    assert not covers(capability, call, REFUND)
    assert explain(capability, call, REFUND) == why


@pytest.mark.parametrize("value", [True, "5", [5], {"amount": 5}, None, -1, 50.01, 10**400])
def test_an_ill_typed_or_excessive_argument_is_not_covered(value: Any) -> None:
    assert not covers(GRANT, called(amount=value), REFUND)


def test_an_explanation_never_repeats_the_value_of_an_argument() -> None:
    why = explain(GRANT, called(amount="hunter2-secret"), REFUND)
    assert why is not None
    assert "hunter2" not in why


def test_an_explanation_quotes_and_cuts_names_it_was_given() -> None:
    why = explain(granted(closed=True), called(amount=5, **{"x\n" + "y" * 5000: 1}), REFUND)
    assert why is not None
    assert "\n" not in why
    assert len(why) < 300


@pytest.mark.parametrize(
    "tool",
    [
        msgspec.structs.replace(REFUND, server="other"),
        msgspec.structs.replace(REFUND, name="read_ticket"),
        msgspec.structs.replace(REFUND, name="refund_*"),
        msgspec.structs.replace(REFUND, name=""),
    ],
)
def test_a_classification_that_is_not_the_calls_covers_nothing(tool: Tool) -> None:
    everything = granted(tools=("*",), destinations=("*",), constraints={})
    assert not covers(everything, CALL, tool)
    assert "classification" in (explain(everything, CALL, tool) or "")


def test_a_server_name_with_a_slash_cannot_borrow_another_servers_tools() -> None:
    call = ToolCall(server="desk/x", tool="refund", arguments={"amount": 5})
    tool = msgspec.structs.replace(REFUND, server="desk/x")
    assert not covers(granted(tools=("desk/*",)), call, tool)


def test_an_unknown_sensitivity_is_above_every_limit() -> None:
    odd: Any = "cosmic"
    assert not covers(
        granted(sensitivity="restricted"), CALL, msgspec.structs.replace(REFUND, sensitivity=odd)
    )
    assert not covers(granted(sensitivity=odd), CALL, msgspec.structs.replace(REFUND, sensitivity="public"))


def test_a_family_of_mcp_resources_is_covered_by_the_concrete_name() -> None:
    family = Tool(
        server="desk",
        name="resource:ticket://*",
        action="read",
        sensitivity="internal",
        integrity="untrusted",
        destination="internal",
    )
    one = granted(tools=("desk/resource:ticket://42",), actions=("read",), constraints={})
    assert covers(one, ToolCall(server="desk", tool="resource:ticket://42"), family)
    assert not covers(one, ToolCall(server="desk", tool="resource:ticket://43"), family)
    assert not covers(one, ToolCall(server="desk", tool="resource:secret://42"), family)
    assert covers(
        granted(tools=("desk/*",), actions=("read",), constraints={}),
        ToolCall(server="desk", tool="resource:ticket://43"),
        family,
    )


def test_covers_any_returns_the_first_capability_that_covers() -> None:
    small, large = granted(constraints={"amount": (Range(0, 1),)}), granted()
    assert covers_any((small, large), CALL, REFUND) is large
    assert covers_any((small,), CALL, REFUND) is None
    assert covers_any((), CALL, REFUND) is None


def test_the_explanation_of_many_is_that_of_the_one_that_comes_closest() -> None:
    far, near = granted(tools=("mail/send",)), granted(constraints={"amount": (Range(0, 1),)})
    expected = "The argument 'amount' must be a number of at least 0 and at most 1."
    assert explain_any((far, near), CALL, REFUND) == explain_any((near, far), CALL, REFUND) == expected
    assert explain_any((), CALL, REFUND) == "No capability is granted."
    assert explain_any((far, GRANT), CALL, REFUND) == ""


# --- keys and closed capabilities --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "given_arguments", "expected"),
    [
        ("owner.id", {"owner.id": 1}, True),
        ("owner.id", {"owner": {"id": 1}}, False),
        ("/owner/id", {"owner": {"id": 1}}, True),
        ("/owner/id", {"owner.id": 1}, False),
        ("/owner/id", {"owner": [{"id": 1}]}, False),
        ("/owner/id", {"owner": '{"id": 1}'}, False),
        ("/owner/0", {"owner": [1]}, False),
        ("/owner", {"owner": 1}, True),
        ("/~1owner", {"/owner": 1}, True),
        ("/~1owner", {"owner": 1}, False),
        ("/a~1b/c~0d", {"a/b": {"c~d": 1}}, True),
        ("/a~01", {"a~1": 1}, True),
        ("", {"": 1}, True),
        ("/", {"": 1}, True),
        ("/a~b", {"a~b": 1}, False),
        ("a~b", {"a~b": 1}, True),
        ("a/b", {"a/b": 1}, True),
        ("Amount", {"amount": 1}, False),
    ],
)
def test_a_key_names_a_top_level_argument_or_points_into_objects(
    key: str, given_arguments: dict[str, Any], expected: bool
) -> None:
    assert covers(granted(constraints={key: (Equals(1),)}), called(**given_arguments), REFUND) is expected


def test_a_closed_capability_wants_every_other_argument_absent() -> None:
    closed = granted(closed=True)
    assert covers(closed, called(amount=5), REFUND)
    assert not covers(closed, called(amount=5, memo=None), REFUND)
    assert not covers(closed, called(amount=5, memo={}), REFUND)
    assert not covers(granted(closed=True, constraints={}), called(amount=5), REFUND)
    assert covers(granted(closed=True, constraints={}), called(), REFUND)


def test_a_closed_capability_is_closed_inside_the_objects_it_points_into() -> None:
    closed = granted(closed=True, constraints={"/to/account": (Prefix("EU"),)})
    assert covers(closed, called(to={"account": "EU1"}), REFUND)
    assert not covers(closed, called(to={"account": "EU1", "bcc": "x"}), REFUND)
    assert not covers(closed, called(to={"account": "EU1"}, memo=""), REFUND)
    why = explain(closed, called(to={"account": "EU1", "b/c": "x"}), REFUND)
    assert why == "The argument '/to/b~1c' may not be given."


def test_a_key_without_conditions_constrains_nothing_and_names_nothing() -> None:
    assert covers(granted(constraints={"memo": ()}), called(), REFUND)
    assert not covers(granted(constraints={"memo": ()}, closed=True), called(memo="x"), REFUND)
    assert normal(granted(constraints={"memo": ()})).constraints == {}


# --- attenuation -------------------------------------------------------------------------------------------


def test_attenuation_narrows_every_dimension_at_once() -> None:
    child = Capability(
        tools=("desk/*", "mail/*"),
        actions=("read", "pay"),
        sensitivity="restricted",
        destinations=("bank:eu",),
        constraints={"/amount": (Range(minimum=10),), "memo": (Length(0, 80),)},
        closed=True,
    )
    assert attenuate(GRANT, child) == Capability(
        tools=("desk/refund",),
        actions=("pay",),
        sensitivity="confidential",
        destinations=("bank:eu",),
        constraints={"amount": (Range(10, 50),), "memo": (Length(0, 80),)},
        closed=True,
    )


def test_a_closed_parent_is_not_opened_by_a_child_that_names_more_arguments() -> None:
    parent = granted(closed=True)
    child = granted(constraints={"memo": (Length(0, 80),)})
    call = called(amount=5, memo="x")
    assert not covers(parent, call, REFUND)
    assert attenuate(parent, child) == NOTHING
    assert attenuate(child, parent) == NOTHING
    assert not within(child, parent)


@pytest.mark.parametrize(
    "child",
    [
        granted(tools=("mail/*",)),
        granted(actions=("read",)),
        granted(destinations=("external",)),
        granted(constraints={"amount": (Range(51, 60),)}),
        granted(constraints={"amount": (Prefix("5"),)}),
        granted(constraints={"/amount/value": (Range(0, 5),)}),
        granted(constraints={"/amount~": (Range(0, 5),)}),
    ],
)
def test_capabilities_that_share_no_call_meet_in_nothing(child: Capability) -> None:
    assert attenuate(GRANT, child) == attenuate(child, GRANT) == NOTHING
    assert attenuate_all((GRANT,), (child,)) == ()


def test_within_is_true_for_a_narrower_child_and_false_for_a_wider_one() -> None:
    narrower = granted(constraints={"amount": (Range(1, 9),)}, destinations=("bank:eu",), closed=True)
    assert within(narrower, GRANT)
    assert within(GRANT, GRANT)
    assert within(NOTHING, GRANT)
    assert not within(GRANT, narrower)
    assert not within(GRANT, NOTHING)
    assert not within(granted(constraints={}), GRANT)
    assert not within(granted(sensitivity="restricted"), GRANT)


def test_within_does_not_guess_about_patterns() -> None:
    child = granted(constraints={"memo": (Pattern("ab"),)})
    parent = granted(constraints={"memo": (Pattern("a."),)})
    assert not within(child, parent)
    assert within(child, child)


def test_alternatives_meet_pairwise_and_drop_what_lies_within_another() -> None:
    small, large = granted(constraints={"amount": (Range(0, 5),)}), granted()
    mail = granted(tools=("mail/send",))
    assert normal_all((small, mail, large, small, NOTHING)) == normal_all((large, mail))
    assert attenuate_all((large, mail), (small,)) == (normal(small),)
    assert attenuate_all((), (small,)) == attenuate_all((small,), ()) == ()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        (GRANT, True),
        (granted(tools=("desk/ref*",)), True),
        (granted(tools=("mail/*",)), False),
        (granted(actions=("read",)), False),
        (granted(sensitivity="public"), False),
        (granted(destinations=("internal",)), False),
        (granted(constraints={"amount": (Range(0, 5), Prefix("x"))}), False),
        (NOTHING, False),
    ],
)
def test_a_tool_is_reached_if_some_call_of_it_could_be_covered(
    capability: Capability, expected: bool
) -> None:
    assert reaches((capability,), REFUND) is expected
    assert reaches((NOTHING, capability), REFUND) is expected


def test_a_family_is_reached_if_one_of_its_names_is_granted() -> None:
    family = msgspec.structs.replace(REFUND, name="resource:ticket://*")
    assert reaches((granted(tools=("desk/resource:ticket://42",)),), family)
    assert reaches((granted(tools=("desk/*",)),), family)
    assert not reaches((granted(tools=("desk/resource:secret://*",)),), family)
    assert not reaches((), family)


# --- the algebra -------------------------------------------------------------------------------------------


@modest
@given(either, either, either)
def test_attenuation_is_associative_commutative_and_idempotent(
    a: Capability, b: Capability, c: Capability
) -> None:
    assert spelled(attenuate(attenuate(a, b), c)) == spelled(attenuate(a, attenuate(b, c)))
    assert spelled(attenuate(a, b)) == spelled(attenuate(b, a))
    assert spelled(attenuate(a, a)) == spelled(normal(a)) == spelled(normal(normal(a)))


@settings(max_examples=400, deadline=None)
@given(either, either, attempts())
def test_attenuation_never_widens_and_never_narrows(
    parent: Capability, child: Capability, attempt: tuple[ToolCall, Tool]
) -> None:
    call, tool = attempt
    both = covers(parent, call, tool) and covers(child, call, tool)
    assert covers(attenuate(parent, child), call, tool) is both
    assert covers(normal(child), call, tool) is covers(child, call, tool)


@settings(max_examples=300, deadline=None)
@given(either, either, attempts())
def test_within_means_that_the_parent_covers_whatever_the_child_does(
    parent: Capability, child: Capability, attempt: tuple[ToolCall, Tool]
) -> None:
    narrowed = attenuate(parent, child)
    assert within(narrowed, parent)
    assert within(narrowed, child)
    if within(child, parent) and covers(child, *attempt):
        assert covers(parent, *attempt)


@modest
@given(alternatives, alternatives, alternatives)
def test_the_meet_of_alternatives_is_associative_commutative_and_idempotent(
    a: tuple[Capability, ...], b: tuple[Capability, ...], c: tuple[Capability, ...]
) -> None:
    assert spelled(*attenuate_all(attenuate_all(a, b), c)) == spelled(*attenuate_all(a, attenuate_all(b, c)))
    assert spelled(*attenuate_all(a, b)) == spelled(*attenuate_all(b, a))
    assert spelled(*attenuate_all(a, a)) == spelled(*normal_all(a)) == spelled(*normal_all(normal_all(a)))


@settings(max_examples=300, deadline=None)
@given(alternatives, alternatives, attempts())
def test_the_meet_of_alternatives_covers_what_some_parent_and_some_child_cover(
    parents: tuple[Capability, ...], children: tuple[Capability, ...], attempt: tuple[ToolCall, Tool]
) -> None:
    both = covers_any(parents, *attempt) is not None and covers_any(children, *attempt) is not None
    assert (covers_any(attenuate_all(parents, children), *attempt) is not None) is both


@settings(max_examples=300, deadline=None)
@given(
    either,
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
    tools,
)
def test_coverage_and_explanation_are_total_and_agree(
    capability: Capability, given_arguments: dict[str, Any], tool: Tool
) -> None:
    call = ToolCall(server="s", tool=tool.name.replace("*", "1"), arguments=given_arguments)
    assert covers(capability, call, tool) is (explain(capability, call, tool) is None)
    assert covers(capability, call, tool) is (explain_any((capability,), call, tool) == "")
    if covers(capability, call, tool):
        assert reaches((capability,), tool)


# --- the written form --------------------------------------------------------------------------------------


def test_a_right_capability_has_no_report() -> None:
    assert check(GRANT) == ()


@pytest.mark.parametrize(
    ("capability", "part"),
    [
        (granted(tools=()), "tools is empty"),
        (granted(actions=()), "actions is empty"),
        (granted(destinations=("",)), "not an empty text"),
        (granted(tools=("desk/*/x",)), "one `*`, at its end"),
        (granted(constraints={"/a~b": (Equals(1),)}), "JSON Pointer"),
        (granted(constraints={"a": ()}), "no conditions"),
        (granted(constraints={"a": (Pattern("("),)}), "a: '(' is not an RE2 pattern"),
        (granted(constraints={"a": (Range(0, 1), Range(2, 3))}), "exclude each other"),
    ],
)
def test_a_wrong_capability_is_reported(capability: Capability, part: str) -> None:
    assert any(part in line for line in check(capability))


@modest
@given(either)
def test_a_capability_without_report_covers_something_in_principle(capability: Capability) -> None:
    assert check(capability) or normal(capability) != NOTHING
