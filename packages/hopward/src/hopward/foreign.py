"""Tokens of other issuers: JWTs (RFC 7519) under keys that somebody else publishes (RFC 7517, RFC 8725).

Looser than `hopward.jose` where the world is: RSA too, several audiences, a header that says more. What it
says about keys (`jku`, `x5u`, `jwk`, `x5c`) is never followed: a key comes from the published set alone, by
`kid` and algorithm. `crit` is refused, and so is anything that is not a compact JWS.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from hopward.base64url import decode
from hopward.clock import SECOND, Instant
from hopward.errors import TokenError
from hopward.jose import MAX_NUMERIC_DATE, MAX_TOKEN, Claims
from hopward.strictjson import parse

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_HASHES: dict[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_CURVES: dict[str, tuple[EllipticCurve, str, int]] = {
    "P-256": (SECP256R1(), "ES256", 32),
    "P-384": (SECP384R1(), "ES384", 48),
    "P-521": (SECP521R1(), "ES512", 66),
}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*_RSA, "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""What can be verified: nothing symmetric, and no `none`. `Ed25519` is what RFC 9864 calls `EdDSA`."""

_RSA_BITS = range(2048, 8193)
_PRIVATE_PARAMETERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A published key, and the algorithms it may verify: of its kind, or the one that its JWK names."""

    kid: str
    algorithms: frozenset[str]
    key: PublicKey

    def verifies(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Whether this is the key's signature over `data`, by an algorithm that the key is for."""
        if algorithm not in self.algorithms:
            return False
        try:
            _verify(self.key, algorithm, signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a token of another issuer must be.

    `types` are the media types allowed in `typ`, compared without case and `application/`; an empty text
    among them allows none. `issuer` and `audience` None leave the comparison to the caller. `required` are
    claims that must be there. `skew` is how many seconds ahead the issuer's clock may run; it never extends
    an expiry.
    """

    algorithms: frozenset[str]
    types: tuple[str, ...]
    issuer: str | None
    audience: str | None
    required: tuple[str, ...] = ("iss", "sub", "aud", "exp", "iat")
    skew: int = 30


def foreign_keys(
    document: object, algorithms: Iterable[str], uses: tuple[str, ...] = ("sig",)
) -> dict[str, tuple[ForeignKey, ...]]:
    """The keys of a JWKS document for these algorithms, by `kid`; others are left out (RFC 7517 section 5).

    A key without `use` counts as one for signatures. Raises `TokenError` for anything that is no JWKS, a
    private key in it, a key that is malformed or too weak, and two keys of one `kid` and algorithm.
    """
    entries = cast("dict[str, object]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise _unusable("A JWKS document has a list of keys.")
    wanted, found = frozenset(algorithms), dict[str, tuple[ForeignKey, ...]]()
    for entry in cast("list[object]", entries):
        if not isinstance(entry, dict):
            raise _unusable("A key in a JWKS document is an object.")
        key = _foreign_key(cast("dict[str, Any]", entry), wanted, uses)
        if key is None:
            continue
        alike = found.get(key.kid, ())
        if any(key.algorithms & other.algorithms for other in alike):
            raise _unusable("Two keys of a JWKS document have the same kid.")
        found[key.kid] = (*alike, key)
    return found


def verify_foreign(
    token: str, keys: Mapping[str, tuple[ForeignKey, ...]], expected: Foreign, now: Instant
) -> Claims:
    """The claims of a genuine, current token that is as expected.

    Raises `TokenError`, whose `error` says why, as those of `hopward.jose.verify` do; `unknown_key` where no
    key has its `kid`, so that the caller may look for newer ones.
    """
    header, payload, signature = _segments(token)
    alg, kid = _header(_object(header), expected)
    named = keys.get(kid)
    if named is None:
        raise TokenError("The token is signed by a key that is not published.", error="unknown_key")
    key = next((one for one in named if alg in one.algorithms), None)
    if key is None:
        raise TokenError("The token names another algorithm than its key has.", error="wrong_algorithm")
    if not key.verifies(alg, _bytes(signature), f"{header}.{payload}".encode("ascii")):
        raise TokenError("The token's signature is not valid.", error="bad_signature")
    claims = _object(payload)
    _check(claims, expected, now)
    return claims


def foreign_kid(token: str) -> str:
    """The `kid` a token names, before anything of it is known to be true; empty where none can be read."""
    try:
        kid = _object(_segments(token)[0]).get("kid")
    except TokenError:
        return ""
    return kid if isinstance(kid, str) else ""


def unverified_claims(token: str) -> Claims:
    """What a token says, before anything of it is known to be true; raises `TokenError` where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("The token does not have three parts.", error="malformed")
    return _object(parts[1])


def audiences(claims: Claims) -> tuple[str, ...]:
    """Whom a token is for: `aud` as one or several texts (RFC 7519 section 4.1.3); raises `TokenError`."""
    value: object = claims.get("aud", [])
    entries = cast("list[object]", value) if isinstance(value, list) else [value]
    if not all(isinstance(entry, str) and entry for entry in entries):
        raise _bad("The token's aud is not one or several texts.")
    return tuple(cast("list[str]", entries))


def _foreign_key(jwk: Mapping[str, Any], wanted: frozenset[str], uses: tuple[str, ...]) -> ForeignKey | None:
    if any(name in jwk for name in _PRIVATE_PARAMETERS):
        raise TokenError("A private key stands where a public key belongs.", error="private_key")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", uses[0]) not in uses or not isinstance(operations, list) or "verify" not in operations:
        return None
    fitting = frozenset(_fitting(jwk)) & wanted
    fitting &= frozenset({jwk["alg"]}) if isinstance(jwk.get("alg"), str) else fitting
    kid = jwk.get("kid")
    if not fitting or not isinstance(kid, str) or not kid:
        return None
    try:
        return ForeignKey(kid, fitting, _public(jwk))
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable("A key of a JWKS document is malformed or too weak.") from error


def _fitting(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            return _RSA
        case "EC", str(curve) if curve in _CURVES:
            return (_CURVES[curve][1],)
        case "OKP", "Ed25519":
            return ("EdDSA", "Ed25519")
        case _:
            return ()


def _public(jwk: Mapping[str, Any]) -> PublicKey:
    """Raises `ValueError`, `KeyError` or `TypeError`."""
    if jwk["kty"] == "RSA":
        modulus, exponent = _number(jwk["n"]), _number(jwk["e"])
        if modulus.bit_length() not in _RSA_BITS or not 65537 <= exponent < 1 << 32:
            raise ValueError("a weak or oversized RSA key")
        return RSAPublicNumbers(exponent, modulus).public_key()
    if jwk["kty"] == "OKP":
        return Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
    curve, _, length = _CURVES[jwk["crv"]]
    x, y = decode(jwk["x"]), decode(jwk["y"])
    if len(x) != length or len(y) != length:
        raise ValueError("a coordinate of another length")
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve)
    return numbers.public_key()


def _number(text: str) -> int:
    return int.from_bytes(decode(text), "big")


def _verify(key: PublicKey, algorithm: str, signature: bytes, data: bytes) -> None:
    """Raises `InvalidSignature`, `ValueError`."""
    if isinstance(key, Ed25519PublicKey):
        key.verify(signature, data)
        return
    digest = _HASHES[algorithm[2:]]
    if isinstance(key, EllipticCurvePublicKey):
        length = (key.curve.key_size + 7) // 8
        if len(signature) != 2 * length:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:length], "big"), int.from_bytes(signature[length:], "big")
        key.verify(encode_dss_signature(r, s), data, ECDSA(digest))
        return
    pss = PSS(mgf=MGF1(digest), salt_length=digest.digest_size)
    key.verify(signature, data, pss if algorithm.startswith("PS") else PKCS1v15(), digest)


def _header(header: Mapping[str, Any], expected: Foreign) -> tuple[str, str]:
    """Algorithm and `kid` of a header that is as expected."""
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not header.keys().isdisjoint(("crit", "zip", "enc", "b64")):
        raise TokenError("The token's header asks for what is not understood.", error="unsupported_header")
    if not isinstance(kid, str) or not kid or not isinstance(typ, str):
        raise TokenError("The token's header has no usable kid or typ.", error="unsupported_header")
    if not isinstance(alg, str) or alg not in expected.algorithms or alg not in ALGORITHMS:
        raise TokenError("The token's algorithm is not among those accepted.", error="wrong_algorithm")
    allowed = {one.lower().removeprefix("application/") for one in expected.types}
    if typ.lower().removeprefix("application/") not in allowed:
        raise TokenError("The token is of another type than is wanted here.", error="wrong_type")
    return alg, kid


def _check(claims: Claims, expected: Foreign, now: Instant) -> None:
    for name in expected.required:
        if name not in claims:
            raise _bad(f"The token has no {name}.")
    for name in ("iss", "sub", "jti"):
        if name in claims and (not isinstance(claims[name], str) or not claims[name]):
            raise _bad(f"The token's {name} is not a text.")
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        raise TokenError("The token is from another issuer.", error="wrong_issuer")
    if expected.audience is not None and expected.audience not in audiences(claims):
        raise TokenError("The token is for someone else.", error="wrong_audience")
    times = {name: _time(claims[name], name) for name in ("exp", "iat", "nbf") if name in claims}
    if "exp" in times and times["exp"] * SECOND <= now:
        raise TokenError("The token has expired.", error="expired")
    starts = max((times[name] for name in ("iat", "nbf") if name in times), default=0)
    if (starts - expected.skew) * SECOND > now:
        raise TokenError("The token is not valid yet.", error="not_yet_valid")


def _time(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMERIC_DATE:
        raise _bad(f"The token's {name} is not a time in whole seconds.")
    return value


def _segments(token: str) -> tuple[str, str, str]:
    if len(token) > MAX_TOKEN or not token.isascii():
        raise TokenError("The token is too long, or not plain ASCII.", error="malformed")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenError("The token does not have three parts.", error="malformed")
    return parts[0], parts[1], parts[2]


def _object(segment: str) -> dict[str, Any]:
    try:
        value = parse(_bytes(segment))
    except ValueError as error:
        raise TokenError("The token does not hold proper JSON.", error="malformed") from error
    if not isinstance(value, dict):
        raise TokenError("The token does not hold a JSON object.", error="malformed")
    return cast("dict[str, Any]", value)


def _bytes(segment: str) -> bytes:
    try:
        return decode(segment)
    except ValueError as error:
        raise TokenError("The token is not in strict base64url.", error="malformed") from error


def _bad(sentence: str) -> TokenError:
    return TokenError(sentence, error="bad_claim")


def _unusable(sentence: str) -> TokenError:
    return TokenError(sentence, error="unusable_key")
