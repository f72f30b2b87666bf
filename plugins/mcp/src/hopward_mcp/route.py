"""Where a message goes once it has been judged: onward, back to its sender, or nowhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from hopward import Decision
from hopward_mcp.jsonrpc import Message

_NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Forward:
    """Goes to the other side, as `body`: the one form that was decided on.

    `key` is the id under which the other side will answer. `headers` carry the credential over HTTP,
    `context` says there which span it belongs to.
    """

    body: bytes
    message: Message
    key: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    context: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)


@dataclass(frozen=True, slots=True)
class Reply:
    """Goes back to its sender. `code` is the JSON-RPC error code, 0 for a result; `decision` a refusal's."""

    body: bytes
    code: int = 0
    decision: Decision | None = None


Route: TypeAlias = Forward | Reply | None
"""None: dropped."""

Deliver: TypeAlias = Callable[[Route], None]
"""Called exactly once per message, at once or at the end of the event-loop turn."""


def to_nobody(_route: Route) -> None:
    """A `Deliver` for what nobody waits for any more."""


class Later:
    """In place of a route: it is delivered at the end of the turn."""


LATER: Final = Later()
