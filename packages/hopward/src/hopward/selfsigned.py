"""The subject token of a session that no token has opened: a JWT the proxy signs with its own key.

Its type is `self_signed` of draft-ietf-oauth-transaction-tokens (iss, sub, aud = the authority, iat, exp). It
names a task, the hops that lead to the agent that acts, and the keys that have signed the links of a carried
chain. It says nothing about what may be done there: that, the authority looks up. It lives for a minute at
most, counts once, and only where the proxy itself presents it.
"""

import secrets

from hopward import claims
from hopward.clock import Clock, Instant, from_seconds, to_seconds
from hopward.errors import TokenError
from hopward.exchange import PROXY
from hopward.jose import Expected, sign, verify
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import Chain, Value

TYPE = "hopward-session+jwt"
"""The `typ` of such a token: it is never taken for any other."""

LONGEST = 60
"""Seconds of life."""

_SKEW = 5


class Session(Value, frozen=True):
    """What a genuine token says. `id` is its `jti`, `key` the `kid` that signed it."""

    id: str
    task: str
    subject: str
    issued_at: Instant
    expires_at: Instant
    key: str
    hops: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()

    @property
    def chain(self) -> Chain:
        """The chain before any actor has entered it, for looking up the task."""
        return Chain(
            task=self.task,
            subject=self.subject,
            actors=(),
            issued_at=self.issued_at,
            expires_at=self.expires_at,
            scope=(),
            lineage=self.lineage,
            hops=self.hops,
        )


def write(chain: Chain, issuer: str, key: SigningKey, clock: Clock) -> str:
    """A fresh token for a chain that no token presented. `issuer` is the authority's, `key` the proxy's."""
    now = to_seconds(clock.now())
    # Whether the chain is over already, the authority says.
    ends = max(now + 1, min(now + LONGEST, to_seconds(chain.expires_at)))
    content: claims.Content = {
        "iss": PROXY,
        "sub": chain.subject,
        "aud": issuer,
        "txn": chain.task,
        "iat": now,
        "exp": ends,
        "jti": secrets.token_hex(16),
    }
    if chain.hops:
        content["hops"] = list(chain.hops)
    if chain.lineage:
        content["lineage"] = list(chain.lineage)
    return sign(content, key, TYPE)


def read(token: str, key: VerificationKey, issuer: str, now: Instant) -> Session:
    """What a token says that the proxy has signed for this authority; raises `TokenError`."""
    expected = Expected(types=(TYPE,), issuer=PROXY, audience=issuer, skew=_SKEW)
    content = verify(token, {key.kid: key}, expected, now).claims
    if content.keys() - {"hops", "lineage"} != {"iss", "sub", "aud", "txn", "iat", "exp", "jti"}:
        raise TokenError("A session token says less or more than it must.", error="bad_claim")
    if content["exp"] - content["iat"] > LONGEST:
        raise TokenError(f"A session token lives for at most {LONGEST} s.", error="bad_claim")
    if not isinstance(content["txn"], str) or not content["txn"]:
        raise TokenError("A session token names a task.", error="bad_claim")
    return Session(
        id=content["jti"],
        task=content["txn"],
        subject=content["sub"],
        issued_at=from_seconds(content["iat"]),
        expires_at=from_seconds(content["exp"]),
        key=key.kid,
        hops=claims.hops(content),
        lineage=claims.lineage(content),
    )
