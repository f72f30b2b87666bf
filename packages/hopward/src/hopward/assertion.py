"""Which client calls the authority: `private_key_jwt` (RFC 7523, with the sole audience of rfc7523bis)."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from hopward.clock import Clock, Instant, SystemClock, from_seconds, to_seconds
from hopward.errors import TokenError
from hopward.exchange import Client
from hopward.jose import Expected, sign, unverified_kid, verify
from hopward.jwk import SigningKey, VerificationKey

ASSERTION_SECONDS = 300
"""Longest life of a client assertion."""

_TYPES = ("client-authentication+jwt", "JWT")
_SKEW = 5


class Registered(Protocol):
    """The clients of an authority; `hopward.issuer.Issuer` knows them."""

    @property
    def issuer(self) -> str:
        """The authority's issuer identifier."""
        ...

    @property
    def clients(self) -> Mapping[str, Client]:
        """The clients by id."""
        ...

    @property
    def clock(self) -> Clock:
        """What the time is."""
        ...

    def client_keys(self) -> Iterable[tuple[str, VerificationKey, Instant | None]]:
        """Client id, a key it authenticates with, and until when, if that ends."""
        ...


class ClientAuthenticator:
    """Authenticates the clients of an authority.

    `once(kind, value, expires_at)` is true the first time only, in every process and after a restart.
    `revoked(kid)` is true once a key has been revoked.
    """

    def __init__(
        self,
        registered: Registered,
        once: Callable[[str, str, Instant], bool],
        revoked: Callable[[str], bool],
    ) -> None:
        """Raises `TokenError` if two clients have the same `kid`: either could speak as the other."""
        self._registered = registered
        self._once = once
        self._revoked = revoked
        self._owners: dict[str, tuple[Client, VerificationKey, Instant | None]] = {}
        for name, key, until in registered.client_keys():
            if key.kid in self._owners:
                other = self._owners[key.kid][0].id
                raise TokenError(f"The clients {other} and {name} have the same key.", error="unusable_key")
            self._owners[key.kid] = (registered.clients[name], key, until)

    def authenticate(self, assertion: str) -> Client:
        """The client that signed an assertion for this authority, used for the first time.

        The client is the owner of the key: `iss` and `sub` must both be its id, `aud` the issuer identifier
        and nothing else; the assertion lives at most 300 seconds. Raises `TokenError`.
        """
        owner = self._owners.get(unverified_kid(assertion))
        if owner is None:
            raise TokenError("No client has the key that signed the assertion.", error="unknown_key")
        client, key, until = owner
        if until is not None and until <= self._registered.clock.now():
            told = "The key that signed the assertion has been replaced by another."
            raise TokenError(told, error="expired")
        expected = Expected(_TYPES, issuer=client.id, audience=self._registered.issuer, skew=_SKEW)
        content = verify(assertion, {key.kid: key}, expected, self._registered.clock.now()).claims
        if content["sub"] != client.id:
            raise TokenError("The assertion is about another client.", error="bad_claim")
        if content["exp"] - content["iat"] > ASSERTION_SECONDS:
            raise TokenError(f"The assertion lives longer than {ASSERTION_SECONDS} s.", error="bad_claim")
        if self._revoked(key.kid):
            raise TokenError("The key that signed the assertion has been revoked.", error="key_revoked")
        if not self._once("client_assertion", f"{client.id} {content['jti']}", from_seconds(content["exp"])):
            raise TokenError("The assertion has been used before.", error="replayed")
        return client


def client_assertion(client: str, issuer: str, key: SigningKey, *, clock: Clock | None = None) -> str:
    """A fresh assertion with which `client` authenticates at an authority, once, within a minute."""
    now = to_seconds((clock or SystemClock()).now())
    content = {
        "iss": client,
        "sub": client,
        "aud": issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(16),
    }
    return sign(content, key, _TYPES[0])
