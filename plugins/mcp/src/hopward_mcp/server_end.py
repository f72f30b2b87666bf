"""The seam between judging a caller's messages and carrying them: what an endpoint needs of a server."""

from typing import Protocol

from hopward_mcp.http_sessions import HttpSession, HttpSessions
from hopward_mcp.jsonrpc import Message
from hopward_mcp.route import Forward
from hopward_mcp.session import Session
from hopward_mcp.visit import Visit


class Carrier(Protocol):
    """Carries one request of a caller to the server and answers it; it always ends."""

    async def notify(self, route: Forward) -> None:
        """Carry a notification or an answer of the caller."""
        ...

    async def call(self, route: Forward, key: int) -> None:
        """Carry a request and bring back its answer; its outcome is always recorded."""
        ...

    async def listen(self) -> None:
        """Bring the messages of a session that answer nothing, until either side leaves."""
        ...

    async def leave(self, held: HttpSession) -> None:
        """End the caller's session, here and at the server."""
        ...


class ServerEnd(Protocol):
    """The way to one server, over the transport that it speaks. `sessions` are its callers'."""

    sessions: HttpSessions

    @property
    def older(self) -> bool:
        """Whether the server is known not to speak 2026-07-28: then what does for its callers is a bridge."""
        ...

    def session(self, message: Message, held: HttpSession | None, *, modern: bool) -> Session:
        """The session to judge a message in; raises `MessageError` for one that cannot go this way."""
        ...

    def carrier(self, visit: Visit) -> Carrier:
        """What carries a request."""
        ...

    def adopt(self) -> None:
        """The gate's guard has changed: keep to its limits from now on."""
        ...

    async def close(self) -> None:
        """End every session, and everything that leads to the server."""
        ...
