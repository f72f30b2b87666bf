"""What in a tool's definition a person should look at before accepting it.

Hints, not a test: a definition without flags may be as hostile as any, and one with flags quite harmless.
Nothing is permitted because of them.

| flag | what it says |
|---|---|
| `hidden_text` | characters that no reader sees: zero width, bidirectional, tags, private use |
| `addresses_model` | words that tell a model what to do beside describing the tool |
| `secrecy` | something is to be kept from the user |
| `link` | a URL |
| `encoded` | a long run of base64 or hexadecimal digits |
| `private_file` | a path where keys and passwords are kept |
| `names_tool:SERVER/TOOL` | a tool of another server is spoken of |
| `same_name:SERVER/TOOL` | a tool of another server has the same name |
| `looks_like:SERVER/TOOL` | a tool's name could be taken for this one: a letter off, or alike to the eye |
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, cast

from hopward.pattern import folded

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LAYOUT = frozenset("\n\r\t")

_PATTERNS = (
    (
        "addresses_model",
        r"</?\s*(?:important|system|instructions?|secret|admin|assistant|critical)\b"
        r"|\b(?:ignore|disregard|forget|override)\s+(?:all|any|every|the|your|previous|prior|earlier|other)\b"
        r"|\b(?:previous|prior|earlier)\s+instructions?\b|\bsystem\s+prompt\b"
        r"|\byou\s+(?:must|should|shall|have\s+to|need\s+to)\b"
        r"|\b(?:before|after|when|whenever|instead\s+of)\s+(?:using|calling|you\s+(?:use|call))\b",
    ),
    (
        "secrecy",
        r"\b(?:do\s+not|don'?t|never|without)\s+(?:\w+\s+)?"
        r"(?:tell|mention|inform|notify|reveal|show|disclos|ask|warn|alert|say)\w*\b"
        r"|\b(?:secretly|silently|covertly)\b|\bhidden\s+from\s+the\s+user\b",
    ),
    ("link", r"\b(?:https?|ftp|wss?)://|\b(?:javascript|data|file):[^\s]"),
    ("encoded", r"[A-Za-z0-9+/_-]{48}|\b[0-9a-fA-F]{32}"),
    (
        "private_file",
        r"\.(?:ssh|aws|gnupg|kube|netrc|npmrc|pypirc|env)\b|\bid_(?:rsa|ed25519|ecdsa)\b|/etc/(?:passwd|shadow)"
        r"|\bmcp\.json\b|\bclaude_desktop_config\b|\bhopward\.toml\b",
    ),
)
_SUSPECT = tuple((flag, re.compile(pattern, re.IGNORECASE)) for flag, pattern in _PATTERNS)
_WORD = re.compile(r"[A-Za-z0-9_./-]+")
_TELLING = re.compile(r"[a-z0-9][A-Z]|[A-Za-z0-9][_./-][A-Za-z0-9]")
_QUOTED = re.compile(r"[`'\"]([A-Za-z0-9_./-]{1,128})[`'\"]")
_SEPARATORS = re.compile(r"[._/-]+")
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s"})
_SHORTEST = 4
"""Letters of a name that may be one letter off another; shorter ones often are."""


def flags(server: str, tool: str, definition: str, known: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The flags of a definition, canonical JSON. `known` are the tools there are, as (server, tool)."""
    texts = list(_texts(json.loads(definition)))
    found = [flag for flag, pattern in _SUSPECT if any(pattern.search(text) for text in texts)]
    if any(_hides(text) for text in texts):
        found.insert(0, "hidden_text")
    others = sorted(one for one in set(known) if one != (server, tool))
    spoken = _spoken(texts) - {tool}
    for there, name in others:
        full = f"{there}/{name}"
        if there != server and {name, full} & spoken:
            found.append(f"names_tool:{full}")
        if there != server and name == tool:
            found.append(f"same_name:{full}")
        elif name != tool and _alike(name, tool):
            found.append(f"looks_like:{full}")
    return tuple(found)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a definition, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _texts(inner)


def _hides(text: str) -> bool:
    if text.isascii() and text.isprintable():
        return False
    return any(char not in _LAYOUT and unicodedata.category(char) in _HIDDEN for char in text)


def _spoken(texts: Iterable[str]) -> set[str]:
    """Words that can only be names: of several parts, or in quotation marks."""
    found: set[str] = set()
    for text in texts:
        found.update(_QUOTED.findall(text))
        words = (word.strip("./-") for word in _WORD.findall(text))
        found.update(word for word in words if _TELLING.search(word))
    return found


def _alike(one: str, other: str) -> bool:
    if _bare(one) == _bare(other):
        return True
    return min(len(one), len(other)) >= _SHORTEST and _one_apart(folded(one), folded(other))


def _bare(name: str) -> str:
    """A name without what a reader passes over: case, separators, letters that look alike."""
    return _SEPARATORS.sub("", folded(name)).translate(_ALIKE).replace("rn", "m").replace("vv", "w")


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter added, left out, changed, or two exchanged make one name the other."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    shared = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        shared += 1
    left, right = one[shared:], other[shared:]
    if left[1:] == right[1:] or left[1:] == right or left == right[1:]:
        return True
    return left[:2] == right[1::-1] and len(left) > 1 and left[2:] == right[2:]
