"""What a hop commits to: the digest of the link before it, as that was opened."""

from typing import Any

from hopward.canonical import digest
from hopward.model import Hop, Task, plain


def opened_digest(link: Task | Hop) -> str:
    """The digest of a task or hop as it was opened, so that its end changes nothing (`hopward.canonical`)."""
    return digest(as_opened(link))


def as_opened(link: Task | Hop) -> dict[str, Any]:
    """A task or hop as it was opened, as plain JSON: all but its state."""
    content: dict[str, Any] = plain(link)
    del content["state"]
    return content
