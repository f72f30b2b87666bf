"""The kinds of constraint as tagged values; `kind` names them in TOML and JSON."""

from enum import Enum
from typing import Final, TypeAlias

import msgspec

Scalar: TypeAlias = str | int | bool | float
"""What a constraint may compare an argument with."""


class Missing(Enum):
    """The type of `MISSING`, which stands for an argument that is not there (JSON null is there)."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


def scalar_key(value: Scalar) -> tuple[int, Scalar]:
    """Sorts scalars and tells them apart as JSON does: `true` is no number, 1 and 1.0 are the same one."""
    if isinstance(value, bool):
        return (0, value)
    return (1, value) if isinstance(value, int | float) else (2, value)


def scalar_keys(values: tuple[Scalar, ...]) -> tuple[tuple[int, Scalar], ...]:
    """`scalar_key` of each value, in order."""
    return tuple(map(scalar_key, values))


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of every constraint."""


class Equals(Condition, frozen=True, eq=False, tag="equals"):
    """The argument is exactly this value."""

    value: Scalar

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equals) and scalar_key(self.value) == scalar_key(other.value)

    # Without it, msgspec's own `!=` compares identities.
    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(scalar_key(self.value))


class OneOf(Condition, frozen=True, eq=False, tag="one_of"):
    """The argument is exactly one of these values; with no values, nothing satisfies it."""

    values: tuple[Scalar, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneOf) and scalar_keys(self.values) == scalar_keys(other.values)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(scalar_keys(self.values))


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

    minimum: int
    maximum: int


class PathUnder(Condition, frozen=True, tag="path_under"):
    """The argument is an absolute POSIX path (`location.is_path`) that is `root` or lies below it."""

    root: str


class UrlHost(Condition, frozen=True, tag="url_host"):
    """The argument is a URL (`location.read_url`) with one of these schemes at one of these hosts.

    A host is `HOST` or `*.HOST` (any host below it, not itself). It allows only the scheme's default port,
    written or not; `HOST:PORT` allows only that port.
    """

    hosts: tuple[str, ...]
    schemes: tuple[str, ...] = ("https",)


Constraint: TypeAlias = Equals | OneOf | Prefix | Pattern | Range | Length | PathUnder | UrlHost

NOTHING: Final[tuple[Constraint, ...]] = (OneOf(()),)
"""The conjunction that nothing satisfies."""


def listed(constraint: Equals | OneOf) -> tuple[Scalar, ...]:
    """The values a constraint lists."""
    return (constraint.value,) if isinstance(constraint, Equals) else constraint.values
