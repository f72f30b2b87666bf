"""Exchanged tokens that are used again, where that is configured: for the same call in the same name, or not
at all.
 The key is a digest of all that a token was obtained for (`key`). An entry ends with its token, after the
configured seconds, and when its chain falls: whoever looks one up has looked at the chain before, and `sweep`
looks at all of them.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

from hopward.canonical import digest
from hopward.clock import SECOND, Clock, Instant
from hopward.model import Chain, Credential, plain

_MOST = 4_096


@dataclass(frozen=True, slots=True)
class Kept:
    """A token that was obtained, what the log may say of it, and for which chain and server it was."""

    token: str = field(repr=False)
    credential: Credential
    chain: Chain
    server: str
    until: Instant


@dataclass(frozen=True, slots=True)
class Purpose:
    """All that an exchanged token depends on. `thumbprint` is of the key that the client authenticates
    with."""

    authorization_server: str
    subject_token: str = field(repr=False)
    chain: Chain
    server: str
    scope: tuple[str, ...]
    audience: str
    thumbprint: str
    policy_set: str

    @property
    def key(self) -> str:
        """A digest; the subject token goes in as a digest of its own."""
        return digest(
            {
                "authorization_server": self.authorization_server,
                "subject_token": sha256(self.subject_token.encode()).hexdigest(),
                "chain": plain(self.chain),
                "server": self.server,
                "scope": list(self.scope),
                "audience": self.audience,
                "thumbprint": self.thumbprint,
                "policy_set": self.policy_set,
            }
        )


class Cache:
    """Obtained tokens by purpose. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Kept | None:
        """What is kept and not over yet."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.until <= self._clock.now():
                del self._kept[key]
                return None
            return kept

    def put(self, key: str, kept: Kept, seconds: int) -> None:
        """Keep a token for so many seconds at most, and never longer than it lives."""
        until = min(kept.until, kept.credential.expires_at, self._clock.now() + seconds * SECOND)
        with self._lock:
            self._kept[key] = Kept(kept.token, kept.credential, kept.chain, kept.server, until)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def sweep(self, stands: Callable[[Chain, str], bool]) -> int:
        """Let go of every token that is over or whose chain does not stand; how many are left."""
        now = self._clock.now()
        with self._lock:
            entries = list(self._kept.items())
        fallen = {key for key, kept in entries if kept.until <= now or not stands(kept.chain, kept.server)}
        with self._lock:
            for key in fallen:
                self._kept.pop(key, None)
            return len(self._kept)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._kept.clear()
