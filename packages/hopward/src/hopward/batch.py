"""Questions that ask the same of a person: the same call, for the same reasons, in whichever task. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from hopward.approval import Approval

_OF_THE_CALL = (
    "server",
    "tool",
    "call_digest",
    "arguments",
    "classification",
    "pin",
    "policy_set",
    "policies",
    "sentence",
    "needed",
    "destinations",
    "provenance",
    "taken",
)
"""All that a person is shown of a call, apart from who asks, on whose behalf, and what for."""


class SameAnswered(msgspec.Struct, frozen=True):
    """What a person has answered together; `left` are those that are not theirs to answer, each with why."""

    answered: tuple[Approval, ...]
    left: tuple[tuple[Approval, str], ...]


def asks_the_same(one: Approval, other: Approval) -> bool:
    """Whether two approvals ask the same. The answers that they have may differ, and so may who asks."""
    return _asked(one) == _asked(other)


def batches(approvals: Iterable[Approval]) -> list[list[Approval]]:
    """Approvals, those together that ask the same and of which the same has become, in the order of the
    first of each."""
    found: list[list[Approval]] = []
    near: dict[tuple[Any, ...], list[list[Approval]]] = {}
    for approval in approvals:
        state = (approval.state, approval.times, approval.left, approval.answers == ())
        among = near.setdefault((*state, approval.name, approval.call_digest), [])
        known = next((batch for batch in among if asks_the_same(batch[0], approval)), None)
        if known is None:
            found.append([approval])
            among.append(found[-1])
        else:
            known.append(approval)
    return found


def _asked(approval: Approval) -> tuple[Any, ...]:
    return tuple(getattr(approval, name) for name in _OF_THE_CALL)
