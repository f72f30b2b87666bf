"""The stdio proxy: newline-delimited JSON-RPC between our own stdin and stdout and a server's process.

A pump of callbacks over asyncio pipes, without a task or a thread per message: a line is read, judged, and
written on in one piece. When one side takes no more, the other side is not read.
"""

import asyncio
from typing import BinaryIO

from hopward import Chain
from hopward_mcp.child import Child, Command
from hopward_mcp.client_end import ClientEnd
from hopward_mcp.endings import MALFORMED, lost
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import MessageError, too_large
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.session import Session

_DRAIN = 5.0
"""Seconds that requests under way have to be answered after the client has closed our stdin."""

_FLUSH = 1.0
"""Seconds the client has to take the last answers."""


class Pump:
    """One stdio session: one client, one process of the server, one chain."""

    def __init__(self, gate: Gate, chain: Chain) -> None:
        self._gate = gate
        self._chain = chain
        self._session = Session(gate)
        self._session.heard(chain)
        self._from_client = Lines(gate.max_bytes)
        self._from_server = Lines(gate.max_bytes)
        self._client = ClientEnd(
            on_data=self._client_data, on_end=self._client_ended, on_lost=self.stop, on_full=self._client_full
        )
        self._child = Child(self._server_data, self._server_gone, self._client.hold)
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
        """Serve until the client leaves, this task is cancelled, or the server is gone.

        Returns how the server ended if it ended by itself, else an empty text. Raises `ConfigError` when the
        server cannot be started.
        """
        await self._child.start(command)
        try:
            await self._client.open(source, sink)
            await self._ended.wait()
        except asyncio.CancelledError:
            self.stop()
        unasked = self._how
        if not unasked:
            await self._drain()
        await self._child.end(patient=not (unasked or self._stopped.is_set()))
        self._finish(f"The server {self._how or 'was stopped'}.")
        await self._client.close(_FLUSH)
        return unasked

    async def _drain(self) -> None:
        """After the client's last message: let what is under way be answered."""
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
        self._session.endings.fail_all(lost(sentence), self._to_client)
        self._gate.turn.flush()

    # From the client.

    def _client_data(self, data: bytes) -> None:
        for line in self._from_client.feed(data):
            self._client_line(line)

    def _client_line(self, line: bytes | Overlong) -> None:
        if self._finished:
            return
        try:
            if isinstance(line, Overlong):
                raise too_large(self._gate.max_bytes)
            message = self._gate.read_client(line)
        except MessageError as fault:
            self._client.write(self._gate.turn_away(fault, self._chain).body + b"\n")
            return
        self._session.client.judge(message, self._chain, self._from_client_to)

    def _from_client_to(self, route: Route) -> None:
        if isinstance(route, Forward):
            self._child.write(route.body + b"\n")
            if route.key is not None and self._timer is None:
                self._timer = self._loop.call_later(self._gate.call_timeout, self._expire)
        elif isinstance(route, Reply):
            self._client.write(route.body + b"\n")
        self._check_idle()

    def _client_ended(self) -> None:
        for line in self._from_client.end():
            self._client_line(line)
        # Behind the turn in which the last messages are decided.
        self._loop.call_soon(self._ended.set)

    # From the server.

    def _server_data(self, data: bytes) -> None:
        for line in self._from_server.feed(data):
            if isinstance(line, Overlong):
                self._gate.turn_away(too_large(self._gate.max_bytes), None)
                self._session.endings.fail(line.answered, MALFORMED, self._to_client)
            else:
                self._session.server.judge(line, self._from_server_to)

    def _from_server_to(self, route: Route) -> None:
        if isinstance(route, Reply):
            self._child.write(route.body + b"\n")
        else:
            self._to_client(route)

    def _to_client(self, route: Route) -> None:
        if isinstance(route, Forward):
            self._client.write(route.body + b"\n")
        self._check_idle()

    def _client_full(self, full: bool) -> None:
        self._child.hold(full)

    def _server_gone(self, how: str) -> None:
        self._how = how
        for line in self._from_server.end():
            if not isinstance(line, Overlong):
                self._session.server.judge(line, self._from_server_to)
        self._idle.set()
        self._ended.set()

    def _expire(self) -> None:
        again = self._session.endings.expire(self._to_client)
        self._timer = None if again is None else self._loop.call_at(again, self._expire)

    def _check_idle(self) -> None:
        if self._ended.is_set() and not len(self._session.requests):
            self._idle.set()
