"""A stdio client of 2026-07-28 before a server over HTTP that may be of an older era."""

import asyncio
from collections.abc import Callable
from functools import partial

from hopward import Chain
from hopward_mcp.endings import FALLEN, Failure, given_up, lost
from hopward_mcp.era import Era
from hopward_mcp.gate import Gate
from hopward_mcp.introduction import introduction
from hopward_mcp.jsonrpc import too_large
from hopward_mcp.lines import Overlong
from hopward_mcp.methods import ENDLESS, LISTEN
from hopward_mcp.older_server import OlderServer
from hopward_mcp.route import Deliver, Forward, Route
from hopward_mcp.seam import Seam, watched
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.upstream_session import Receiver, UpstreamSession


class Presented:
    """The way to the server where it is an older one. `deliver` gets what goes to the client or back to the
    server, `gone` how the server has ended its session."""

    def __init__(
        self,
        session: Session,
        chain: Chain,
        upstream: Upstream,
        deliver: Deliver,
        gone: Callable[[str], None],
    ) -> None:
        self.used = False
        gate: Gate = session.gate
        self._session = session
        self._chain = chain
        self._deliver = deliver
        self._introduce = partial(introduction, gate, chain)
        self._era = Era(gate, upstream)
        receiver = Receiver(self._heard, self._unanswered, gone)
        self._way = UpstreamSession(gate, upstream, self._introduce, receiver)
        seam = Seam(
            down=self._way.send,
            reply=lambda body: self._way.send(body, {}),
            up=self._up,
            pending=session.requests.get,
            refuse=lambda fault: gate.turn_away(fault, None),
            lost=self._lost,
        )
        self._older = OlderServer(gate, seam, stand_aside=_nothing)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def needed(self) -> bool:
        """Whether the server is an older one."""
        return self.used or await self._era.is_older(self._introduce)

    async def call(self, route: Forward, key: int) -> None:
        """Carry a request, until its answer has gone to the client."""
        pending = self._session.requests.get(key)
        if pending is None:
            return
        if not self.used:
            self.used = True
            self._older.begin(route.message.params, pending, known_older=True)
        answered = self._waiting[key] = asyncio.get_running_loop().create_future()
        try:
            headers = route.headers
            if not (headers or route.message.method == LISTEN):
                # A listen is nothing here but what each of its subscriptions is.
                headers = await self._introduce(route.message.method)
            self._older.send(route.body, headers)
            await answered
        finally:
            del self._waiting[key]

    def tell(self, body: bytes) -> None:
        """Take a notification of the client."""
        self._older.send(body, {})

    def give_up(self, key: int, reason: str) -> None:
        """Nobody waits for an answer any more."""
        if self.used:
            self.tell(given_up(key, reason))

    async def end(self, why: str) -> None:
        """End the session at the server."""
        self._older.end(why)
        await self._way.end(patient=True)

    def _heard(self, raw: bytes, on: int | None) -> None:
        self._older.hear(raw, on)

    def _unanswered(self, key: int, failure: Failure) -> None:
        self._older.lost(key, failure)

    def _lost(self, key: int, failure: Failure) -> None:
        self._session.endings.fail(key, failure, self._over)

    def _up(self, line: bytes | Overlong, refused: Callable[[], None] | None) -> None:
        if isinstance(line, Overlong):
            self._session.gate.turn_away(too_large(self._session.gate.max_bytes), None)
        else:
            self._session.server.judge(line, watched(self._over, refused))

    def _over(self, route: Route) -> None:
        """Deliver what has been judged, and let go of the requests that it ends."""
        if isinstance(route, Forward) and route.message.kind == "notification" and not self._stands():
            return
        self._deliver(route)
        for key, answered in self._waiting.items():
            if self._session.requests.get(key) is None and not answered.done():
                answered.set_result(None)

    def _stands(self) -> bool:
        """Whether the client may still be told what answers nothing; its subscriptions end if not."""
        if self._session.stands(self._chain, None):
            return True
        for key, pending in self._session.requests.items():
            if pending.message.method in ENDLESS:
                self.give_up(key, FALLEN)
                self._session.endings.fail(key, lost(FALLEN), self._over)
        return False


def _nothing() -> None:
    """Its era has been asked before."""
