"""The narrowest condition for the values that an argument was seen with."""

from collections.abc import Sequence
from typing import Any

from hopward.constraint import (
    Constraint,
    Equals,
    Length,
    OneOf,
    PathUnder,
    Range,
    UrlHost,
    satisfies,
)
from hopward.constraint.location import read_url, write_host

FEW = 8
"""Distinct values that are listed one by one; more are summed up."""


def limit(values: Sequence[Any]) -> Constraint | None:
    """A condition that all of these values meet, or None where there is none: null and objects meet nothing.

    Up to `FEW` distinct values are listed. Beyond that numbers have a range, absolute paths the deepest
    folder that all lie in, URLs their schemes and hosts, and other texts and lists a length.
    """
    for made in (_listed, _range, _folder, _hosts, _length):
        found = made(values)
        if found is not None and all(satisfies(found, value) for value in values):
            return found
    return None


def _listed(values: Sequence[Any]) -> Constraint | None:
    distinct = {(type(value) is bool, value) for value in values if isinstance(value, str | int | float)}
    if len(distinct) > FEW or any(not isinstance(value, str | int | float) for value in values):
        return None
    ordered = sorted((value for _, value in distinct), key=lambda value: (str(type(value)), value))
    return Equals(ordered[0]) if len(ordered) == 1 else OneOf(tuple(ordered))


def _range(values: Sequence[Any]) -> Constraint | None:
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return Range(minimum=min(values), maximum=max(values))


def _folder(values: Sequence[Any]) -> Constraint | None:
    """The deepest folder; none where that is the root, which bounds nothing."""
    if any(not isinstance(value, str) or not value.startswith("/") for value in values):
        return None
    parts = [value.split("/")[:-1] for value in values]
    common = 0
    while all(len(one) > common and one[common] == parts[0][common] for one in parts):
        common += 1
    root = "/".join(parts[0][:common])
    return PathUnder(root=root) if root else None


def _hosts(values: Sequence[Any]) -> Constraint | None:
    read = [read_url(value) if isinstance(value, str) else None for value in values]
    known = [one for one in read if one is not None]
    hosts = sorted({write_host(host) for _, host in known})
    if len(known) < len(read) or len(hosts) > FEW:
        return None
    return UrlHost(hosts=tuple(hosts), schemes=tuple(sorted({scheme for scheme, _ in known})))


def _length(values: Sequence[Any]) -> Constraint | None:
    if any(not isinstance(value, str | list) for value in values):
        return None
    sizes = [len(value) for value in values]
    return Length(minimum=min(sizes), maximum=max(sizes))
