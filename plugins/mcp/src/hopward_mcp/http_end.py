"""A server with a `url`: its callers' requests go on as requests of ours.

Where a caller speaks 2026-07-28 and the server does not, they go to sessions of the older era at the server,
each of one principal only.
"""

import json
import logging
from dataclasses import replace

from hopward_mcp.carriage import Carriage
from hopward_mcp.era import Era
from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import HttpSession, HttpSessions
from hopward_mcp.jsonrpc import Message, dump
from hopward_mcp.relay import Relay
from hopward_mcp.results import with_progress
from hopward_mcp.route import Forward
from hopward_mcp.server_end import Carrier
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.visit import Visit
from hopward_mcp.workers import Workers

_log = logging.getLogger(__name__)


class HttpEnd:
    """The way to a server over Streamable HTTP."""

    def __init__(self, gate: Gate, upstream: Upstream) -> None:
        self.sessions = HttpSessions(gate.now, mark=gate.mark)
        self.workers = Workers(gate, upstream)
        self._era = Era(gate, upstream)
        self._gate = gate
        self._upstream = upstream

    @property
    def older(self) -> bool:
        """Whether the server is known not to speak 2026-07-28."""
        return self._era.older

    def session(self, message: Message, held: HttpSession | None, *, modern: bool) -> Session:
        """The caller's session, else one for just this message."""
        if held is not None:
            return held.session
        return Session(self._gate)

    def carrier(self, visit: Visit) -> Carrier:
        """A relay to the server, or what finds out whether that would do."""
        relay = Relay(self._upstream, self.sessions, visit)
        return (
            relay
            if self._era.modern or not visit.modern
            else _Undecided(self._era, self.workers, relay, visit)
        )

    def adopt(self) -> None:
        """Keep to the limits of the gate's guard from now on."""
        self._upstream.max_bytes = self._gate.max_bytes
        self.workers.adopt()

    async def close(self) -> None:
        """End every session and every connection."""
        self.sessions.close_all()
        await self.workers.close()
        self._gate.turn.flush()
        await self._upstream.close()


class _Undecided:
    """Carries a request of 2026-07-28 to a server whose era may be another."""

    def __init__(self, era: Era, workers: Workers, relay: Relay, visit: Visit) -> None:
        self._era = era
        self._workers = workers
        self._relay = relay
        self._visit = visit

    async def notify(self, route: Forward) -> None:
        """In 2026-07-28 nothing is told over HTTP; the server says what it makes of it."""
        await self._relay.notify(route)

    async def call(self, route: Forward, key: int) -> None:
        """Carry a request the way its server takes it."""
        if not await self._is_older():
            await self._relay.call(route, key)
            return
        self._visit.session.share()
        body = with_progress(json.loads(route.body), key)
        await Carriage(self._workers, self._visit).call(replace(route, body=dump(body)), key)

    async def _is_older(self) -> bool:
        try:
            return await self._era.is_older(self._visit.introducer())
        except Exception:  # noqa: BLE001 - per-message boundary: what is wrong, the request itself will meet
            _log.exception("a server could not be asked for its era")
            return False

    async def listen(self) -> None:
        """The era has no such stream."""
        await self._relay.listen()

    async def leave(self, held: HttpSession) -> None:
        """The era has no sessions."""
        await self._relay.leave(held)
