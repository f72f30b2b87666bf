"""ID tokens and logout tokens of an OpenID provider: what must be true of one before anybody is known by it.

OpenID Connect Core 1.0 section 3.1.3.7, Back-Channel Logout 1.0 section 2.6. No network, and no state but
what the caller keeps.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from hopward.base64url import encode
from hopward.claims import is_agent
from hopward.clock import Instant
from hopward.errors import TokenError
from hopward.foreign import Foreign, ForeignKey, audiences, verify_foreign
from hopward.harmless import is_unseen
from hopward.jose import Claims
from hopward.people import PeopleSettings

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

LONGEST_NAME = 255
"""Characters of a person's name; OpenID Connect Core 1.0 section 8 allows a `sub` as many."""

Keys = Mapping[str, tuple[ForeignKey, ...]]


@dataclass(frozen=True, slots=True)
class Known:
    """Whom an ID token is about: `name` is what they are called here, `sid` their session at the provider."""

    name: str
    sub: str
    sid: str


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """Whom a logout token is about: one session, or with an empty `sid` every session of `sub`.

    `jti` counts once; `expires_at` is until when it has to be remembered, in seconds since 1970.
    """

    sub: str
    sid: str
    jti: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Came:
    """What an ID token came with: the `nonce` of the login, which it must have at the `login` itself and may
    lack at a refresh (section 12.2), and an access token, which it may have a digest of."""

    nonce: str
    login: bool
    access_token: str


def read_id_token(token: str, keys: Keys, settings: PeopleSettings, now: Instant, came: Came) -> Known:
    """Whom a genuine ID token for us is about; raises `TokenError`."""
    expected = Foreign(
        algorithms=frozenset({settings.algorithm}),
        types=("", "JWT"),
        issuer=settings.issuer,
        audience=settings.client_id,
    )
    claims = verify_foreign(token, keys, expected, now)
    several, azp = len(audiences(claims)) > 1, claims.get("azp")
    if several or (azp is not None and azp != settings.client_id):
        raise TokenError(
            "The ID token is for other clients as well, or was asked for by one.", error="bad_claim"
        )
    if (came.login or "nonce" in claims) and not _same(claims.get("nonce"), came.nonce):
        raise TokenError("The ID token is not of this login.", error="bad_claim")
    if "at_hash" in claims and not _same(
        claims["at_hash"], _half_hash(came.access_token, settings.algorithm)
    ):
        raise TokenError("The ID token came with another access token.", error="bad_claim")
    if "events" in claims:
        raise TokenError("A logout token is no ID token.", error="wrong_type")
    return Known(name_of(claims, settings), claims["sub"], _text(claims, "sid"))


def read_logout_token(token: str, keys: Keys, settings: PeopleSettings, now: Instant) -> LoggedOut:
    """Whom a genuine logout token for us is about; raises `TokenError`.

    One without `typ` is one of an older provider: that it holds the event and no `nonce` tells it from an ID
    token. Whether its `jti` has been seen, the caller knows.
    """
    expected = Foreign(
        algorithms=frozenset({settings.algorithm}),
        types=("logout+jwt", "JWT", ""),
        issuer=settings.issuer,
        audience=settings.client_id,
        required=("iss", "aud", "iat", "exp", "jti", "events"),
    )
    claims = verify_foreign(token, keys, expected, now)
    events: object = claims["events"]
    if not isinstance(events, dict) or cast("dict[str, object]", events).get(LOGOUT_EVENT) != {}:
        raise TokenError("The token does not tell of a logout.", error="bad_claim")
    if "nonce" in claims:
        raise TokenError("An ID token is no logout token.", error="wrong_type")
    sub, sid = _text(claims, "sub"), _text(claims, "sid")
    if not sub and not sid:
        raise TokenError("The logout token names nobody.", error="bad_claim")
    return LoggedOut(sub, sid, claims["jti"], claims["exp"])


def name_of(claims: Claims, settings: PeopleSettings) -> str:
    """What a person is called here: their verified e-mail address, or `ISSUER#SUB`, which nobody else has.

    Raises `TokenError` for a name that could be taken for another or for an agent's.
    """
    name = f"{settings.issuer}#{claims['sub']}"
    if settings.name == "email":
        name = claims.get("email")
        if not isinstance(name, str) or name.count("@") != 1 or claims.get("email_verified") is not True:
            told = "The provider says no verified e-mail address, by which people are known here."
            raise TokenError(told, error="bad_claim")
    odd = any(one.isspace() or not one.isprintable() or is_unseen(one) for one in name)
    if odd or len(name) > LONGEST_NAME + len(settings.issuer) or is_agent(name):
        raise TokenError("The name that the provider says cannot be a person's here.", error="bad_claim")
    return name


def _half_hash(token: str, algorithm: str) -> str:
    """Left half of the digest that goes with the algorithm (section 3.1.3.6); SHA-512 for Ed25519."""
    size = algorithm[-3:] if algorithm[-3:] in ("256", "384", "512") else "512"
    digest = hashlib.new(f"sha{size}", token.encode("utf-8", "replace")).digest()
    return encode(digest[: len(digest) // 2])


def _same(value: object, expected: str) -> bool:
    return isinstance(value, str) and hmac.compare_digest(value.encode(), expected.encode())


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise TokenError(f"The token's {name} is not a text.", error="bad_claim")
    return value
