"""The stdio proxy: newline-delimited JSON-RPC between our own stdin and stdout and a server's process.

A pump of callbacks over asyncio pipes, without a task or a thread per message: a line is read, judged, and
written on in one piece. When one side takes no more, the other side is not read. When the server's process
ends, what is under way is answered as lost, and what arrives is refused until another one runs (upkeep).
"""

import asyncio
import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from hopward import Chain
from hopward_mcp.caller import Piped
from hopward_mcp.carried import NOBODY
from hopward_mcp.child import Command
from hopward_mcp.client_end import ClientEnd
from hopward_mcp.endings import FALLEN, TOO_LATE, WITHDRAWN, given_up, lost, oversized, withdrawn
from hopward_mcp.footing import Footing
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Body, Message, dump, too_large
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.methods import SUBSCRIPTION_KEY, is_modern
from hopward_mcp.pending import Pending
from hopward_mcp.recollection import INITIALIZED, Recollection
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.seam import watched
from hopward_mcp.session import Session
from hopward_mcp.upkeep import Upkeep
from hopward_mcp.watch import Why

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from hopward_mcp.older_server import OlderServer

_DRAIN = 5.0
"""Seconds that requests under way have to be answered after the client has closed our stdin."""

_FLUSH = 1.0
"""Seconds the client has to take the last answers."""

_OF_A_CALL = frozenset({"notifications/progress", "notifications/cancelled"})
"""Notifications that are of a request under way, which was authorized."""


class Pump:
    """One stdio session: one client, one chain, one process of the server at a time."""

    def __init__(self, gate: Gate, chain: Chain) -> None:
        self._gate = gate
        self._chain = chain
        self._recollection = Recollection()
        self._session = Session(gate, on_answer=self._heard)
        self._session.heard(chain)
        self._from_client = Lines(gate.max_bytes)
        self._client = ClientEnd(
            on_data=self._client_data, on_end=self._client_ended, on_lost=self.stop, on_full=self._client_full
        )
        self._server = Upkeep(self._session, chain, self._recollection, self)
        self._older: OlderServer | None = None
        self._met = False
        self._footing = Footing(gate, chain, self._judge, self.tell)
        self._caller = Piped(self.tell)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._stopped = asyncio.Event()
        self._idle = asyncio.Event()
        self._finished = False
        self._how = ""

    def stop(self) -> None:
        """End the session now: requests under way are answered as lost."""
        self._stopped.set()
        self._idle.set()
        self._ended.set()

    async def run(self, command: Command, source: BinaryIO, sink: BinaryIO) -> str:
        """Serve until the client leaves, this task is cancelled, or the server has ended for good.

        Returns how the server ended if it ended by itself, else an empty text. Raises `ConfigError` when the
        server cannot be started.
        """
        await self._server.start(command)
        keeping = self._loop.create_task(self._server.keep(command))
        keeping.add_done_callback(self._over)
        try:
            await self._client.open(source, sink)
            await self._ended.wait()
        except asyncio.CancelledError:
            self.stop()
        unasked = self._how
        self._server.leave()
        if not unasked:
            await self._drain()
        keeping.cancel()
        await asyncio.wait([keeping])
        await self._server.end(patient=not (unasked or self._stopped.is_set()))
        self._finish(f"The server {self._how or 'was stopped'}.")
        await self._client.close(_FLUSH)
        return unasked

    async def _drain(self) -> None:
        """After the client's last message: let what is under way be answered."""
        if not self._server.up:
            return
        self._check_idle()
        try:
            await asyncio.wait_for(self._idle.wait(), _DRAIN)
        except TimeoutError:
            return
        self._gate.turn.flush()

    def _finish(self, sentence: str) -> None:
        """Answer for the server, which is gone, and take no message any more."""
        self._finished = True
        if self._timer is not None:
            self._timer.cancel()
        self._gate.turn.flush()
        self._leave_older(sentence)
        self._session.endings.fail_all(lost(sentence), self._to_client)
        self._gate.turn.flush()

    # From the client.

    def _client_data(self, data: bytes) -> None:
        for line in self._from_client.feed(data):
            self._client_line(line)

    def _client_line(self, line: bytes | Overlong) -> None:
        if not self._finished:
            self._footing.hear(line)

    def _judge(self, message: Message) -> None:
        if message.kind == "request" and not self._server.up:
            self.send(self._gate.turn_away(self._server.refusal(message.id), self._chain))
        else:
            self._session.client.judge(message, self._chain, self.send, caller=self._caller)

    def send(self, route: Route) -> None:
        """Send on what the client has said, or answer it."""
        if isinstance(route, Forward):
            if route.key is None:
                self._notify(route)
            else:
                if not self._met:
                    self._meet(route, route.key)
                self._write(route.body)
                self._gate.watch.begin(route.key, self._session.requests, self._withdrawn)
                if self._timer is None:
                    self._timer = self._loop.call_later(self._gate.call_timeout, self._expire)
        elif isinstance(route, Reply):
            self._footing.to_client(route.body)
        self._check_idle()

    def _notify(self, route: Forward) -> None:
        if route.message.method == INITIALIZED:
            self._recollection.initialized = route.body
        if self._server.up:
            self._write(route.body)

    def _write(self, body: bytes) -> None:
        if self._older is None:
            self._server.write(body)
        else:
            self._older.send(body, {})

    def _meet(self, route: Forward, key: int) -> None:
        """The client's first request tells its era; where that is the newer one, the server may be older."""
        self._met = True
        pending = self._session.requests.get(key)
        if pending is None or not is_modern(route.message):
            return
        module = importlib.import_module("hopward_mcp.older_server")
        older: OlderServer = module.of_session(
            self._gate, self._session.requests, self._server.write, self._server_line, self._stand_aside
        )
        self._older = older
        older.begin(route.message.params, pending)

    def _stand_aside(self) -> None:
        """The server speaks the client's era."""
        self._older = None

    def _leave_older(self, why: str) -> None:
        """A new process of an older server is met anew."""
        if self._older is not None:
            older, self._older, self._met = self._older, None, False
            older.end(why)

    def _client_ended(self) -> None:
        for line in self._from_client.end():
            self._client_line(line)
        self._footing.leave()
        self._gate.waiting.end()
        # Behind the turn in which the last messages are decided.
        self._loop.call_soon(self._ended.set)

    # From the server.

    def line(self, line: bytes | Overlong) -> None:
        """Judge what the server has written, put into the client's era if that is another."""
        if self._older is None:
            self._server_line(line)
        else:
            self._older.hear(line)

    def _server_line(self, line: bytes | Overlong, refused: Callable[[], None] | None = None) -> None:
        if isinstance(line, Overlong):
            self._gate.turn_away(too_large(self._gate.max_bytes), None)
            self._session.endings.fail(line.answered, oversized(self._gate.max_bytes), self._to_client)
        else:
            self._session.server.judge(line, watched(self._from_server_to, refused))

    def gone(self, how: str) -> None:
        """Answer for the process that has ended, and take back what it has asked."""
        self._leave_older(f"the server {how}")
        asked = self._session.asked.forwarded()
        self._session.endings.fail_all(lost(f"The server {how}."), self._to_client)
        for key in asked:
            params = {"requestId": key, "reason": f"The server {how}."}
            self.tell(dump({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))

    def full(self, full: bool) -> None:
        """Read the client no faster than the server does."""
        self._client.hold(full)

    def tell(self, body: bytes) -> None:
        """Write a message to the client."""
        self._client.write(body + b"\n")

    def _from_server_to(self, route: Route) -> None:
        if isinstance(route, Reply):
            self._server.write(route.body)
        elif route is None or route.message.kind != "notification" or self._may_pass(route.message):
            self._to_client(route)

    def _may_pass(self, message: Message) -> bool:
        """Whether a notification belongs to a call, or what it stands on still counts."""
        if message.method in _OF_A_CALL:
            return True
        key: Any = cast("Body", message.params.get("_meta", {})).get(SUBSCRIPTION_KEY)
        stream = self._session.requests.get(key)
        chain = self._recollection.subscriber(message.params.get("uri")) if stream is None else stream.chain
        chains = {id(one): one for one in (self._chain, chain) if one not in (None, NOBODY)}
        if all(self._gate.stands(one) for one in chains.values()):
            return True
        if stream is not None:
            self._give_up(key, stream, FALLEN)
            self._session.endings.fail(key, lost(FALLEN), self._to_client)
        return False

    def _to_client(self, route: Route) -> None:
        if isinstance(route, Forward):
            self._footing.to_client(route.body)
        self._check_idle()

    def _client_full(self, full: bool) -> None:
        self._server.hold(full)

    def _heard(self, pending: Pending, answer: Message) -> None:
        self._recollection.hear(pending, answer)
        if pending.message.method != "initialize":
            self._server.serves()

    def _over(self, keeping: asyncio.Task[str]) -> None:
        """The server has ended for good."""
        if keeping.cancelled():
            return
        failure = keeping.exception()
        if failure is not None:
            _log.error("the server could not be kept running", exc_info=failure)
        self._how = keeping.result() if failure is None else "could not be kept running"
        self._idle.set()
        self._ended.set()

    def _expire(self) -> None:
        again = self._session.endings.expire(self._to_client, self._too_late)
        self._timer = None if again is None else self._loop.call_at(again, self._expire)

    def _too_late(self, key: int, pending: Pending) -> None:
        self._give_up(key, pending, TOO_LATE)

    def _withdrawn(self, key: int, pending: Pending, why: Why) -> None:
        self._give_up(key, pending, WITHDRAWN)
        self._session.endings.fail(key, withdrawn(pending, why), self._to_client)

    def _give_up(self, key: int, pending: Pending, reason: str) -> None:
        """Tell the server that nobody waits for an answer; `initialize` must not be cancelled."""
        if pending.forwarded and pending.message.method != "initialize":
            self._write(given_up(key, reason))

    def _check_idle(self) -> None:
        if self._ended.is_set() and not self._session.requests.awaited():
            self._idle.set()
