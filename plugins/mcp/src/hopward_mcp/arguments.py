"""The arguments of a tool as typed on a command line: `NAME=VALUE`, or `NAME:=JSON`.

A value is what the tool's classification or its input schema says it is: a text stays as it is, everything
else is JSON. A name that the tool does not have is refused, with the nearest one that it has.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from hopward import ConfigError

_CLASSIFIED = {
    "string": "string",
    "integer": "integer",
    "decimal": "number",
    "boolean": "boolean",
    "strings": "array",
}
"""The types of a classification as JSON Schema calls them."""

_CALLED = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Word:
    """One argument as typed; `raw` if its value is JSON whatever the tool says."""

    name: str
    text: str
    raw: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What a tool takes: the types of each argument as JSON Schema names them, empty where nobody says.

    `closed` if it takes no others.
    """

    types: Mapping[str, frozenset[str]]
    closed: bool


def split(words: Sequence[str]) -> list[Word]:
    """The words of a command line; raises `ConfigError` for one that is none, and for a name given twice."""
    found: list[Word] = []
    for word in words:
        name, equals, text = word.partition("=")
        raw = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise ConfigError(f"{word!r} is no argument.", advice="Write NAME=VALUE, or NAME:=JSON.")
        if any(name == known.name for known in found):
            raise ConfigError(f"The argument {name!r} is given twice.")
        found.append(Word(name, text, raw))
    return found


def signature(classified: Mapping[str, str], schema: Mapping[str, Any] | None) -> Signature:
    """What a tool takes, by the arguments of its classification and, where it is known, its input schema."""
    types = {name: frozenset({_CLASSIFIED[kind]}) for name, kind in classified.items()}
    if schema is None:
        return Signature(types, closed=False)
    properties = cast("dict[str, Any]", schema.get("properties") or {})
    described = {name: _types(inner) for name, inner in properties.items()}
    # Only what the schema does not forbid may be sent besides; most schemas forget to say so.
    closed = bool(properties) and schema.get("additionalProperties") in (None, False)
    return Signature({**described, **types}, closed)


def typed(words: Iterable[Word], takes: Signature) -> dict[str, Any]:
    """The values of the words; raises `ConfigError` for one that the tool cannot take."""
    return {word.name: _value(word, takes) for word in words}


def _value(word: Word, takes: Signature) -> Any:
    if word.name not in takes.types and takes.closed:
        _refuse(word.name, takes)
    if word.raw:
        return _json(word, "JSON")
    types = takes.types.get(word.name, frozenset())
    if "string" in types:
        return word.text
    if not types:
        try:
            return _json(word, "JSON")
        except ConfigError:
            return word.text
    wanted = " or ".join(called for kind, called in _CALLED.items() if kind in types)
    value = _json(word, wanted)
    if not any(_is(value, kind) for kind in types):
        _wrong(word, wanted)
    return value


def _json(word: Word, wanted: str) -> Any:
    try:
        return json.loads(word.text, parse_constant=lambda text: _wrong(word, wanted))
    except ValueError:
        _wrong(word, wanted)


def _wrong(word: Word, wanted: str) -> NoReturn:
    raise ConfigError(
        f"{word.name}: {word.text!r} is not {wanted}.", advice=f"{word.name}:='...' takes any JSON."
    )


def _refuse(name: str, takes: Signature) -> NoReturn:
    known = sorted(takes.types)
    near = difflib.get_close_matches(name, known, 1)
    told = f"; did you mean {near[0]!r}?" if near else "."
    raise ConfigError(f"The tool has no argument {name!r}{told}", advice=f"It takes: {', '.join(known)}")


def _types(schema: object) -> frozenset[str]:
    """The types a schema names, also one choice of several; empty where it names none that we know."""
    if not isinstance(schema, dict):
        return frozenset()
    schema = cast("dict[str, Any]", schema)
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named} & _CALLED.keys())
    if isinstance(named, list):
        return frozenset(kind for kind in map(str, cast("list[object]", named)) if kind in _CALLED)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(choices, list):
        return frozenset()
    each = [_types(choice) for choice in cast("list[object]", choices)]
    return frozenset[str]().union(*each) if all(each) else frozenset()


def _is(value: object, kind: str) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
        case _:
            return isinstance(value, str)
