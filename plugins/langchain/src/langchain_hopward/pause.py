"""A call that waits for a person: the run is interrupted, and decides again what is to be done when resumed.

Imported only where `langchain` is. What a run is resumed with approves nothing: it is part of the graph's
state, and anybody who can write that can write it. People answer by `Hopward.answer`, or elsewhere; what they
have said stands in the decision log, and the call, made again, finds it there.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Any, cast

from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from hopward import HopwardError
from langchain_hopward.denial import EDITED, AuthorizationDenied
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.question import answers, approval_of, question

_UNKEPT = "Its graph has no checkpointer, so it cannot wait here for the answer."
_SHARED = (
    "It stands beside other calls in one run of a graph node, which would all be made again after the "
    "answer, so it cannot wait here for it."
)
_BRIEF = "Its task ends with this run, so it cannot wait here for the answer."


class Pause:
    """Interrupts runs for one enforcer. Holds no state of its own."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer

    def declined(self, request: ToolCallRequest) -> ToolMessage | None:
        """What the model reads where whoever has resumed the run does not want this call; or None.

        Whatever others have said to it elsewhere. A no that is recorded, the guard finds.
        """
        no = next((one for value in _given(null=True) for one in answers(value) if _is_no(one, value)), None)
        return None if no is None or not self._asks_here() else _declined(request, no)

    def _asks_here(self) -> bool:
        """Whether a call of this chain waits, or may be made: otherwise what is answered is none of ours."""
        place = self._enforcer.place.get()
        if place is None:
            return False
        try:
            found = self._enforcer.guard.approvals.find(("pending", "approved"), place.chain.task)
        except HopwardError:
            return False
        return any(one.chain.hops == place.chain.hops for one in found)

    def after(
        self, request: ToolCallRequest, denial: AuthorizationDenied, edited: bool
    ) -> ToolCallRequest | ToolMessage | None:
        """What follows on a refusal: the call that people have made of it, a message, or None: it stands.

        Raises `GraphInterrupt` where the call waits. `edited` says that it is what people have made of one.
        """
        if denial.reason == EDITED and not edited:
            return self._changed(request, denial)
        return self._wait(request, denial) if denial.waits else None

    def _changed(
        self, request: ToolCallRequest, denial: AuthorizationDenied
    ) -> ToolCallRequest | ToolMessage | None:
        try:
            approval = self._enforcer.guard.approvals.get(denial.approval)
        except HopwardError:
            return None
        if approval.state == "pending":
            return self._wait(request, denial)
        if approval.state != "approved":
            return None
        return request.override(tool_call={**request.tool_call, "args": dict(approval.arguments)})

    def _wait(self, request: ToolCallRequest, denial: AuthorizationDenied) -> ToolMessage | None:
        enforcer = self._enforcer
        why_not = self._why_not(request)
        if why_not:
            return refusal(request, f"{denial.message} {why_not}")
        try:
            asked = question(enforcer.guard, denial.approval)
            chain = enforcer.guard.approvals.get(denial.approval).chain
        except HopwardError:
            return None
        enforcer.waiting.add(denial.approval, chain)
        while True:
            # It returns as often as this run has been resumed, and then interrupts it.
            value = interrupt(asked)
            no = next((one for one in answers(value) if _is_no(one, value)), None)
            if no is not None:
                return _declined(request, no)

    def _why_not(self, request: ToolCallRequest) -> str:
        """Why a run cannot be interrupted for this call; empty where it can."""
        settings = _configurable()
        if not settings.get("__pregel_checkpointer"):
            return _UNKEPT
        place = self._enforcer.place.get()
        if place is not None and place.chain.task in self._enforcer.brief:
            return _BRIEF
        return "" if _is_alone(request) else _SHARED


def pass_answers(approved: bool) -> None:
    """Take what this run has been resumed with for us: the body of the tool would take it for its own."""
    # A middleware of an unknown kind may have taken some of them already.
    with suppress(GraphInterrupt):
        for _ in _given(null=approved):
            interrupt(None)


def _given(*, null: bool) -> list[Any]:
    """What this run of a node has been resumed with for us, so far; with `null`, by no id as well.

    `interrupt()` hands out all answers in their order. Before ours stand those to a middleware around this
    one, of the other form that human-in-the-loop answers have.
    """
    pad: Any = _configurable().get("__pregel_scratchpad")
    if pad is None:
        return []
    given: list[Any] = list(pad.resume)
    around = list(takewhile(lambda one: isinstance(one, Mapping) and "type" in one, given))
    last: Any = pad.get_null_resume(False) if null else None
    return list(takewhile(answers, [*given, last][len(around) :]))


def _is_no(answer: Mapping[str, Any], value: Any) -> bool:
    return answer["type"] == "reject" and not approval_of(value)


def _declined(request: ToolCallRequest, no: Mapping[str, Any]) -> ToolMessage:
    because = f" They say: {no['message']}" if no.get("message") else ""
    told = f"{request.tool_call['name']} was not executed: whoever resumed the run does not want this call."
    return refusal(request, f"{told}{because}")


def refusal(request: ToolCallRequest, told: str) -> ToolMessage:
    """What the model reads of a call that was not made."""
    call = request.tool_call
    return ToolMessage(content=told, name=call["name"], tool_call_id=call["id"], status="error")


def _is_alone(request: ToolCallRequest) -> bool:
    """Whether a run of its node makes this call alone: what else it makes, it would make twice."""
    config: Any = var_child_runnable_config.get() or {}
    metadata: dict[str, Any] = config.get("metadata") or {}
    path: Any = metadata.get("langgraph_path")
    if isinstance(path, tuple) and path[:1] == ("__pregel_push",):
        return True
    last = next((one for one in reversed(_messages(request.state)) if isinstance(one, AIMessage)), None)
    return last is not None and len(last.tool_calls) == 1


def _messages(state: Any) -> Sequence[Any]:
    if isinstance(state, list):
        return cast("list[Any]", state)
    if isinstance(state, Mapping):
        return cast("Mapping[str, Any]", state).get("messages") or ()
    return getattr(state, "messages", None) or ()


def _configurable() -> Mapping[str, Any]:
    config: Any = var_child_runnable_config.get() or {}
    return config.get("configurable") or {}
