"""What a task has taken in and where it may have gone: labels only rise, for the whole task.

A permitted call raises them in the transaction of its permit, and whatever is decided about the task later,
in any process, is decided on them. They are those of the task and not of one hop: what a sub-agent has read,
its delegator may know, and tell another.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from hopward.approval import Taken
from hopward.model import SENSITIVITIES, Flow, Integrity, Label, Sensitivity, Tool

INTEGRITIES: tuple[Integrity, ...] = ("trusted", "untrusted")
"""The one that an attacker may have written last."""


@lru_cache(maxsize=1024)
def taken(labels: tuple[Label, ...]) -> Taken:
    """What a task with these labels has taken in; nothing is public and trusted."""
    known = [label for label in labels if label.flow == "from"]
    sensitivity = max((SENSITIVITIES.index(one.sensitivity) for one in known), default=0)
    integrity = max((INTEGRITIES.index(one.integrity) for one in known), default=0)
    return Taken(
        sensitivity=SENSITIVITIES[sensitivity],
        integrity=INTEGRITIES[integrity],
        untrusted=tuple(sorted(one.name for one in known if one.integrity == "untrusted")),
    )


def above(sensitivity: Sensitivity, ceiling: Sensitivity) -> bool:
    """Whether data of this sensitivity may not go where the ceiling is."""
    return SENSITIVITIES.index(sensitivity) > SENSITIVITIES.index(ceiling)


def raised(tool: Tool, destinations: Iterable[str], labels: Sequence[Label]) -> tuple[Label, ...]:
    """What a permitted call of this tool raises beyond `labels`, those of its task.

    What it returns is taken in. What was taken in before may go with its arguments: into the server where
    it does more than read, and out to its `destinations` in any case, because a question tells something too.
    """
    known = taken(tuple(labels))
    moved = [
        Label(flow="from", name=tool.server, sensitivity=tool.sensitivity, integrity=tool.integrity),
    ]
    moved += [
        Label(flow="out", name=place, sensitivity=known.sensitivity, integrity=known.integrity)
        for place in destinations
    ]
    if tool.action != "read":
        into: Flow = "into"
        moved.append(
            Label(flow=into, name=tool.server, sensitivity=known.sensitivity, integrity=known.integrity)
        )
    there = {(label.flow, label.name): label for label in labels}
    return tuple(one for one in moved if not _covered(one, there.get((one.flow, one.name))))


def joined(one: Label, other: Label) -> Label:
    """The least that covers both; of the same flow and name."""
    return msgspec.structs.replace(
        one,
        sensitivity=max(one.sensitivity, other.sensitivity, key=SENSITIVITIES.index),
        integrity=max(one.integrity, other.integrity, key=INTEGRITIES.index),
    )


def unwritten(server: str, labels: Iterable[Label]) -> bool:
    """Whether what this server returns may be believed at all in a task with these labels.

    Not where the task, having taken in untrusted content, may have written it there itself.
    """
    return not any(
        one.flow == "into" and one.name == server and one.integrity == "untrusted" for one in labels
    )


def _covered(label: Label, known: Label | None) -> bool:
    return (
        known is not None
        and SENSITIVITIES.index(label.sensitivity) <= SENSITIVITIES.index(known.sensitivity)
        and INTEGRITIES.index(label.integrity) <= INTEGRITIES.index(known.integrity)
    )
