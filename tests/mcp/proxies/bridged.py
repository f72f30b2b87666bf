"""A client of the older era, an era bridge and a server of 2026-07-28, in memory."""

import json
from typing import Any

from hopward import Chain, Guard
from hopward_mcp.footing import Footing
from hopward_mcp.jsonrpc import Message, MessageError
from hopward_mcp.route import Forward, Reply, Route

from .conversation import Conversation

LISTENS = {"tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": False}}
OFFER = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {**LISTENS, "extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {}}},
    "instructions": "Be brief.",
    "vendor": {"kept": True},
    "ttlMs": 1,
    "cacheScope": "public",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "7"}},
}
NOT_MINE = {"code": -32022, "message": "2026-07-28 only"}


class Bridged(Conversation):
    """Between them stands what stands between a stdio client and its server."""

    def __init__(self, guard: Guard, chain: Chain | None = None) -> None:
        super().__init__(guard)
        self.chain = chain or self.chain
        self.footing = Footing(self.gate, self.chain, self._judge, self._to_client)

    def client_says(self, message: dict[str, Any] | bytes) -> None:
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        try:
            parsed = self.gate.read_client(raw)
        except MessageError as fault:
            self._to_client(self.gate.turn_away(fault, self.chain).body)
            return
        self.footing.from_client(parsed)
        self.turn.flush()

    def server_says(self, message: dict[str, Any] | bytes) -> None:
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.session.server.judge(raw, self._from_the_server)
        self.turn.flush()
        # What an answer has set off is judged in the next turn.
        self.turn.flush()

    def greet(self, version: str = "2025-11-25", **capabilities: Any) -> dict[str, Any]:
        """Open the session; the answer to `initialize`."""
        params = {"protocolVersion": version, "capabilities": capabilities}
        self.client_says({"id": 0, "method": "initialize", "params": params})
        self.server_says({"id": self.to_server[-1]["id"], "error": NOT_MINE})
        assert self.to_server[-1]["method"] == "server/discover"
        self.server_answers(OFFER)
        return self.to_client[-1]["result"]

    def event(self, listen: dict[str, Any], method: str, **params: Any) -> None:
        """An event on a stream that the server was asked for."""
        tagged = {**params, "_meta": {"io.modelcontextprotocol/subscriptionId": listen["id"]}}
        self.server_says({"method": method, "params": tagged})

    def acknowledge(self, listen: dict[str, Any], **kept: Any) -> None:
        """Let a stream stand, for all that it asked or for less."""
        kept = kept or listen["params"]["notifications"]
        self.event(listen, "notifications/subscriptions/acknowledged", notifications=kept)

    def subscribe(self, uri: str, message_id: Any, verb: str = "subscribe") -> dict[str, Any]:
        """Ask for changes of an MCP resource; the last message that the server has got then."""
        self.client_says({"id": message_id, "method": f"resources/{verb}", "params": {"uri": uri}})
        return self.to_server[-1]

    def _judge(self, message: Message) -> None:
        self.session.client.judge(message, self.chain, self._from_the_client)

    def _to_client(self, body: bytes) -> None:
        self.to_client.append(json.loads(body))

    def _from_the_client(self, route: Route) -> None:
        if isinstance(route, Forward):
            self.to_server.append(json.loads(route.body))
        elif isinstance(route, Reply):
            self.footing.to_client(route.body)

    def _from_the_server(self, route: Route) -> None:
        if isinstance(route, Forward):
            self.footing.to_client(route.body)
        elif isinstance(route, Reply):
            self.to_server.append(json.loads(route.body))
