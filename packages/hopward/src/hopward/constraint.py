"""Constraints on the arguments of a tool call: closed, data-only conditions with an exact meet."""

from enum import Enum
from typing import TypeAlias

import msgspec

from hopward.canonical import JSON

Scalar: TypeAlias = str | int | bool | float
"""What a constraint may compare an argument with."""


class Missing(Enum):
    """The type of `MISSING`, which stands for an argument that is not there (JSON null is there)."""

    MISSING = "missing"


MISSING = Missing.MISSING


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every constraint; `kind` names it in TOML and JSON."""


class Equals(Condition, frozen=True, tag="equals"):
    """The argument is exactly this value."""

    value: Scalar


class OneOf(Condition, frozen=True, tag="one_of"):
    """The argument is exactly one of these values; with no values, nothing satisfies it."""

    values: tuple[Scalar, ...]


class Prefix(Condition, frozen=True, tag="prefix"):
    """The argument is a string that starts with this text."""

    prefix: str


class Pattern(Condition, frozen=True, tag="pattern"):
    """The argument is a string that this RE2 expression matches from its first to its last character."""

    pattern: str


class Range(Condition, frozen=True, tag="range"):
    """The argument is a number between two inclusive bounds, of which at least one is given."""

    minimum: int | float | None = None
    maximum: int | float | None = None


class Length(Condition, frozen=True, tag="length"):
    """The argument is a string of so many code points, or a list of so many items; bounds inclusive."""

    maximum: int
    minimum: int = 0


class PathUnder(Condition, frozen=True, tag="path_under"):
    """The argument is an absolute POSIX path that is `root` or lies below it."""

    root: str


class UrlHost(Condition, frozen=True, tag="url_host"):
    """The argument is a URL with one of these schemes at one of these hosts."""

    hosts: tuple[str, ...]
    schemes: tuple[str, ...] = ("https",)


Constraint: TypeAlias = Equals | OneOf | Prefix | Pattern | Range | Length | PathUnder | UrlHost


def satisfies(constraint: Constraint, value: "JSON | Missing") -> bool:
    """True if the argument meets the constraint. Never raises."""
    raise NotImplementedError
