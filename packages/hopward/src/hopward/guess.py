"""What a tool might do, guessed from its name alone, for a person to accept or correct; it decides nothing.

A name is the server's own word, so of two classes that it tells, the more cautious one counts; a name that
tells nothing is `execute`.
"""

import re

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


def action_told(name: str) -> tuple[Action, str]:
    """The action that the name of a tool tells, and why it is taken for that."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    words = [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]
    for action, known in _WORDS:
        found = next((word for word in words if word in known or word.removesuffix("s") in known), None)
        if found is not None:
            return action, f"the name says {found!r}"
    return "execute", "the name tells nothing, so the most cautious"
