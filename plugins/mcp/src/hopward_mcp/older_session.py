"""One session of an older caller over HTTP before a server of 2026-07-28: ours alone, the server has none.

What its client is asked and told about a request goes on that request's own stream; what answers nothing goes
to the session's stream (GET), and waits for it if there is none.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from hopward import Chain
from hopward_mcp.departure import PATIENCE, Departure
from hopward_mcp.gate import Gate
from hopward_mcp.inquiry import CHALLENGE, Inquiry
from hopward_mcp.jsonrpc import Body, Message, MessageId
from hopward_mcp.older_client import OlderClient
from hopward_mcp.older_form import request
from hopward_mcp.ongoing import OverError
from hopward_mcp.outlet import Outlet
from hopward_mcp.parameters import Parameters
from hopward_mcp.request import STREAM_TYPE, Request
from hopward_mcp.route import Forward
from hopward_mcp.sse import Event, written

_log = logging.getLogger(__name__)

_MOST_UNHEARD = 256
"""Messages that wait for the session's stream; the oldest give way."""

Serve: TypeAlias = Callable[[Request, Chain, str], Coroutine[Any, Any, None]]
"""What serves a request of an identified caller; the last is the token that has presented the chain."""

_NOTHING = request(0, "", {})
_NO_HEADERS: Mapping[str, str] = {}


@dataclass(slots=True)
class Shared:
    """What the sessions at one endpoint have in common: `tasks` are what they do meanwhile."""

    gate: Gate
    serve: Serve
    parameters: Parameters = field(default_factory=Parameters)
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])


class _Own:
    """The way of what the session does by itself, in the place of the caller who was there last."""

    def __init__(self, session: "OlderSession", chain: Chain) -> None:
        self.chain = chain
        self.token = ""
        self.headers = _NO_HEADERS
        self.challenge = ""
        self._session = session
        self._listener: Outlet | None = None
        self._unheard: deque[bytes] = deque(maxlen=_MOST_UNHEARD)

    def ask(self, message: Message, /) -> None:
        self._session.ask(message, self)

    def give_up(self, cancelled: Message, /) -> None:
        self._session.give_up(cancelled)

    def tell(self, body: bytes, /) -> None:
        if self._listener is not None:
            self._listener.put(Forward(body, _NOTHING))
        elif len(body) <= self._session.gate.max_bytes:
            self._unheard.append(body)
            while sum(map(len, self._unheard)) > self._session.gate.max_bytes:
                self._unheard.popleft()

    def answer(self, body: bytes | None, /) -> None:
        """The session asks nothing whose answer the client gets."""

    def listen(self, outlet: Outlet) -> None:
        """Make this the session's stream, in place of an earlier one."""
        self.close()
        self._listener = outlet
        while self._unheard:
            outlet.put(Forward(self._unheard.popleft(), _NOTHING))

    def unlisten(self, outlet: Outlet) -> None:
        """The stream has ended; what it did not bring waits for the next."""
        if self._listener is outlet:
            self._listener = None
        for route in outlet.rest():
            self.tell(route.body)

    def close(self) -> None:
        """End the session's stream."""
        if self._listener is not None:
            self._listener.end()
            self._listener = None


class _Post:
    """The way of one request of the client's: its own stream, as long as the caller takes one."""

    def __init__(self, session: "OlderSession", caller: Request, chain: Chain, token: str) -> None:
        self.chain = chain
        self.token = token
        self.headers = caller.headers
        self.challenge = ""
        self.outlet = session.outlet(open=STREAM_TYPE in caller.headers.get("accept", ""))
        self._session = session

    def ask(self, message: Message, /) -> None:
        self._session.ask(message, self)

    def give_up(self, cancelled: Message, /) -> None:
        self._session.give_up(cancelled)

    def tell(self, body: bytes, /) -> None:
        if self.outlet.open:
            self.outlet.put(Forward(body, _NOTHING))
        else:
            self._session.own.tell(body)

    def answer(self, body: bytes | None, /) -> None:
        if body is None:
            self.outlet.end()
        else:
            self.outlet.put(Forward(body, _NOTHING), last=True)

    async def pour(self, caller: Request, unattended: Callable[[], None]) -> None:
        """Answer the caller: in JSON, or as an event stream once anything comes before the answer."""
        # In this era a caller that leaves has not given up, but it cannot be asked any more.
        with Departure(caller, PATIENCE, partial(self._departed, unattended)) as departure:
            while (found := await self.outlet.next()) is not None:
                route, last = found
                if last:
                    departure.ignore()
                if last and not caller.started:
                    await self._whole(caller, route.body)
                else:
                    await caller.stream()
                    await caller.write(written(Event(), route.body), last=last)
                if last:
                    return
        if caller.started:
            await caller.write(b"", last=True)
        else:
            await caller.answer(202)

    async def _whole(self, caller: Request, body: bytes) -> None:
        if self.challenge:
            await caller.answer(403, body, {CHALLENGE: self.challenge})
        else:
            await caller.answer(200, body)

    def _departed(self, unattended: Callable[[], None]) -> None:
        self.outlet.open = False
        unattended()


class OlderSession:
    """The session and its bridge, `client`; made of what the server has answered to `discovery`."""

    def __init__(self, shared: Shared, chain: Chain, opening: Message, discovered: Body) -> None:
        self.gate = shared.gate
        self.own = _Own(self, chain)
        self.client = OlderClient(shared.gate, opening, discovered, self.own)
        self._shared = shared
        self._inquiries: dict[MessageId, Inquiry] = {}
        self._full: set[Outlet] = set()
        self._room = asyncio.Event()
        self._room.set()

    async def post(self, caller: Request, message: Message, chain: Chain, token: str) -> None:
        """Serve one message of the client."""
        self._here(caller, chain, token)
        if message.id is None or message.kind != "request":
            self.client.from_client(message, self.own)
            await caller.answer(202)
            return
        way = _Post(self, caller, chain, token)
        self.client.from_client(message, way)
        try:
            await way.pour(caller, partial(self.client.unattended, message.id))
        except BaseException:
            self.client.give_up(message.id)
            raise
        finally:
            self._drained(way.outlet)

    async def listen(self, caller: Request, chain: Chain, token: str) -> None:
        """Open the session's stream (GET), until either side leaves or the chain has fallen."""
        self._here(caller, chain, token)
        try:
            self.gate.ongoing.lasts()
        except OverError:
            await caller.answer(503)
            return
        outlet = self.outlet(open=True)
        departure = Departure(caller, PATIENCE)
        try:
            with departure:
                await caller.stream()
                self.own.listen(outlet)
                self.client.attend()
                while (found := await outlet.next()) is not None and self.gate.stands(chain):
                    await caller.write(written(Event(), found[0].body))
                departure.ignore()
                await caller.write(b"", last=True)
        except asyncio.CancelledError:
            if not departure.gone:
                raise
        finally:
            self.own.unlisten(outlet)
            self._drained(outlet)

    def close(self) -> None:
        """End the session: what is under way is given up."""
        self.client.close()
        self.own.close()

    def outlet(self, *, open: bool) -> Outlet:
        """An outlet that lets the session's inquiries wait while too much does in it."""
        return Outlet(self._behind, open=open)

    # What the ways ask.

    def ask(self, message: Message, way: "_Own | _Post") -> None:
        """Have a message served in the caller's place."""
        if message.kind == "response":
            # A request of the server's, which 2026-07-28 does not know, gets no answer over HTTP either.
            return
        inquiry = Inquiry(message, partial(self._came, way), self.gate.max_bytes)
        if message.id is not None:
            self._inquiries[message.id] = inquiry
        task = asyncio.get_running_loop().create_task(self._inquire(inquiry, way))
        self._shared.tasks.add(task)
        task.add_done_callback(self._shared.tasks.discard)

    def give_up(self, cancelled: Message) -> None:
        """Leave a request that was asked."""
        inquiry = self._inquiries.get(cancelled.params["requestId"])
        if inquiry is not None:
            inquiry.leave()

    async def _inquire(self, inquiry: Inquiry, way: "_Own | _Post") -> None:
        message = inquiry.message
        more = self._shared.parameters.headers(message) if message.method == "tools/call" else {}
        try:
            await self._shared.serve(inquiry.request(way.headers, more), way.chain, way.token)
        except Exception:  # noqa: BLE001 - per-message boundary: it ends, and the client is told so
            _log.exception("a request could not be made in an older caller's place")
        finally:
            if message.id is not None and self._inquiries.get(message.id) is inquiry:
                del self._inquiries[message.id]
        if not (inquiry.answered or inquiry.left):
            self.client.unanswered(message.id)

    async def _came(self, way: "_Own | _Post", inquiry: Inquiry, body: bytes) -> None:
        if inquiry.message.method == "tools/list":
            self._shared.parameters.learn(json.loads(body).get("result", {}))
        way.challenge = inquiry.challenge
        if self.client.from_server(body, way):
            inquiry.answered = True
        await self._room.wait()

    def _here(self, caller: Request, chain: Chain, token: str) -> None:
        """Who the session asks as from now on."""
        self.own.chain, self.own.token, self.own.headers = chain, token, caller.headers

    def _behind(self, outlet: Outlet, full: bool) -> None:
        (self._full.add if full else self._full.discard)(outlet)
        if self._full:
            self._room.clear()
        else:
            self._room.set()

    def _drained(self, outlet: Outlet) -> None:
        self._behind(outlet, False)
