"""What a tool might do and what its arguments are for, guessed from names alone, for a person to accept or
correct; it decides nothing.

A name is the server's own word, so of two classes that it tells, the more cautious one counts; a name that
tells nothing is `execute`.
"""

import re
from collections.abc import Mapping

from hopward.model import Action

_VERBS: dict[Action, str] = {
    "pay": "pay refund charge transfer purchase buy invoice payout withdraw donate tip",
    "delete": "delete remove drop purge destroy erase wipe truncate unlink uninstall",
    "send": "send post email mail notify message publish reply invite share forward tweet",
    "execute": "run exec execute eval shell bash command deploy start stop kill invoke",
    "write": "write create update edit add set put insert append move rename commit reset save upload modify "
    "patch assign close open merge checkout import upsert replace apply enable disable",
    "read": "read get list search find fetch query show describe count view status log diff lookup check "
    "inspect browse head stat tree info summarize compare current convert",
}
_WORDS: tuple[tuple[Action, frozenset[str]], ...] = tuple(
    (action, frozenset(words.split())) for action, words in _VERBS.items()
)
"""Most cautious first: a name with words of two classes is of the earlier one."""

_NAMING = (
    "to cc bcc recipient receiver payee beneficiary account iban bic email mail address phone user username "
    "customer contact group team channel room url uri link href webhook endpoint host hostname domain path "
    "file filename folder directory dir bucket repo repository branch project destination target id"
)


def names_told(arguments: Mapping[str, str]) -> tuple[str, ...]:
    """Those arguments, texts all, whose names tell that they name something: a recipient, a place, a path."""
    texts = (name for name, kind in arguments.items() if kind in ("string", "strings"))
    naming = frozenset(_NAMING.split())
    return tuple(name for name in texts if any(_is_of(word, naming) for word in _words(name)))


def action_told(name: str) -> tuple[Action, str]:
    """The action that the name of a tool tells, and why it is taken for that."""
    words = _words(name)
    for action, known in _WORDS:
        found = next((word for word in words if _is_of(word, known)), None)
        if found is not None:
            return action, f"the name says {found!r}"
    return "execute", "the name tells nothing, so the most cautious"


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]


def _is_of(word: str, known: frozenset[str]) -> bool:
    return word in known or word.removesuffix("s") in known
