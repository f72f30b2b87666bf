"""What a tool returns before it has done its work: nobody would have decided on what is done afterwards."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from types import AsyncGeneratorType
from typing import Any, cast

from langchain_core.messages import ToolMessage

from langchain_hopward.denial import AuthorizationDenied

_WHOLE = frozenset({str, int, float, bool, type(None), dict, list, ToolMessage})
"""What tools mostly return, so that most results need one look."""

_LATER = ("__next__", "__anext__", "__await__")


class UnfinishedResult(AuthorizationDenied):
    """A permitted call has returned something that does its work when it is read or awaited.

    It is withheld. `stopped` says that whatever it would have done is certain never to be done.
    """

    def __init__(self, tool: str, kind: str, *, stopped: bool) -> None:
        message = (
            f"{tool} was executed, but returned a {kind}, which does its work after the call, when nobody "
            "decides on it; it is withheld. The same call will end so again."
        )
        super().__init__(message, tool=tool, reason="result_unfinished", executed=True)
        self.stopped = stopped

    def decided(self, decision: str) -> None:
        """Say which decision the call had; of calls in calls, the innermost."""
        if not self.decision:
            self.decision = decision
            self.message = f"{self.message} Decision {decision}."


def require_body(tool: str, function: Callable[..., Any]) -> None:
    """Raise `TypeError` for a function whose call runs nothing of its body."""
    for one in (function, getattr(type(function), "__call__", None)):  # noqa: B004 - it is looked into
        if inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            told = (
                f"{tool} is a generator function, whose body runs after the call, when nobody decides on it"
            )
            raise TypeError(f"{told}; have it return all it yields, as a list or a text")


def whole(tool: str, result: Any) -> Any:
    """A result that is one. Raises `UnfinishedResult` for a generator, coroutine, iterator or the like.

    So it does for a tuple that holds one, as content and artifact. Nothing of it will run.
    """
    if type(result) in _WHOLE:
        return result
    parts: tuple[Any, ...] = cast("Any", result) if isinstance(result, tuple) else (result,)
    left = [one for one in parts if _is_left(one)]
    if left:
        stopped = [_stop(one) for one in left]
        raise UnfinishedResult(tool, type(left[0]).__name__, stopped=all(stopped))
    return cast("Any", result)


def _is_left(part: object) -> bool:
    kind = type(part)
    return kind not in _WHOLE and any(hasattr(kind, name) for name in _LATER)


def _stop(left: Any) -> bool:
    """Keep work from being done, as far as that is possible; whether it is certain."""
    if isinstance(left, Generator | Coroutine):
        left.close()
        return True
    if isinstance(left, AsyncGeneratorType):
        try:
            left.aclose().send(None)
        except (StopIteration, StopAsyncIteration):
            return True
    if isinstance(left, asyncio.Future):
        left.cancel()
    return False
