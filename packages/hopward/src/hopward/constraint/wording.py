"""Constraints in words: what is wrong with one that a person wrote, and what one asks of an argument."""

from collections.abc import Iterator

from hopward.constraint.kinds import (
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
)
from hopward.constraint.location import DEFAULT_PORTS, is_root, read_host
from hopward.constraint.satisfaction import compiled, is_number, is_scalar, is_text

_SHOWN = 8
"""How many allowed values or hosts a sentence lists."""


def check(constraint: Constraint) -> str | None:
    """What is wrong with a constraint that someone wrote, or None."""
    return next(_problems(constraint), None)


def _problems(constraint: Constraint) -> Iterator[str]:
    match constraint:
        case Equals() | OneOf():
            if not listed(constraint):
                yield "one_of needs at least one value"
            if not all(map(is_scalar, listed(constraint))):
                yield "a value must be a finite number, a boolean or valid Unicode text"
        case Pattern(pattern):
            problem = compiled(pattern).problem
            if problem is not None:
                yield problem
        case Range():
            yield from _range_problems(constraint)
        case Length(minimum, maximum):
            if not 0 <= minimum <= maximum:
                yield "length needs 0 <= minimum <= maximum"
        case Prefix(prefix):
            if not is_text(prefix):
                yield "a prefix must be valid Unicode text"
        case PathUnder(root):
            if not is_root(root):
                yield f"{root!r} is no plain absolute path (no `.`, `..`, `//`, backslash, `%`, final `/`)"
        case UrlHost():
            yield from _url_problems(constraint)


def _range_problems(constraint: Range) -> Iterator[str]:
    low, high = constraint.minimum, constraint.maximum
    if low is None and high is None:
        yield "range needs minimum, maximum or both"
    elif not all(is_number(bound) for bound in (low, high) if bound is not None):
        yield "the bounds of a range must be finite numbers"
    elif low is not None and high is not None and low > high:
        yield "range needs minimum <= maximum"


def _url_problems(constraint: UrlHost) -> Iterator[str]:
    if not constraint.hosts or not constraint.schemes:
        yield "url_host needs at least one host and one scheme"
    for scheme in constraint.schemes:
        if scheme not in DEFAULT_PORTS:
            yield f"{scheme!r} is not one of the schemes {', '.join(DEFAULT_PORTS)}"
    for entry in constraint.hosts:
        host = read_host(entry)
        if host is None:
            yield (
                f"{entry!r} is not HOST or *.HOST, with :PORT or without, in lower-case ASCII "
                "(no trailing dot, no IPv6, IPv4 as four decimals)"
            )
            continue
        for scheme in constraint.schemes:
            if host.port is not None and host.port == DEFAULT_PORTS.get(scheme):
                yield f"{entry!r}: {host.port} is the default port of {scheme}; leave it out"


def describe(constraint: Constraint) -> str:
    """What the argument must be, as the end of a sentence: `must be a number of at most 50`.

    Says nothing of the argument's own value.
    """
    match constraint:
        case Equals(value):
            return f"must be {_show(value)}"
        case OneOf(()):
            return "can have no value, because the conditions on it exclude each other"
        case OneOf(values):
            return f"must be one of {_list([_show(value) for value in values])}"
        case Prefix(prefix):
            return f"must be a string that starts with {_show(prefix)}"
        case Pattern(pattern):
            return f"must be a string that matches {_show(pattern)} as a whole"
        case Range(minimum, maximum):
            bounds = (("at least", minimum), ("at most", maximum))
            said = [f"{word} {_show(bound)}" for word, bound in bounds if bound is not None]
            return f"must be a number of {' and '.join(said)}"
        case Length(minimum, maximum):
            return f"must be a string or list of length {_show(minimum)} to {_show(maximum)}"
        case PathUnder(root):
            return f"must be a plain absolute path under {_show(root)}"
        case UrlHost(hosts, schemes):
            return f"must be a plain URL ({_list(schemes)}) at {_list(hosts)}"


def _show(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def _list(items: list[str] | tuple[str, ...]) -> str:
    return ", ".join(items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")
