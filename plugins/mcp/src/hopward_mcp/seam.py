"""What stands on both sides of a server that is presented in another era."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hopward_mcp.endings import Failure
from hopward_mcp.jsonrpc import Body, MessageError, dump, error, result
from hopward_mcp.lines import Overlong
from hopward_mcp.pending import Pending
from hopward_mcp.route import Deliver, Forward, Reply, Route

Up: TypeAlias = Callable[[bytes | Overlong, Callable[[], None] | None], None]
"""Takes a message for the client's side, and what is called if it is an answer that does not reach it."""


@dataclass(frozen=True, slots=True)
class Seam:
    """`down` sends a message to the server, with the headers of a credential where it travels so; `reply`
    answers a request of the server that nobody above takes. `up` takes what the client's side judges.
    `pending` finds a request that still waits for its answer, `lost` ends one that gets none. `refuse` logs a
    message of the server that is turned away and makes its answer."""

    down: Callable[[bytes, Mapping[str, str]], None]
    reply: Callable[[bytes], None]
    up: Up
    pending: Callable[[int], Pending | None]
    refuse: Callable[[MessageError], Reply]
    lost: Callable[[int, Failure], None]

    def send(self, body: Body, headers: Mapping[str, str] | None = None) -> None:
        """Send a message to the server."""
        self.down(dump({"jsonrpc": "2.0", **body}), headers or {})

    def turn_away(self, fault: MessageError) -> None:
        """Log a message of the server that is not handled, and answer it if it is owed an answer."""
        told = self.refuse(fault)
        if fault.id is not None:
            self.reply(told.body)

    def answer(self, key: int, value: Body, refused: Callable[[], None] | None = None) -> None:
        """Answer a request of the client's side; `refused` is called if the answer does not reach it."""
        self.up(result(key, value), refused)

    def pass_on(self, body: Body) -> None:
        """Send a message to the client's side."""
        self.up(dump({"jsonrpc": "2.0", **body}), None)

    def fail(self, key: int, code: int, sentence: str, data: Body | None = None) -> None:
        """Answer a request of the client's side with an error."""
        self.up(error(key, code, sentence, data), None)

    def notify(self, method: str, params: Body) -> None:
        """Send a notification to the client's side."""
        self.up(dump({"jsonrpc": "2.0", "method": method, "params": params}), None)


def watched(deliver: Deliver, refused: Callable[[], None] | None) -> Deliver:
    """Delivers an answer, after telling if it is another than the server's."""
    if refused is None:
        return deliver

    def told(route: Route) -> None:
        if not (isinstance(route, Forward) and route.message.kind == "response"):
            refused()
        deliver(route)

    return told
