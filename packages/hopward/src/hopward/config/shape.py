"""Every place where a document does not have the shape of the settings: unknown, missing and ill-typed keys.

`msgspec.convert` decides whether a document is accepted and stops at the first mistake; this walk over the
same types then finds all of them. It runs only when `convert` has refused.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from typing import cast

from msgspec import inspect

from hopward.config.problem import KeyPath, Problem, items, table


def misshapen(value: object, expected: inspect.Type, path: KeyPath = ()) -> Iterator[Problem]:
    """The mistakes in `value`, which stands at `path`, against an `inspect.type_info` type."""
    match expected:
        case inspect.AnyType():
            return
        case inspect.StructType():
            yield from _struct(value, expected, path)
        case inspect.DictType():
            yield from _dict(value, expected, path)
        case inspect.VarTupleType():
            yield from _array(value, expected, path)
        case inspect.UnionType():
            yield from _union(value, expected, path)
        case inspect.LiteralType():
            yield from _literal(value, expected, path)
        case _:
            if not _is_scalar(value, expected):
                yield Problem(path, f"must be {_named(expected)}, not {_kind(value)}")


def _struct(value: object, expected: inspect.StructType, path: KeyPath) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a table, not {_kind(value)}")
        return
    content = table(cast("object", value))
    fields = {field.encode_name: field for field in expected.fields}
    tag = expected.tag_field
    absent = [name for name in fields if name not in content]
    meant: set[str] = set()
    for key, inner in content.items():
        if key in fields:
            yield from misshapen(inner, fields[key].type, (*path, key))
        elif key != tag:
            near = get_close_matches(key, absent, n=1)
            meant.update(near)
            yield Problem((*path, key), f"unknown key; {_instead(near, list(fields))}", stray=not near)
    for name in absent:
        if fields[name].required and name not in meant:
            yield Problem((*path, name), "missing; it is required and has no default")


def _dict(value: object, expected: inspect.DictType, path: KeyPath) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(path, f"must be a table, not {_kind(value)}")
        return
    content = table(cast("object", value))
    for key, inner in content.items():
        yield from misshapen(inner, expected.value_type, (*path, key))


def _array(value: object, expected: inspect.VarTupleType, path: KeyPath) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"must be an array, not {_kind(value)}")
        return
    content = items(cast("object", value))
    for index, inner in enumerate(content):
        yield from misshapen(inner, expected.item_type, (*path, index))


def _union(value: object, expected: inspect.UnionType, path: KeyPath) -> Iterator[Problem]:
    structs = [kind for kind in expected.types if isinstance(kind, inspect.StructType)]
    lists = [kind for kind in expected.types if isinstance(kind, inspect.VarTupleType)]
    if lists and isinstance(value, list):
        # A value, or a list of what must be true of it.
        yield from misshapen(cast("object", value), lists[0], path)
        return
    if not structs:
        scalars = [kind for kind in expected.types if not isinstance(kind, inspect.NoneType)]
        if len(scalars) == 1:
            # A value that may be left out.
            yield from misshapen(value, scalars[0], path)
            return
        if not any(_is_scalar(value, kind) for kind in scalars):
            yield Problem(path, f"must be {_either([_named(kind) for kind in scalars])}, not {_kind(value)}")
        return
    if len(structs) == 1:
        # A table that may be left out.
        yield from _struct(value, structs[0], path)
        return
    if not isinstance(value, dict):
        yield Problem(path, f"must be a table, not {_kind(value)}")
        return
    content = table(cast("object", value))
    tag_field = structs[0].tag_field or ""
    named = {str(kind.tag): kind for kind in structs}
    tag = content.get(tag_field)
    if isinstance(tag, str) and tag in named:
        yield from _struct(content, named[tag], path)
    elif tag_field not in content:
        yield Problem((*path, tag_field), f"missing; one of {_listed(list(named))}")
    else:
        near = get_close_matches(str(tag), list(named), n=1)
        yield Problem((*path, tag_field), f"{_shown(tag)} is not known; {_instead(near, list(named))}")


def _literal(value: object, expected: inspect.LiteralType, path: KeyPath) -> Iterator[Problem]:
    choices = [str(choice) for choice in expected.values]
    if not isinstance(value, str):
        yield Problem(path, f"must be one of {_listed(choices)}, not {_kind(value)}")
    elif value not in choices:
        near = get_close_matches(value, choices, n=1)
        yield Problem(path, f"{_shown(value)} is not allowed; {_instead(near, choices)}")


def _is_scalar(value: object, expected: inspect.Type) -> bool:
    match expected:
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.DateTimeType():
            return isinstance(value, datetime)
        case inspect.DateType():
            return isinstance(value, date) and not isinstance(value, datetime)
        case _:
            return False


def _named(expected: inspect.Type) -> str:
    match expected:
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.DateTimeType():
            return "a date and time such as 2026-12-31T12:00:00Z, without quotes"
        case inspect.DateType():
            return "a date such as 2026-12-31, without quotes"
        case inspect.VarTupleType():
            return "an array"
        case _:
            return "a number"


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case float():
            return "a decimal number"
        case dict():
            return "a table"
        case list():
            return "an array"
        case _:
            return "a date or time"


def _instead(near: Sequence[str], choices: Sequence[str]) -> str:
    return f'did you mean "{near[0]}"?' if near else f"one of {_listed(choices)}"


def _listed(choices: Sequence[str]) -> str:
    return ", ".join(f'"{choice}"' for choice in choices)


def _either(names: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(names))


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else _kind(value)
