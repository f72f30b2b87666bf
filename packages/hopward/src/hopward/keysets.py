"""The keys another issuer publishes, as long as they may be relied on. No network: who has it, fetches.

    cache = KeySet(("RS256",), clock)
    if cache.due(foreign_kid(token)):
        cache.take(body)            # or cache.failed()
    verify_foreign(token, cache.keys, expected, clock.now())

A document is good for five minutes. A `kid` that is not in it is looked for in a newer one, at most every
ten seconds, whoever asks: nobody can make us fetch by sending tokens. Where none can be had, the last one
counts for an hour, and then no token of that issuer does.
"""

from collections.abc import Mapping
from threading import Lock

from hopward.clock import SECOND, Clock, Instant
from hopward.errors import TokenError
from hopward.foreign import ForeignKey, foreign_keys
from hopward.strictjson import parse

FRESH = 300 * SECOND
"""How long a document is used without a look for a newer one."""

AGAIN = 10 * SECOND
"""How long after a fetch the next one may follow, whatever it is for."""

LONGEST = 3_600 * SECOND
"""How long keys count while no newer ones can be had."""

LARGEST = 262_144
"""Bytes of a document."""


class KeySet:
    """The published keys of one issuer for some algorithms. Safe to share between threads."""

    def __init__(self, algorithms: tuple[str, ...], clock: Clock, uses: tuple[str, ...] = ("sig",)) -> None:
        self._algorithms = algorithms
        self._uses = uses
        self._clock = clock
        self._lock = Lock()
        self._keys: Mapping[str, tuple[ForeignKey, ...]] = {}
        self._taken_at: Instant | None = None
        self._asked_at: Instant | None = None

    @property
    def keys(self) -> Mapping[str, tuple[ForeignKey, ...]]:
        """By `kid`; raises `TokenError` (`keys_unavailable`) before the first document, and once it is too
        old."""
        if not self._within(self._taken_at, LONGEST):
            told = "The keys of the issuer are not known here, or too old to count."
            raise TokenError(told, error="keys_unavailable")
        return self._keys

    def due(self, kid: str = "") -> bool:
        """Whether to fetch now, for a token with this `kid` if there is one."""
        with self._lock:
            if not self._within(self._taken_at, LONGEST):
                return True
            needless = self._within(self._taken_at, FRESH) and (not kid or kid in self._keys)
            return not (needless or self._within(self._asked_at, AGAIN))

    def failed(self) -> None:
        """A fetch has failed: the next may follow as after any other."""
        with self._lock:
            self._asked_at = self._clock.now()

    def take(self, body: bytes) -> None:
        """Use a document that was fetched; raises `TokenError`, and keeps the last one, where it is unusable
        or holds no key for the algorithms."""
        self.failed()
        if len(body) > LARGEST:
            raise TokenError("The JWKS document is too large.", error="unusable_key")
        try:
            document: object = parse(body)
        except ValueError as error:
            raise TokenError("The JWKS document is no proper JSON.", error="unusable_key") from error
        keys = foreign_keys(document, self._algorithms, self._uses)
        if not keys:
            raise TokenError("The issuer publishes no key that can be used.", error="unusable_key")
        with self._lock:
            self._keys, self._taken_at = keys, self._clock.now()

    def _within(self, since: Instant | None, age: int) -> bool:
        # A clock that was set back does not make anything younger.
        return since is not None and 0 <= self._clock.now() - since < age
