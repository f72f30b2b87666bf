"""Where credentials come from when this process does not mint them: the seam between judging and asking."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from hopward import HopwardError, TokenRequest

Asking: TypeAlias = Callable[[], TokenRequest | str]
"""Makes the request for one attempt, or has the credential already; raises `HopwardError`."""

Obtained: TypeAlias = Callable[[str | HopwardError], None]
"""Called once with the credential, or with why there is none."""


class Authority(Protocol):
    """One in another process: ours (`hopward_mcp.remote`), or an external authorization server
    (`hopward_mcp.external`), both with the network."""

    async def token(self, asking: Asking) -> str:
        """A credential, its row durable; raises `HopwardError`."""
        ...

    def ask(self, asking: Asking, then: Obtained) -> None:
        """The same without waiting for it."""
        ...

    async def close(self) -> None:
        """Give up what is under way, and close every connection."""
        ...
