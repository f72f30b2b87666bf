"""The callback handler: sees every tool call of every run, and stops those that are not permitted."""

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from langchain_hopward import credential
from langchain_hopward.credential import CallCredential
from langchain_hopward.denial import AuthorizationDenied
from langchain_hopward.enforcer import Enforcer, Running
from langchain_hopward.form import as_json

_BARE_TEXT = (
    "It was called with a bare text, and which argument that is cannot be seen from outside. "
    "Protect the tool (Hopward.protect), or call it with named arguments."
)
_INTERNAL = "It could not be authorized because of an internal error."


class HopwardHandler(BaseCallbackHandler):
    """Authorizes at `on_tool_start`, synchronously and inline: LangChain runs the tool only if that returns.

    It sees raw arguments, before validation, and no tool object. A tool that `Hopward.protect` has guarded
    decides for itself, on final arguments: the handler leaves exactly that run to it. Which run that is
    it knows from an id that the guarded tool has made up and put where only this library looks; names,
    metadata and tags play no part.

    `raise_error`, `run_inline` and `ignore_agent` are read-only, and so is the handler: with any of them
    turned around, LangChain would log a refusal and run the tool.
    """

    def __init__(self, enforcer: Enforcer) -> None:
        object.__setattr__(self, "_enforcer", enforcer)
        object.__setattr__(self, "_open", dict[UUID, list[tuple[Running, CallCredential | None]]]())

    _enforcer: Enforcer
    _open: dict[UUID, list[tuple[Running, CallCredential | None]]]

    # LangChain declares the first two as plain attributes; here they must not be assignable.
    @property
    def raise_error(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """True: a refusal is an error, not a line in a log."""
        return True

    @property
    def run_inline(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """True: decided before the tool starts, in its own context."""
        return True

    @property
    def ignore_agent(self) -> bool:
        """False: this is LangChain's switch for tool events."""
        return False

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"HopwardHandler.{name} is read-only")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"HopwardHandler.{name} is read-only")

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Return if the call may go on; raises `AuthorizationDenied`, whatever happens."""
        try:
            self._start(serialized, run_id, inputs)
        except AuthorizationDenied:
            raise
        except Exception:  # noqa: BLE001 - what cannot be decided is refused
            message = f"A tool was not executed: {_INTERNAL}"
            raise AuthorizationDenied(message, reason="internal_error") from None

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the outcome; raises `AuthorizationDenied` where it cannot be: the result is withheld."""
        for running, before in self._taken(run_id):
            credential.running.set(before)
            self._enforcer.finish(running, output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that the tool ended with an exception."""
        for running, before in self._taken(run_id):
            credential.running.set(before)
            self._enforcer.break_off(running, error)

    def _start(self, serialized: dict[str, Any], run_id: UUID, inputs: dict[str, Any] | None) -> None:
        name: str = serialized["name"]
        entry = self._enforcer.entry.get()
        if entry is not None and entry.meets(run_id, name):
            return
        if inputs is None:
            raise self._enforcer.refuse(name, "arguments_unreadable", _BARE_TEXT)
        running = self._enforcer.begin(name, lambda: as_json(inputs))
        before = credential.running.get()
        self._forget()
        self._open.setdefault(run_id, []).append((running, before))
        # The credential of a tool around this one is not this one's.
        credential.running.set(None)

    def _forget(self) -> None:
        """Drop what ended with its task: where a handler after this one fails, LangChain tells of no end."""
        for run_id, opened in list(self._open.items()):
            if not any(self._enforcer.under_way(running) for running, _ in opened):
                self._open.pop(run_id, None)

    def _taken(self, run_id: UUID) -> list[tuple[Running, CallCredential | None]]:
        return list(reversed(self._open.pop(run_id, [])))
