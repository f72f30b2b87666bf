"""What a tool's function is about to be called with, as the arguments of a tool call."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg
from pydantic import BaseModel

from langchain_hopward.form import UnfitError, UnreadableError, as_json

try:
    from langgraph.prebuilt import ToolRuntime

    _runtime: tuple[type, ...] = (ToolRuntime,)
except ImportError:  # without LangGraph, nobody hands one out
    _runtime = ()

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_HANDED_BY_LANGCHAIN = ("run_manager", "callbacks")


class Parameters:
    """The parameters of one function, and which of them the program fills in rather than the model."""

    def __init__(self, function: Callable[..., Any], schema: Any = None, *, method: bool = False) -> None:
        try:
            signature = inspect.signature(function)
        except ValueError as error:
            raise TypeError(f"{error}; put it into a function of its own") from None
        self.hints = _hints(function, {*signature.parameters, "return"})
        bare = [
            one.replace(annotation=self.hints.get(one.name, one.annotation))
            for one in signature.parameters.values()
        ]
        self.signature = signature.replace(
            parameters=bare, return_annotation=self.hints.get("return", signature.return_annotation)
        )
        self._bound = self.signature.replace(parameters=bare[1:]) if method else self.signature
        parameters = self._bound.parameters.values()
        self._named = all(one.kind in _BY_NAME for one in parameters)
        self._defaults = {one.name: one.default for one in parameters}
        self._required = {one.name for one in parameters if one.default is inspect.Parameter.empty}
        self._injected = frozenset(self._injected_names(schema))

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as JSON, defaults filled in, without what the program injects.

        A parameter that is None by default and None now is left out: to the function there is no difference.
        Raises `UnfitError` where they do not fit the function, or JSON cannot carry one.
        """
        found: dict[str, Any] = {}
        parameters = self._bound.parameters
        try:
            for name, value in self._values(args, kwargs).items():
                parameter = parameters[name]
                if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                    found |= self._rest(name, value)
                elif not self._left_out(parameter, value):
                    found[name] = as_json(value)
        except UnreadableError as error:
            raise UnfitError(str(error)) from None
        return found

    def _values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The value of each parameter. By name, as LangChain calls, it can be said without `bind`."""
        if not args and self._named and self._required <= kwargs.keys() <= self._defaults.keys():
            return {**self._defaults, **kwargs}
        try:
            bound = self._bound.bind(*args, **kwargs)
        except TypeError as error:
            raise UnreadableError(str(error)) from None
        bound.apply_defaults()
        return bound.arguments

    def _rest(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """What `**name` takes up. Raises `UnreadableError` for a name that a parameter has already."""
        # `def pay(amount, /, **more)` can be called with two amounts; a decision has room for one.
        twice = sorted((value.keys() & self._defaults.keys()) - {name})
        if twice:
            raise UnreadableError(f"{', '.join(map(repr, twice))} is given twice, by place and by name")
        return {key: as_json(inner) for key, inner in value.items() if not _is_runtime(inner)}

    def _left_out(self, parameter: inspect.Parameter, value: Any) -> bool:
        absent = value is None and parameter.default is None
        empty = value == () and parameter.kind is inspect.Parameter.VAR_POSITIONAL
        return absent or empty or parameter.name in self._injected or _is_runtime(value)

    def _injected_names(self, schema: Any) -> typing.Iterator[str]:
        for name in self._bound.parameters:
            if name in _HANDED_BY_LANGCHAIN or _is_injected(self.hints.get(name)):
                yield name
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            for name, field in schema.model_fields.items():
                if any(map(_marks_injection, field.metadata)):
                    yield name


def _hints(function: Callable[..., Any], names: typing.Container[str]) -> dict[str, Any]:
    """Annotations resolved where the function was written: its guarded form lives elsewhere.

    One by one: one that cannot be resolved (imported for type checkers only) becomes Any and hides no other.
    """
    written: Any = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    if not hasattr(written, "__code__") and not inspect.ismethod(written):
        written = type(written).__call__
    found = {name: hint for name, hint in getattr(written, "__annotations__", {}).items() if name in names}
    return {name: _resolved(hint, getattr(written, "__globals__", {})) for name, hint in found.items()}


def _resolved(hint: Any, around: dict[str, Any]) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"hint": hint}
    try:
        return typing.get_type_hints(holder, globalns=around, include_extras=True)["hint"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def _is_injected(hint: Any) -> bool:
    if hint is RunnableConfig or any(map(_marks_injection, getattr(hint, "__metadata__", ()))):
        return True
    return any(hint is one or typing.get_origin(hint) is one for one in _runtime)


def _marks_injection(mark: Any) -> bool:
    return isinstance(mark, InjectedToolArg) or (isinstance(mark, type) and issubclass(mark, InjectedToolArg))


def _is_runtime(value: Any) -> bool:
    return isinstance(value, _runtime)
