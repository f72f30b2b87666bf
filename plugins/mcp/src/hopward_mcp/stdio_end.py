"""A server with a `command`, for callers over HTTP: their requests go to processes of the server."""

from hopward_mcp.carriage import Carriage
from hopward_mcp.child import Command
from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import HttpSession
from hopward_mcp.jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, Message, MessageError
from hopward_mcp.methods import STATEFUL
from hopward_mcp.session import Session
from hopward_mcp.visit import Visit
from hopward_mcp.workers import Workers


class StdioEnd:
    """The way to a server over stdio."""

    def __init__(self, gate: Gate, command: Command) -> None:
        self.workers = Workers(gate, command)
        self.sessions = self.workers.sessions
        self._gate = gate

    @property
    def older(self) -> bool:
        """Whether the server is known not to speak 2026-07-28."""
        return self.workers.older

    def session(self, message: Message, held: HttpSession | None, *, modern: bool) -> Session:
        """The caller's session, or a new one: for `initialize`, and for each request of 2026-07-28."""
        if held is not None:
            return held.session
        if modern:
            if message.kind != "request" or message.method in STATEFUL:
                sentence = "This method is not of protocol version 2026-07-28."
                raise MessageError(METHOD_NOT_FOUND, "unknown_method", sentence, message.id)
            return Session(self._gate, shared=True)
        if message.method != "initialize":
            sentence = "The header Mcp-Session-Id is missing."
            raise MessageError(INVALID_REQUEST, "no_session", sentence, message.id)
        return Session(self._gate)

    def carrier(self, visit: Visit) -> Carriage:
        """What carries a request to a process."""
        return Carriage(self.workers, visit)

    def adopt(self) -> None:
        """Keep to the limits of the gate's guard from now on."""
        self.workers.adopt()

    async def close(self) -> None:
        """End every session and every process."""
        await self.workers.close()
