"""The canonical form against RFC 8785's own examples and an independent implementation."""

import json
import math
import struct
from decimal import localcontext
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from hopward.canonical import canonical, compact, compact_plain, digest, is_plain

SAFE = 2**53 - 1

NUMBERS = [
    # RFC 8785 appendix B: IEEE 754 bits and their spelling.
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(("bits", "spelled"), NUMBERS)
def test_a_double_is_spelled_as_the_rfc_spells_it(bits: str, spelled: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value).decode() == spelled


@given(json_values)
@settings(deadline=None, max_examples=300)
def test_every_value_is_spelled_as_an_independent_implementation_spells_it(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(json_values)
@settings(deadline=None, max_examples=100)
def test_the_canonical_form_means_the_same_value_and_is_its_own_canonical_form(value: Any) -> None:
    spelled = canonical(value)
    assert canonical(json.loads(spelled)) == spelled
    assert json.loads(spelled, parse_int=float) == value


@given(json_values)
@settings(deadline=None, max_examples=300)
def test_what_is_plain_has_one_spelling_however_it_is_written(value: Any) -> None:
    if is_plain(value):
        assert compact_plain(value) == compact(value) == rfc8785.dumps(value)


@given(st.text() | st.integers())
@settings(deadline=None, max_examples=300)
def test_every_text_and_whole_number_is_plain_and_written_as_python_writes_it(value: Any) -> None:
    value = {"a": [value, None, True, ("b", -1)]}
    assert is_plain(value)
    assert compact_plain(value) == compact(value)


class Said(StrEnum):
    """Text that is more than text."""

    YES = "yes"


@pytest.mark.parametrize(
    "value", [1.0, math.nan, b"x", Said.YES, {Said.YES: 1}, {1: 2}, {"\U0001f600": 1}, object(), {"a"}]
)
def test_a_fraction_or_anything_beyond_jsons_own_types_is_not_plain(value: Any) -> None:
    for holding in (value, [value], {"a": ["b", value]}):
        assert not is_plain(holding)


def test_one_number_has_one_digest_however_it_was_written() -> None:
    assert digest({"a": 35}) == digest({"a": 35.0}) == digest(json.loads('{"a": 3.5e1}'))
    assert digest({"a": 1}) != digest({"a": True})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest({"a": 50}) != digest({"a": math.nextafter(50, 51)})


def test_no_decimal_context_makes_one_number_of_two() -> None:
    with localcontext() as context:
        context.prec = 3
        assert digest({"a": 50.004}) != digest({"a": 50.0})
        assert canonical([123.456, -0.00123456, 1.5e300]) == b"[123.456,-0.00123456,1.5e+300]"


def test_an_integer_beyond_doubles_stays_exact() -> None:
    assert digest({"a": 2**53}) != digest({"a": 2**53 + 1})
    assert canonical(10**40) == b"1" + b"0" * 40


def test_keys_sort_by_utf16_units_and_text_is_not_normalised() -> None:
    assert canonical({"\U0001f600": 1, "\ufb33": 2}) == '{"\U0001f600":1,"\ufb33":2}'.encode()
    assert digest({"a": "e\u0301"}) != digest({"a": "\u00e9"})


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.5, math.nan], "\ud800", {"\udfff": 1.5}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(value)


@pytest.mark.parametrize("value", [{1: 2}, {1: 2.5}, [b"x"], {"a": object()}])
def test_what_is_no_json_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_the_compact_form_keeps_numbers_as_they_are() -> None:
    assert compact({"b": 35.0, "a": 1}) == b'{"a":1,"b":35.0}'
