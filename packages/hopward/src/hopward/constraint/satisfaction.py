"""Whether an argument satisfies a constraint: total, and linear in the size of the argument."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from hopward.canonical import JSON
from hopward.constraint.kinds import (
    Constraint,
    Equals,
    Length,
    Missing,
    OneOf,
    PathUnder,
    Pattern,
    Prefix,
    Range,
    UrlHost,
)
from hopward.constraint.location import (
    DEFAULT_PORTS,
    Host,
    host_within,
    is_path,
    is_root,
    path_within,
    read_host,
    read_url,
)
from hopward.expression import ExpressionError, Options, Program, compile_expression

PATTERN_MEMORY = 1 << 20
"""Bytes one compiled pattern may take; a larger program does not compile."""

_CACHED = 1024
"""How many patterns, roots and host lists stay prepared; more only cost time."""


def satisfies(constraint: Constraint, value: "JSON | Missing") -> bool:
    """True if the argument meets the constraint. Never raises, whatever the argument is."""
    return _DECIDERS[type(constraint)](constraint, value)


def satisfies_all(constraints: Iterable[Constraint], value: "JSON | Missing") -> bool:
    """True if the argument meets every one of the constraints."""
    return all(satisfies(constraint, value) for constraint in constraints)


def is_text(value: object) -> bool:
    """True for a string that UTF-8 can carry."""
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: object) -> bool:
    """True for an integer or a finite float; a bool is not a number."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def is_scalar(value: object) -> bool:
    """True for what `Equals` and `OneOf` can compare: a bool, a number, a text."""
    return type(value) is bool or is_number(value) or is_text(value)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A pattern ready to match, or why it cannot be."""

    program: Program | None
    problem: str | None


@lru_cache(_CACHED)
def compiled(pattern: str) -> Compiled:
    """A pattern compiled once: UTF-8, no captures, at most `PATTERN_MEMORY`."""
    if not is_text(pattern):
        return Compiled(None, "a pattern must be valid Unicode")
    options = Options()
    options.max_mem = PATTERN_MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        return Compiled(compile_expression(pattern, options), None)
    except ExpressionError as error:
        cause = error.args[0]
        said = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        return Compiled(None, f"{pattern!r} is not an RE2 pattern: {said}")


@dataclass(frozen=True, slots=True)
class UrlRule:
    """The usable part of a `UrlHost`, read once."""

    schemes: frozenset[str]
    exact: frozenset[Host]
    wildcards: tuple[Host, ...]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All usable hosts."""
        return (*self.exact, *self.wildcards)


@lru_cache(_CACHED)
def url_rule(hosts: tuple[str, ...], schemes: tuple[str, ...]) -> UrlRule:
    """Known schemes and readable hosts; a port that is the default of a listed scheme is not usable."""
    known = frozenset(scheme for scheme in schemes if scheme in DEFAULT_PORTS)
    defaults = {DEFAULT_PORTS[scheme] for scheme in known}
    usable = [host for host in map(read_host, hosts) if host is not None and host.port not in defaults]
    return UrlRule(
        known, frozenset(h for h in usable if not h.wildcard), tuple(h for h in usable if h.wildcard)
    )


_is_root = lru_cache(_CACHED)(is_root)


def _equals(constraint: Equals, value: Any) -> bool:
    return is_scalar(value) and _same(constraint.value, value)


def _one_of(constraint: OneOf, value: Any) -> bool:
    return is_scalar(value) and any(_same(allowed, value) for allowed in constraint.values)


def _same(allowed: Any, value: Any) -> bool:
    # To Python, True == 1; to JSON it is not.
    return allowed == value and (type(allowed) is bool) == (type(value) is bool)


def _prefix(constraint: Prefix, value: Any) -> bool:
    return is_text(value) and value.startswith(constraint.prefix)


def _pattern(constraint: Pattern, value: Any) -> bool:
    program = compiled(constraint.pattern).program
    return program is not None and is_text(value) and program.fullmatch(value.encode()) is not None


def _range(constraint: Range, value: Any) -> bool:
    low, high = constraint.minimum, constraint.maximum
    if not is_number(value) or (low is None and high is None):
        return False
    # Python compares an int with a float by their exact values.
    return (low is None or (is_number(low) and low <= value)) and (
        high is None or (is_number(high) and value <= high)
    )


def _length(constraint: Length, value: Any) -> bool:
    if type(value) is not list and not is_text(value):
        return False
    return constraint.minimum <= len(cast(Sequence[Any], value)) <= constraint.maximum


def _path_under(constraint: PathUnder, value: Any) -> bool:
    root = constraint.root
    return type(value) is str and _is_root(root) and is_path(value) and path_within(value, root)


def _url_host(constraint: UrlHost, value: Any) -> bool:
    read = read_url(value) if type(value) is str else None
    if read is None:
        return False
    scheme, host = read
    rule = url_rule(constraint.hosts, constraint.schemes)
    return scheme in rule.schemes and (
        host in rule.exact or any(host_within(host, allowed) for allowed in rule.wildcards)
    )


_DECIDERS: dict[type, Callable[[Any, Any], bool]] = {
    Equals: _equals,
    OneOf: _one_of,
    Prefix: _prefix,
    Pattern: _pattern,
    Range: _range,
    Length: _length,
    PathUnder: _path_under,
    UrlHost: _url_host,
}
