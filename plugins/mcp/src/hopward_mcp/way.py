"""The seam of the era bridge: how a message is judged and carried, and where what comes of it goes."""

from typing import Protocol

from hopward import Chain
from hopward_mcp.jsonrpc import Message


class Way(Protocol):
    """Of one request of an older client, or of what its session does by itself. `chain` is the client's."""

    chain: Chain

    def ask(self, message: Message, /) -> None:
        """Have a message judged and carried; what comes back is told to the bridge, sooner or later."""
        ...

    def give_up(self, cancelled: Message, /) -> None:
        """The same for a `notifications/cancelled` about a request that was asked this way."""
        ...

    def tell(self, body: bytes, /) -> None:
        """Send a message to the client before the answer."""
        ...

    def answer(self, body: bytes | None, /) -> None:
        """Send the answer to the client; None if it gets none. Nothing comes after it."""
        ...
