"""JSON with comments, read with the place of every value."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward import ConfigError
from hopward_mcp.jsonc import edited, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_every_json_text_is_read_as_the_standard_library_reads_it(
    value: object, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    node = parse(text, "x.json")
    assert node.plain == value
    assert text[node.start : node.end] == text


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without a member that stands in it twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


@given(st.text(alphabet='{}[]",:/*\\ \n1at.-', max_size=40))
def test_any_text_is_read_as_json_or_refused_and_never_breaks_the_reader(text: str) -> None:
    try:
        value = json.loads(text, object_pairs_hook=once)
    except ValueError:
        with suppress(ConfigError):
            parse(text, "x.json")
    else:
        assert parse(text, "x.json").plain == value


def test_comments_trailing_commas_and_a_byte_order_mark_are_no_part_of_the_value() -> None:
    text = '\ufeff// a\n{ /* b\n */ "a": [1, 2, /* , */ ], // "c": 1\r\n "b": "// no", }\n// end'
    assert parse(text, "x.json").plain == {"a": [1, 2], "b": "// no"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,\n "a": 2}', 'x.json:2:2: "a" stands twice'),
        ('{"a": }', "x.json:1:7: a value is expected"),
        ("{a: 1}", "x.json:1:2: a text in double quotes"),
        ('{"a" 1}', "':' is expected"),
        ('{"a": 1 "b": 2}', "',' is expected"),
        ("[1,,2]", "a value is expected"),
        ("{} x", "something after the end"),
        ("", "a value is expected"),
        ("{ /* never closed", "a text in double quotes"),
        ('{"a": NaN}', "a value is expected"),
        ('{"a": 01}', "',' is expected"),
        ('"a\nb"', "a text in double quotes"),
        ("[" * 101, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_refused_with_line_and_column(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, "x.json")
    assert told in refused.value.message


def test_an_edit_changes_its_place_and_nothing_else() -> None:
    text = '{ "a": 1, /* c */ "b": [2] }'
    node = parse(text, "x.json")
    places = [member.node for member in node.members]
    edits = [(place.start, place.end, f"<{place.kind}>") for place in places]
    assert edited(text, edits) == '{ "a": <scalar>, /* c */ "b": <array> }'
