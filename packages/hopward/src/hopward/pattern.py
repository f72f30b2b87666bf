"""Name patterns: an exact name, or a prefix that ends in a single trailing `*`.

`*` alone matches every name. A text with a `*` anywhere else, and the empty text, is not a pattern and
matches nothing; `check` says so. Matching compares code points: case counts, and `desk/*` does not match
`desk2/x`. Two patterns are nested or share no name, so sets of them have one smallest form.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from hopward.harmless import is_unseen
from hopward.order import maximal, meets


def check(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    if not pattern:
        return "a pattern is a name or a prefix ending in `*`, not an empty text"
    if "*" in pattern[:-1]:
        return f"{pattern!r} may have one `*`, at its end"
    return None


def matches(pattern: str, name: str) -> bool:
    """True if the name is the pattern's name, or starts with its prefix."""
    if pattern[-1:] != "*":
        return pattern == name and pattern != "" and "*" not in pattern
    return name.startswith(pattern[:-1]) and "*" not in pattern[:-1]


@lru_cache(maxsize=4096)
def matches_any(patterns: tuple[str, ...], name: str) -> bool:
    """True if at least one of the patterns matches the name."""
    return any(matches(pattern, name) for pattern in patterns)


def within(child: str, parent: str) -> bool:
    """True if every name the child matches is matched by the parent; False for what is no pattern."""
    if check(child) is not None or check(parent) is not None:
        return False
    if parent[-1] != "*":
        return child == parent
    return child.removesuffix("*").startswith(parent[:-1])


def normal(patterns: Iterable[str]) -> tuple[str, ...]:
    """The smallest set that matches the same names, sorted."""
    return tuple(sorted(maximal((p for p in patterns if check(p) is None), within)))


def meet(a: Iterable[str], b: Iterable[str]) -> tuple[str, ...]:
    """The patterns of the names that both sets match, in normal form."""
    return tuple(sorted(meets(a, b, within)))


def folded(name: str) -> str:
    """The name with compatibility forms and case taken away: two names that fold alike could be confused."""
    return unicodedata.normalize("NFKC", name).casefold()


_LOOKS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u0131",
    "aeopcyxijskmtbhaopviktuxi",
)
"""Small letters of Cyrillic and Greek, and a dotless one, that are read as Latin ones."""


def one_person(name: str, other: str) -> bool:
    """Whether two names of people could be taken for one, and are therefore."""
    return _read(name) == _read(other)


def _read(name: str) -> str:
    """A name as it is read: without what nobody sees, and with each letter as the one it looks like."""
    return folded("".join(one for one in name if not is_unseen(one))).translate(_LOOKS).strip()
