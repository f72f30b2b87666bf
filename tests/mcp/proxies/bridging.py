"""An older server presented to a client of 2026-07-28, in memory: what either sees of the other."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from hopward import Chain, Guard
from hopward_mcp.authority import Authority
from hopward_mcp.jsonrpc import MessageError
from hopward_mcp.older_server import OlderServer
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.seam import Seam, watched

from .conversation import Conversation
from .installation import ENTRY, stdio_server
from .test_http_sessions import LoopTime

EVERYTHING: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
INFO = {"name": "older", "version": "1"}
OFFERS: dict[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True},
    "logging": {},
    "tasks": {"list": {}},
}
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}


def asking(record: Path) -> str:
    """A `[servers.desk]` that may ask its client for anything there is."""
    more = ("sampling/createMessage", "elicitation/create")
    entries = [
        ENTRY.format(server="desk", group="server_requests", tool=f'"{name}"', action="read") for name in more
    ]
    return stdio_server(record) + "".join(entries) + 'arguments = { mode = "string", url = "string" }\n'


class Bridge(Conversation):
    """A client of 2026-07-28 and a server of 2025-11-25 in one session; the time is the test's.

    `aside` is whether the server has turned out to be of the newer era.
    """

    def __init__(
        self, guard: Guard, capabilities: dict[str, Any] | None = None, authority: Authority | None = None
    ) -> None:
        super().__init__(guard, authority=authority)
        self.gate.now = self.time = LoopTime()
        self.capabilities = EVERYTHING if capabilities is None else capabilities
        self.aside = False
        self.ids = itertools.count(1)
        seam = Seam(
            down=lambda body, _: self.to_server.append(json.loads(body)),
            reply=lambda body: self.to_server.append(json.loads(body)),
            up=self._up,
            pending=self.session.requests.get,
            refuse=lambda fault: self.gate.turn_away(fault, None),
            lost=lambda key, failure: self.session.endings.fail(key, failure, self._to_client),
        )
        self.older = OlderServer(self.gate, seam, stand_aside=self._stand_aside)
        self.begun = False

    # The client.

    def asks(self, method: str, chain: Chain | None = None, **params: Any) -> int:
        """A request of the client, which is met first if it is the first; returns its id."""
        message_id = next(self.ids)
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            **params.pop("meta", {}),
        }
        self.says({"id": message_id, "method": method, "params": {**params, "_meta": meta}}, chain)
        return message_id

    def says(self, message: dict[str, Any], chain: Chain | None = None) -> None:
        """A message of the client, on whose behalf it may be."""
        try:
            parsed = self.gate.read_client(json.dumps({"jsonrpc": "2.0", **message}).encode())
        except MessageError as fault:
            self.to_client.append(json.loads(self.gate.turn_away(fault, self.chain).body))
            return
        self.session.client.judge(parsed, chain or self.chain, self._down)
        self.turn.flush()

    def calls(self, tool: str = "echo", arguments: Any = None, **more: Any) -> int:
        """A tools/call."""
        return self.asks("tools/call", name=tool, arguments=arguments or {}, **more)

    def answer(self, message_id: int) -> dict[str, Any]:
        """The answer to a request of the client, which may wait for decisions on what it asks."""
        for _ in range(3):
            self.turn.flush()
        (found,) = [one for one in self.to_client if one.get("id") == message_id and "method" not in one]
        return found

    def required(self, message_id: int) -> tuple[dict[str, Any], str]:
        """What a request is answered with that needs input: the input requests, and the state."""
        result = self.answer(message_id)["result"]
        assert result["resultType"] == "input_required"
        return result["inputRequests"], result["requestState"]

    def other(self, subject: str = "bob") -> Chain:
        """The chain of another principal."""
        return self.guard.enter(self.guard.open_task("tickets", subject).id)

    # The server.

    def hears(self, message: dict[str, Any] | bytes) -> None:
        """A message of the server."""
        raw = message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.older.hear(raw)
        self.turn.flush()

    def meets(self, **changes: Any) -> None:
        """The server says that it is of the older era, and what it offers."""
        self.hears({"id": self.sent("server/discover")[-1]["id"], "error": {"code": -32601, "message": "?"}})
        result = {"protocolVersion": "2025-11-25", "capabilities": OFFERS, "serverInfo": INFO, **changes}
        self.hears({"id": self.sent("initialize")[-1]["id"], "result": result})

    def sent(self, method: str) -> list[dict[str, Any]]:
        """What the server has got of one method."""
        return [one for one in self.to_server if one.get("method") == method]

    def answers_of(self, request_id: Any) -> list[dict[str, Any]]:
        """What the server has got for a request of its own."""
        return [one for one in self.to_server if one.get("id") == request_id and "method" not in one]

    async def elicits(self, request_id: Any = "s1", **params: Any) -> None:
        """The server asks for input, and what it asks in one breath is asked of the client."""
        self.hears({"id": request_id, "method": "elicitation/create", "params": FORM | params})
        await self.breath()

    async def breath(self) -> None:
        """Let the event loop go round once."""
        await asyncio.sleep(0)
        self.turn.flush()

    def finishes(self, text: str = "done") -> None:
        """The server answers the call it has got last."""
        self.hears({"id": self.sent("tools/call")[-1]["id"], "result": done(text)})

    # Between them.

    def _down(self, route: Route) -> None:
        if isinstance(route, Reply):
            self.to_client.append(json.loads(route.body))
        elif isinstance(route, Forward):
            pending = self.session.requests.get(route.key)
            if not self.begun and pending is not None:
                self.begun = True
                self.older.begin(route.message.params, pending)
            self.older.send(route.body, route.headers)

    def _up(self, line: Any, refused: Any) -> None:
        self.session.server.judge(line, watched(self._to_client, refused))

    def _to_client(self, route: Route) -> None:
        if isinstance(route, Forward):
            self.to_client.append(json.loads(route.body))
        elif isinstance(route, Reply):
            self.to_server.append(json.loads(route.body))

    def _stand_aside(self) -> None:
        self.aside = True


def done(text: str = "done") -> dict[str, Any]:
    """The result of a call."""
    return {"content": [{"type": "text", "text": text}]}
