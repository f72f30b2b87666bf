"""One client's conversation with one server; on HTTP without sessions, one request."""

from collections.abc import Callable

from hopward import Chain
from hopward_mcp.client_side import ClientSide
from hopward_mcp.endings import Endings
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Message
from hopward_mcp.pending import Asked, Pending, Requests
from hopward_mcp.questions import Questions
from hopward_mcp.server_side import ServerSide


class Session:
    """Both sides of a conversation and the requests under way in it.

    With `shared`, other conversations go on over the same pipe to the server, so its progress is asked for,
    and comes, under our ids instead of the client's. `on_answer` is called with each request of the client
    and the server's answer to it.
    """

    def __init__(
        self, gate: Gate, *, shared: bool = False, on_answer: Callable[[Pending, Message], None] | None = None
    ) -> None:
        self.gate = gate
        self.requests = Requests()
        self.asked = Asked()
        self.endings = Endings(gate, self.requests, self.asked)
        self._questions = Questions(gate, self.requests, self.asked)
        self.client = ClientSide(gate, self.requests, self._questions, self.endings, shared=shared)
        self.server = ServerSide(gate, self.requests, self._questions, self.endings, shared=shared)
        self.server.on_answer = on_answer

    def heard(self, chain: Chain) -> None:
        """Note what the client comes with before it says anything, or while it says nothing."""
        self._questions.behalf.caller = chain

    def share(self) -> None:
        """Other conversations go on over the same way to the server, as turned out after the request came."""
        self.client.shared = self.server.shared = True

    def stands(self, chain: Chain, key: int | None) -> bool:
        """Whether the caller's chain still counts, and the one that this request of it carries."""
        pending = self.requests.get(key)
        chains = [chain] if pending is None or pending.chain is chain else [chain, pending.chain]
        return all(self.gate.stands(one) for one in chains)
