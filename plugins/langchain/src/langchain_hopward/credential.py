"""The credential of the call that is under way, for the code of the tool and nobody else."""

from collections.abc import Callable
from contextvars import ContextVar


class CallCredential:
    """Mints the token of one permitted call when it is first asked for, and only while the call lasts.

    The row of the credential has been durable since the decision. A token nobody asks for is never signed.
    """

    __slots__ = ("_mint", "_token")

    def __init__(self, mint: Callable[[], str]) -> None:
        self._mint: Callable[[], str] | None = mint
        self._token = ""

    def token(self) -> str:
        """The token. Raises `LookupError` once the call is over, `HopwardError` where none can be minted."""
        if self._mint is None:
            raise LookupError("The tool call that this credential was for is over.")
        self._token = self._token or self._mint()
        return self._token

    def end(self) -> None:
        """The call is over; a task or thread that outlives it gets nothing."""
        self._mint = None
        self._token = ""

    def __repr__(self) -> str:
        return "CallCredential()"


running: ContextVar[CallCredential | None] = ContextVar("hopward_credential", default=None)
"""Set around the body of a protected tool, empty everywhere else, also in an unprotected tool it calls."""


def current_credential() -> str:
    """The token minted for exactly the tool call whose body this is called from (RFC 9068, seconds to live).

    Send it to the service the tool calls, which checks it (docs/guides/verify-credentials-in-your-server.md).
    It is no argument and no state, so it stands in no prompt and no trace: do not return or log it.

    Raises `LookupError` outside the body of a protected tool, `HopwardError` once it can no longer be minted.
    """
    credential = running.get()
    if credential is None:
        raise LookupError("No protected tool call is under way here, so there is no credential.")
    return credential.token()
