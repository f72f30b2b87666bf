"""Where the value of an argument comes from: the task, the output of a trusted tool, or anywhere else.

An argument that names something (a recipient, an account, a URL, a path) is *anchored* if its value stands in
the task's parameters or in the subject's request, *trusted* if it stands in what a trusted tool returned in
this task, or is a field of a result that its server answers for (`hopward.vouching`), and *untrusted*
otherwise. To stand is to be there as a whole word, or as several in a row: the case of letters, punctuation
around a word, `http://`, and a slash at the end do not count. Addresses in free text are judged likewise.

Of results only digests are kept, different ones in each task: of every word, and of every text as a whole.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TypeAlias, cast

from hopward.addresses import addresses
from hopward.canonical import JSON
from hopward.model import Provenance, Task, Tool

MOST_VALUES = 4_096
"""Values of one result that are remembered; whatever stands beyond them stays untrusted."""

_LONGEST = 1_024
"""Characters of a value that is remembered or looked for."""

_BEFORE = "#@\"'`([{<«\u201c\u201e\u2018*"
_AFTER = ".,;:!?\"'`)]}>»\u201d\u201c\u2019*"
"""What may stand around a word without being part of it."""

_RUN_ON = re.compile(r"(?<=[a-z0-9])\.(?=[A-Z])")

_DEEPEST = 64

_MOST_TEXT = 262_144
"""Characters of one result that are looked at, since a guarded call waits for it."""

_WORSE: tuple[Provenance, ...] = ("anchored", "trusted", "untrusted")

Stood: TypeAlias = Callable[[frozenset[str]], frozenset[str]]
"""Which of some digests are of values that stood in a trusted result of the task."""


def provenance(tool: Tool, arguments: Mapping[str, JSON], task: Task, stood: Stood) -> dict[str, Provenance]:
    """Of each argument of a call that names something, where its value comes from.

    A list is no better than the worst in it. An argument that is absent is left out; one that holds no text,
    or an empty one, is untrusted.
    """
    named = {name: _given(arguments[name]) for name in tool.names if name in arguments}
    if not named:
        return {}
    found = _origins([value for values in named.values() for value in values], task, stood)
    return {name: _worst([found[value] for value in values]) for name, values in named.items()}


def carried_untrusted(tool: Tool, arguments: Mapping[str, JSON], task: Task, stood: Stood) -> int:
    """How many of the addresses in the free text of a call (`Tool.carries`) are untrusted."""
    found = carried(tool, arguments)
    if not found:
        return 0
    return sum(one == "untrusted" for one in _origins(found, task, stood).values())


def carried(tool: Tool, arguments: Mapping[str, JSON]) -> list[str]:
    """The addresses in the free text of a call. A text too long to be looked through counts as one itself."""
    texts = [text for name in tool.carries if name in arguments for text in _given(arguments[name])]
    return [
        one for text in texts for one in (addresses(text) if len(text) <= _MOST_TEXT else [text[:_LONGEST]])
    ]


def wholes_of(task: str, texts: Iterable[str], echoed: Mapping[str, JSON]) -> tuple[str, ...]:
    """Digests of texts as a whole, and of no word in them: `values_of` for fields that are vouched for.

    Likewise without what stood in the arguments of the call.
    """
    own = _own(echoed)
    found = dict.fromkeys(" ".join(words(text)) for text in texts if len(text) <= _LONGEST)
    kept = [value for value in found if value and value not in own]
    return tuple(_digest(task, value) for value in kept[:MOST_VALUES])


def values_of(task: str, result: JSON, echoed: Mapping[str, JSON]) -> tuple[str, ...]:
    """Digests of the values that stand in a result, to recognise them by in a later call of the task.

    What stood in the arguments of the call, `echoed`, is left out: a tool that repeats what it was told has
    not said so itself.
    """
    own = _own(echoed)
    found: dict[str, None] = {}
    left = _MOST_TEXT
    for text in _texts(result):
        left -= len(text)
        if left < 0:
            break
        found |= dict.fromkeys(value for value in _values(text) if value not in own)
        if len(found) >= MOST_VALUES:
            break
    return tuple(_digest(task, value) for value in list(found)[:MOST_VALUES])


def remembered(task: str, value: str) -> str:
    """The digest that a value has in one task."""
    return _digest(task, " ".join(words(value)))


def is_worse(origin: str, known: str) -> bool:
    """Whether one provenance is worse than another; one that is none is worse than all."""
    return origin not in _WORSE or known not in _WORSE or _WORSE.index(origin) > _WORSE.index(known)


def words(text: str) -> list[str]:
    """The words of a text, in the form in which they are compared."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in map(_bare, plain.split()) if word]


def _origins(values: Iterable[str], task: Task, stood: Stood) -> dict[str, Provenance]:
    """Where each of some values comes from."""
    said = _said(task.request, tuple(task.parameters.values()))
    found: dict[str, Provenance] = dict.fromkeys(values, "anchored")
    left = [value for value in found if not _stands_in(said, words(value))]
    sought = {value: remembered(task.id, value) for value in left}
    known = stood(frozenset(sought.values())) if sought else frozenset[str]()
    for value, one in sought.items():
        found[value] = "trusted" if one in known else "untrusted"
    return found


def _worst(origins: Sequence[Provenance]) -> Provenance:
    """The worst of some; of none, that nothing is known."""
    return _WORSE[max(map(_WORSE.index, origins), default=-1)]


def _own(echoed: Mapping[str, JSON]) -> set[str]:
    """What stood in the arguments of a call."""
    return {value for text in _texts(dict(echoed)) for value in _values(text[:_MOST_TEXT])}


@lru_cache(maxsize=64)
def _said(request: str, parameters: tuple[str, ...]) -> list[list[str]]:
    """What the subject has said, in words. A full stop may end a sentence without a space after it."""
    spaced = _RUN_ON.sub(". ", request)
    said = [*map(words, parameters), words(request)]
    return said if spaced == request else [*said, words(spaced)]


def _given(value: JSON) -> list[str]:
    """The texts of an argument, as they are: nobody knows what a server makes of one that looks like JSON."""
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)]


def _bare(word: str) -> str:
    word = word.lstrip(_BEFORE).rstrip(_AFTER)
    for ending in ("'s", "\u2019s"):
        word = word.removesuffix(ending)
    for scheme in ("https://", "http://"):
        word = word.removeprefix(scheme)
    return word.rstrip("/") or word


def _stands_in(texts: Iterable[Sequence[str]], sought: Sequence[str]) -> bool:
    """Whether one of some texts has these words in it, in a row."""
    size = len(sought)
    if size == 1:
        return any(sought[0] in said for said in texts)
    return size > 0 and any(
        said[at : at + size] == sought for said in texts for at in range(len(said) - size + 1)
    )


def _values(text: str) -> Iterator[str]:
    found = words(text)
    yield from (word for word in found if len(word) <= _LONGEST)
    whole = " ".join(found)
    if len(found) > 1 and len(whole) <= _LONGEST:
        yield whole


def _texts(value: JSON, depth: int = 0) -> Iterator[str]:
    """Every text of a value, JSON in a text included; what is neither text, list nor object has none."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        inner = _inner(value)
        if inner is None:
            yield value
        else:
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, depth + 1)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one, depth + 1)


def _inner(text: str) -> dict[str, JSON] | list[JSON] | None:
    """The object or list that a text spells out, or None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, JSON] | list[JSON]", found) if isinstance(found, dict | list) else None


def _digest(task: str, value: str) -> str:
    return sha256(f"{task}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
