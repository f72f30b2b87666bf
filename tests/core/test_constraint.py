"""Argument constraints: every trap by example, the algebra and totality by property."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hopward import constraint
from hopward.constraint import (
    MISSING,
    NOTHING,
    Constraint,
    Equals,
    Length,
    OneOf,
    PathUnder,
    Pattern,
    Prefix,
    Range,
    UrlHost,
    check,
    describe,
    meet,
    normal,
    satisfies,
    satisfies_all,
)

modest = settings(max_examples=200, deadline=None)

# Few distinct values, so that independent draws meet often.
NUMBERS: list[int | float] = [0, -0.0, 1, 1.0, 2, 2.5, 5, 2**53 + 1, float(2**53), 10**400, 1e308, -1e308]
TEXTS = ["", "a", "ab", "abc", "b", "5", "1", "true", "/srv", "/srv/a", "/srv/../etc", "\u00e9", "\ud800"]
URLS = [
    "https://x.example.com/",
    "https://example.com:443/p",
    "http://example.com/",
    "https://a.x.example.com",
]
scalars = st.sampled_from([True, False, *NUMBERS, *TEXTS, *URLS])
values = st.one_of(
    scalars,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    st.just(MISSING),
)
bounds = st.none() | st.sampled_from([*NUMBERS, math.nan, math.inf])
roots = st.sampled_from(["/", "/srv", "/srv/a", "/srv/", "srv", "/srv/..", "/etc"])
hosts = st.sampled_from(
    [
        "example.com",
        "*.example.com",
        "x.example.com",
        "*.x.example.com",
        "example.com:8443",
        "example.com:443",
        "*",
    ]
)
schemes = st.sampled_from(["https", "http", "gopher"])
constraints: st.SearchStrategy[Constraint] = st.one_of(
    st.builds(Equals, scalars),
    st.builds(OneOf, st.lists(scalars | st.just(math.nan), max_size=6).map(tuple)),
    st.builds(Prefix, st.sampled_from(TEXTS)),
    st.builds(Pattern, st.sampled_from(["a.*", "[ab]+", ".*", "(", "/.*", "https://.*", "\ud800"])),
    st.builds(Range, bounds, bounds),
    st.builds(Length, st.integers(-1, 4), st.integers(-1, 4)),
    st.builds(PathUnder, roots),
    st.builds(UrlHost, st.lists(hosts, max_size=3).map(tuple), st.lists(schemes, max_size=2).map(tuple)),
)
conjunctions = st.lists(constraints, max_size=3).map(tuple)

AGREEABLE: list[Constraint] = [
    *(Range(low, high) for low in (None, -1e308, 0, 1.0, 2.5) for high in (None, 1, 2.5, 2**53, 1e308)),
    *(OneOf(tuple(chosen)) for chosen in (TEXTS, NUMBERS, URLS, [True, 1, "1"], [1.0, "/srv/a"], [False, 0])),
    *(Prefix(text) for text in ("", "a", "ab", "/", "/srv", "https://", "https://a.x")),
    *(Pattern(text) for text in (".*", "a.*", "[ab]+", "/srv.*", "https://.*")),
    *(Length(low, high) for low in (0, 1, 5) for high in (3, 9, 50)),
    *(PathUnder(root) for root in ("/", "/srv", "/srv/a")),
    *(UrlHost((host,), ("https", "http")) for host in ("*.example.com", "example.com", "*.x.example.com")),
    UrlHost(("a.x.example.com", "x.example.com", "*.test")),
]


@st.composite
def agreeing(draw: st.DrawFn) -> tuple[tuple[Constraint, ...], tuple[Constraint, ...], Any]:
    """Two conjunctions that mostly hold for the value drawn with them."""
    value = draw(scalars)
    holding = [c for c in AGREEABLE if satisfies(c, value)] or AGREEABLE
    some = st.lists(st.sampled_from(holding), max_size=3).map(tuple)
    return draw(some), draw(some), value


EVERY_KIND: list[Constraint] = [
    Equals("a"),
    OneOf(("a", 5, True)),
    Prefix(""),
    Pattern("(?s).*"),
    Range(minimum=-(10**500)),
    Range(maximum=1e308),
    Length(0, 10**9),
    PathUnder("/"),
    UrlHost(("*.com",)),
]


def spelled(conjunction: tuple[Constraint, ...]) -> str:
    """The stored form, which tells 1 from 1.0 and true where `==` might not."""
    return repr([msgspec.to_builtins(c) for c in conjunction])


# --- values of the wrong type ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY_KIND, ids=repr)
@pytest.mark.parametrize("value", [MISSING, None, {}, {"value": "a"}, {"a": "a"}], ids=repr)
def test_absent_null_and_object_arguments_never_satisfy(kind: Constraint, value: Any) -> None:
    assert not satisfies(kind, value)


@pytest.mark.parametrize("kind", [k for k in EVERY_KIND if not isinstance(k, Length)], ids=repr)
@pytest.mark.parametrize("value", [[], ["a"], [5], ["/srv"], ["https://a.com/"]], ids=repr)
def test_a_list_of_one_is_not_its_item(kind: Constraint, value: Any) -> None:
    assert not satisfies(kind, value)


@pytest.mark.parametrize(
    "value", [True, False, "5", "1", " 5", "5.0", math.nan, math.inf, -math.inf], ids=repr
)
def test_only_a_finite_number_is_in_a_range(value: Any) -> None:
    assert not satisfies(Range(minimum=-1e308), value)
    assert not satisfies(Range(maximum=10**400), value)


@pytest.mark.parametrize(
    ("allowed", "value"),
    [(1, True), (True, 1), (0, False), (False, 0), (0, ""), ("5", 5), (5, "5"), ("true", True), (1, "1")],
)
def test_equality_never_crosses_types(allowed: Any, value: Any) -> None:
    assert not satisfies(Equals(allowed), value)
    assert not satisfies(OneOf((allowed,)), value)
    assert Equals(allowed) != Equals(value)
    assert OneOf((allowed,)) != OneOf((value,))


def test_json_has_one_number_type() -> None:
    assert satisfies(Equals(5), 5.0)
    assert satisfies(OneOf((5.0,)), 5)
    assert satisfies(Equals(0), -0.0)
    assert Equals(5) == Equals(5.0)
    assert hash(Equals(5)) == hash(Equals(5.0))
    assert hash(OneOf((5,))) == hash(OneOf((5.0,)))


def test_equal_constraints_are_never_unequal_too() -> None:
    for one, same in ((Equals(5), Equals(5.0)), (OneOf((5,)), OneOf((5.0,))), (OneOf(()), OneOf(()))):
        assert one == same
        assert not one != same  # noqa: SIM202 - `!=` is what is tested
    assert Equals(5) != Equals(6)
    assert OneOf((5,)) != OneOf((6,))


def test_a_string_that_utf8_cannot_carry_satisfies_nothing() -> None:
    for kind in (
        Equals("\ud800"),
        OneOf(("\ud800",)),
        Prefix(""),
        Pattern("(?s).*"),
        Length(0, 9),
        PathUnder("/"),
    ):
        assert not satisfies(kind, "\ud800")
        assert not satisfies(kind, "/\udfff")


def test_text_is_compared_by_code_point_without_normalisation() -> None:
    assert not satisfies(Equals("caf\u00e9"), "cafe\u0301")
    assert not satisfies(Equals("a"), "\uff41")
    assert not satisfies(Prefix("\u00e9"), "e\u0301")


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        (Range(0, 50), 50, True),
        (Range(0, 50), 50.0, True),
        (Range(0, 50), 50.00000000000001, False),
        (Range(0, 50), -0.0, True),
        (Range(0, 50), -5e-324, False),
        (Range(0, 0.3), 0.1 + 0.2, False),
        (Range(maximum=2**53), 2**53 + 1, False),
        (Range(maximum=float(2**53)), 2**53 + 1, False),
        (Range(minimum=2**53 + 1), float(2**53), False),
        (Range(maximum=1e308), 10**308, True),
        (Range(maximum=1e308), int(1e308) + 1, False),
        (Range(maximum=1e308), 10**400, False),
        (Range(minimum=10**400), 1.7e308, False),
        (Range(minimum=10**400), 10**400, True),
        (Range(minimum=1e308), 10**4000, True),
    ],
)
def test_bounds_are_compared_exactly(condition: Range, value: Any, expected: bool) -> None:
    assert satisfies(condition, value) is expected


@pytest.mark.parametrize(
    "broken",
    [Range(), Range(5, 1), Range(math.nan), Range(None, math.inf), Range(-math.inf, 3), Range(True, 5)],
    ids=repr,
)
def test_a_range_that_is_wrong_is_reported_and_satisfied_by_nothing(broken: Range) -> None:
    assert check(broken) is not None
    assert not any(satisfies(broken, value) for value in (*NUMBERS, True))
    assert normal((broken,)) == NOTHING


# --- length ------------------------------------------------------------------------------------------------


def test_length_counts_code_points_and_items() -> None:
    assert satisfies(Length(1, 1), "\U0001f600")
    assert not satisfies(Length(1, 1), "e\u0301")
    assert satisfies(Length(2, 2), ["a", ["b", "c"]])
    assert not satisfies(Length(0, 5), 123)
    assert not satisfies(Length(0, 5), {"a": 1})


def test_a_length_without_room_is_reported() -> None:
    assert check(Length(3, 2)) is not None
    assert check(Length(-1, 2)) is not None
    assert check(Length(0, 0)) is None
    assert normal((Length(3, 2),)) == NOTHING


# --- patterns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("[A-Z]+", "ABC", True),
        ("[A-Z]+", "ABC\n", False),
        ("[A-Z]+$", "ABC\n", False),
        ("[A-Z]+", "xABCx", False),
        ("a|b", "ab", False),
        ("safe|", "", True),
        (r"\d+", "\uff11\uff12", False),
        ("a.c", "a\nc", False),
        ("(?i)abc", "aBC", True),
        (".", "\U0001f600", True),
        ("(?m)^a$", "a\nb", False),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, value: str, expected: bool) -> None:
    assert satisfies(Pattern(pattern), value) is expected


def test_a_pattern_that_backtracks_elsewhere_is_linear_here() -> None:
    # A backtracking engine takes 2 ** 1_000_000 steps for this.
    assert not satisfies(Pattern("(a+)+"), "a" * 1_000_000 + "b")
    assert not satisfies(Pattern("(a|aa)*(a|aa)*(a|aa)*c"), "a" * 1_000_000)


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "(?<=a)b", r"\p{L}{900}", "a{1001}", "\ud800"])
def test_a_pattern_that_does_not_compile_is_reported_and_satisfied_by_nothing(pattern: str) -> None:
    assert check(Pattern(pattern)) is not None
    assert not any(satisfies(Pattern(pattern), value) for value in ("", "a", "aa", pattern))
    assert normal((Pattern(pattern),)) == NOTHING


def test_the_report_of_a_pattern_says_what_is_wrong_with_it() -> None:
    assert check(Pattern("(")) == "'(' is not an RE2 pattern: missing ): ("
    assert check(Pattern("[a-z]{2,5}")) is None


# --- paths -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["/root", "/root/", "/root/a", "/root/a.b/..c/...", "/root/\u00e9/a b", "/root/~"]
)
def test_a_plain_path_under_the_root_satisfies(value: str) -> None:
    assert satisfies(PathUnder("/root"), value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "root",
        "root/a",
        "./root",
        "~/root",
        "/rootx",
        "/rootx/a",
        "/Root/a",
        "/",
        "/other",
        "/root/..",
        "/root/../etc/passwd",
        "/root/a/../../etc",
        "/root/./a",
        "/root/.",
        "//root/a",
        "/root//a",
        "/root/a//",
        "///root",
        "/root/\\..\\etc",
        "/root\\a",
        "/root/a\x00.txt",
        "/root/a\n",
        "/root/\x1b[2J",
        "/root/\x7f",
        "/root/%2e%2e/etc",
        "/root/%252e%252e/etc",
        "/root/..%2fetc",
        "/root/%",
        "/root/.. ",
        "/root/ ../etc",
        "/root/..\u3000/etc",
        "/root/ /a",
        "/root/\uff0e\uff0e/etc",
        "/root/\u2025/etc",
        "/root/a\uff0f..\uff0fetc",
        "/root/a\uff0fb",
        "/root/\uff05\uff12e",
        "/root/.\u200c./etc",
        "/root/\u202etxt.exe",
        "/root/\ufeff",
        "/root/a\u0085b",
        "/root/\ud800",
        "file:///root/a",
        " /root/a",
        "C:/root/a",
    ],
    ids=ascii,
)
def test_no_path_that_could_be_read_as_another_place_satisfies(value: str) -> None:
    assert not satisfies(PathUnder("/root"), value)


def test_the_root_of_all_paths_still_refuses_traversal() -> None:
    assert satisfies(PathUnder("/"), "/")
    assert satisfies(PathUnder("/"), "/etc/passwd")
    assert not satisfies(PathUnder("/"), "/a/../b")
    assert not satisfies(PathUnder("/"), "//etc")


@pytest.mark.parametrize("root", ["", "srv", "/srv/", "/srv/../x", "//srv", "/srv/%41", "C:\\srv", "/srv/."])
def test_a_root_that_is_not_plain_is_reported_and_satisfied_by_nothing(root: str) -> None:
    assert check(PathUnder(root)) is not None
    assert not any(satisfies(PathUnder(root), value) for value in (root, root + "/a", "/srv", "/srv/a"))
    assert normal((PathUnder(root),)) == NOTHING


# --- URLs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "HTTPS://API.Example.COM/x",
        "https://api.example.com:443/x",
        "https://api.example.com/a?next=https://evil.test#@evil.test",
        "https://api.example.com/a@b:c",
        "https://api.example.com?filter[x]=1",
        "https://x.hooks.example.com/",
        "https://y.x.hooks.example.com/",
    ],
)
def test_a_plain_url_at_an_allowed_host_satisfies(value: str) -> None:
    assert satisfies(UrlHost(("api.example.com", "*.hooks.example.com")), value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "api.example.com",
        "//api.example.com/",
        "https:api.example.com",
        "https:/api.example.com",
        "https:///api.example.com",
        "https://",
        "http://api.example.com/",
        "ftp://api.example.com/",
        "javascript://api.example.com/%0aalert(1)",
        "file://api.example.com/etc/passwd",
        "https://example.com/",
        "https://hooks.example.com/",
        "https://evilhooks.example.com/",
        "https://x-hooks.example.com/",
        "https://api.example.com.evil.test/",
        "https://evil.test/api.example.com",
        "https://evil.test?api.example.com",
        "https://evil.test#api.example.com",
        "https://evil.test\\@api.example.com/",
        "https://api.example.com\\@evil.test/",
        "https:\\\\api.example.com/",
        "https://user@api.example.com/",
        "https://user:secret@api.example.com/",
        "https://@api.example.com/",
        "https://api.example.com@evil.test/",
        "https://api.example.com:443@evil.test/",
        "https://api.example.com:/",
        "https://api.example.com:8443/",
        "https://api.example.com:0443/",
        "https://api.example.com:0/",
        "https://api.example.com:65979/",
        "https://api.example.com:443443/",
        "https://api.example.com./",
        "https://.api.example.com/",
        "https://x..hooks.example.com/",
        "https://.hooks.example.com/",
        "https://-x.hooks.example.com/",
        "https://x_y.hooks.example.com/",
        "https://*.hooks.example.com/",
        "https://api%2eexample.com/",
        "https://api.example.com%2f.evil.test/",
        "https://api.example.com%00.evil.test/",
        " https://api.example.com/",
        "https://api.example.com/ ",
        "https://api.example.com/a b",
        "https://api.exa\tmple.com/",
        "https://api.example.com/\n",
        "https://api.example.com/\r\nHost: evil.test",
        "https://api.example.com/\x00",
        "\x01https://api.example.com/",
        "https://\u0430pi.example.com/",
        "https://api.example.com\uff0f.evil.test/",
        "https://api\u3002example.com/",
        "https://api.ex\u00adample.com/",
        "https://api.example.com/\u00e9",
        "https://api.example.com/\ud800",
        "https://[::1]/",
        "https://[api.example.com]/",
        "https://[api.example.com/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://127.1/",
    ],
    ids=ascii,
)
def test_no_url_that_could_be_read_as_another_host_satisfies(value: str) -> None:
    assert not satisfies(UrlHost(("api.example.com", "*.hooks.example.com", "127.0.0.1")), value)


def test_a_port_is_allowed_only_where_it_is_listed() -> None:
    rule = UrlHost(("localhost:8701",), schemes=("http",))
    assert satisfies(rule, "http://localhost:8701/mcp")
    assert not satisfies(rule, "http://localhost/mcp")
    assert not satisfies(rule, "http://localhost:8702/mcp")
    assert satisfies(UrlHost(("*.dev.test:8443",)), "https://a.dev.test:8443/")
    assert not satisfies(UrlHost(("*.dev.test:8443",)), "https://a.dev.test/")


def test_the_default_port_is_that_of_the_scheme() -> None:
    rule = UrlHost(("example.com",), schemes=("http", "https"))
    assert satisfies(rule, "http://example.com:80/")
    assert satisfies(rule, "https://example.com:443/")
    assert not satisfies(rule, "http://example.com:443/")
    assert not satisfies(rule, "https://example.com:80/")


@pytest.mark.parametrize(
    "rule",
    [
        UrlHost(()),
        UrlHost(("example.com",), ()),
        UrlHost(("example.com",), ("gopher",)),
        UrlHost(("*",)),
        UrlHost(("*.",)),
        UrlHost(("*.*.com",)),
        UrlHost(("*example.com",)),
        UrlHost(("Example.com",)),
        UrlHost(("example.com.",)),
        UrlHost(("https://example.com",)),
        UrlHost(("example.com/path",)),
        UrlHost(("b\u00fccher.example",)),
        UrlHost(("[::1]",)),
        UrlHost(("2130706433",)),
        UrlHost(("127.1",)),
        UrlHost(("0x7f.0.0.1",)),
        UrlHost(("127.0.0.01",)),
        UrlHost(("*.0.0.1",)),
        UrlHost(("*.127.0.0.1",)),
        UrlHost(("example.com:443",)),
        UrlHost(("example.com:99999",)),
        UrlHost((".".join(["a" * 63] * 5),)),
    ],
    ids=repr,
)
def test_a_host_list_that_is_wrong_is_reported_and_satisfied_by_nothing(rule: UrlHost) -> None:
    assert check(rule) is not None
    tried = [
        f"{s}://{h}/" for s in ("https", "http", "gopher") for h in (*rule.hosts, "example.com", "127.0.0.1")
    ]
    assert not any(satisfies(rule, value) for value in tried)
    assert normal((rule,)) == NOTHING


def test_a_listed_address_and_an_encoded_name_are_usable() -> None:
    assert check(UrlHost(("127.0.0.1", "xn--bcher-kva.example", "localhost"))) is None
    assert satisfies(UrlHost(("127.0.0.1",)), "https://127.0.0.1/")
    assert satisfies(UrlHost(("xn--bcher-kva.example",)), "https://xn--bcher-kva.example/")


# --- the meet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((Range(minimum=0),), (Range(maximum=50),), (Range(0, 50),)),
        ((Range(0, 100),), (Range(20.5, 500.0),), (Range(20.5, 100),)),
        ((Range(0, 5),), (Range(5, 9),), (Equals(5),)),
        ((Range(0, 5),), (Range(6, 9),), NOTHING),
        ((Range(0, 5),), (OneOf((1, 7, "1", True, 5.0)),), (OneOf((1, 5)),)),
        ((OneOf(("a", "b")),), (OneOf(("b", "c")),), (Equals("b"),)),
        ((Equals(1),), (Equals(True),), NOTHING),
        ((Equals(1),), (OneOf((1.0,)),), (Equals(1),)),
        ((Prefix("ab"),), (Prefix("a"),), (Prefix("ab"),)),
        ((Prefix("ab"),), (Prefix("b"),), NOTHING),
        ((Prefix("ab"),), (Range(0, 5),), NOTHING),
        ((Length(0, 9),), (Range(0, 5),), NOTHING),
        ((Length(0, 9),), (Length(3, 12),), (Length(3, 9),)),
        ((Length(0, 2),), (Length(3, 12),), NOTHING),
        ((PathUnder("/srv"),), (PathUnder("/srv/a"),), (PathUnder("/srv/a"),)),
        ((PathUnder("/srv"),), (PathUnder("/srvx"),), NOTHING),
        ((PathUnder("/srv"),), (OneOf(("/srv/a", "/etc", "/srv/../etc")),), (Equals("/srv/a"),)),
        ((Pattern("b.*"),), (Pattern("a.*"), Pattern("b.*")), (Pattern("a.*"), Pattern("b.*"))),
        (
            (UrlHost(("*.example.com", "other.test"), ("https", "http")),),
            (UrlHost(("a.example.com", "*.b.example.com", "example.com")),),
            (UrlHost(("*.b.example.com", "a.example.com"), ("https",)),),
        ),
        ((UrlHost(("example.com",)),), (UrlHost(("example.com:8443",)),), NOTHING),
        ((UrlHost(("example.com",)),), (UrlHost(("example.com",), ("http",)),), NOTHING),
        ((), (Prefix("a"),), (Prefix("a"),)),
        (NOTHING, (Prefix("a"),), NOTHING),
    ],
)
def test_the_meet_by_example(
    a: tuple[Constraint, ...], b: tuple[Constraint, ...], expected: tuple[Constraint, ...]
) -> None:
    assert meet(a, b) == meet(b, a) == expected
    assert spelled(meet(a, b)) == spelled(meet(b, a)) == spelled(expected)


def test_one_and_true_and_one_point_zero_sort_and_collapse_as_json_values() -> None:
    assert spelled(normal((OneOf((1.0, True, "1", 1, False, 0.0, -0.0)),))) == spelled(
        (OneOf((False, True, 0, 1, "1")),)
    )


def test_the_empty_conjunction_holds_and_the_impossible_one_never_does() -> None:
    assert satisfies_all((), MISSING)
    assert not any(satisfies_all(NOTHING, value) for value in (MISSING, None, *NUMBERS, *TEXTS, True))


@modest
@given(conjunctions, conjunctions, conjunctions)
def test_the_meet_is_associative_commutative_and_idempotent(
    a: tuple[Constraint, ...], b: tuple[Constraint, ...], c: tuple[Constraint, ...]
) -> None:
    assert spelled(meet(meet(a, b), c)) == spelled(meet(a, meet(b, c)))
    assert spelled(meet(a, b)) == spelled(meet(b, a))
    assert spelled(meet(a, a)) == spelled(normal(a)) == spelled(normal(normal(a)))
    assert meet(meet(a, b), c) == meet(a, meet(b, c))


@settings(max_examples=400, deadline=None)
@given(conjunctions, conjunctions, values)
@example((Range(0, 5),), (OneOf((True, 1)),), True)
@example((UrlHost(("example.com:443",), ("http", "https")),), (), "http://example.com:443/")
def test_the_meet_never_widens_and_never_narrows(
    a: tuple[Constraint, ...], b: tuple[Constraint, ...], value: Any
) -> None:
    assert satisfies_all(meet(a, b), value) is (satisfies_all(a, value) and satisfies_all(b, value))
    assert satisfies_all(normal(a), value) is satisfies_all(a, value)


@settings(max_examples=300, deadline=None)
@given(agreeing(), scalars)
def test_the_meet_of_constraints_that_agree_keeps_what_they_agree_on(
    drawn: tuple[tuple[Constraint, ...], tuple[Constraint, ...], Any], other: Any
) -> None:
    a, b, value = drawn
    both = meet(a, b)
    assert satisfies_all(both, value) is (satisfies_all(a, value) and satisfies_all(b, value))
    assert satisfies_all(both, other) is (satisfies_all(a, other) and satisfies_all(b, other))
    assert spelled(both) == spelled(meet(b, a)) == spelled(meet(both, a)) == spelled(meet(both, both))


@settings(max_examples=400, deadline=None)
@given(constraints, values)
def test_satisfies_never_raises_for_any_argument(condition: Constraint, value: Any) -> None:
    assert satisfies(condition, value) in (True, False)
    assert isinstance(describe(condition), str)


@modest
@given(constraints, values)
def test_what_satisfies_a_constraint_is_a_reason_to_find_part_of_it_right(
    condition: Constraint, value: Any
) -> None:
    if satisfies(condition, value):
        assert normal((condition,)) != NOTHING
    if normal((condition,)) == NOTHING and not isinstance(condition, Equals | OneOf):
        assert check(condition) is not None


# --- the written form --------------------------------------------------------------------------------------


def test_the_written_form_names_the_kind() -> None:
    read = msgspec.convert({"kind": "range", "minimum": 0, "maximum": 50}, Constraint)
    assert read == Range(0, 50)
    assert msgspec.to_builtins(UrlHost(("a.test",))) == {
        "kind": "url_host",
        "hosts": ("a.test",),
        "schemes": ("https",),
    }


@pytest.mark.parametrize("conjunction", [(OneOf((True, 1, 2.5, "x", 10**40)), Range(0.1)), NOTHING], ids=repr)
def test_a_stored_conjunction_reads_back_as_itself(conjunction: tuple[Constraint, ...]) -> None:
    stored = json.dumps(msgspec.to_builtins(conjunction))
    assert spelled(msgspec.convert(json.loads(stored), tuple[Constraint, ...])) == spelled(conjunction)


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "range", "minimum": "0"},
        {"kind": "range", "minimum": True},
        {"kind": "range", "minimun": 0},
        {"kind": "equals", "value": None},
        {"kind": "equals", "value": ["a"]},
        {"kind": "length", "minimum": 0.0, "maximum": 5},
        {"kind": "regex", "pattern": "a"},
        {"pattern": "a"},
    ],
    ids=repr,
)
def test_a_written_form_with_a_wrong_type_or_name_is_refused(written: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, Constraint)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=repr)
def test_a_right_constraint_has_no_report(kind: Constraint) -> None:
    assert check(kind) is None


@pytest.mark.parametrize(
    "kind", [Equals(math.nan), OneOf((1, math.inf)), OneOf(()), Prefix("\ud800")], ids=repr
)
def test_values_that_json_cannot_carry_are_reported(kind: Constraint) -> None:
    assert check(kind) is not None


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Range(0, 50), "must be a number of at least 0 and at most 50"),
        (Range(maximum=2.5), "must be a number of at most 2.5"),
        (Equals(True), "must be true"),
        (Equals(10**4000), "must be an integer of 13288 bits"),
        (OneOf(("a", 1)), "must be one of 'a', 1"),
        (OneOf(tuple(range(20))), "must be one of 0, 1, 2, 3, 4, 5, 6, 7, ..."),
        (NOTHING[0], "can have no value, because the conditions on it exclude each other"),
        (Prefix("T-"), "must be a string that starts with 'T-'"),
        (Pattern("T-.*"), "must be a string that matches 'T-.*' as a whole"),
        (Length(1, 9), "must be a string or list of length 1 to 9"),
        (PathUnder("/srv"), "must be a plain absolute path under '/srv'"),
        (UrlHost(("a.test", "*.b.test")), "must be a plain URL (https) at a.test, *.b.test"),
    ],
)
def test_a_constraint_says_what_it_asks_for(condition: Constraint, words: str) -> None:
    assert constraint.describe(condition) == words
