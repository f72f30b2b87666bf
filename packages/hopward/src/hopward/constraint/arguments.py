"""Constraints by argument: which argument a key names, and which arguments no key names.

A key names a top-level argument, dots and all. A key that starts with `/` is a JSON Pointer (RFC 6901) into
nested objects: `/filter/owner`; `~1` stands for `/` in a name and `~0` for `~`, so the argument `/x` itself
is `/~1x`. Pointers pass through objects only, never through lists. A key that is no pointer names nothing.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from hopward.canonical import JSON
from hopward.constraint.conjunction import normal
from hopward.constraint.kinds import MISSING, NOTHING, Constraint, Missing

Arguments: TypeAlias = "dict[str, JSON]"

_BAD_ESCAPE = re.compile(r"~(?![01])")


def check_key(key: str) -> str | None:
    """What is wrong with the key of a constraint, or None."""
    if _names(key) is None:
        return f"{key!r} starts with `/` but is no JSON Pointer (RFC 6901): `~` must be written `~0`"
    return None


def find(arguments: Arguments, key: str) -> "JSON | Missing":
    """The argument a key names, or `MISSING`."""
    if key[:1] != "/":
        return arguments.get(key, MISSING)
    names = _names(key)
    if names is None:
        return MISSING
    node: JSON | Missing = arguments
    for name in names:
        if not isinstance(node, dict):
            return MISSING
        node = node.get(name, MISSING)
    return node


def unnamed(arguments: Arguments, keys: Iterable[str]) -> str | None:
    """The key of the first argument, or member of an object on the way of a pointer, that no key names."""
    named = {names for names in map(_names, keys) if names is not None}
    passed = {names[:depth] for names in named for depth in range(1, len(names))}
    waiting: list[tuple[tuple[str, ...], Arguments]] = [((), arguments)]
    while waiting:
        way, node = waiting.pop()
        for name, value in node.items():
            here = (*way, name)
            if here in named:
                continue
            if here not in passed or not isinstance(value, dict):
                return _key(here)
            waiting.append((here, value))
    return None


def normal_by_key(
    constraints: Mapping[str, tuple[Constraint, ...]],
) -> dict[str, tuple[Constraint, ...]] | None:
    """Constraints in normal form under the shortest key, sorted by key; None if they cannot all hold.

    A key without conditions is dropped. An argument that must be an object for one key and satisfy a
    condition under another cannot do both.
    """
    gathered: dict[tuple[str, ...], tuple[Constraint, ...]] = {}
    for key, conditions in constraints.items():
        if not conditions:
            continue
        names = _names(key)
        if names is None:
            return None
        gathered[names] = (*gathered.get(names, ()), *conditions)
    if any(names[:depth] in gathered for names in gathered for depth in range(1, len(names))):
        return None
    found = {_key(names): normal(conditions) for names, conditions in gathered.items()}
    return None if NOTHING in found.values() else dict(sorted(found.items()))


@lru_cache(1024)
def _names(key: str) -> tuple[str, ...] | None:
    if key[:1] != "/":
        return (key,)
    if _BAD_ESCAPE.search(key):
        return None
    return tuple(name.replace("~1", "/").replace("~0", "~") for name in key[1:].split("/"))


def _key(names: tuple[str, ...]) -> str:
    if len(names) == 1 and names[0][:1] != "/":
        return names[0]
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
