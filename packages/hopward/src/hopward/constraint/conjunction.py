"""Conjunctions of constraints in one spelling, so that the meet of two is exact and comparable by `==`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hopward.constraint.kinds import (
    NOTHING,
    Constraint,
    Equals,
    Length,
    OneOf,
    PathUnder,
    Pattern,
    Prefix,
    Range,
    Scalar,
    UrlHost,
    listed,
    scalar_key,
)
from hopward.constraint.location import host_within, is_root, path_within, write_host
from hopward.constraint.satisfaction import compiled, is_number, is_text, satisfies_all, url_rule
from hopward.order import meets


def normal(constraints: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """The one spelling of a conjunction: one constraint of a kind (of patterns, each one once), sorted.

    Listed values that another constraint excludes are gone, and with values listed nothing else remains.
    A contradiction becomes `NOTHING`, as far as kinds, bounds, prefixes, roots and hosts show it; patterns
    are never compared with anything but listed values.
    """
    conditions = tuple(constraints)
    finite = [c for c in conditions if isinstance(c, Equals | OneOf)]
    if finite:
        return _among(v for v in listed(finite[0]) if satisfies_all(conditions, v))
    by_kind = [(fold, [c for c in conditions if type(c) is kind]) for kind, fold in _FOLDS.items()]
    present = [(fold, same) for fold, same in by_kind if same]
    folded = [fold(same) for fold, same in present]
    numbers = any(type(c) is Range for c in conditions)
    if any(not kept for kept in folded) or (numbers and len(present) > 1):
        return NOTHING
    return tuple(c for kept in folded for c in kept)


def meet(a: Iterable[Constraint], b: Iterable[Constraint]) -> tuple[Constraint, ...]:
    """The conjunction of two conjunctions, in normal form.

    Exact: a value satisfies the meet if and only if it satisfies both. Associative, commutative, and
    idempotent on normal forms, as equality of values.
    """
    return normal((*a, *b))


def _among(values: Iterable[Scalar]) -> tuple[Constraint, ...]:
    distinct = {scalar_key(value): _plain_number(value) for value in values}
    ordered = tuple(distinct[key] for key in sorted(distinct))
    return (Equals(ordered[0]),) if len(ordered) == 1 else (OneOf(ordered),)


def _plain_number(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


# Each fold takes at least one constraint of its kind and returns none when they cannot all hold.


def _ranges(same: Sequence[Range]) -> list[Constraint]:
    bounds = [bound for c in same for bound in (c.minimum, c.maximum) if bound is not None]
    if any(c.minimum is None and c.maximum is None for c in same) or not all(map(is_number, bounds)):
        return []
    low = _plain_number(max((c.minimum for c in same if c.minimum is not None), default=None))
    high = _plain_number(min((c.maximum for c in same if c.maximum is not None), default=None))
    if low is None or high is None or low < high:
        return [Range(low, high)]
    return [Equals(low)] if low == high else []


def _lengths(same: Sequence[Length]) -> list[Constraint]:
    low, high = max(0, *(c.minimum for c in same)), min(c.maximum for c in same)
    return [Length(low, high)] if low <= high else []


def _prefixes(same: Sequence[Prefix]) -> list[Constraint]:
    longest = max((c.prefix for c in same), key=len)
    nested = is_text(longest) and all(longest.startswith(c.prefix) for c in same)
    return [Prefix(longest)] if nested else []


def _patterns(same: Sequence[Pattern]) -> list[Constraint]:
    usable = all(compiled(c.pattern).problem is None for c in same)
    return [Pattern(text) for text in sorted({c.pattern for c in same})] if usable else []


def _paths(same: Sequence[PathUnder]) -> list[Constraint]:
    deepest = max((c.root for c in same), key=len)
    nested = all(is_root(c.root) and path_within(deepest, c.root) for c in same)
    return [PathUnder(deepest)] if nested else []


def _urls(same: Sequence[UrlHost]) -> list[Constraint]:
    rules = [url_rule(c.hosts, c.schemes) for c in same]
    schemes, hosts = rules[0].schemes, rules[0].hosts
    for rule in rules:
        schemes = schemes & rule.schemes
        hosts = tuple(meets(hosts, rule.hosts, host_within))
    written = tuple(sorted(map(write_host, hosts)))
    return [UrlHost(written, tuple(sorted(schemes)))] if written and schemes else []


_FOLDS: dict[type, Callable[[Any], list[Constraint]]] = {
    Length: _lengths,
    PathUnder: _paths,
    Pattern: _patterns,
    Prefix: _prefixes,
    Range: _ranges,
    UrlHost: _urls,
}
