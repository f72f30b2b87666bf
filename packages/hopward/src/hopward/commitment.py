"""What a hop commits to: the digest of the link before it, as that was opened."""

from typing import Any

from hopward.canonical import digest
from hopward.model import Hop, Task, plain

_ASIDE = frozenset({"state", "parameters", "request", "steps"})


def opened_digest(link: Task | Hop) -> str:
    """The digest of a task or hop as it was opened, so that its end changes nothing (`hopward.canonical`)."""
    return digest(as_opened(link))


def as_opened(link: Task | Hop) -> dict[str, Any]:
    """A task or hop as it was opened, as plain JSON: all but its state, what the subject said of a task, and
    its steps, which are bound to that.

    None of it is authority, and the subject's words are nobody's on the way.
    """
    content: dict[str, Any] = plain(link)
    for member in _ASIDE & content.keys():
        del content[member]
    return content
