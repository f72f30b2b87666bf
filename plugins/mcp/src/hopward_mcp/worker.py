"""One process of a server with `command`, as callers over HTTP use it: whose is each message it sends?

It belongs to one principal. In the older era also to one session: what answers nothing goes to the stream
of the only request under way, else to the session's own stream, else waits for the next. In the era
2026-07-28, which has no sessions, it serves all requests of its principal side by side, each judged in a
session of its own; over stdio only progress and subscriptions say what they belong to.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from hopward_mcp.child import Child, Command
from hopward_mcp.endings import MALFORMED, Failure, given_up, lost, oversized
from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import HttpSession, Principal
from hopward_mcp.introduction import Introduce
from hopward_mcp.jsonrpc import METHOD_NOT_FOUND, REFUSED, TOO_LARGE, Body, Message, MessageError, too_large
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.methods import LOG_LEVEL_KEY, SUBSCRIPTION_KEY
from hopward_mcp.older_server import OlderServer
from hopward_mcp.outlet import Outlet
from hopward_mcp.pace import UNSEEN, Pace
from hopward_mcp.pending import Pending
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.seam import Seam, watched
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.upstream_session import Receiver, UpstreamSession

_log = logging.getLogger(__name__)

_MOST = 1_024
"""Requests that may be under way in one process, messages that may wait for a stream, and ids of requests
given up that are remembered: their answers may still come."""


@dataclass(slots=True)
class _Entry:
    """A request under way in the process: where it is judged and where its answer goes."""

    pending: Pending
    session: Session
    outlet: Outlet


class Worker:
    """A running process and the requests under way in it.

    `session` is that of the older era, None where requests have sessions of their own; `held` is how its
    caller names it. `on_gone` is called once when the process has ended by itself. `used` is event-loop
    time, `served` whether it has answered anything but `initialize`, `how` in what way it has ended.
    """

    def __init__(
        self, gate: Gate, principal: Principal, session: Session | None, on_gone: Callable[["Worker"], None]
    ) -> None:
        self.principal = principal
        self.held: HttpSession | None = None
        self.used = gate.now()
        self.served = False
        self.how = ""
        self._gate = gate
        self._session = session
        self._on_gone = on_gone
        self._lines = Lines(gate.max_bytes)
        self._read: deque[tuple[bytes | Overlong, int | None]] = deque()
        self.introduce: Introduce = _unintroduced
        self._child = Child(self._data, self._gone, self._stuffed)
        self._way: Child | UpstreamSession = self._child
        self._entries: dict[object, _Entry] = {}
        self._left: deque[object] = deque(maxlen=_MOST)
        self._older: OlderServer | None = None
        self._meeting: asyncio.Future[bool] | None = None
        self._listener: Outlet | None = None
        self._unheard: deque[Forward] = deque()
        self._unheard_size = 0
        self._unread: set[Outlet] = set()
        self._pace = Pace()
        self._resting = False
        self._held = False
        self._takes = asyncio.Event()
        self._takes.set()
        self._started = False
        self._ending = False

    @property
    def alive(self) -> bool:
        """Whether it can be sent anything."""
        return not (self.how or self._ending)

    @property
    def busy(self) -> bool:
        """Whether it is only being started, a request is under way, or a stream open."""
        idle = self._started and self._meeting is None and self._listener is None
        waits = self._older is not None and self._older.waits
        return bool(self._entries) or waits or not idle

    @property
    def older(self) -> bool:
        """Whether the process has been met as one of an older era."""
        return self._older is not None

    async def start(self, reach: Command | Upstream) -> None:
        """Start the process; raises `ConfigError` if that cannot be done.

        At a server over HTTP, a session of an older era takes the place of a process.
        """
        if isinstance(reach, Command):
            await self._child.start(reach)
        else:
            receiver = Receiver(self._came, self._unanswered, self._gone)
            self._way = UpstreamSession(self._gate, reach, lambda method: self.introduce(method), receiver)
        self._started = True

    async def meet(self, first: Pending, *, known_older: bool) -> bool:
        """Find out which era the process speaks, and greet it in that; False if it cannot be spoken to.

        `first` is the request of 2026-07-28 that it is started for.
        """
        self._meeting = asyncio.get_running_loop().create_future()
        seam = Seam(
            down=self.write,
            reply=lambda body: self._reply(Reply(body)),
            up=self._heard,
            pending=self._pending,
            refuse=self._refuse,
            lost=self._lost,
        )
        self._older = OlderServer(self._gate, seam, stand_aside=self._stand_aside, met=self._met)
        self._older.begin(first.message.params, first, known_older=known_older)
        try:
            return await self._meeting
        finally:
            self._meeting = None

    async def ready(self) -> None:
        """Wait until the process takes what it is sent."""
        await self._takes.wait()

    def write(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send one message; dropped when the process is gone."""
        self.used = self._gate.now()
        self._way.send(body, headers or {})

    def carry(
        self, key: int, session: Session, outlet: Outlet, body: bytes, headers: Mapping[str, str]
    ) -> bool:
        """Send a request whose answer goes to `outlet`; False if it can take none."""
        pending = session.requests.get(key)
        if not self.alive or pending is None or len(self._entries) >= _MOST:
            return False
        self._entries[key] = _Entry(pending, session, outlet)
        self._hear(outlet)
        self._send(body, headers)
        return True

    def leave(self, key: int, outlet: Outlet) -> None:
        """Nobody waits for this answer any more."""
        self.used = self._gate.now()
        if self._entries.pop(key, None) is not None:
            self._left.append(key)
        self._unread_by(outlet)

    def cancel(self, key: int, reason: str) -> None:
        """Tell the process that a request has been given up."""
        entry = self._entries.get(key)
        if entry is not None and entry.pending.message.method != "initialize":
            self._send(given_up(key, reason), {})

    def cancelled(self, key: object) -> None:
        """The client has given up a request and been told so by nobody: it ends without an answer."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.outlet.end()

    def listen(self, outlet: Outlet) -> None:
        """Make this the session's own stream, in place of an earlier one."""
        if self._listener is not None:
            self._listener.end()
        self._listener = outlet
        self._hear(outlet)

    def unlisten(self, outlet: Outlet) -> None:
        """The stream has ended; what it did not bring waits for the next."""
        if self._listener is outlet:
            self._listener = None
        for route in outlet.rest():
            self._keep(route)
        self._unread_by(outlet)

    def stop(self, failure: Failure) -> None:
        """Take nothing any more; what is under way is answered in the server's place."""
        self._ending = True
        self._takes.set()
        self._leave_older(failure.sentence)
        self._fail_all(failure)

    async def end(self) -> None:
        """End the process."""
        await self._way.end(patient=not self.how)

    def _send(self, body: bytes, headers: Mapping[str, str]) -> None:
        if self._older is None:
            self.write(body)
        else:
            self.used = self._gate.now()
            self._older.send(body, headers)

    def _pending(self, key: int) -> Pending | None:
        entry = self._entries.get(key)
        return None if entry is None else entry.pending

    def _stand_aside(self) -> None:
        """The process speaks 2026-07-28 itself."""
        self._older = None

    def _met(self, spoken: bool) -> None:
        if self._meeting is not None and not self._meeting.done():
            self._meeting.set_result(spoken)

    def _leave_older(self, why: str) -> None:
        self._met(False)
        if self._older is not None:
            self._older.end(why)

    # From the process.

    def _data(self, data: bytes) -> None:
        began = self._pace.clock()
        self._read.extend((line, None) for line in self._lines.feed(data))
        skipped = UNSEEN if self._lines.skipping else 0.0
        self._rest(self._pace.charge(self._pace.clock() - began + skipped))
        if not self._resting:
            self._work()

    def _came(self, raw: bytes, on: int | None) -> None:
        """A message, on the stream of a request where that is known."""
        self._read.append((raw, on))
        if not self._resting:
            self._work()

    def _unanswered(self, key: int, failure: Failure) -> None:
        if self._older is None:
            self._lost(key, failure)
        else:
            self._older.lost(key, failure)

    def _lost(self, key: int, failure: Failure) -> None:
        """A request gets no answer."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.session.endings.fail(key, failure, partial(_answered, entry.outlet))

    def _work(self) -> None:
        clock = self._pace.clock
        while self._read and not self._resting:
            under_way, began = len(self._entries), clock()
            self._line(*self._read.popleft())
            if len(self._entries) >= under_way:
                self._rest(self._pace.charge(clock() - began))

    def _rest(self, seconds: float) -> None:
        """Do not listen for a while: others want their turn."""
        if seconds and not self._resting:
            self._resting = True
            self._hold()
            asyncio.get_running_loop().call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._hold()
        self._work()

    def _line(self, line: bytes | Overlong, on: int | None = None) -> None:
        if self._older is None:
            self._heard(line)
        else:
            self._older.hear(line, on)

    def _heard(self, line: bytes | Overlong, refused: Callable[[], None] | None = None) -> None:
        if isinstance(line, Overlong):
            self._malformed(too_large(self._gate.max_bytes), line.answered)
            return
        try:
            message = self._gate.read_server(line)
        except MessageError as fault:
            self._malformed(fault, fault.id)
            return
        if message.kind == "response":
            self._response(message, refused)
        elif self._session is None:
            self._of_nobody(message)
        else:
            self._of_session(message, self._session)

    def _malformed(self, fault: MessageError, key: object) -> None:
        self._refuse(fault)
        entry = self._entries.pop(key, None)
        if entry is not None:
            ended = oversized(self._gate.max_bytes) if fault.reason == TOO_LARGE else MALFORMED
            entry.session.endings.fail(key, ended, partial(_answered, entry.outlet))

    def _response(self, message: Message, refused: Callable[[], None] | None) -> None:
        entry = self._entries.pop(message.id, None)
        if entry is not None:
            self.served = self.served or entry.pending.message.method != "initialize"
            deliver = watched(partial(_answered, entry.outlet), refused)
            entry.session.server.judge_read(message, deliver)
        elif message.id in self._left:
            self._left.remove(message.id)
        else:
            sentence = "The server answers no forwarded request."
            self._refuse(MessageError(REFUSED, "unasked_answer", sentence))

    def _of_nobody(self, message: Message) -> None:
        """A message of the era without sessions: of a request under way, or nobody's."""
        if message.kind == "request":
            sentence = "The server may not send this request to the client."
            fault = MessageError(METHOD_NOT_FOUND, "server_request", sentence, message.id)
            self._reply(self._refuse(fault))
            return
        entry = self._entries.get(_mentioned(message)) or self._logging(message)
        if entry is not None:
            entry.session.server.judge_read(message, partial(self._pass, entry.outlet))

    def _logging(self, message: Message) -> _Entry | None:
        """The oldest request that asked for log messages: they do not say what they belong to."""
        if message.method != "notifications/message":
            return None
        return next((one for one in self._entries.values() if LOG_LEVEL_KEY in _meta(one)), None)

    def _of_session(self, message: Message, session: Session) -> None:
        if message.kind == "request" and self._is_deaf(len(self._unheard)):
            fault = MessageError(REFUSED, "too_many", "The client takes no requests.", message.id)
            self._reply(self._refuse(fault))
            return
        session.server.judge_read(message, partial(self._pass, self._stream(message)))

    def _pass(self, outlet: Outlet | None, route: Route) -> None:
        if not isinstance(route, Forward):
            if route is not None:
                self._reply(route)
        elif outlet is None:
            self._keep(route)
        else:
            outlet.put(route)

    def _refuse(self, fault: MessageError) -> Reply:
        return self._gate.turn_away(fault, None)

    def _reply(self, reply: Reply) -> None:
        """Answer the process itself, unless it does not even take what it is sent."""
        if self._takes.is_set():
            self._way.send(reply.body, {})

    def _stream(self, message: Message) -> Outlet | None:
        """The stream on which a message of the session goes, if one is open."""
        reached = [entry for entry in self._entries.values() if entry.outlet.open]
        if message.method == "notifications/progress":
            token = message.params.get("progressToken")
            owner = next((one for one in reached if _meta(one).get("progressToken") == token), None)
            if owner is not None:
                return owner.outlet
        if len(reached) == 1 or (reached and self._listener is None):
            return reached[0].outlet
        return self._listener

    def _keep(self, route: Forward) -> None:
        """Have a message wait for a stream; the oldest give way, but not requests: they want an answer."""
        self._unheard.append(route)
        self._unheard_size += len(route.body)
        while self._is_deaf(len(self._unheard) - 1):
            given_way = next((one for one in self._unheard if one.message.kind == "notification"), None)
            if given_way is None:
                return
            self._unheard.remove(given_way)
            self._unheard_size -= len(given_way.body)

    def _is_deaf(self, waiting: int) -> bool:
        """Whether so many messages, or all there are, are too much to wait for a stream."""
        return waiting >= _MOST or self._unheard_size > self._gate.max_bytes

    def _hear(self, outlet: Outlet) -> None:
        if outlet.open:
            unheard, self._unheard, self._unheard_size = self._unheard, deque(), 0
            for route in unheard:
                outlet.put(route)

    def _gone(self, how: str) -> None:
        for line, on in (*self._read, *((line, None) for line in self._lines.end())):
            self._line(line, on)
        self._read.clear()
        self.how = how
        self._takes.set()
        self._leave_older(f"the server {how}")
        self._fail_all(lost(f"The server {how}."))
        if not self._ending:
            _log.warning("%s: a process of the server %s", self._gate.server, how)
            self._on_gone(self)

    def _fail_all(self, failure: Failure) -> None:
        entries, self._entries = self._entries, {}
        for key, entry in entries.items():
            entry.session.endings.fail(key, failure, partial(_answered, entry.outlet))
        if self._listener is not None:
            self._listener.end()

    def _stuffed(self, full: bool) -> None:
        if full:
            self._takes.clear()
        else:
            self._takes.set()

    # Towards the callers.

    def outlet(self, *, open: bool) -> Outlet:
        """An outlet that stops the process while too much waits in it."""
        return Outlet(self._behind, open=open)

    def _behind(self, outlet: Outlet, full: bool) -> None:
        (self._unread.add if full else self._unread.discard)(outlet)
        self._hold()

    def _hold(self) -> None:
        held = self._resting or bool(self._unread)
        if held is not self._held:
            self._held = held
            self._way.hold(held)

    def _unread_by(self, outlet: Outlet) -> None:
        if outlet in self._unread:
            self._behind(outlet, False)


async def _unintroduced(_method: str) -> Mapping[str, str]:
    return {}


def _answered(outlet: Outlet, route: Route) -> None:
    if isinstance(route, Forward):
        outlet.put(route, last=True)
    else:
        outlet.end()


def _meta(entry: _Entry) -> Body:
    return entry.pending.message.params.get("_meta", {})


def _mentioned(message: Message) -> Any:
    """The id of ours that a notification of the era without sessions belongs to."""
    if message.method == "notifications/progress":
        found = message.params.get("progressToken")
    elif message.method == "notifications/cancelled":
        found = message.params.get("requestId")
    else:
        found = cast("Body", message.params.get("_meta", {})).get(SUBSCRIPTION_KEY)
    return found if isinstance(found, int) else None
