"""What a trace is told of guarded calls, where hopward.toml has `[telemetry]`; else nothing is loaded for it.

The seam of `spans`, the only module that knows OpenTelemetry. A call has a span from its arrival to its end,
and within it one for its way to the server, which becomes the parent of what the server does.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol

from hopward import Decision, Outcome
from hopward_mcp.jsonrpc import Body, Message

CONTEXT = ("traceparent", "tracestate")
"""Keys of `_meta`, and headers, that say which span a request belongs to (W3C Trace Context; MCP SEP-414)."""

NO_CONTEXT: Final[Mapping[str, str]] = {}


class Trace(Protocol):
    """The spans of one call. Each is ended once, whatever is said afterwards."""

    def decided(self, decision: Decision | None) -> None:
        """The decision, None if there could be none; the end unless it is a permit."""
        ...

    def waits(self, approval: str) -> None:
        """A person is waited for, who is asked for this approval."""
        ...

    def forwarded(self, key: int) -> Mapping[str, str]:
        """It goes to the server, as the request `key`; what tells the server so, named as in `CONTEXT`."""
        ...

    def refused(self, reason: str) -> None:
        """It ends without a decision."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """It has this outcome."""
        ...


class Tracing(Protocol):
    """Where the spans of a process go. Nothing here waits for anything but `close`, which does so briefly."""

    def begin(self, server: str, url: str, message: Message, version: str) -> Trace:
        """A call has arrived for a server. `url` is empty for one with a command, `version` is that of the
        protocol, where the session has one."""
        ...

    def ambient(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """What begins inside came over HTTP with these headers."""
        ...

    def close(self) -> None:
        """Send what is left."""
        ...


def with_context(body: Body, context: Mapping[str, str]) -> Body:
    """A request that says in `_meta` which span it belongs to; the same object if there is nothing to say."""
    if not context:
        return body
    params: Body = body.get("params", {})
    meta = {key: value for key, value in params.get("_meta", {}).items() if key not in CONTEXT}
    return {**body, "params": {**params, "_meta": {**meta, **context}}}
