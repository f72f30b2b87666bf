"""What a hop commits to: the digest of the link before it, as that was opened."""

from hopward.canonical import digest
from hopward.model import Hop, Task, plain


def opened_digest(link: Task | Hop) -> str:
    """The digest of a task or hop as it was opened, so that its end changes nothing (`hopward.canonical`)."""
    content = plain(link)
    del content["state"]
    return digest(content)
