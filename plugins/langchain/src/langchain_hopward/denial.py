"""The one exception a refusal is, and what it says."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:

    class ReadableError(Exception):
        """What LangGraph's tool nodes turn into a message for the model."""

        message: str

else:
    try:
        from langgraph.prebuilt.tool_node import ToolInvocationError as ReadableError
    except ImportError:  # LangGraph is optional: without it, nobody turns the error into a message

        class ReadableError(Exception):
            """What LangGraph's tool nodes would turn into a message for the model."""


LOST = "It was called where it cannot be told which agent calls."
_OF_THE_MOMENT = frozenset(
    {
        *("no_task", "context_lost", "chain_not_carried"),
        *("standing_unsettled", "log_unavailable", "internal_error"),
    }
)
"""Reasons that say nothing of the call itself: made elsewhere or later, it may be permitted."""

EDITED = "approval_edited"
_ANSWERED = frozenset({"approval_rejected", EDITED})

UNDECIDED = "It could not be authorized because of an internal error."


class AuthorizationDenied(ReadableError, PermissionError):
    """A tool call was refused, and not executed unless `executed`.

    LangGraph's default tool nodes give `message` to the model and the run goes on; whoever calls the tool
    directly gets a `PermissionError`. `decision` is the id in the decision log, empty where the call was
    turned away before any decision. `tool` is `SERVER/TOOL`, `reason` a stable code. `approval` is the id of
    the approval that the call waits for, or that people have refused or changed; empty where there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        tool: str = "",
        reason: str = "",
        decision: str = "",
        approval: str = "",
        executed: bool = False,
    ) -> None:
        # Not ToolInvocationError's own: that one is about invalid arguments, and repeats them.
        Exception.__init__(self, message)
        self.message = message
        self.tool = tool
        self.reason = reason
        self.decision = decision
        self.approval = approval
        self.executed = executed

    @property
    def waits(self) -> bool:
        """Whether people have yet to answer, and the same call may be permitted then."""
        return bool(self.approval) and self.reason not in _ANSWERED

    def __str__(self) -> str:
        return self.message


def refused(
    tool: str, reason: str, sentence: str, decision: str = "", approval: str = ""
) -> AuthorizationDenied:
    """The refusal of a call that did not happen."""
    place = f" Decision {decision}." if decision else ""
    message = f"{tool} was not executed: {sentence}{place}"
    denial = AuthorizationDenied(message, tool=tool, reason=reason, decision=decision, approval=approval)
    if reason not in _OF_THE_MOMENT and not denial.waits:
        denial.message += " The same call will be refused again."
    return denial


def withheld(tool: str, decision: str) -> AuthorizationDenied:
    """The refusal to hand out the result of a call that did happen, but stands in no log."""
    message = (
        f"{tool} was executed, but its outcome could not be recorded, so the result is withheld. "
        f"Decision {decision}. Do not call it again."
    )
    return AuthorizationDenied(
        message, tool=tool, reason="outcome_unrecorded", decision=decision, executed=True
    )


def unguarded(tool: str, sentence: str) -> AuthorizationDenied:
    """The refusal to hand out the result of a call that may have happened, and that nobody has decided."""
    message = f"{tool} was not authorized and may have been executed; its result is withheld. {sentence}"
    return AuthorizationDenied(message, tool=tool, reason="chain_not_carried", executed=True)
