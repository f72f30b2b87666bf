"""Graphs that somebody else runs, LangGraph's server above all: each run is a task of its own.

The subject is whom the server has authenticated: `config["configurable"]["langgraph_auth_user"]`, an object
of the server (langgraph_sdk.auth.types.BaseUser). What else is in `configurable` may come from a request, as
plain JSON; so a mapping there is nobody.
"""

import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

from langchain_hopward.enforcer import Enforcer
from langchain_hopward.place import Place
from langchain_hopward.task import TaskScope

try:
    from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs]

    _compiled: tuple[type, ...] = (Pregel,)
except ImportError:  # without LangGraph, there are no graphs
    _compiled = ()

USER = "langgraph_auth_user"
_NOBODY = "The server has authenticated nobody, so there is no one to run it for."
_OVER = object()

G = TypeVar("G")


def served(graph: G, enforcer: Enforcer, scope: Callable[[str], TaskScope]) -> G:
    """A copy of a compiled graph that opens a task for each of its runs, and completes it at the end.

    Inside a task it runs in that one. `scope` makes the task of a subject. Raises `TypeError` for anything
    that is no compiled LangGraph graph.
    """
    if not isinstance(graph, _compiled):
        raise TypeError(f"{type(graph).__name__} is no compiled graph of LangGraph")
    base: Any = cast("Any", type(graph))
    tasks = Tasks(enforcer, scope)

    def stream(self: Any, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        return tasks.stream(lambda: base.stream(self, input, config, **kwargs), _configured(self, config))

    def astream(
        self: Any, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        return tasks.astream(lambda: base.astream(self, input, config, **kwargs), _configured(self, config))

    members = {"__module__": base.__module__, "stream": stream, "astream": astream}
    copy: Any = cast("Any", graph).copy()
    # Copies that the server makes of it are of this class too.
    copy.__class__ = types.new_class(base.__name__, (base,), exec_body=lambda body: body.update(members))
    return copy


class Tasks:
    """Makes each run a task. The chain is in the context while a step is made, and not between the steps."""

    def __init__(self, enforcer: Enforcer, scope: Callable[[str], TaskScope]) -> None:
        self._enforcer = enforcer
        self._scope = scope

    def stream(self, start: Callable[[], Iterator[Any]], config: RunnableConfig) -> Iterator[Any]:
        """The chunks of one run. Raises `AuthorizationDenied` where there is nobody to run for."""
        if self._enforcer.place.get() is not None:
            yield from start()
            return
        scope, place = self._opened(config)
        try:
            steps = start()
            try:
                while (chunk := self._next(place, steps)) is not _OVER:
                    yield chunk
            finally:
                with self._held(place):
                    cast("Generator[Any]", steps).close()
        finally:
            self._close(scope, place)

    async def astream(
        self, start: Callable[[], AsyncIterator[Any]], config: RunnableConfig
    ) -> AsyncIterator[Any]:
        """As `stream`."""
        if self._enforcer.place.get() is not None:
            async for chunk in start():
                yield chunk
            return
        scope, place = self._opened(config)
        try:
            steps = start()
            try:
                while (chunk := await self._anext(place, steps)) is not _OVER:
                    yield chunk
            finally:
                with self._held(place):
                    await cast("AsyncGenerator[Any]", steps).aclose()
        finally:
            self._close(scope, place)

    def _opened(self, config: RunnableConfig) -> tuple[TaskScope, Place]:
        scope = self._scope(self._subject(config))
        place = scope.open()
        self._enforcer.brief.add(place.chain.task)
        return scope, place

    def _close(self, scope: TaskScope, place: Place) -> None:
        try:
            scope.close()
        finally:
            self._enforcer.brief.discard(place.chain.task)

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
