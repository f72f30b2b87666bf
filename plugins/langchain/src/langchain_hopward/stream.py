"""Decisions in LangGraph's custom stream, for whoever watches a run: `stream_mode="custom"`."""

from collections.abc import Callable
from typing import Any

try:
    from langgraph.config import get_stream_writer

    _writer: Callable[[], Callable[[Any], None]] | None = get_stream_writer
except ImportError:
    _writer = None


def announce(tool: str, verdict: str, reason: str, decision: str, *, observed: bool = False) -> None:
    """Write `{"hopward": {...}}` to the stream of the run, if there is one. Never raises.

    `observed` stands there only where the call goes on although the verdict is no permit.
    """
    if _writer is None:
        return
    told: dict[str, Any] = {"decision": decision, "verdict": verdict, "reason": reason, "tool": tool}
    if observed:
        told["observed"] = True
    try:
        _writer()({"hopward": told})
    except Exception:  # noqa: BLE001 - named boundary: a stream that cannot be written to decides nothing
        return
