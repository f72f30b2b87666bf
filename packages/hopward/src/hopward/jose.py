"""Signed tokens: strict compact JWS (RFC 7515) carrying JWT claims (RFC 7519).

One key has one algorithm, and the key decides (RFC 8725 section 3.1). Everything optional that has ever
confused a verifier is refused: header parameters beyond `alg`, `kid` and `typ` (so `crit`, `jwk`, `jku`,
`x5u` and `b64` too), duplicate members at any depth, padding, leftover base64 bits, several audiences,
numbers that are not whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from hopward.base64url import decode, encode
from hopward.canonical import compact
from hopward.clock import SECOND, Instant
from hopward.errors import TokenError
from hopward.jwk import SigningKey, VerificationKey
from hopward.strictjson import parse

Claims: TypeAlias = dict[str, Any]

MAX_TOKEN = 16_384
"""Longest token read, in characters."""

MAX_NUMERIC_DATE = 253_402_300_799
"""The last second of the year 9999, the largest NumericDate read."""

_HEADER_PARAMETERS = {"alg", "kid", "typ"}
_SELF_KEYED = {"alg", "jwk", "typ"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be. `audience` None leaves the comparison to the caller; it is still one string.

    `types` are the media types allowed in `typ`, also with `application/` before them (RFC 9068 section 4).
    `skew` is how many seconds ahead another machine's clock may run; it never extends an expiry.
    """

    types: tuple[str, ...]
    issuer: str
    audience: str | None
    skew: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a genuine token, and the `kid` of the key that signed it."""

    claims: Claims
    kid: str


def sign(claims: Claims, key: SigningKey, typ: str) -> str:
    """A compact JWS over the claims; `typ` is its media type, such as `at+jwt`.

    Raises `TokenError` if it would be too long to be read, `ValueError` for claims JSON cannot carry.
    """
    content = f"{key.header(typ)}.{encode(compact(claims))}"
    token = f"{content}.{encode(key.signature(content.encode('ascii')))}"
    if len(token) > MAX_TOKEN:
        raise TokenError("The token would be too long.", error="malformed")
    return token


def verify(token: str, keys: Mapping[str, VerificationKey], expected: Expected, now: Instant) -> Verified:
    """The claims of a token that is genuine, of the expected type and issuer, for us, and current.

    `iss`, `sub`, `aud`, `exp`, `iat` and `jti` are required, whatever the type. Raises `TokenError`, whose
    `error` says why: `malformed`, `unsupported_header`, `unknown_key`, `wrong_algorithm`, `bad_signature`,
    `wrong_type`, `wrong_issuer`, `wrong_audience`, `bad_claim`, `expired`, `not_yet_valid`.
    """
    header, payload, signature = _segments(token)
    parameters = _header(header)
    key = keys.get(parameters["kid"])
    if key is None:
        raise TokenError("The token is signed by a key that is not known here.", error="unknown_key")
    if parameters["alg"] != key.algorithm:
        raise TokenError("The token names another algorithm than its key has.", error="wrong_algorithm")
    if parameters["typ"].removeprefix("application/") not in expected.types:
        raise TokenError("The token is of another type than is wanted here.", error="wrong_type")
    if not key.verifies(_bytes(signature), f"{header}.{payload}".encode("ascii")):
        raise TokenError("The token's signature is not valid.", error="bad_signature")
    claims = _object(_bytes(payload))
    _check_claims(claims, expected, now)
    return Verified(claims, key.kid)


def verify_self_keyed(token: str, typ: str) -> tuple[Claims, VerificationKey]:
    """What a token says that brings its own public key (`jwk`, RFC 7515 section 4.1.3), and that key.

    It proves that its maker holds the key, and nothing about who that is: only for proofs of possession.
    None of its claims are checked. Raises `TokenError`: those of `VerificationKey.from_jwk`, `malformed`,
    `unsupported_header`, `wrong_algorithm`, `wrong_type`, `bad_signature`.
    """
    header, payload, signature = _segments(token)
    parameters = _object(_bytes(header))
    jwk = parameters.get("jwk")
    if parameters.keys() != _SELF_KEYED or not isinstance(jwk, dict):
        raise TokenError("The header does not say alg, jwk and typ alone.", error="unsupported_header")
    if parameters["typ"] != typ:
        raise TokenError("The token is of another type than is wanted here.", error="wrong_type")
    key = VerificationKey.from_jwk(cast("dict[str, Any]", jwk))
    if parameters["alg"] != key.algorithm:
        raise TokenError("The token names another algorithm than its key has.", error="wrong_algorithm")
    if not key.verifies(_bytes(signature), f"{header}.{payload}".encode("ascii")):
        raise TokenError("The token's signature is not valid.", error="bad_signature")
    return _object(_bytes(payload)), key


def sign_self_keyed(claims: Claims, key: SigningKey, typ: str) -> str:
    """A token that brings its public key along, to be read by `verify_self_keyed`."""
    content = f"{key.self_keyed_header(typ)}.{encode(compact(claims))}"
    return f"{content}.{encode(key.signature(content.encode('ascii')))}"


def unverified_kid(token: str) -> str:
    """The `kid` a token names, before anything about it is known to be true: only for choosing the key."""
    return _header(_segments(token)[0])["kid"]


def _bytes(segment: str) -> bytes:
    try:
        return decode(segment)
    except ValueError as error:
        raise TokenError("The token is not in strict base64url.", error="malformed") from error


def _segments(token: str) -> tuple[str, str, str]:
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenError("The token is too long, or not plain ASCII.", error="malformed")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("The token does not have three parts.", error="malformed")
    return parts[0], parts[1], parts[2]


def _header(segment: str) -> dict[str, str]:
    header = _object(_bytes(segment))
    if not header.keys() <= _HEADER_PARAMETERS:
        raise TokenError("The token's header says more than alg, kid and typ.", error="unsupported_header")
    for name in _HEADER_PARAMETERS:
        if not isinstance(header.get(name), str) or not header[name]:
            raise TokenError(f"The token's header has no usable {name}.", error="unsupported_header")
    return cast("dict[str, str]", header)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = parse(data)
    except ValueError as error:
        raise TokenError("The token does not hold proper JSON.", error="malformed") from error
    if not isinstance(value, dict):
        raise TokenError("The token does not hold a JSON object.", error="malformed")
    return cast("dict[str, Any]", value)


def _check_claims(claims: Claims, expected: Expected, now: Instant) -> None:
    for name in ("iss", "sub", "aud", "jti"):
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise TokenError(f"The token's {name} is not one text.", error="bad_claim")
    if claims["iss"] != expected.issuer:
        raise TokenError("The token is from another issuer.", error="wrong_issuer")
    if expected.audience is not None and claims["aud"] != expected.audience:
        raise TokenError("The token is for someone else.", error="wrong_audience")
    starts = [_numeric_date(claims, name) for name in ("iat", "nbf") if name == "iat" or name in claims]
    expires = _numeric_date(claims, "exp")
    if expires <= max(starts):
        raise TokenError("The token ends before it begins.", error="bad_claim")
    if expires * SECOND <= now:
        raise TokenError("The token has expired.", error="expired")
    if (max(starts) - expected.skew) * SECOND > now:
        raise TokenError("The token is not valid yet.", error="not_yet_valid")


def _numeric_date(claims: Claims, name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= MAX_NUMERIC_DATE:
        raise TokenError(f"The token's {name} is not a time in whole seconds.", error="bad_claim")
    return value
