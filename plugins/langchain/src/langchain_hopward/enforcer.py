"""Asks the guard about each call of a tool in this process, and tells it what became of the call."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hopward import Chain, Decision, Guard, HopwardError, LedgerError, Outcome, ToolCall
from langchain_hopward import credential, outcome
from langchain_hopward.credential import CallCredential
from langchain_hopward.denial import AuthorizationDenied, refused, withheld
from langchain_hopward.form import UnreadableError
from langchain_hopward.stream import announce

_NO_TASK = "It was called outside any task, so on nobody's behalf."
_UNDECIDED = "It could not be authorized because of an internal error."


@dataclass(slots=True)
class Running:
    """A permitted call under way. Settled exactly once."""

    decision: Decision
    credential: CallCredential
    begun: int
    result: Any = field(default=None, repr=False)

    @property
    def duration(self) -> int:
        """Microseconds so far."""
        return (time.perf_counter_ns() - self.begun) // 1000


@dataclass(slots=True)
class Entry:
    """A guarded tool has been entered by its `run`, and will ask the guard itself, with its final arguments.

    `run` is the id that the tool has given its own run; the handler that meets it leaves the call to the
    tool, once.
    """

    run: UUID
    tool: str
    met: bool = False

    def meets(self, run: UUID, tool: str) -> bool:
        """Whether this is the run in question, for the first time."""
        if self.met or (self.run, self.tool) != (run, tool):
            return False
        self.met = True
        return True


class Enforcer:
    """One guard, one `[servers.NAME]` whose tools run here. Safe to share between threads and tasks.

    The chain is in a context variable: what loses its context has no chain, and is refused.
    """

    def __init__(self, guard: Guard, server: str) -> None:
        self.guard = guard
        self.server = server
        self.chain: ContextVar[Chain | None] = ContextVar("hopward_chain", default=None)
        self.entry: ContextVar[Entry | None] = ContextVar("hopward_entry", default=None)
        self._running: dict[str, Running] = {}

    def begin(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Running:
        """Authorize one call. Raises `AuthorizationDenied` unless it is permitted, and nothing else."""
        try:
            return self._begun(tool, arguments)
        except AuthorizationDenied as denial:
            announce(denial.tool, "deny", denial.reason, denial.decision)
            raise
        except Exception:  # noqa: BLE001 - what cannot be decided is refused
            # Not from the error: what went wrong inside must not reach a model or a trace.
            raise refused(f"{self.server}/{tool}", "internal_error", _UNDECIDED) from None

    def under_way(self, running: Running) -> bool:
        """Whether a call has not been settled yet."""
        return running.decision.id in self._running

    def end(self, running: Running, ended: Callable[[int], Outcome]) -> None:
        """Record what became of a call, unless that is done. Raises `LedgerError` when it cannot be."""
        running.credential.end()
        if self._running.pop(running.decision.id, None) is not None:
            self.guard.settle(running.decision, ended(running.duration))

    def finish(self, running: Running, result: Any) -> None:
        """Record that a call has returned. Raises `AuthorizationDenied`: then the result is withheld."""
        decision = running.decision
        try:
            self.end(running, lambda duration: outcome.finished(result, duration))
        except Exception:  # noqa: BLE001 - what cannot be recorded is withheld
            raise withheld(f"{decision.server}/{decision.tool}", decision.id) from None

    def break_off(self, running: Running, error: BaseException) -> None:
        """Record that a call has ended with an exception, which goes on: there is no result to withhold."""
        with suppress(HopwardError):
            self.end(running, lambda duration: outcome.broken_off(error, duration))

    def abandon(self, task: str) -> None:
        """The task is over: whatever of it is still under way has an unknown end."""
        for running in list(self._running.values()):
            if running.decision.chain.task == task:
                with suppress(HopwardError):
                    self.end(running, lambda duration: Outcome(status="unknown", duration=duration))

    @contextmanager
    def body(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Generator[Running]:
        """Around the body of a guarded tool, which leaves its result in `Running.result`."""
        running = self.begin(tool, arguments)
        token = credential.running.set(running.credential)
        try:
            yield running
        except BaseException as error:
            self.break_off(running, error)
            raise
        else:
            self.finish(running, running.result)
        finally:
            # A coroutine may be closed in another context than its own; there is nothing to take back there.
            with suppress(ValueError):
                credential.running.reset(token)

    def visible(self, names: Iterable[str]) -> frozenset[str]:
        """Which of these tools the chain of this context could be permitted to call."""
        chain = self.chain.get()
        return self.guard.visible(chain, self.server, names) if chain else frozenset()

    def refuse(self, tool: str, reason: str, sentence: str) -> AuthorizationDenied:
        """Record that a call was turned away before any decision; the denial to raise."""
        with suppress(LedgerError):
            self.guard.refuse(self.server, reason, f"{tool}: {sentence}", self.chain.get())
        return refused(f"{self.server}/{tool}", reason, sentence)

    def _begun(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Running:
        # What is called from here on has not been entered yet.
        self.entry.set(None)
        chain = self.chain.get()
        if chain is None:
            raise self.refuse(tool, "no_task", _NO_TASK)
        try:
            call = ToolCall(server=self.server, tool=tool, arguments=arguments())
        except (UnreadableError, RecursionError) as error:
            sentence = f"Its arguments could not be read, so nothing could be decided: {error}."
            raise self.refuse(tool, "arguments_unreadable", sentence) from None
        decision = self.guard.authorize(call, chain)
        verdict = decision.verdict
        if not decision.permitted:
            raise refused(call.name, verdict.reason, verdict.sentence, decision.id)
        announce(call.name, verdict.name, verdict.reason, decision.id)
        minted = CallCredential(lambda: self.guard.mint(decision, call))
        running = self._running[decision.id] = Running(decision, minted, time.perf_counter_ns())
        return running
