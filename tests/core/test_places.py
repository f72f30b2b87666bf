"""Patterns of destinations: prefixes, hosts below a domain, and private ones apart from all others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward import places

NAMES = st.sampled_from(
    (
        *("mail", "account:DE1", "account:DE2", "host:a.example", "host:b.a.example", "host:example"),
        *("host:a.example:8080", "private:10.0.0.1", "private:localhost", "private", "hos", "host:"),
    )
)
PATTERNS = st.sampled_from(
    (
        *("*", "mail", "account:*", "account:DE1", "host:*", "host:*.example", "host:*.a.example", "h*"),
        *("host:a.example", "private:*", "private:10.*", "private:10.0.0.1", "priv*", "host:a*", "x*y", ""),
    )
)
SETS = st.lists(PATTERNS, max_size=4).map(tuple)
modest = settings(max_examples=300, deadline=None)


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        ("mail", "mail", True),
        ("account:*", "account:DE1", True),
        ("*", "host:evil.example", True),
        ("*", "private:10.0.0.1", False),
        ("priv*", "private:10.0.0.1", False),
        ("private:*", "private:10.0.0.1", True),
        ("private:10.*", "private:192.168.0.1", False),
        ("host:*", "host:a.example", True),
        ("host:*", "private:10.0.0.1", False),
        ("host:*.example", "host:a.example", True),
        ("host:*.example", "host:b.a.example", True),
        ("host:*.example", "host:example", False),
        ("host:*.example", "host:evilexample", False),
        ("host:*.example", "host:a.example.evil.org", False),
        ("host:*.example", "mail:a.example", False),
        ("host:a.example", "host:a.example:8080", False),
    ],
)
def test_a_pattern_stands_for_these_destinations_and_not_for_those(
    place: str, name: str, expected: bool
) -> None:
    assert places.check(place) is None
    assert places.matches(place, name) is expected


@pytest.mark.parametrize(
    "place", ["", "a*b", "host:a*", "host:*.", "host:*.A.example", "host:*.a.*", "host:**"]
)
def test_what_is_no_pattern_matches_nothing_and_is_reported(place: str) -> None:
    assert places.check(place) is not None
    for name in (place, "host:a.example", "host:x.A.example", "mail"):
        assert not places.matches(place, name)
    assert not places.within(place, "*")


@modest
@given(PATTERNS, PATTERNS, NAMES)
def test_what_lies_within_another_stands_for_nothing_that_the_other_does_not(
    child: str, parent: str, name: str
) -> None:
    if places.within(child, parent) and places.matches(child, name):
        assert places.matches(parent, name)


@modest
@given(PATTERNS, PATTERNS, NAMES)
def test_two_patterns_are_nested_or_share_no_destination(one: str, other: str, name: str) -> None:
    if places.matches(one, name) and places.matches(other, name):
        assert places.within(one, other) or places.within(other, one)


@modest
@given(SETS, SETS, NAMES)
def test_the_meet_stands_for_exactly_what_both_stand_for(
    a: tuple[str, ...], b: tuple[str, ...], name: str
) -> None:
    both = places.matches_any(a, name) and places.matches_any(b, name)
    assert places.matches_any(places.meet(a, b), name) is both
    assert places.matches_any(places.normal(a), name) is places.matches_any(a, name)
