"""Asks the guard about each call of a tool in this process, and tells it what became of the call."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from uuid import UUID

from hopward import Chain, Decision, Guard, HopwardError, LedgerError, Outcome, ToolCall
from langchain_hopward import credential, outcome
from langchain_hopward.attempt import Attempt
from langchain_hopward.credential import CallCredential
from langchain_hopward.denial import LOST, UNDECIDED, AuthorizationDenied, refused, withheld
from langchain_hopward.edge import Edge, Edges
from langchain_hopward.form import UnreadableError
from langchain_hopward.handoff import Handoffs
from langchain_hopward.place import Place, PlaceVariable, place_of, run_around
from langchain_hopward.remainder import UnfinishedResult
from langchain_hopward.runs import Runs
from langchain_hopward.stream import announce
from langchain_hopward.suspended import Suspended, where
from langchain_hopward.waiting import Waiting

_NO_TASK = "It was called outside any task, so on nobody's behalf."
_NOBODY = "No agent is registered for what it hands the work to."


@dataclass(slots=True)
class Running:
    """A permitted call under way. Settled exactly once.

    `chain` is what the work is done with: of a call that hands it on, the other agent's. `above` are the runs
    that such a call lies in, its own first: one of them is of the graph whose node takes the work up.
    `by_node` says that a node has handed the work on itself, by being entered, `where` in which graph it was.
    `call` is what was decided on.
    """

    decision: Decision
    credential: CallCredential
    begun: int
    edge: Edge | None
    chain: Chain
    above: tuple[UUID, ...] = ()
    by_node: bool = False
    where: str = ""
    call: ToolCall | None = None
    result: Any = field(default=None, repr=False)

    @property
    def duration(self) -> int:
        """Microseconds so far."""
        return (time.perf_counter_ns() - self.begun) // 1000

    def values(self, guard: Guard) -> Callable[[Any], tuple[str, ...]]:
        """What is remembered of a result of the call."""
        return lambda result: () if self.call is None else guard.values(self.decision, self.call, result)

    @property
    def comes_later(self) -> bool:
        """Whether the work that the call hands on is done after it, in a graph node."""
        return self.edge is not None and bool(self.edge.node) and not self.by_node


@dataclass(slots=True)
class Entry:
    """A guarded tool has been entered by its `run`, and will ask the guard itself, with its final arguments.

    `run` is the id that the tool has given its own run; the handler that meets it leaves the call to the
    tool, once. `metadata` is that of the run, in which tracers find the decision.
    """

    run: UUID
    tool: str
    met: bool = False
    metadata: dict[str, Any] | None = None

    def meets(self, run: UUID, tool: str, metadata: dict[str, Any] | None) -> bool:
        """Whether this is the run in question, for the first time."""
        if self.met or (self.run, self.tool) != (run, tool):
            return False
        self.met, self.metadata = True, metadata
        return True


def mark(metadata: dict[str, Any] | None, decision: str) -> None:
    """Leave the id of a decision in the metadata of its run, where tracers keep it: an id, and no secret."""
    if metadata is not None and decision:
        metadata["hopward_decision"] = decision


class Enforcer:
    """One guard, one `[servers.NAME]` whose tools run here. Safe to share between threads and tasks.

    The chain is in a context variable: what loses its context has no chain, and is refused.
    """

    def __init__(self, guard: Guard, server: str) -> None:
        self.guard = guard
        self.server = server
        self.place: PlaceVariable = place_of(guard)
        self.entry: ContextVar[Entry | None] = ContextVar("hopward_entry", default=None)
        self.attempt: ContextVar[Attempt | None] = ContextVar("hopward_attempt", default=None)
        self.waiting = Waiting(guard)
        self.suspended = Suspended(guard)
        self.brief: set[str] = set()
        settings = guard.settings.servers[server]
        self.edges = Edges(settings.hops)
        self.decides = frozenset(kind for kind in ("models", "retrievers") if getattr(settings, kind))
        self.handoffs: Handoffs[Running] = Handoffs(guard)
        self.runs = Runs()
        self._running: dict[str, Running] = {}

    def begin(
        self, tool: str, arguments: Callable[[], dict[str, Any]], metadata: dict[str, Any] | None = None
    ) -> Running:
        """Authorize one call. Raises `AuthorizationDenied` unless it is permitted, and nothing else.

        `metadata` is that of the run: the id of the decision is left there.
        """
        attempt = self.attempt.get()
        try:
            with self._refusing(tool):
                running = self._begun(tool, arguments)
        except AuthorizationDenied as denial:
            mark(metadata, denial.decision)
            if attempt is not None:
                attempt.refused(denial)
            raise
        mark(metadata, running.decision.id)
        if attempt is not None:
            attempt.permitted(running.decision)
        return running

    def enter_node(self, edge: Edge, place: Place, graph: UUID | None, spot: str) -> Running:
        """Take up a hand-over as a node in a graph's run: one that a call has decided, else one decided now.

        `spot` tells runs of the node apart, as `where` does. Raises `AuthorizationDenied` alone.
        """
        what = f"node:{edge.node}"
        with self._refusing(what):
            if not place.entered:
                raise self.refuse(what, "context_lost", LOST)
            taken = self.handoffs.take(graph, place.chain, edge.node) if graph is not None else None
            running = taken or self._delegated(edge, place.chain, what, node=spot)
            running.where = spot
            return running

    def under_way(self, running: Running) -> bool:
        """Whether a call has not been settled yet, or the work that it has handed on is being done."""
        return running.decision.id in self._running or self.handoffs.is_active(running.chain)

    def end(self, running: Running, ended: Callable[[int], Outcome], *, waits: bool = False) -> None:
        """Record what became of a call, unless that is done. Raises `LedgerError` when it cannot be.

        The hop of one that `waits` stays open.
        """
        running.credential.end()
        if self._running.pop(running.decision.id, None) is None:
            if running.comes_later:
                # The call has long been settled; now the node that did its work is over.
                self._leave(running, waits=waits)
            return
        came = ended(running.duration)
        if running.edge is not None:
            self._handed_over(running, running.edge, came, waits=waits)
        self.guard.settle(running.decision, came)

    def finish(self, running: Running, result: Any) -> None:
        """Record that a call has returned. Raises `AuthorizationDenied`: then the result is withheld."""
        try:
            self.end(running, lambda duration: outcome.finished(result, duration, running.values(self.guard)))
        except Exception:  # noqa: BLE001 - what cannot be recorded is withheld
            raise withheld(self._name(running.decision.tool), running.decision.id) from None

    def break_off(self, running: Running, error: BaseException) -> None:
        """Record that a call has ended with an exception, which goes on: there is no result to withhold."""
        if isinstance(error, UnfinishedResult):
            error.decided(running.decision.id)
        waits = outcome.is_resumable(error) and running.edge is not None
        waits = waits and self.waiting.below(running.chain)
        with suppress(HopwardError):
            self.end(running, lambda duration: outcome.broken_off(error, duration), waits=waits)

    def abandon(self, task: str) -> None:
        """The task is over: whatever of it is still under way has an unknown end."""
        for running in list(self._running.values()):
            if running.decision.chain.task == task:
                with suppress(HopwardError):
                    self.end(running, lambda duration: Outcome(status="unknown", duration=duration))
        self.handoffs.forget(task)
        self.runs.forget(task)

    def body(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> "Body":
        """Around the body of a guarded tool, which leaves its result in `Running.result`."""
        return Body(self, tool, arguments)

    def acting(self, tool: str, server: str = "") -> Chain:
        """The chain of this context. Raises `AuthorizationDenied` where there is none to act with.

        `server` is that of the tool, where it is not the program's.
        """
        # What is called from here on has not been entered yet.
        self.entry.set(None)
        place = self.place.get()
        if place is None:
            raise self.refuse(tool, "no_task", _NO_TASK, server)
        if not place.entered:
            raise self.refuse(tool, "context_lost", LOST, server)
        return place.chain

    def visible(self, names: Iterable[str]) -> frozenset[str]:
        """Which tools of this program the chain of this context could be permitted to call."""
        chain = self._present
        if chain is None:
            return frozenset()
        wanted = list(names)
        handing = {name for name in wanted if self._hands_on(chain, name)}
        calls = [name for name in wanted if not self.edges.hands_on(name)]
        return self.guard.visible(chain, self.server, calls) | handing

    def visible_behind(self, server: str, names: Iterable[str]) -> frozenset[str]:
        """Likewise of the tools of an MCP server; a client may have put the server's name before each."""
        chain = self._present
        if chain is None:
            return frozenset()
        told = {name: {name, name.removeprefix(f"{server}_")} for name in names}
        shown = self.guard.visible(chain, server, set[str]().union(*told.values()))
        return frozenset(name for name, spellings in told.items() if not shown.isdisjoint(spellings))

    def _hands_on(self, chain: Chain, tool: str) -> bool:
        edges = self.edges.of_tool(tool)
        return any(self.guard.delegable(chain, edge.agent, edge.narrowing) for edge in edges)

    @property
    def _present(self) -> Chain | None:
        place = self.place.get()
        return place.chain if place is not None and place.entered else None

    def refuse(self, tool: str, reason: str, sentence: str, server: str = "") -> AuthorizationDenied:
        """Record that a call was turned away before any decision; the denial to raise.

        `server` is that of the tool, where it is not the program's.
        """
        place, server = self.place.get(), server or self.server
        # What cannot be written stays a refusal; so does a name that no log can hold.
        with suppress(LedgerError, ValueError):
            self.guard.refuse(server, reason, f"{tool}: {sentence}", place.chain if place else None)
        return refused(f"{server}/{tool}", reason, sentence)

    @contextmanager
    def _refusing(self, tool: str) -> Generator[None]:
        try:
            yield
        except AuthorizationDenied as denial:
            verdict = "step-up" if denial.waits else "deny"
            announce(denial.tool, verdict, denial.reason, denial.decision)
            raise
        except Exception:  # noqa: BLE001 - what cannot be decided is refused
            # Not from the error: what went wrong inside must not reach a model or a trace.
            raise refused(self._name(tool), "internal_error", UNDECIDED) from None

    def _begun(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Running:
        chain = self.acting(tool)
        try:
            if self.edges.hands_on(tool):
                return self._handed_on(tool, arguments, chain)
            call = ToolCall(server=self.server, tool=tool, arguments=arguments())
        except (UnreadableError, RecursionError) as error:
            sentence = f"Its arguments could not be read, so nothing could be decided: {error}."
            advice = error.advice if isinstance(error, UnreadableError) else ""
            raise self.refuse(tool, "arguments_unreadable", f"{sentence} {advice}".rstrip()) from None
        decision = self.guard.authorize(call, chain)
        verdict = decision.verdict
        if not decision.permitted:
            raise refused(call.name, verdict.reason, verdict.sentence, decision.id, verdict.approval)
        announce(call.name, verdict.name, verdict.reason, decision.id, observed=decision.observed)
        minted = CallCredential(lambda: self.guard.mint(decision, call))
        return self._started(Running(decision, minted, time.perf_counter_ns(), None, chain, call=call))

    def _handed_on(self, tool: str, arguments: Callable[[], dict[str, Any]], chain: Chain) -> Running:
        edge = self.edges.of_call(tool, arguments)
        if edge is None:
            raise self.refuse(tool, "hop_unconfigured", _NOBODY)
        return self._delegated(edge, chain, tool)

    def _delegated(self, edge: Edge, chain: Chain, what: str, node: str | None = None) -> Running:
        """Hand work on by a call, or by entering the graph node that is at the spot `node`."""
        holder, place = self.guard.holder(edge.agent), where() if node is None else node
        before = self.suspended.take(chain, edge.agent, place)
        delegation = self.guard.delegate(chain, edge.agent, edge.narrowing, holder, continues=before)
        decision, verdict = delegation.decision, delegation.decision.verdict
        if delegation.chain is None:
            raise refused(self._name(what), verdict.reason, verdict.sentence, decision.id, verdict.approval)
        announce(self._name(what), verdict.name, verdict.reason, decision.id)
        # Handing on is no call at a server, so there is no credential for it.
        nothing = CallCredential(lambda: self.guard.mint(decision, ToolCall(server=self.server, tool=what)))
        running = Running(decision, nothing, time.perf_counter_ns(), edge, delegation.chain)
        running.above, running.by_node = self.runs.above(run_around()), node is not None
        running.where = place
        self.suspended.opened(delegation.chain)
        self.handoffs.resume(delegation.chain)
        return self._started(running)

    def _started(self, running: Running) -> Running:
        self._running[running.decision.id] = running
        return running

    def go_over(self, running: Running) -> Token[Place | None] | None:
        """Go over to the agent that the work of this call was handed to, unless it runs after the call."""
        place = self.place.get()
        if running.edge is None or running.comes_later or place is None:
            return None
        return self.place.set(Place(running.chain, place.below))

    def _handed_over(self, running: Running, edge: Edge, came: Outcome, *, waits: bool) -> None:
        """The call that handed work on is over; unless the work itself comes after it, so is the hop."""
        if running.comes_later and running.above and came.status == "ok":
            self.handoffs.promise(running.above, edge.node, running)
        else:
            self._leave(running, waits=waits)

    def _leave(self, running: Running, *, waits: bool) -> None:
        """The work is done, or waits for people who may still answer."""
        if not waits:
            self.handoffs.leave(running.chain)
            return
        self.handoffs.suspend(running.chain)
        self.suspended.keep(running.chain, running.where)

    def _name(self, tool: str) -> str:
        return f"{self.server}/{tool}"


class Body:
    """Asks before the body of a guarded tool, and records after it what became of the call."""

    __slots__ = ("_arguments", "_attempt", "_credential", "_enforcer", "_place", "_running", "_tool")

    def __init__(self, enforcer: Enforcer, tool: str, arguments: Callable[[], dict[str, Any]]) -> None:
        self._enforcer = enforcer
        self._tool = tool
        self._arguments = arguments

    def __enter__(self) -> Running:
        """The call, permitted. Raises `AuthorizationDenied`."""
        enforcer = self._enforcer
        entry = enforcer.entry.get()
        metadata = entry.metadata if entry is not None else None
        self._running = running = enforcer.begin(self._tool, self._arguments, metadata)
        self._place = enforcer.go_over(running)
        # What the body calls is no attempt of the tool node around it.
        self._attempt = enforcer.attempt.set(None)
        self._credential = credential.running.set(running.credential)
        return running

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raises `AuthorizationDenied` where a result is withheld."""
        enforcer, running = self._enforcer, self._running
        try:
            if error is not None:
                enforcer.break_off(running, error)
            else:
                enforcer.finish(running, running.result)
        finally:
            # A coroutine may be closed in another context than its own; there is nothing to take back there.
            with suppress(ValueError):
                credential.running.reset(self._credential)
                enforcer.attempt.reset(self._attempt)
            if self._place is not None:
                with suppress(ValueError):
                    enforcer.place.reset(self._place)
