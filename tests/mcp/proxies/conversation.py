"""A session in memory: what is said to it, and what comes out at either end, message by message."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from hopward import Chain, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.delivery import courier
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import MessageError
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.session import Session
from hopward_mcp.turn import Turn


class Conversation:
    """`to_client` and `to_server` are what has come out so far, parsed; `headers` go with the
    client's messages to the server; `came` is set with each message."""

    def __init__(
        self,
        guard: Guard,
        server: str = "desk",
        authority: Authority | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.guard = guard
        self.turn = Turn(guard, asyncio.get_running_loop())
        attached = courier(guard.settings, server, environment or {})
        self.gate = Gate(guard, server, courier=attached, turn=self.turn, authority=authority)
        self.came = asyncio.Event()
        self.session = Session(self.gate)
        self.task = guard.open_task("tickets", "alice")
        self.chain: Chain = guard.enter(self.task.id)
        self.session.heard(self.chain)
        self.to_client: list[dict[str, Any]] = []
        self.to_server: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def client_says(self, message: dict[str, Any] | bytes) -> None:
        """One message of the client; the turn it would be decided in ends before this returns."""
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            parsed = self.gate.read_client(raw)
        except MessageError as fault:
            self.to_client.append(json.loads(self.gate.turn_away(fault, self.chain).body))
            return
        self.session.client.judge(parsed, self.chain, self.from_client)
        self.turn.flush()

    def call(self, name: str, arguments: Any = None, message_id: Any = 1, **params: Any) -> None:
        """A tools/call."""
        params = {"name": name, "arguments": {} if arguments is None else arguments, **params}
        self.client_says({"id": message_id, "method": "tools/call", "params": params})

    def server_says(self, message: dict[str, Any] | bytes) -> None:
        """One message of the server."""
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.session.server.judge(raw, self._from_server)
        self.turn.flush()
        # The outcome of an answer that asks for something, after the decisions about what it asks for.
        self.turn.flush()

    def server_answers(self, result: dict[str, Any]) -> None:
        """The result of the last request the server received."""
        self.server_says({"id": self.to_server[-1]["id"], "result": result})

    def from_endings(self, route: Route) -> None:
        """What is answered in the server's place."""
        if route is not None:
            self.to_client.append(json.loads(route.body))

    async def comes(self) -> None:
        """Wait for the next message at either end, and what it leaves in the log."""
        await self.came.wait()
        self.came.clear()
        self.turn.flush()

    def from_client(self, route: Route) -> None:
        """Where a message of the client goes."""
        self.came.set()
        if isinstance(route, Forward):
            self.to_server.append(json.loads(route.body))
            self.headers.append(dict(route.headers))
        elif isinstance(route, Reply):
            self.to_client.append(json.loads(route.body))

    def _from_server(self, route: Route) -> None:
        if isinstance(route, Forward):
            self.to_client.append(json.loads(route.body))
        elif isinstance(route, Reply):
            self.to_server.append(json.loads(route.body))
