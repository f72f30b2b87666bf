"""How a person is asked about a call through their MCP client, and what their client's answer says.

The page of the authority, where there is one and the client opens URLs (url mode): whoever answers there
proves who they are, and what the client says of it decides nothing. A form of the client, only where every
group that has to approve takes the subject's word from their client, and theirs alone suffices.
"""

from typing import Any, cast

import msgspec

from hopward import Decision, Guard
from hopward_mcp.jsonrpc import Body
from hopward_mcp.older_shapes import able
from hopward_mcp.seal import Mode

METHOD = "elicitation/create"
KEY = "dev.hopward/approval"
"""Names our request among the `inputRequests` of 2026-07-28, and its answer among the `inputResponses`."""

_LONGEST = 8_000
"""Characters of what a person is shown in a form: who would have to be shown less is not asked in one."""
_LONGEST_WHY = 500
_SCHEMA: Body = {
    "type": "object",
    "properties": {
        "approve": {"type": "string", "enum": ["yes", "no"], "title": "Permit exactly this call, once?"},
        "why": {"type": "string", "maxLength": _LONGEST_WHY, "title": "Why (optional)"},
    },
    "required": ["approve"],
}
_SAID = "Said in the MCP client"
"""Before every reason: nobody has proved who they are."""


class Elicitation(msgspec.Struct, frozen=True):
    """One question to a person, about one approval. `url` is where it leads in url mode."""

    approval: str
    mode: Mode
    message: str
    url: str = ""

    def params(self, elicitation_id: str = "") -> Body:
        """The params of `elicitation/create`; 2025-11-25 wants an id in url mode."""
        if self.mode == "form":
            # Until 2025-06-18 forms had no name; they need none since.
            return {"message": self.message, "requestedSchema": _SCHEMA}
        named = {"elicitationId": elicitation_id} if elicitation_id else {}
        return {"mode": "url", "message": self.message, "url": self.url, **named}


class Said(msgspec.Struct, frozen=True):
    """What a client's answer says: that its person has gone to the page (`went`), that they approve or
    refuse (`yes`), or nothing."""

    went: bool = False
    yes: bool | None = None
    why: str = ""


NOTHING = Said()


def elicitation(guard: Guard, decision: Decision, capabilities: Body, *, own: bool) -> Elicitation | None:
    """How to ask a person about a step-up; None where the client, or its person, cannot be asked.

    `own` is whether the chain is that of the client's person, and not one that a call has brought. Raises
    `HopwardError` where the approval cannot be read.
    """
    if decision.verdict.name != "step-up" or not decision.approval:
        return None
    page = guard.approvals.address(decision.approval)
    if page and able(capabilities, METHOD, {"mode": "url"}):
        text = _text(guard, decision.approval)
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}\n... The page shows all of it."
        return Elicitation(decision.approval, "url", f"Somebody has to approve this call.\n{text}", page)
    if own and able(capabilities, METHOD, {}) and _suffices(guard, decision):
        text = _text(guard, decision.approval)
        if len(text) <= _LONGEST:
            return Elicitation(decision.approval, "form", f"You have to approve this call.\n{text}")
    return None


def read(mode: Mode, answer: object) -> Said:
    """What a client has answered. What does not fit the form says nothing."""
    if not isinstance(answer, dict):
        return NOTHING
    answer = cast("Body", answer)
    action = answer.get("action")
    if action == "decline":
        return Said(yes=False, why=f"{_SAID}.")
    if action != "accept":
        return NOTHING
    return Said(went=True) if mode == "url" else _filled_in(answer.get("content"))


def _filled_in(content: object) -> Said:
    """What a form says that was filled in."""
    if not isinstance(content, dict):
        return NOTHING
    content = cast("dict[str, Any]", content)
    approve, why = content.get("approve"), content.get("why")
    why = "" if why is None else why
    fits = approve in ("yes", "no") and isinstance(why, str) and len(why) <= _LONGEST_WHY
    if not (fits and content.keys() <= {"approve", "why"}):
        return NOTHING
    return Said(yes=approve == "yes", why=f"{_SAID}: {why.strip()}" if why.strip() else f"{_SAID}.")


def _suffices(guard: Guard, decision: Decision) -> bool:
    """Whether the subject's word from their client is all that is needed."""
    groups = guard.settings.approvals.groups
    for need in guard.approvals.get(decision.approval).needed:
        group = groups.get(need.group)
        if group is None or not (group.in_client and group.subject_may_approve):
            return False
        if need.people != 1 or decision.chain.subject not in group.members:
            return False
    return True


def _text(guard: Guard, approval: str) -> str:
    return guard.approvals.summary(guard.approvals.get(approval)).text()
