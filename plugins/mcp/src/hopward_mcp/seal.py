"""What a call that waits for a person is known by: a `requestState` of ours, which only we can have made.

In 2026-07-28 a server remembers nothing between the rounds of a call: what it needs to know in the next one
comes back with it, through the hands of a client that may change it (basic/utilities/mrtr). So it is sealed
(HMAC-SHA-256, a key of this process and server), says for which call of whom it is, and ends. It need not be
used up: what it leads to is the approval, and that is. It begins with the name of this installation and
server, so that one from before a restart is known too, to count no more, and goes to no server.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Literal, TypeAlias

import msgspec

from hopward import Chain, digest
from hopward_mcp.jsonrpc import Body, Message
from hopward_mcp.methods import STATE
from hopward_mcp.older_shapes import identity

LIMIT = 600.0
"""Seconds in which the next round of a call has to come."""

Mode: TypeAlias = Literal["form", "url"]


class Round(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was asked on one call. `call` is the digest of who calls what, `until` event-loop time; `before`
    is what the call had brought for the server, which gets it once the call is permitted."""

    approval: str
    decision: str
    mode: Mode
    call: str
    until: float
    before: Body


class Seal:
    """Makes and reads the states of one server's calls, in the installation of an issuer. `mark` says which
    process does."""

    def __init__(self, issuer: str, server: str, mark: str = "") -> None:
        name = digest({"issuer": issuer, "server": server}).rpartition(":")[2]
        self._begin = f"{STATE}{mark}{name[:16]}."
        self._key = secrets.token_bytes(32)

    def is_own(self, state: object) -> bool:
        """Whether a `requestState` claims to be one of ours; then it is none of the server's."""
        return isinstance(state, str) and state.startswith(self._begin)

    def sealed(self, what: Round) -> str:
        """The state that says this."""
        said = self._begin + base64.urlsafe_b64encode(msgspec.json.encode(what)).decode()
        return f"{said}.{self._mac(said)}"

    def opened(self, state: str) -> Round | None:
        """What a state of ours says; None for one that is not, or not any more, as it was made."""
        said, _, mac = state.rpartition(".")
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(said).encode()):
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(said[len(self._begin) :]), type=Round)
        except (binascii.Error, ValueError):
            return None

    def _mac(self, said: str) -> str:
        mac = hmac.new(self._key, said.encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(mac).decode()


def call_of(message: Message, chain: Chain, server: str) -> str:
    """The digest of a call: who makes it, at which server, and everything of it that a round keeps."""
    return digest(
        {
            "server": server,
            "task": chain.task,
            "subject": chain.subject,
            "actors": list(chain.actors),
            "hops": list(chain.hops),
            "method": message.method,
            "params": identity(message.params),
        }
    )
