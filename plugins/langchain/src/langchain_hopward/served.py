"""Graphs that somebody else runs, LangGraph's server above all: each run is a task of its own.

The subject is whom the server has authenticated: `config["configurable"]["langgraph_auth_user"]`, an object
of the server (langgraph_sdk.auth.types.BaseUser). What else is in `configurable` may come from a request, as
plain JSON; so a mapping there is nobody.

Where runs may wait for people, the task of one that does stays open, and a resumption goes on with it: whom
the server has authenticated then has answered.
"""

import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from langchain_hopward.enforcer import Enforcer
from langchain_hopward.place import Place
from langchain_hopward.task import ResumedTask, TaskScope
from langchain_hopward.thread import Threads

try:
    from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs]

    _compiled: tuple[type, ...] = (Pregel,)
except ImportError:  # without LangGraph, there are no graphs
    _compiled = ()

USER = "langgraph_auth_user"
_NOBODY = "The server has authenticated nobody, so there is no one to run it for."
_OVER = object()

G = TypeVar("G")
Answer: TypeAlias = Callable[[Any, Any, str], Any]
"""Records what somebody says to interrupts; what the run goes on with."""


def served(
    graph: G, enforcer: Enforcer, scope: Callable[[str], TaskScope], answer: Answer | None = None
) -> G:
    """A copy of a compiled graph that opens a task for each of its runs, and completes it at the end.

    Inside a task it runs in that one. `scope` makes the task of a subject. With `answer`, which records what
    somebody says to interrupts, runs may wait for people. Raises `TypeError` for anything that is no compiled
    LangGraph graph.
    """
    if not isinstance(graph, _compiled):
        raise TypeError(f"{type(graph).__name__} is no compiled graph of LangGraph")
    base: Any = cast("Any", type(graph))
    tasks = Tasks(enforcer, scope, answer)

    def stream(self: Any, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        run = _Run(self, _configured(self, config), input)
        return tasks.stream(lambda given: base.stream(self, given, config, **kwargs), run)

    def astream(
        self: Any, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        run = _Run(self, _configured(self, config), input)
        return tasks.astream(lambda given: base.astream(self, given, config, **kwargs), run)

    members = {"__module__": base.__module__, "stream": stream, "astream": astream}
    copy: Any = cast("Any", graph).copy()
    # Copies that the server makes of it are of this class too.
    copy.__class__ = types.new_class(base.__name__, (base,), exec_body=lambda body: body.update(members))
    return copy


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of a graph, as it was asked for."""

    graph: Any
    config: RunnableConfig
    given: Any


class Tasks:
    """Makes each run a task. The chain is in the context while a step is made, and not between the steps."""

    def __init__(
        self, enforcer: Enforcer, scope: Callable[[str], TaskScope], answer: Answer | None = None
    ) -> None:
        self._enforcer = enforcer
        self._scope = scope
        self._answer = answer
        self._threads = Threads(enforcer)

    def stream(self, start: Callable[[Any], Iterator[Any]], run: _Run) -> Iterator[Any]:
        """The chunks of one run.

        Raises `AuthorizationDenied` where there is nobody to run for, `StateError` where they may not answer.
        """
        if self._enforcer.place.get() is not None:
            yield from start(run.given)
            return
        state: Any = run.graph.get_state(run.config) if self._may_go_on(run) else None
        scope, place, given = self._begun(run, state)
        try:
            steps = start(given)
            try:
                while (chunk := self._next(place, steps)) is not _OVER:
                    yield chunk
            finally:
                with self._held(place):
                    cast("Generator[Any]", steps).close()
        finally:
            self._close(scope, place, run)

    async def astream(self, start: Callable[[Any], AsyncIterator[Any]], run: _Run) -> AsyncIterator[Any]:
        """As `stream`."""
        if self._enforcer.place.get() is not None:
            async for chunk in start(run.given):
                yield chunk
            return
        state: Any = await run.graph.aget_state(run.config) if self._may_go_on(run) else None
        scope, place, given = self._begun(run, state)
        try:
            steps = start(given)
            try:
                while (chunk := await self._anext(place, steps)) is not _OVER:
                    yield chunk
            finally:
                with self._held(place):
                    await cast("AsyncGenerator[Any]", steps).aclose()
        finally:
            self._close(scope, place, run)

    def _may_go_on(self, run: _Run) -> bool:
        return self._answer is not None and self._threads.may_go_on(run.config, run.given)

    def _begun(self, run: _Run, state: Any) -> tuple[TaskScope, Place, Any]:
        """The task of a run, and what the run is given: where it goes on, once what is said is recorded."""
        subject, given = self._subject(run.config), run.given
        interrupts = state.interrupts if state is not None else ()
        task = self._threads.task_of(run.config, interrupts)
        if task and self._answer is not None:
            pending = self._threads.pending(interrupts)
            given = self._answer(pending, given, subject) if pending else given
            self._threads.forget(run.config)
        scope = ResumedTask(self._enforcer, task) if task else self._scope(subject)
        place = scope.open()
        if self._answer is None:
            self._enforcer.brief.add(place.chain.task)
        return scope, place, given

    def _close(self, scope: TaskScope, place: Place, run: _Run) -> None:
        task = place.chain.task
        try:
            scope.close(waits=self._answer is not None and self._threads.wait(run.config, task))
        finally:
            self._enforcer.brief.discard(task)

    def _next(self, place: Place, steps: Iterator[Any]) -> Any:
        with self._held(place):
            return next(steps, _OVER)

    async def _anext(self, place: Place, steps: AsyncIterator[Any]) -> Any:
        with self._held(place):
            return await anext(steps, _OVER)

    @contextmanager
    def _held(self, place: Place) -> Generator[None]:
        token = self._enforcer.place.set(place)
        try:
            yield
        finally:
            self._enforcer.place.reset(token)

    def _subject(self, config: RunnableConfig) -> str:
        user: Any = (config.get("configurable") or {}).get(USER)
        identity: Any = getattr(user, "identity", "")
        if isinstance(identity, str) and identity and getattr(user, "is_authenticated", False) is True:
            return identity
        raise self._enforcer.refuse("graph", "no_task", _NOBODY)


def _configured(graph: Any, config: RunnableConfig | None) -> RunnableConfig:
    return merge_configs(graph.config, config)
