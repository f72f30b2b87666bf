"""One caller's HTTP request on its way through an endpoint."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from hopward import Chain
from hopward_mcp.departure import PATIENCE, Departure
from hopward_mcp.endings import Failure, timed_out
from hopward_mcp.http_sessions import HttpSession
from hopward_mcp.introduction import Introduce, introduction
from hopward_mcp.jsonrpc import Message
from hopward_mcp.pace import UNSEEN, Pace
from hopward_mcp.request import STREAM_TYPE, GoneError, Request
from hopward_mcp.route import Forward, Route, to_nobody
from hopward_mcp.session import Session
from hopward_mcp.sse import KEEP_ALIVE, Event, written

PING = 15.0
"""Seconds of silence on the stream of a call that waits for a person."""


class _Answer:
    """The one route of a message, to be awaited; delivered to nobody once the waiting was given up."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Route] = asyncio.get_running_loop().create_future()

    def deliver(self, route: Route) -> None:
        if not self._future.done():
            self._future.set_result(route)

    async def route(self) -> Route:
        return self._future.result() if self._future.done() else await self._future


class _Late:
    """The route of a caller's message, which may come late: after a person was waited for, and asked.

    `hears` is whether the caller takes an event stream.
    """

    def __init__(self, *, hears: bool) -> None:
        self.hears = hears
        self.over = False
        self.route: Route = None
        self.told: deque[bytes] = deque()
        self._came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, route: Route) -> None:
        if not self.over:
            self.route, self.over = route, True
            self._wake()

    def waits(self) -> None:
        self._wake()

    def tell(self, body: bytes, /) -> None:
        self.told.append(body)
        self._wake()

    async def came(self) -> None:
        """Wait until there is the route, a message to tell, or something else to note."""
        await self._came
        self._noted()

    async def comes(self, seconds: float | None) -> bool:
        """The same, at most so long; whether there is."""
        came, _ = await asyncio.wait([self._came], timeout=seconds)
        if came:
            self._noted()
        return bool(came)

    def _noted(self) -> None:
        if not self.over:
            self._came = asyncio.get_running_loop().create_future()

    def _wake(self) -> None:
        if not self._came.done():
            self._came.set_result(None)


@dataclass(slots=True)
class Visit:
    """A request, who makes it, and the session it belongs to: a held one, or one just for it.

    `token` is the access token that presented the chain.
    """

    request: Request
    chain: Chain
    token: str = field(repr=False)
    session: Session
    held: HttpSession | None
    modern: bool
    pace: Pace = field(default_factory=Pace)

    async def from_client(self, message: Message) -> Route:
        """Where the caller's message goes; raises `GoneError` if the caller goes while a person is waited
        for."""
        answer = _Late(hears=STREAM_TYPE in self.request.headers.get("accept", ""))
        with self.session.gate.around(self.request.headers):
            self.session.client.judge(message, self.chain, answer.deliver, self.token, answer)
        await answer.came()
        if not answer.over:
            await self._waited(answer, message)
        return answer.route

    async def _waited(self, answer: _Late, message: Message) -> None:
        departure = Departure(self.request, PATIENCE)
        try:
            with departure:
                while not answer.over or answer.told:
                    while answer.told:
                        await self.request.stream()
                        await self.request.write(written(Event(), answer.told.popleft()))
                    if not answer.over:
                        await self._next(answer)
        except asyncio.CancelledError:
            self.session.client.leave(message)
            if departure.gone:
                raise GoneError from None
            raise

    async def _next(self, answer: _Late) -> None:
        """Wait for what comes next; on the way to the caller nobody is to think that nothing will."""
        while not await answer.comes(PING if answer.hears else None):
            await self.request.stream()
            await self.request.write(KEEP_ALIVE)

    async def from_server(self, raw: bytes, key: int | None) -> Route:
        """Where the server's message goes; `key` is the request whose answer it may be."""
        answer, began = _Answer(), self.pace.clock()
        self.session.server.judge(raw, answer.deliver, key)
        if key is None or self.is_open(key):
            self.took(self.pace.clock() - began)
        return await answer.route()

    def took(self, seconds: float = 0.0) -> None:
        """Note that something has come which answered nobody, and how long it took."""
        self.pace.charge(seconds + UNSEEN)

    async def fail(
        self, key: int, failure: Failure, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer in the server's place: in JSON, or as the last event of a stream that has begun."""
        answer = _Answer()
        self.session.endings.fail(key, failure, answer.deliver)
        route = await answer.route()
        body = route.body if isinstance(route, Forward) else b""
        if self.request.ended:
            return
        if self.request.started:
            await self.request.write(written(Event(), body) if body else b"", last=True)
        elif body:
            await self.request.answer(status, body, headers)
        else:
            await self.request.answer(202)

    async def introduction(self, method: str) -> Mapping[str, str]:
        """The headers of a request that calls nothing, where the server wants a token on every request.

        Raises `HopwardError` when there is no token to be had.
        """
        return await introduction(self.session.gate, self.chain, method, self.token)

    def introducer(self) -> Introduce:
        """The same for later, when the request is over."""
        return partial(introduction, self.session.gate, self.chain, token=self.token)

    def abandon(self, key: int, failure: Failure) -> None:
        """Record that a request ended without anybody waiting for its answer."""
        self.session.endings.fail(key, failure, to_nobody)

    def expire(self, key: int) -> None:
        """End a request at its time limit, unless its answer comes on another stream of the session."""
        gate, pending = self.session.gate, self.session.requests.get(key)
        if pending is not None:
            when, failure = pending.started + gate.call_timeout, timed_out(gate.call_timeout)
            asyncio.get_running_loop().call_at(when, self.abandon, key, failure)

    def stands(self, key: int | None) -> bool:
        """Whether the caller's chain still counts, and the one that its request carries."""
        return self.session.stands(self.chain, key)

    def lasts(self) -> None:
        """This request is a stream that goes on until somebody ends it; raises `OverError` if none may."""
        self.session.gate.ongoing.lasts()

    def is_open(self, key: int | None) -> bool:
        """Whether a request still waits for its answer."""
        return self.session.requests.get(key) is not None
