"""A call as a tool node makes it, and what the guard has decided about it."""

from collections.abc import Callable
from dataclasses import dataclass

from hopward import Decision
from langchain_hopward.denial import AuthorizationDenied


@dataclass(slots=True)
class Attempt:
    """One try at a call, noted by what decides: not by what the tool calls in its turn.

    `pass_answers` is called before the body runs, with whether people have approved exactly this call.
    """

    pass_answers: Callable[[bool], None]
    denial: AuthorizationDenied | None = None

    def refused(self, denial: AuthorizationDenied) -> None:
        """The call was refused, and has not been made."""
        self.denial = denial

    def permitted(self, decision: Decision) -> None:
        """The call is about to be made."""
        self.denial = None
        self.pass_answers(bool(decision.verdict.approval))
