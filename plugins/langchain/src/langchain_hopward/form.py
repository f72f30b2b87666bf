"""Python values as the JSON that is decided on and digested: exact, or not at all."""

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any, cast

from pydantic import AnyUrl, BaseModel

_WRITTEN = (uuid.UUID, PurePath, AnyUrl)
_BARE = frozenset({str, int, float, bool, type(None)})


class UnreadableError(ValueError):
    """A value that JSON cannot carry, so nothing could be decided about it."""

    advice = "If the program fills it in, protect the tool: what is injected is then left out."


class UnfitError(UnreadableError):
    """Of a guarded tool, where only what is no argument has been left out already."""

    advice = ""


def as_json(value: Any) -> Any:
    """A value as plain JSON. Nothing in it is looked at as anything but data.

    Raises `UnreadableError` for what has no exact form: live objects, iterators, bytes, secrets.
    """
    if type(value) in _BARE:
        return value
    if isinstance(value, enum.Enum):
        return as_json(value.value)
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        members = cast("Mapping[Any, Any]", value)
        return {_key(key): as_json(inner) for key, inner in members.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in cast("Iterable[Any]", value)]
    if isinstance(value, set | frozenset):
        return _sorted(cast("Iterable[Any]", value))
    return _object(value)


def _object(value: Any) -> Any:
    if isinstance(value, BaseModel):
        # Not model_dump, which leaves out or rewrites fields as the model says.
        return {name: as_json(inner) for name, inner in value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, _WRITTEN):
        return str(value)
    raise UnreadableError(f"a value of type {type(value).__name__} cannot be written as JSON")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise UnreadableError(f"a key of type {type(key).__name__} cannot be written as JSON")
    return str(key)


def _sorted(items: Iterable[Any]) -> list[str]:
    found = [as_json(item) for item in items]
    if not all(isinstance(item, str) for item in found):
        raise UnreadableError("a set of anything but text cannot be written as JSON")
    return sorted(found)


def _number(value: Decimal) -> int | float | str:
    """The number if JSON can carry exactly it; else its text, which no policy takes for a number."""
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)
