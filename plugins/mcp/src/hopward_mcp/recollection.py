"""What a client has told the server's process that a new process has to be told again.

Only what the older era keeps in a connection: `initialize` and what it was answered, `initialized`, the log
level, subscriptions. In 2026-07-28 a connection keeps nothing. A `tools/call` is never among it.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from hopward import Chain
from hopward_mcp.jsonrpc import Body, Message
from hopward_mcp.pending import Pending

INITIALIZED: Final = "notifications/initialized"

_MOST = 1024
"""Subscriptions that are remembered."""
_CHANGES = ("tools", "resources", "prompts")
_COMPARED = ("capabilities", "serverInfo")


@dataclass(frozen=True, slots=True)
class Told:
    """A request that the server has answered with a result, and the chain it was judged by."""

    message: Message
    chain: Chain

    def again(self) -> Message:
        """The same request under an id that no request of the client has."""
        return replace(self.message, id=f"hopward-{secrets.token_hex(8)}")


class Recollection:
    """What one session of a client has told. `answered` is whether the server has answered anything yet."""

    def __init__(self) -> None:
        self.answered = False
        self.introduction: Told | None = None
        self.initialized: bytes | None = None
        self._level: Told | None = None
        self._subscriptions: dict[str, Told] = {}
        self._result: Body = {}

    def hear(self, pending: Pending, answer: Message) -> None:
        """The server has answered a request of the client."""
        self.answered = True
        method = pending.message.method
        result = answer.body.get("result")
        if result is None:
            return
        told = Told(pending.message, pending.chain)
        if method == "initialize":
            self.introduction, self._result, self.initialized = told, cast("Body", result), None
        elif method == "logging/setLevel":
            self._level = told
        elif method == "resources/subscribe" and len(self._subscriptions) < _MOST:
            self._subscriptions[str(pending.message.params.get("uri"))] = told
        elif method == "resources/unsubscribe":
            self._subscriptions.pop(str(pending.message.params.get("uri")), None)

    def requests(self) -> Iterator[Told]:
        """What a new process is asked once it has been introduced to the client."""
        if self._level is not None:
            yield self._level
        yield from list(self._subscriptions.values())

    def subscriber(self, uri: object) -> Chain | None:
        """The chain a subscription stands on, if there is one to exactly this MCP resource."""
        told = self._subscriptions.get(uri) if isinstance(uri, str) else None
        return None if told is None else told.chain

    @property
    def version(self) -> object:
        """The protocol version of the session."""
        return self._result.get("protocolVersion")

    def differences(self, result: Body) -> list[str]:
        """What a new process says of itself otherwise than the first did."""
        return [field for field in _COMPARED if result.get(field) != self._result.get(field)]

    def list_changes(self) -> Iterator[str]:
        """The notifications, among those the server had announced, that have the client list anew."""
        capabilities: Any = self._result.get("capabilities")
        for offered in _CHANGES:
            about = cast("Body", capabilities).get(offered) if isinstance(capabilities, dict) else None
            if isinstance(about, dict) and cast("Body", about).get("listChanged") is True:
                yield f"notifications/{offered}/list_changed"
