"""The callback handler: sees every tool call of every run, and stops those that are not permitted."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage

from langchain_hopward import credential
from langchain_hopward.credential import CallCredential
from langchain_hopward.denial import LOST, UNDECIDED, AuthorizationDenied
from langchain_hopward.enforcer import Enforcer, Running
from langchain_hopward.form import as_json
from langchain_hopward.inference import model_call, retrieval
from langchain_hopward.place import Handover, Place, run_around, settled
from langchain_hopward.tree import Tree

_BARE_TEXT = (
    "It was called with a bare text, and which argument that is cannot be seen from outside. "
    "Protect the tool (Hopward.protect), or call it with named arguments."
)


class HopwardHandler(BaseCallbackHandler):
    """Authorizes at `on_tool_start`, synchronously and inline: LangChain runs the tool only if that returns.

    It sees raw arguments, before validation, and no tool object. A tool that `Hopward.protect` has guarded
    decides for itself, on final arguments: the handler leaves exactly that run to it. Which run that is
    it knows from an id that the guarded tool has made up and put where only this library looks; names,
    metadata and tags play no part.

    `raise_error`, `run_inline` and the switches are read-only, and so is the handler: with any of them turned
    around, LangChain would log a refusal and run the tool.

    A call that hands work on, of a tool nobody has protected, is decided here as well. What runs below it
    acts as the other agent: LangChain tells which runs those are, and the context must say the same.
    """

    def __init__(self, enforcer: Enforcer) -> None:
        object.__setattr__(self, "_enforcer", enforcer)
        object.__setattr__(self, "_open", dict[UUID, list[_Opened]]())
        object.__setattr__(self, "_tree", Tree())

    _enforcer: Enforcer
    _open: dict[UUID, list["_Opened"]]
    _tree: Tree

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

    # What nothing configured needs to know, LangChain need not tell.
    @property
    def ignore_chain(self) -> bool:
        """Whether no work is handed on: the runs around and below that are of this kind."""
        return not self._enforcer.edges.any

    @property
    def ignore_llm(self) -> bool:
        """The switch for text models."""
        return self._ignores("models")

    @property
    def ignore_chat_model(self) -> bool:
        """The switch for chat models."""
        return self._ignores("models")

    @property
    def ignore_retriever(self) -> bool:
        """The switch for retrievers."""
        return self._ignores("retrievers")

    def _ignores(self, kind: str) -> bool:
        """Whether calls of this kind are not decided on, and no run of it could lie below a hand-over."""
        return kind not in self._enforcer.decides and not self._enforcer.edges.any

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
        parent_run_id: UUID | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Return if the call may go on; raises `AuthorizationDenied`, whatever happens."""
        with self._refusing("A tool was not executed", run_id):
            above = self._grow(run_id, parent_run_id)
            self._in_place(serialized["name"], run_id, above)
            entry, metadata = self._enforcer.entry.get(), kwargs.get("metadata")
            if entry is None or not entry.meets(run_id, serialized["name"], metadata):
                self._start(serialized["name"], run_id, inputs, metadata)

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record the outcome; raises `AuthorizationDenied` where it cannot be: the result is withheld."""
        self._end(run_id, output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that the tool ended with an exception."""
        self._fail(run_id, error)

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A run below a hand-over, or a graph node that takes one up; raises `AuthorizationDenied`."""
        if not self._enforcer.edges.any:
            return
        with self._refusing("A graph node was not run", run_id):
            self._grow(run_id, parent_run_id)
            nodes = _nodes_of(kwargs)
            if nodes:
                self._enter_node(nodes, run_id, parent_run_id, kwargs)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A run is over; if it was a node that took a hand-over up, so is its hop."""
        self._end(run_id, None)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """As `on_chain_end`."""
        self._fail(run_id, error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Return if the model may be asked; raises `AuthorizationDenied`, whatever happens."""
        with self._refusing("A model was not asked", run_id):
            self._infer("models", lambda: model_call(serialized, kwargs), run_id, parent_run_id)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """As `on_chat_model_start`."""
        with self._refusing("A model was not asked", run_id):
            self._infer("models", lambda: model_call(serialized, kwargs), run_id, parent_run_id)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Return if the retriever may be asked; raises `AuthorizationDenied`, whatever happens."""
        with self._refusing("A retriever was not asked", run_id):
            self._infer("retrievers", lambda: retrieval(query, kwargs), run_id, parent_run_id)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that a model has answered; raises `AuthorizationDenied` where it cannot be."""
        self._end(run_id, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that a model call ended with an exception."""
        self._fail(run_id, error)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that a retriever has answered; raises `AuthorizationDenied` where it cannot be."""
        self._end(run_id, None)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Record that a retrieval ended with an exception."""
        self._fail(run_id, error)

    def _infer(
        self,
        kind: str,
        call: Callable[[], tuple[str, dict[str, Any]]],
        run_id: UUID,
        parent_run_id: UUID | None,
    ) -> None:
        """Decide a call of a model or retriever, where the configuration names any."""
        above = self._grow(run_id, parent_run_id)
        if kind not in self._enforcer.decides:
            return
        name, arguments = call()
        self._in_place(name, run_id, above)
        place, before = self._enforcer.place.get(), credential.running.get()
        # Asking a model is no attempt at the call of a tool, also where a middleware asks one about it.
        attempt = self._enforcer.attempt.set(None)
        try:
            running = self._enforcer.begin(name, lambda: arguments)
        finally:
            self._enforcer.attempt.reset(attempt)
        self._keep(run_id, _Opened(running, before, place, None))

    def _in_place(self, name: str, run_id: UUID, above: Handover | None) -> None:
        """Refuse a call that LangChain places below a hand-over while its context is elsewhere.

        And one under the id of a call that is under way: the end of one would be taken for that of the other.
        """
        place = self._enforcer.place.get()
        elsewhere = above is not None and (place is None or place.below is not above)
        if elsewhere or any(self._enforcer.under_way(one.running) for one in self._open.get(run_id, ())):
            raise self._enforcer.refuse(name, "context_lost", LOST)

    def _keep(self, run_id: UUID, opened: "_Opened") -> None:
        self._open.setdefault(run_id, []).append(opened)

    def _end(self, run_id: UUID, output: Any) -> None:
        try:
            for opened in self._taken(run_id):
                self._enforcer.finish(opened.running, output)
        finally:
            self._over(run_id)

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        for opened in self._taken(run_id):
            self._enforcer.break_off(opened.running, error)
        self._over(run_id)

    def _over(self, run_id: UUID) -> None:
        if self._enforcer.runs.shrink(run_id):
            self._enforcer.handoffs.drop(run_id)

    @contextmanager
    def _refusing(self, what: str, run_id: UUID) -> Generator[None]:
        try:
            yield
        except AuthorizationDenied:
            # LangChain tells of no end of a run that has not begun.
            self._over(run_id)
            raise
        except Exception:  # noqa: BLE001 - what cannot be decided is refused
            self._over(run_id)
            raise AuthorizationDenied(f"{what}: {UNDECIDED}", reason="internal_error") from None

    def _start(
        self, name: str, run_id: UUID, inputs: dict[str, Any] | None, metadata: dict[str, Any] | None
    ) -> None:
        if inputs is None:
            raise self._enforcer.refuse(name, "arguments_unreadable", _BARE_TEXT)
        running = self._enforcer.begin(name, lambda: as_json(inputs), metadata)
        # What the tool calls is no attempt of the tool node around it.
        self._enforcer.attempt.set(None)
        place, before = self._enforcer.place.get(), credential.running.get()
        self._forget()
        handover = None
        if running.edge is not None and not running.comes_later:
            handover = self._hand_over(run_id, running)
        self._keep(run_id, _Opened(running, before, place, handover))
        # The credential of a tool around this one is not this one's.
        credential.running.set(None)

    def _grow(self, run_id: UUID, parent_run_id: UUID | None) -> Handover | None:
        """Note a run; the first one in the body of a hand-over goes over to the other agent.

        Raises `AuthorizationDenied` for a run under the id of the one around it: it would lie below itself.
        And for one whose chain is not that of the run it lies in.
        """
        enforcer = self._enforcer
        if not enforcer.edges.any:
            return None
        if run_id in (parent_run_id, run_around()):
            raise enforcer.refuse("run", "context_lost", LOST)
        above = self._tree.grow(run_id, parent_run_id)
        found = enforcer.place.get()
        place = settled(found, parent_run_id)
        if place is not found:
            enforcer.place.set(place)
        chain = place.chain if place is not None and place.entered else None
        if not enforcer.runs.grow(run_id, parent_run_id, chain):
            raise enforcer.refuse("run", "context_lost", LOST)
        return above

    def _enter_node(
        self, nodes: frozenset[str], run_id: UUID, graph: UUID | None, event: dict[str, Any]
    ) -> None:
        edges, place = self._enforcer.edges.of_nodes(nodes), self._enforcer.place.get()
        if edges and len(nodes) > 1:
            raise self._enforcer.refuse(f"node:{edges[0].node}", "context_lost", LOST)
        edge = edges[0] if edges else None
        if edge is None or place is None or place.chain.actor == edge.agent:
            return
        metadata: dict[str, Any] = event.get("metadata") or {}
        spot = str(metadata.get("langgraph_checkpoint_ns"))
        running = self._enforcer.enter_node(edge, place, graph, spot)
        handover = self._hand_over(run_id, running)
        self._keep(run_id, _Opened(running, credential.running.get(), place, handover))
        credential.running.set(None)

    def _hand_over(self, run_id: UUID, running: Running) -> Handover:
        """Leave the delegator's authority here; the first run below gets the other agent's."""
        handover = Handover(run_id, running.chain, self._enforcer.place.get(), run_around())
        self._tree.open(handover)
        self._enforcer.place.set(Place(running.chain, handover, entered=False))
        return handover

    def _forget(self) -> None:
        """Drop what ended with its task: where a handler after this one fails, LangChain tells of no end."""
        for run_id, opened in list(self._open.items()):
            if not any(self._enforcer.under_way(one.running) for one in opened):
                self._open.pop(run_id, None)

    def _taken(self, run_id: UUID) -> list["_Opened"]:
        """What this run has opened, last first, the context put back to what it was before."""
        found = list(reversed(self._open.pop(run_id, [])))
        self._tree.shrink(run_id)
        for opened in found:
            credential.running.set(opened.before)
            if opened.handover is not None:
                self._tree.close(opened.handover)
                self._enforcer.place.set(opened.place)
        return found


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a run has begun, and how its context was before."""

    running: Running
    before: CallCredential | None
    place: Place | None
    handover: Handover | None


def _nodes_of(event: dict[str, Any]) -> frozenset[str]:
    """The graph node whose own run this is, none for any other run: LangGraph tags that run, and none below.

    Two where name and metadata, which a program can set, do not say the same.
    """
    tags: list[str] = event.get("tags") or []
    if not any(tag.startswith("graph:step:") for tag in tags):
        return frozenset()
    metadata: dict[str, Any] = event.get("metadata") or {}
    return frozenset({str(event.get("name")), str(metadata.get("langgraph_node"))})
