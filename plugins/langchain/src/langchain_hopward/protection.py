"""Guarded copies of tools: they ask the guard themselves, on the arguments their function is called with."""

import functools
import inspect
import types
import typing
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias
from weakref import WeakSet

from langchain_core.tools import BaseTool, StructuredTool, Tool, tool

from langchain_hopward.enforcer import Enforcer, Entry
from langchain_hopward.parameters import Parameters
from langchain_hopward.remainder import require_body, whole

_KNOWN = ("langchain_core.", "langchain_hopward.")
_WORK = frozenset({"_run", "_arun"})
_TELLING = ("__", "get_", "model_", "to_json", "config_schema")
_ENTRANCES = frozenset(
    name
    for name in dir(BaseTool)
    if inspect.isfunction(made := inspect.getattr_static(BaseTool, name))
    and made.__module__.startswith(_KNOWN)
    and not name.startswith(_TELLING)
).difference(_WORK)
"""Everything of LangChain that leads to the work of a tool, or could do it: `invoke`, `transform`, ..."""

_METHODS = _ENTRANCES | _WORK
"""What no attribute of a tool itself may hide."""

_WITH_FUNCTIONS = (StructuredTool, Tool)
_PLAIN_RUN = (StructuredTool._run, Tool._run)  # pyright: ignore[reportPrivateUsage] - compared, not called
_PLAIN_ARUN = (BaseTool._arun, StructuredTool._arun, Tool._arun)  # pyright: ignore[reportPrivateUsage]


class Guarded(Protocol):
    """A call under way, which leaves its result here."""

    result: Any


_TAKING_OVER = frozenset({"__call__", "__getattribute__", "__getattr__"})
_LANGCHAIN = (*BaseTool.__mro__, *_WITH_FUNCTIONS)
_entered: WeakSet[Callable[..., Any]] = WeakSet()
"""The entrances of all guarded copies in this process: another guard may guard those again."""


Body: TypeAlias = Callable[[str, Callable[[], dict[str, Any]]], AbstractContextManager[Guarded]]


class Protection:
    """Makes guarded copies for one enforcer. The tools themselves are left as they are."""

    def __init__(self, enforcer: Enforcer, server: str, body: Body) -> None:
        """`body` is put around the body of each tool of `server`: it asks before, and records after."""
        self._enforcer = enforcer
        self._server = server
        self._body = body
        self._guarded: WeakSet[Callable[..., Any]] = WeakSet()
        self._copies: WeakSet[type] = WeakSet()

    def guarded(self, original: BaseTool | Callable[..., Any]) -> BaseTool:
        """A copy of a tool that cannot be run without the guard; of a function, the tool it makes.

        Raises `TypeError` for what cannot be guarded.
        """
        if not isinstance(original, BaseTool):
            if not callable(original):
                raise TypeError(f"{original!r} is no tool of this process, so it cannot be guarded here")
            original = tool(original)
        if self.made(original) and self._intact(original):
            return original
        _check(original)
        copy = original.model_copy(update=self._functions(original))
        # The class of a copy adds an entrance and the methods a tool class has written itself.
        object.__setattr__(copy, "__class__", self._class(original))
        return copy

    def made(self, tool: object) -> bool:
        """Whether a tool is a guarded copy from here."""
        return type(tool) in self._copies

    def _functions(self, original: BaseTool) -> dict[str, Any]:
        if not isinstance(original, StructuredTool | Tool):
            return {}
        schema = original.args_schema
        func, coroutine = original.func, original.coroutine
        return {
            "func": func and self._around(original.name, func, Parameters(func, schema)),
            "coroutine": coroutine
            and self._around(original.name, coroutine, Parameters(coroutine, schema), awaited=True),
        }

    def _class(self, original: BaseTool) -> type:
        base = type(original)
        members: dict[str, Any] = {"__module__": base.__module__, "__qualname__": base.__qualname__}
        run, arun = _method(base, "_run"), _method(base, "_arun")
        members["_run"] = _RESOLVED.get(run) or self._method(original, run)
        if arun not in _PLAIN_ARUN:
            members["_arun"] = self._method(original, arun, awaited=True)
        members |= self._entrances(base)
        made = types.new_class(base.__name__, (base,), exec_body=lambda body: body.update(members))
        self._copies.add(made)
        return made

    def _method(
        self, original: BaseTool, function: Callable[..., Any], *, awaited: bool = False
    ) -> Callable[..., Any]:
        parameters = Parameters(function, original.args_schema, method=True)
        return self._around(original.name, function, parameters, awaited=awaited, method=True)

    def _around(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: Parameters,
        *,
        awaited: bool = False,
        method: bool = False,
    ) -> Callable[..., Any]:
        """The function behind the guard, with the same signature and without a way back to the bare one."""
        require_body(name, function)
        body, first, full = self._body, 1 if method else 0, f"{self._server}/{name}"

        async def later(*args: Any, **kwargs: Any) -> Any:
            with body(name, lambda: parameters.arguments(args[first:], kwargs)) as running:
                result = function(*args, **kwargs)
                running.result = whole(full, await result if inspect.isawaitable(result) else result)
                return running.result

        def at_once(*args: Any, **kwargs: Any) -> Any:
            with body(name, lambda: parameters.arguments(args[first:], kwargs)) as running:
                running.result = whole(full, function(*args, **kwargs))
                return running.result

        made = later if awaited or inspect.iscoroutinefunction(function) else at_once
        functools.update_wrapper(made, function, updated=())
        # It would hand out the unguarded function; the annotations were resolved where that was written.
        delattr(made, "__wrapped__")
        made.__annotations__ = dict(parameters.hints)
        setattr(made, "__signature__", parameters.signature)  # noqa: B010 - functions declare no such attribute
        self._guarded.add(made)
        return made

    def _entrances(self, base: type[BaseTool]) -> dict[str, Any]:
        """`run` and `arun`, which tell the handler that the tool will ask for itself."""
        enter, variable = self._enter, self._enforcer.entry

        def run(tool: BaseTool, *args: Any, **kwargs: Any) -> Any:
            before = variable.get()
            enter(tool, kwargs)
            try:
                return base.run(tool, *args, **kwargs)
            finally:
                variable.set(before)

        async def arun(tool: BaseTool, *args: Any, **kwargs: Any) -> Any:
            before = variable.get()
            enter(tool, kwargs)
            try:
                return await base.arun(tool, *args, **kwargs)
            finally:
                variable.set(before)

        _entered.update((run, arun))
        return {"run": run, "arun": arun}

    def _enter(self, tool: BaseTool, kwargs: dict[str, Any]) -> None:
        if self._intact(tool):
            run_id: uuid.UUID = kwargs.get("run_id") or uuid.uuid4()
            kwargs["run_id"] = run_id
            self._enforcer.entry.set(Entry(run_id, tool.name))

    def _intact(self, tool: BaseTool) -> bool:
        """Whether the functions are still the guarded ones; if not, the handler decides as for any tool."""
        if not _METHODS.isdisjoint(vars(tool)):
            return False
        if not isinstance(tool, _WITH_FUNCTIONS):
            return True
        func, coroutine, guarded = tool.func, tool.coroutine, self._guarded
        return (func is None or func in guarded) and (coroutine is None or coroutine in guarded)


def _check(original: BaseTool) -> None:
    """Raises `TypeError` for a tool that may do its work before LangChain comes to run it."""
    kind = type(original)
    own = {name for name in _ENTRANCES | _TAKING_OVER if not _is_langchains(kind, name)}
    own |= _METHODS & vars(original).keys()
    if own:
        told = f"{kind.__name__} has its own {', '.join(sorted(own))}"
        raise TypeError(f"{told}, which may act before asking; write _run instead")


def _is_langchains(kind: type, name: str) -> bool:
    """Whether what a class has under a name is LangChain's own or ours, whatever it says of itself."""
    found = next((vars(one)[name] for one in kind.__mro__ if name in vars(one)), None)
    if found is None or any(found is vars(one).get(name) for one in _LANGCHAIN):
        return True
    return inspect.isfunction(found) and found in _entered


def _method(kind: type, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(kind, name)
    return found


def _resolved(function: types.FunctionType) -> Callable[..., Any]:
    """The same function, with its annotations resolved: LangChain asks for them at each call."""
    code, names = function.__code__, function.__globals__
    made = types.FunctionType(code, names, function.__name__, function.__defaults__, function.__closure__)
    functools.update_wrapper(made, function)
    delattr(made, "__wrapped__")
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__ = typing.get_type_hints(function, include_extras=True)
    setattr(made, "__signature__", inspect.signature(function))  # noqa: B010 - functions declare no such attribute
    return made


_resolutions = {run: _resolved(run) for run in _PLAIN_RUN if isinstance(run, types.FunctionType)}
_RESOLVED = {**_resolutions, **{made: made for made in _resolutions.values()}}
"""LangChain's own `_run` of tools that are given a function: what does the work is that function."""
