"""One run of `wrap_tool_call`: the call is tried, and tried again with what people have made of it."""

import json
from contextvars import Token
from dataclasses import replace
from types import TracebackType
from typing import Any, cast

from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command

from langchain_hopward.attempt import Attempt
from langchain_hopward.denial import AuthorizationDenied
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.pause import Pause, pass_answers, refusal

_written = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
Result = ToolMessage | Command[Any]
_EDITED = (
    "Note: a person changed the arguments of this call. It was made with exactly {arguments}, which they "
    "have approved, and not as you asked for it. Do not make your original call again."
)


class Trial:
    """For `while trial.goes_on: with trial: trial.result = handler(trial.request)`.

    Without a `pause`, there is one round.
    """

    def __init__(self, enforcer: Enforcer, pause: Pause | None, request: ToolCallRequest) -> None:
        self._enforcer = enforcer
        self._pause = pause
        self._edited = False
        self._attempt: Attempt | None = None
        self._token: Token[Attempt | None] | None = None
        self.request = request
        self.result: Result | None = pause.declined(request) if pause is not None else None
        self.goes_on = self.result is None

    @property
    def told(self) -> Result:
        """What the tool node is given."""
        if self.result is None:
            raise RuntimeError("The call has not been tried.")
        made = self._attempt is None or self._attempt.denial is None
        return _noted(self.result, self.request) if self._edited and made else self.result

    def __enter__(self) -> None:
        self.goes_on = False
        self._attempt = Attempt(pass_answers) if self._pause is not None else None
        self._token = self._enforcer.attempt.set(self._attempt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Raises `GraphInterrupt` where the call waits."""
        if self._token is not None:
            self._enforcer.attempt.reset(self._token)
        if isinstance(error, AuthorizationDenied):
            self.result = refusal(self.request, error.message)
        elif error is not None:
            return False
        denial = self._attempt.denial if self._attempt is not None else None
        if self._pause is not None and denial is not None:
            self._follow(self._pause.after(self.request, denial, self._edited))
        return True

    def _follow(self, then: ToolCallRequest | ToolMessage | None) -> None:
        if isinstance(then, ToolMessage):
            self.result = then
        elif then is not None:
            self.request, self._edited, self.goes_on = then, True, True


def _noted(result: Result, request: ToolCallRequest) -> Result:
    """The result with what was called instead: the model sees its own call, and not the one that was made."""
    note = _EDITED.format(arguments=_written(request.tool_call["args"]))
    if isinstance(result, ToolMessage):
        return result.model_copy(update={"content": _below(note, result.content)})
    changed: Any = result.update
    update = cast("dict[str, Any]", changed) if isinstance(changed, dict) else {}
    messages: Any = update.get("messages")
    if not isinstance(messages, list):
        return result
    told = [_told(note, one, request) for one in cast("list[Any]", messages)]
    return replace(result, update={**update, "messages": told})


def _told(note: str, message: Any, request: ToolCallRequest) -> Any:
    if not isinstance(message, ToolMessage) or message.tool_call_id != request.tool_call["id"]:
        return message
    return message.model_copy(update={"content": _below(note, message.content)})


def _below(note: str, content: Any) -> Any:
    if isinstance(content, str):
        return f"{note}\n\n{content}" if content else note
    return [{"type": "text", "text": note}, *content]
