"""What of a request can matter to policies: the attributes they ask about, and what they ask about each.

A policy that does no more with an attribute than compare it with literals cannot tell two values apart that
compare alike. What is told of such an attribute is how it compares, so that one verdict holds for every
call with 12 or with 11 calls left where the policies ask whether any is left, and for every text but the one
that is forbidden.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from hopward.cedar.request import written
from hopward.policy import Policy

_Name: TypeAlias = tuple[str, str]
"""`arguments`, or an empty text for the context itself, and an attribute of it."""

_Literal: TypeAlias = str | int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a value is compared: with a literal, or as a member of a set of them, all of the type `kind`."""

    kind: type[str] | type[int]
    holds: Callable[[Any, Any], bool]
    literal: _Literal | frozenset[_Literal]


_CONTEXT = {"Var": "context"}
_ARGUMENTS = {".": {"left": _CONTEXT, "attr": "arguments"}}
_RECORDS = (_CONTEXT, _ARGUMENTS, {".": {"left": _CONTEXT, "attr": "handed"}})

_COMPARING: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The same comparison with its sides exchanged."""


@dataclass(frozen=True, slots=True)
class Matter:
    """What a set of policies can ask about a context.

    `asked` are the attributes, and perhaps more; `compared` those of them that are only compared with
    literals, and how.
    """

    asked: frozenset[str]
    compared: Mapping[_Name, tuple[Comparison, ...]]

    def told(self, context: Mapping[str, Any]) -> str:
        """A text that two contexts share only if the policies cannot tell them apart."""
        told: list[Any] = []
        for record, values in (("arguments", context["arguments"]), ("", context)):
            exact: dict[str, Any] = {}
            alike: dict[str, list[bool]] = {}
            for name in self.asked & values.keys():
                value = values[name]
                comparisons = self.compared.get((record, name))
                if comparisons is None or [one for one in comparisons if type(value) is not one.kind]:
                    exact[name] = value
                else:
                    alike[name] = [one.holds(value, one.literal) for one in comparisons]
            told += (exact, alike)
        return written(told)


def matter(policies: Iterable[Policy], every: frozenset[str]) -> Matter:
    """What of `every` attribute the conditions of these policies can ask about, and what they ask.

    Asked about is each that stands anywhere in them as a text, and all where one of them takes `context` or
    a record in it as a whole. Only compared is what stands nowhere else than in comparisons.
    """
    stands: Counter[str] = Counter()
    compared: dict[_Name, list[Comparison | None]] = {}
    # A stack, because conditions may nest deeper than Python calls. True: an attribute of it is asked for.
    stack: list[tuple[Any, bool]] = [(policy.form["conditions"], False) for policy in policies]
    while stack:
        part, apart = stack.pop()
        if not apart and part in _RECORDS:
            return Matter(every, {})
        if isinstance(part, str):
            stands[part] += 1
        elif isinstance(part, list):
            stack.extend((one, False) for one in cast("list[Any]", part))
        elif isinstance(part, dict):
            form = cast("dict[str, Any]", part)
            for name, comparison in _comparisons(form):
                compared.setdefault(name, []).append(comparison)
            stack.extend(_parts(form))
    return Matter(every & stands.keys(), _only(compared, stands))


def _parts(form: Mapping[str, Any]) -> Iterable[tuple[Any, bool]]:
    for asking, operand in form.items():
        match operand:
            case {"left": left, "attr": str(attribute)} if asking in (".", "has"):
                yield left, True
                yield attribute, False
            case _:
                yield operand, False


def _only(
    compared: Mapping[_Name, list[Comparison | None]], stands: Mapping[str, int]
) -> dict[_Name, tuple[Comparison, ...]]:
    """What is compared wherever its name stands."""
    found: Counter[str] = Counter()
    for (_, name), comparisons in compared.items():
        found[name] += len(comparisons)
    return {
        (record, name): tuple(one for one in comparisons if one is not None)
        for (record, name), comparisons in compared.items()
        if found[name] == stands[name]
    }


def _comparisons(form: Mapping[str, Any]) -> Iterator[tuple[_Name, Comparison | None]]:
    """The attributes that a form compares; None for one that is only asked whether it is there."""
    for asking, operand in form.items():
        match operand:
            case {"left": left, "right": right} if asking in _COMPARING:
                yield from _compared(left, right, asking) or _compared(right, left, _TURNED[asking])
            case {"left": {"Set": members}, "right": right} if asking == "contains":
                yield from _sought(members, right)
            case {"left": _, "attr": str()} if asking == "has":
                name = _named({".": operand})
                if name is not None:
                    yield name, None
            case _:
                pass


def _named(part: Any) -> _Name | None:
    """The attribute that a form is, of the arguments or of the context itself."""
    match part:
        case {".": {"left": left, "attr": str(attribute)}} if left == _ARGUMENTS:
            return ("arguments", attribute)
        case {".": {"left": left, "attr": str(attribute)}} if left == _CONTEXT:
            return ("", attribute)
        case _:
            return None


def _compared(one: Any, other: Any, comparing: str) -> list[tuple[_Name, Comparison]]:
    name, literal = _named(one), _literal(other)
    if name is None or literal is None:
        return []
    return [(name, Comparison(type(literal), _COMPARING[comparing], literal))]


def _sought(members: Iterable[Any], sought: Any) -> list[tuple[_Name, Comparison]]:
    """A set of literals that a value is looked up in."""
    name, literals = _named(sought), [_literal(member) for member in members]
    known = frozenset(literal for literal in literals if literal is not None)
    kinds = {type(literal) for literal in known}
    if name is None or None in literals or len(kinds) != 1:
        return []
    return [(name, Comparison(kinds.pop(), _is_in, known))]


def _is_in(value: Any, literals: Any) -> bool:
    return value in literals


def _literal(part: Any) -> _Literal | None:
    match part:
        case {"Value": str() | int() as value} if not isinstance(value, bool):
            return value
        case _:
            return None
