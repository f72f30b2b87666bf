"""Name patterns: exact or prefix, and sets of them in one smallest form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import pattern

NAMES = st.text(alphabet="ab/*", max_size=4)
SETS = st.lists(NAMES, max_size=4).map(tuple)
modest = settings(max_examples=150, deadline=None)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("desk/read", "desk/read", True),
        ("desk/read", "desk/read_ticket", False),
        ("desk/read", "Desk/read", False),
        ("desk/read*", "desk/read", True),
        ("desk/read*", "desk/read_ticket", True),
        ("desk/*", "desk2/read", False),
        ("desk/*", "desk", False),
        ("*", "anything/at all", True),
        ("desk/resource:ticket://*", "desk/resource:ticket://42", True),
        ("desk/resource:ticket://*", "desk/resource:ticket:/42", False),
        ("caf\u00e9", "cafe\u0301", False),
    ],
)
def test_a_pattern_is_an_exact_name_or_a_prefix(text: str, name: str, expected: bool) -> None:
    assert pattern.check(text) is None
    assert pattern.matches(text, name) is expected


@pytest.mark.parametrize("text", ["", "*x", "a*b", "a**", "*/*", "**"])
def test_what_is_no_pattern_matches_nothing_and_is_reported(text: str) -> None:
    assert pattern.check(text) is not None
    assert not pattern.matches(text, text)
    assert not pattern.matches(text, "a/b")
    assert not pattern.within(text, "*")
    assert pattern.normal((text,)) == ()


def test_an_empty_name_is_matched_only_by_the_pattern_for_every_name() -> None:
    assert pattern.matches("*", "")
    assert not pattern.matches("a*", "")
    assert not pattern.matches("", "")


def test_matches_any_needs_one_pattern_that_matches() -> None:
    assert pattern.matches_any(("x", "desk/*"), "desk/read")
    assert not pattern.matches_any((), "desk/read")


def test_the_normal_form_drops_subsumed_entries_and_sorts() -> None:
    assert pattern.normal(("b", "a*", "ab", "a*", "abc*", "bad*one")) == ("a*", "b")


def test_the_meet_keeps_the_narrower_of_nested_patterns() -> None:
    assert pattern.meet(("desk/*", "mail/send"), ("desk/read*", "mail/*", "git/log")) == (
        "desk/read*",
        "mail/send",
    )


def test_the_meet_with_no_patterns_is_empty() -> None:
    assert pattern.meet(("*",), ()) == ()


@modest
@given(SETS, SETS, SETS)
def test_the_meet_of_pattern_sets_is_associative_commutative_and_idempotent(
    a: tuple[str, ...], b: tuple[str, ...], c: tuple[str, ...]
) -> None:
    assert pattern.meet(pattern.meet(a, b), c) == pattern.meet(a, pattern.meet(b, c))
    assert pattern.meet(a, b) == pattern.meet(b, a)
    assert pattern.meet(a, a) == pattern.normal(a) == pattern.normal(pattern.normal(a))


@modest
@given(SETS, SETS, NAMES)
def test_the_meet_matches_a_name_exactly_if_both_sets_do(
    a: tuple[str, ...], b: tuple[str, ...], name: str
) -> None:
    both = pattern.matches_any(a, name) and pattern.matches_any(b, name)
    assert pattern.matches_any(pattern.meet(a, b), name) is both
    assert pattern.matches_any(pattern.normal(a), name) is pattern.matches_any(a, name)


@modest
@given(NAMES, NAMES, NAMES)
def test_a_pattern_within_another_matches_no_name_the_other_does_not(
    child: str, parent: str, name: str
) -> None:
    if pattern.within(child, parent) and pattern.matches(child, name):
        assert pattern.matches(parent, name)
