"""Policies as values, the generated schema, and arguments in the form it gives them."""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.cedar import schema_text
from hopward.cedar.schema import IllTyped, context_arguments, quote
from hopward.cedar.text import statements
from hopward.errors import ConfigError
from hopward.model import ArgumentType, Tool
from hopward.policy import Policy, may_act, may_apply, nearest, read_policy

ROOT = Path(__file__).parents[2]

ODD_NAMES = [
    "it's",
    'a"b',
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\u200bb",
    "a\u0301b",
    "\ufeff",
    "*",
    "// x",
    "😀",
]


def tool(name: str = "refund", server: str = "desk", action: Any = "pay", **arguments: ArgumentType) -> Tool:
    return Tool(
        server=server,
        name=name,
        action=action,
        sensitivity="confidential",
        integrity="trusted",
        destination="customer",
        arguments=arguments,
    )


def read(text: str) -> tuple[Policy, list[str]]:
    form = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]["policy0"]
    return read_policy(form, text, "a.cedar", 1, 1)


def scoped(scope: str) -> Policy:
    return read(f"permit ({scope});")[0]


# Annotations


def test_a_policy_carries_its_annotations() -> None:
    annotations = '@id("cap") @reason("Too much.") @control("ASI02") @step_up("ops")'
    policy, problems = read(f"{annotations} forbid(principal, action, resource);")
    assert problems == []
    assert (policy.id, policy.effect, policy.reason) == ("cap", "forbid", "Too much.")
    assert (policy.control, policy.step_up) == ("ASI02", "ops")


def test_a_policy_without_id_is_called_by_file_and_place() -> None:
    form = read("permit(principal, action, resource);")[0].form
    assert read_policy(form, "", "payments.cedar", 3, 17)[0].id == "payments.cedar#3"


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ('@ids("x")', "@ids is no annotation of Hopward; did you mean @id?"),
        ('@stepup("x")', "did you mean @step_up?"),
        ('@advice("x")', "@advice is no annotation of Hopward"),
        ("@id", "@id needs a printable text"),
        ('@id("")', "@id needs a printable text"),
        ('@reason("one\\ntwo")', "@reason needs a printable text on one line"),
        ('@reason("\\u{1b}[31m")', "@reason needs a printable text"),
        ('@id("a b")', "@id 'a b' may hold letters"),
        ('@id("baseline.cedar#1")', "may hold letters"),
        ('@id("`")', "may hold letters"),
    ],
)
def test_an_annotation_that_is_unknown_empty_or_unprintable_is_a_problem(
    annotation: str, problem: str
) -> None:
    _, problems = read(f"{annotation} permit(principal, action, resource);")
    assert len(problems) == 1
    assert problem in problems[0]


def test_step_up_on_a_permit_is_a_problem() -> None:
    _, problems = read('@step_up("ops") permit(principal, action, resource);')
    assert problems == ["@step_up belongs on a forbid: it names who may lift it"]


def test_a_name_close_to_nothing_gets_no_suggestion() -> None:
    assert nearest("zzz", ["amount"]) == ""
    assert nearest("amout", ["amount"]) == "; did you mean amount?"


# Scopes


@pytest.mark.parametrize(
    ("scope", "applies"),
    [
        ("principal, action, resource", True),
        ('principal, action == Hopward::Action::"desk/refund", resource', True),
        ('principal, action == Hopward::Action::"desk/read", resource', False),
        ('principal, action in Hopward::Action::"pay", resource', True),
        ('principal, action in Hopward::Action::"desk/refund", resource', True),
        ('principal, action in Hopward::Action::"read", resource', False),
        ('principal, action in [Hopward::Action::"read", Hopward::Action::"pay"], resource', True),
        ('principal, action in [Hopward::Action::"read", Hopward::Action::"send"], resource', False),
        ("principal, action in [], resource", False),
        ('principal, action, resource == Hopward::Tool::"desk/refund"', True),
        ('principal, action, resource == Hopward::Tool::"desk/read"', False),
        ('principal, action, resource in Hopward::Server::"desk"', True),
        ('principal, action, resource in Hopward::Tool::"desk/refund"', True),
        ('principal, action, resource in Hopward::Server::"bank"', False),
        ("principal, action, resource is Hopward::Tool", True),
        ('principal, action, resource is Hopward::Tool in Hopward::Server::"desk"', True),
        ('principal, action, resource is Hopward::Tool in Hopward::Server::"bank"', False),
    ],
)
def test_a_policy_applies_to_a_tool_exactly_if_its_scope_can_hold(scope: str, applies: bool) -> None:
    assert may_apply(scoped(scope), tool()) is applies


@pytest.mark.parametrize(
    ("scope", "acts"),
    [
        ("principal", True),
        ("principal is Hopward::Agent", True),
        ('principal == Hopward::Agent::"bot"', True),
        ('principal in Hopward::Agent::"bot"', True),
        ('principal is Hopward::Agent in Hopward::Agent::"bot"', True),
        ('principal == Hopward::Agent::"other"', False),
    ],
)
def test_a_policy_applies_to_an_agent_exactly_if_its_scope_can_hold(scope: str, acts: bool) -> None:
    assert may_act(scoped(f"{scope}, action, resource"), "bot") is acts


@pytest.mark.parametrize(
    "scope",
    ["principal == ?principal, action, resource in ?resource", "principal in ?principal, action, resource"],
)
def test_a_template_may_apply_to_everything(scope: str) -> None:
    form = json.loads(cedarpy.policies_to_json_str(f"permit ({scope});"))["templates"]["policy0"]
    policy, _ = read_policy(form, "", "a.cedar", 1, 1)
    assert may_apply(policy, tool())
    assert may_act(policy, "bot")


# The text of a policy file


def test_statements_keep_lines_and_strings_and_comments_apart() -> None:
    text = (
        '// a; b\npermit(principal, action, resource) when { "x;\\"y" == "z" };\n\n'
        "// c\nforbid(principal,\naction, resource);\n// end"
    )
    found = list(statements(text))
    assert [statement.line for statement in found] == [2, 5]
    assert [len(json.loads(cedarpy.policies_to_json_str(s.text))["staticPolicies"]) for s in found] == [1, 1]


def test_a_carriage_return_ends_a_comment_as_it_does_for_cedar() -> None:
    text = "// permit nothing\rpermit(principal, action, resource);"
    assert len(json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]) == 1
    assert len(list(statements(text))) == 1


# The schema


def test_the_base_schema_is_published() -> None:
    published = ROOT / "shared" / "cedar" / "hopward.cedarschema"
    assert published.read_text(encoding="utf-8") == schema_text([])


def test_the_schema_does_not_depend_on_the_order_of_tools_and_arguments() -> None:
    a, b = tool("a", x="string", y="integer"), tool("b", action="read")
    again = tool("a", y="integer", x="string")
    assert schema_text([a, b]) == schema_text([b, again])


def test_every_action_class_can_be_spoken_of_before_a_tool_has_it() -> None:
    policies = "".join(
        f'permit(principal, action in Hopward::Action::"{action}", resource);'
        for action in ("read", "write", "execute", "delete", "send", "pay")
    )
    assert cedarpy.validate_policies(policies, schema_text([])).validation_passed


@pytest.mark.parametrize("name", [*ODD_NAMES, "", "if", "__cedar", "type", "id", "fn", "arg"])
def test_an_odd_name_of_a_tool_or_argument_is_quoted_in_cedars_way(name: str) -> None:
    schema = cedarpy.Schema.from_str(schema_text([tool(name, **{name: "string"})]))
    policy = (
        f"permit(principal, action == Hopward::Action::{quote(f'desk/{name}')}, resource) "
        f"when {{ context.arguments has {quote(name)} }};"
    )
    assert cedarpy.validate_policies(policy, schema).validation_passed


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_name_is_printable_ascii_that_cedar_reads_back(name: str) -> None:
    quoted = quote(name)
    assert quoted.isascii()
    assert quoted.isprintable()
    form = json.loads(cedarpy.policies_to_json_str(f"permit(principal == A::{quoted}, action, resource);"))
    assert form["staticPolicies"]["policy0"]["principal"]["entity"]["id"] == name


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ([tool("a"), tool("a", action="read")], "two classified tools are called 'desk/a'"),
        ([tool("b/c", server="a"), tool("c", server="a/b")], "two classified tools are called 'a/b/c'"),
        ([tool("\ud800")], "is not text that UTF-8 can carry"),
        ([tool("a", **{"\udfff": "string"})], "is not text that UTF-8 can carry"),
        ([tool("a", __entity="string")], "no argument may be called '__entity'"),
        ([tool("a", __extn="string")], "no argument may be called '__extn'"),
        ([tool("a", __expr="string")], "no argument may be called '__expr'"),
    ],
)
def test_tools_that_cedar_cannot_tell_apart_or_name_are_refused(tools: list[Tool], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        schema_text(tools)
    assert problem in str(refused.value)


# Arguments


def test_declared_arguments_enter_in_cedars_form_and_others_stay_out() -> None:
    declared = tool(amount="decimal", n="integer", note="string", really="boolean", tags="strings")
    arguments = {
        "amount": 10.5,
        "n": 3,
        "note": "x\x00",
        "really": False,
        "tags": ["a", "a"],
        "more": {"__entity": 1},
    }
    assert context_arguments(declared, arguments) == {
        "amount": {"__extn": {"fn": "decimal", "arg": "10.5000"}},
        "n": 3,
        "note": "x\x00",
        "really": False,
        "tags": ["a", "a"],
    }


def test_an_absent_argument_is_simply_absent() -> None:
    assert context_arguments(tool(amount="decimal"), {}) == {}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("string", None),
        ("string", ["a"]),
        ("string", {"__entity": {"type": "Hopward::Agent", "id": "boss"}}),
        ("string", "\ud800"),
        ("integer", True),
        ("integer", 5.0),
        ("integer", "5"),
        ("integer", 2**63),
        ("integer", -(2**63) - 1),
        ("integer", 10**4000),
        ("integer", None),
        ("decimal", "10.5"),
        ("decimal", True),
        ("decimal", 0.00001),
        ("decimal", 0.1 + 0.2),
        ("decimal", 5e-324),
        ("decimal", 1e300),
        ("decimal", math.inf),
        ("decimal", math.nan),
        ("decimal", 922337203685478),
        ("decimal", 10**4000),
        ("decimal", {"__extn": {"fn": "decimal", "arg": "1.0"}}),
        ("boolean", 1),
        ("boolean", "true"),
        ("strings", "a"),
        ("strings", ["a", 1]),
        ("strings", ["a", {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}]),
        ("strings", {"a": "b"}),
    ],
)
def test_an_ill_typed_argument_is_named_and_never_converted(kind: ArgumentType, value: Any) -> None:
    found = context_arguments(tool(x=kind), {"x": value})
    assert isinstance(found, IllTyped)
    assert found.argument == "x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0000"),
        (-0.0, "0.0000"),
        (50, "50.0000"),
        (-0.5, "-0.5000"),
        (49.99, "49.9900"),
        (0.0001, "0.0001"),
        (1e3, "1000.0000"),
        (922337203685477, "922337203685477.0000"),
        (-922337203685477, "-922337203685477.0000"),
    ],
)
def test_a_number_becomes_exactly_that_decimal(value: float, text: str) -> None:
    found = context_arguments(tool(x="decimal"), {"x": value})
    assert found == {"x": {"__extn": {"fn": "decimal", "arg": text}}}


# Of fifteen digits, a double keeps every one.
@given(st.integers(-(10**15), 10**15))
def test_every_number_of_four_digits_after_the_point_is_kept_exactly(units: int) -> None:
    value = json.loads(str(Decimal(units).scaleb(-4)))
    found = context_arguments(tool(x="decimal"), {"x": value})
    assert isinstance(found, dict)
    assert Decimal(found["x"]["__extn"]["arg"]) * 10_000 == units


@given(st.floats())
def test_a_float_is_converted_exactly_or_refused(value: float) -> None:
    found = context_arguments(tool(x="decimal"), {"x": value})
    if not isinstance(found, IllTyped):
        assert Decimal(found["x"]["__extn"]["arg"]) == Decimal(repr(value))
