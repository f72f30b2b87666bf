"""Arguments of a tool as typed on a command line."""

from collections.abc import Mapping
from typing import Any

import pytest

from hopward import ConfigError
from hopward_mcp.arguments import signature, split, typed

SCHEMA: dict[str, Any] = {
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "loud": {"type": "boolean"},
        "tags": {"type": "array"},
        "more": {"type": "object"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "note": {"type": ["string", "null"]},
        "any": {},
    }
}


def read(*words: str, schema: Mapping[str, Any] | None = SCHEMA, **classified: str) -> dict[str, Any]:
    return typed(split(words), signature(classified, schema))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("title=shopping", "shopping"),
        ("title=5", "5"),
        ("title=", ""),
        ("title=a=b", "a=b"),
        ("title:=5", 5),
        ("count=5", 5),
        ("ratio=5", 5),
        ("ratio=0.5", 0.5),
        ("loud=true", True),
        ('tags=["a", "b"]', ["a", "b"]),
        ('more={"a": 1}', {"a": 1}),
        ("limit=5", 5),
        ("limit=null", None),
        ("note=null", "null"),
        ("note:=null", None),
        ("any=5", 5),
        ("any=five", "five"),
    ],
)
def test_a_value_is_what_the_schema_says_it_is(word: str, value: object) -> None:
    (found,) = read(word).values()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("count=many", "a whole number"),
        ("count=1.5", "a whole number"),
        ("count=true", "a whole number"),
        ("ratio=NaN", "a number"),
        ("loud=yes", "true or false"),
        ("tags=a,b", "a list"),
        ("more=[]", "an object"),
        ("limit=x", "a whole number or null"),
        ("title:=shopping", "JSON"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_type_that_is_wanted(word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"is not {told}"):
        read(word)


def test_the_classification_says_more_than_the_schema() -> None:
    assert read("title=5", "count=5", title="decimal", count="string") == {"title": 5, "count": "5"}
    assert read("tags=[]", "loud=true", schema=None, tags="strings", loud="boolean") == {
        "tags": [],
        "loud": True,
    }


def test_a_name_the_tool_does_not_have_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'title'"):
        read("titel=x")
    with pytest.raises(ConfigError, match=r"no argument 'zzz'\."):
        read("zzz:=1")


def test_a_tool_that_takes_anything_or_says_nothing_gets_what_is_typed() -> None:
    assert read("other=5", schema={**SCHEMA, "additionalProperties": True}) == {"other": 5}
    assert read("other=5", schema={"type": "object"}) == {"other": 5}
    assert read("other=x", schema=None) == {"other": "x"}


def test_a_name_given_twice_is_refused_however_it_is_written() -> None:
    with pytest.raises(ConfigError, match="'title' is given twice"):
        split(["title=a", "title:=1"])


@pytest.mark.parametrize("word", ["title", "=x", ":=x", ""])
def test_a_word_without_name_or_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="Write NAME=VALUE"):
        split([word])


def test_a_schema_that_makes_no_sense_leaves_the_values_as_typed() -> None:
    for nonsense in ({"properties": {"a": 7}}, {"properties": {"a": {"type": 7}}}, {"properties": None}):
        assert read("a=1", schema=nonsense) == {"a": 1}
