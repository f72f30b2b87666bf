"""What a call has come to, as far as it can be seen from here. No result is kept, only its digest."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from langchain_core.messages import ToolMessage

from hopward import Outcome, digest
from langchain_hopward.form import UnreadableError, as_json
from langchain_hopward.remainder import UnfinishedResult

try:
    from langgraph.errors import GraphBubbleUp, GraphInterrupt

    _interrupted: tuple[type[BaseException], ...] = (GraphBubbleUp,)
    _waiting: tuple[type[BaseException], ...] = (GraphInterrupt,)
except ImportError:  # without LangGraph, nothing bubbles up
    _interrupted = _waiting = ()

_written = json.JSONEncoder(ensure_ascii=False).encode


def finished(result: Any, duration: int, values: Callable[[Any], tuple[str, ...]]) -> Outcome:
    """The outcome of a call that has returned. `duration` is microseconds.

    `values` is asked, about the result as JSON, what is remembered of it (`Guard.values`).
    """
    failed = isinstance(result, ToolMessage) and result.status == "error"
    content: Any = result.content if isinstance(result, ToolMessage) else result
    kept: tuple[str, ...] = ()
    try:
        form = as_json(content)
        kept = () if failed else values(form)
        written, size = digest(form), len(_written(form).encode())
    except (UnreadableError, ValueError, TypeError, RecursionError):
        text = object.__repr__(content)
        written, size = digest(text), 0
    status = "tool_error" if failed else "ok"
    return Outcome(status=status, result_digest=written, duration=duration, size=size, values=kept)


def is_resumable(error: BaseException) -> bool:
    """Whether a run was interrupted to be resumed."""
    return isinstance(error, _waiting)


def broken_off(error: BaseException, duration: int) -> Outcome:
    """The outcome of a call that has ended with an exception: only its type is kept.

    Interrupted by LangGraph, or by anything that ends the program, it may or may not have done its work. So
    it may where what it has returned goes on working.
    """
    name = type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        return Outcome(status="cancelled", error=name, duration=duration)
    if isinstance(error, UnfinishedResult) and not error.stopped:
        return Outcome(status="unknown", error=name, duration=duration)
    if isinstance(error, _interrupted) or not isinstance(error, Exception):
        return Outcome(status="unknown", error=name, duration=duration)
    return Outcome(status="tool_error", error=name, duration=duration)
