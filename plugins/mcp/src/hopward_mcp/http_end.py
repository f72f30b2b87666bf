"""A server with a `url`: its callers' requests go on as requests of ours."""

from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import HttpSession, HttpSessions
from hopward_mcp.jsonrpc import Message
from hopward_mcp.relay import Relay
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.visit import Visit


class HttpEnd:
    """The way to a server over Streamable HTTP."""

    def __init__(self, gate: Gate, upstream: Upstream) -> None:
        self.sessions = HttpSessions(gate.now, mark=gate.mark)
        self._gate = gate
        self._upstream = upstream

    def session(self, message: Message, held: HttpSession | None, *, modern: bool) -> Session:
        """The caller's session, else one for just this message."""
        return held.session if held is not None else Session(self._gate)

    def carrier(self, visit: Visit) -> Relay:
        """A relay to the server."""
        return Relay(self._upstream, self.sessions, visit)

    def adopt(self) -> None:
        """Keep to the limits of the gate's guard from now on."""
        self._upstream.max_bytes = self._gate.max_bytes

    async def close(self) -> None:
        """End every session and every connection."""
        self.sessions.close_all()
        self._gate.turn.flush()
        await self._upstream.close()
