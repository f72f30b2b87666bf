"""Which era a stdio client and its server have in common, found out by what the client says first.

Its `initialize` goes to the server as it is. Only a server that refuses it is asked `server/discover`, and if
that speaks 2026-07-28 an era bridge stands between the two from then on. Everybody else pays nothing. An
`initialize` in the form of 2026-07-28 is a mistake of the client's, and begins nothing.
"""

import importlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hopward import Chain
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Message, MessageError, too_large
from hopward_mcp.lines import Overlong
from hopward_mcp.methods import is_modern

if TYPE_CHECKING:
    from hopward_mcp.older_client import OlderClient


class Footing:
    """Between one client and the judge; the way of everything that a bridge asks.

    `judge` takes a message for the server, `write` one for the client.
    """

    def __init__(
        self, gate: Gate, chain: Chain, judge: Callable[[Message], None], write: Callable[[bytes], None]
    ) -> None:
        self.chain = chain
        self.ask = judge
        self.give_up = judge
        self.tell = write
        self._gate = gate
        self._opening: Message | None = None
        self._refused: bytes | None = None
        self._older: OlderClient | None = None

    def hear(self, line: bytes | Overlong) -> None:
        """Take one line of the client; one that holds no message is answered at once."""
        try:
            if isinstance(line, Overlong):
                raise too_large(self._gate.max_bytes)
            message = self._gate.read_client(line)
        except MessageError as fault:
            self.tell(self._gate.turn_away(fault, self.chain).body)
            return
        self.from_client(message)

    def from_client(self, message: Message) -> None:
        """Take one message of the client."""
        if self._older is not None:
            self._older.from_client(message, self)
            if message.method == "notifications/initialized":
                self._older.attend()
            return
        if message.method == "initialize" and message.kind == "request" and not is_modern(message):
            self._opening = message
        self.ask(message)

    def to_client(self, body: bytes) -> None:
        """Take one message that the judge lets through to the client, or answers it with."""
        if self._older is not None:
            self._older.from_server(body, self)
        elif self._opening is None:
            self.tell(body)
        else:
            self._opened(self._opening, body)

    def answer(self, body: bytes | None) -> None:
        """Send an answer to the client, if it gets one."""
        if body is not None:
            self.tell(body)

    def leave(self) -> None:
        """The client says nothing any more."""
        if self._older is not None:
            self._older.leave()

    def _opened(self, opening: Message, body: bytes) -> None:
        """Before `initialize` has been answered: does this answer it, and how?"""
        answer: dict[str, Any] = json.loads(body)
        if "method" in answer or answer["id"] != opening.id:
            self.tell(body)
            return
        if "result" in answer and self._refused is None:
            self._opening = None
            self.tell(body)
            return
        # Imported for those alone who need it: a client waits for this process to start.
        bridge = importlib.import_module("hopward_mcp.older_client")
        if self._refused is None and bridge.worth_asking(answer):
            self._refused = body
            self.ask(bridge.discovery(opening))
            return
        self._opening = None
        discovered = bridge.offer(answer) if self._refused is not None else None
        if discovered is None:
            self.tell(self._refused or body)
            return
        older: OlderClient = bridge.OlderClient(self._gate, opening, discovered, self)
        self._older = older
        self.tell(older.welcome)
