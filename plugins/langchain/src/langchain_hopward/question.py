"""What a person is shown of an approval, in the form that LangChain's human-in-the-loop middleware has.

    {"action_requests": [{"name", "args", "description"}],
     "review_configs": [{"action_name", "allowed_decisions"}],
     "hopward": {"approval": "apr_..."}}

The first two are its `HITLRequest`, so that what shows those shows these. An answer is its `HITLResponse`:
`{"decisions": [{"type": "approve"}]}`, or `edit` with `edited_action`, or `reject` with a `message`.
"""

from collections.abc import Mapping
from textwrap import indent
from typing import Any, Final, cast

import msgspec

from hopward import Guard

DELEGATION: Final = "delegate:"
_OURS: Final = "hopward"


def question(guard: Guard, approval: str) -> dict[str, Any]:
    """What people are shown of a pending approval: the same, whoever has said yes to it since.

    Raises `NotFoundError`.
    """
    found = guard.approvals.get(approval)
    unanswered = msgspec.structs.replace(found, answers=())
    # An interface may show it as Markdown: indented, what agents have written is nothing but text.
    told = indent(guard.approvals.summary(unanswered).text(), "    ")
    elsewhere = filter(None, [f"`hopward approve {found.id}`", guard.approvals.address(found.id)])
    told = f"{told}\n\nOr: {', '.join(elsewhere)}"
    editable = guard.approvals.shows_all(found) and not found.tool.startswith(DELEGATION)
    allowed = ["approve", "edit", "reject"] if editable else ["approve", "reject"]
    return {
        "action_requests": [{"name": found.tool, "args": found.arguments, "description": told}],
        "review_configs": [{"action_name": found.tool, "allowed_decisions": allowed}],
        _OURS: {"approval": found.id},
    }


def approval_of(value: object) -> str:
    """The approval that the value of an interrupt asks about, or an answer is recorded for; or empty."""
    ours: Any = cast("Mapping[Any, Any]", value).get(_OURS) if isinstance(value, Mapping) else None
    found: Any = cast("Mapping[Any, Any]", ours).get("approval") if isinstance(ours, Mapping) else None
    return found if isinstance(found, str) else ""


def recorded(value: Mapping[str, Any], approval: str) -> dict[str, Any]:
    """An answer that stands in the decision log, where the call finds it: here, it decides nothing."""
    return {**value, _OURS: {"approval": approval}}


def answers(value: object) -> list[Mapping[str, Any]]:
    """The decisions of a `HITLResponse`; empty for anything else."""
    told: Any = cast("Mapping[Any, Any]", value).get("decisions") if isinstance(value, Mapping) else None
    if not isinstance(told, list):
        return []
    listed = cast("list[Any]", told)
    return listed if all(isinstance(one, Mapping) and "type" in one for one in listed) else []
