"""What a resource server checks: that a credential was minted for this very call, and is used once."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from hopward import claims
from hopward.canonical import digest
from hopward.clock import SECOND, Clock, Instant, SystemClock
from hopward.errors import TokenError
from hopward.jose import Expected, Verified, verify
from hopward.jwk import VerificationKey, key_set
from hopward.statement import TYPE as STATEMENT

CREDENTIAL_SECONDS = 60
"""Longest life of a credential."""

_SKEW = 5
_MOST_USED = 65_536
_REFRESH = 10 * SECOND
_STALE = 300 * SECOND


class CredentialVerifier:
    """Lets a resource server accept exactly the calls a credential was minted for. Safe between threads.

        verifier = CredentialVerifier(issuer, "https://desk.example/mcp", jwks)
        claims = verifier.verify(token, tool="refund", arguments={"ticket": 7, "amount": 20})

    `jwks` is the authority's JWKS document, or a function that fetches it: called again when a token names
    an unknown key, at most every 10 seconds (the fetch at the start aside, so that a key rotated right after
    it is found at once), and once the keys are 5 minutes old, so that a key withdrawn by the authority stops
    counting. What the function raises fails the call at hand.

    Used `jti`s are remembered in this process until they expire; when there are too many of them to remember,
    further credentials are refused.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        jwks: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        *,
        clock: Clock | None = None,
        size: int = _MOST_USED,
    ) -> None:
        """Raises `TokenError` for an empty issuer or audience, and for a JWKS that is unusable or empty."""
        if not issuer.strip() or not audience.strip():
            raise TokenError("A verifier needs an issuer and an audience.", error="unusable_verifier")
        self._expected = Expected(types=(claims.TYPE,), issuer=issuer, audience=audience, skew=_SKEW)
        self._fetch = jwks if callable(jwks) else lambda: jwks
        self._clock = clock or SystemClock()
        self._size = size
        self._keys = self._fetched()
        self._fetched_at = self._clock.now()
        self._fetched_again_at: Instant | None = None
        self._used: set[str] = set()
        self._expiries: list[tuple[Instant, str]] = []
        self._forgotten: Instant = 0
        self._lock = Lock()

    def verify(self, token: str, *, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of a credential for this tool with these arguments, used for the first time.

        `tool` is the name the server itself knows: of an MCP tool, or `resource:URI`, or `prompt:NAME`.
        Raises `TokenError`; a credential refused for its tool or arguments stays unused.
        """
        return self._accepted(token, self._expected, tool, arguments)

    def verify_statement(
        self, statement: str, *, token: str, tool: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The claims of a signed chain that goes with another issuer's `token`, used for the first time.

        It comes in the header `Hopward-Chain`, or `_meta["dev.hopward/chain"]`. The token itself is for its
        issuer's verifier to check. Raises `TokenError` as `verify` does, `wrong_token` where it came with
        another.
        """
        expected = replace(self._expected, types=(STATEMENT,))
        return self._accepted(statement, expected, tool, arguments, token)

    def _accepted(
        self,
        token: str,
        expected: Expected,
        tool: str,
        arguments: Mapping[str, Any],
        beside: str | None = None,
    ) -> dict[str, Any]:
        now = self._clock.now()
        verified = self._verified(token, expected, now)
        presented = claims.read(verified.claims, verified.kid)
        details = claims.details(verified.claims.get("authorization_details"))
        if presented.expires_at - presented.issued_at > CREDENTIAL_SECONDS * SECOND or presented.bound:
            raise TokenError("The token is not a credential for one call.", error="wrong_type")
        if details.tool != tool or presented.scope != (f"{details.server}/{tool}",):
            raise TokenError("The credential is for another tool.", error="wrong_tool")
        if details.arguments_digest != _digest(arguments):
            raise TokenError("The credential is for other arguments.", error="wrong_arguments")
        if beside is not None and verified.claims.get("ath") != claims.token_hash(beside):
            raise TokenError("The signed chain goes with another token.", error="wrong_token")
        self._use(presented.token, presented.expires_at, now)
        return verified.claims

    def _verified(self, token: str, expected: Expected, now: Instant) -> Verified:
        self._refreshed(now, for_unknown=False)
        try:
            return verify(token, self._keys, expected, now)
        except TokenError as error:
            if error.error != "unknown_key" or not self._refreshed(now, for_unknown=True):
                raise
        return verify(token, self._keys, expected, now)

    def _refreshed(self, now: Instant, *, for_unknown: bool) -> bool:
        with self._lock:
            last, age = (self._fetched_again_at, _REFRESH) if for_unknown else (self._fetched_at, _STALE)
            # A clock set back must not put the next look off.
            if last is not None and 0 <= now - last < age:
                return False
            self._fetched_at = self._fetched_again_at = now
        self._keys = self._fetched()
        return True

    def _fetched(self) -> dict[str, VerificationKey]:
        keys = key_set(self._fetch())
        if not keys:
            raise TokenError("The authority has published no usable key.", error="unusable_key")
        return keys

    def _use(self, token: str, expires_at: Instant, now: Instant) -> None:
        with self._lock:
            while self._expiries and self._expiries[0][0] <= now:
                self._forgotten, forgotten = heapq.heappop(self._expiries)
                self._used.discard(forgotten)
            # Should the clock go back, what may have been forgotten is not taken for unused.
            if token in self._used or expires_at <= self._forgotten:
                raise TokenError("The credential has been used before.", error="replayed")
            if len(self._used) >= self._size:
                raise TokenError("Too many credentials are in use to remember another.", error="overloaded")
            self._used.add(token)
            heapq.heappush(self._expiries, (expires_at, token))


def _digest(arguments: Mapping[str, Any]) -> str:
    try:
        return digest(dict(arguments))
    except (ValueError, TypeError, RecursionError) as error:
        raise TokenError("The arguments are not JSON.", error="wrong_arguments") from error
