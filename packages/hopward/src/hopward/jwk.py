"""Keys as JSON Web Keys (RFC 7517): each has one `kid` and one algorithm, ES256 or EdDSA (Ed25519)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hopward.base64url import decode, encode
from hopward.canonical import compact
from hopward.errors import TokenError

Algorithm: TypeAlias = Literal["ES256", "EdDSA"]
JWK: TypeAlias = Mapping[str, Any]

_SIGNATURE_BYTES = 64
_ECDSA = ECDSA(SHA256())
_PRIVATE_PARAMETERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "r", "t")
_CURVES: dict[tuple[str, str], Algorithm] = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its `kid` and its one algorithm."""

    kid: str
    algorithm: Algorithm
    private: EllipticCurvePrivateKey | Ed25519PrivateKey
    _headers: dict[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    @classmethod
    def generate(cls, algorithm: Algorithm) -> "SigningKey":
        """A new key; its `kid` is its thumbprint (RFC 7638)."""
        private = generate_private_key(SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()
        return cls(thumbprint(_public_parameters(private.public_key())), algorithm, private)

    @classmethod
    def from_jwk(cls, jwk: JWK) -> "SigningKey":
        """The key of a private JWK (RFC 7517); raises `TokenError` unless its parts belong together."""
        public = VerificationKey.from_jwk({name: value for name, value in jwk.items() if name != "d"})
        d = _coordinate(jwk, "d")
        try:
            private = (
                derive_private_key(int.from_bytes(d, "big"), SECP256R1())
                if public.algorithm == "ES256"
                else Ed25519PrivateKey.from_private_bytes(d)
            )
        except ValueError as error:
            raise TokenError("The private part of the key is out of range.", error="unusable_key") from error
        if _public_parameters(private.public_key()) != _public_parameters(public.key):
            raise TokenError("The two parts of the key do not belong together.", error="unusable_key")
        return cls(public.kid, public.algorithm, private)

    def signature(self, data: bytes) -> bytes:
        """64 bytes: R and S for ES256 (RFC 7518 section 3.4), the signature of RFC 8032 for EdDSA."""
        if isinstance(self.private, EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(data, _ECDSA))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.private.sign(data)

    def to_jwk(self) -> dict[str, Any]:
        """The private JWK. Whoever holds it can sign."""
        if isinstance(self.private, EllipticCurvePrivateKey):
            d = self.private.private_numbers().private_value.to_bytes(32, "big")
        else:
            d = self.private.private_bytes_raw()
        return {**self.public_jwk(), "d": encode(d)}

    def public_jwk(self) -> dict[str, Any]:
        """The public JWK, as it stands in a JWKS document."""
        parameters = _public_parameters(self.private.public_key())
        return {**parameters, "alg": self.algorithm, "use": "sig", "kid": self.kid}

    def verification(self) -> "VerificationKey":
        """The key that verifies what this one signs."""
        return VerificationKey(self.kid, self.algorithm, self.private.public_key())

    def secret(self, purpose: str) -> bytes:
        """32 bytes that only the holder of the key can know, others for every purpose (HKDF, RFC 5869)."""
        private = decode(self.to_jwk()["d"])
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode("ascii")).derive(private)

    def self_keyed_header(self, typ: str) -> str:
        """The encoded header of tokens of this type that bring their key along; encoded once."""
        known = self._headers.get(f"jwk {typ}")
        if known is None:
            jwk = _public_parameters(self.private.public_key())
            known = encode(compact({"alg": self.algorithm, "jwk": jwk, "typ": typ}))
            self._headers[f"jwk {typ}"] = known
        return known

    def header(self, typ: str) -> str:
        """The encoded header of tokens of this type; encoded once."""
        known = self._headers.get(typ)
        if known is None:
            known = encode(compact({"alg": self.algorithm, "kid": self.kid, "typ": typ}))
            self._headers[typ] = known
        return known


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key with its `kid` and its one algorithm."""

    kid: str
    algorithm: Algorithm
    key: EllipticCurvePublicKey | Ed25519PublicKey

    @property
    def thumbprint(self) -> str:
        """Its SHA-256 thumbprint (RFC 7638), whatever its `kid`."""
        return thumbprint(_public_parameters(self.key))

    @classmethod
    def from_jwk(cls, jwk: JWK) -> "VerificationKey":
        """The key of a public JWK; raises `TokenError`.

        Its error is `private_key` if the JWK holds a private part, `unsupported_key` if it is of a kind not
        used here (other key type, curve or algorithm, not for verifying), else `unusable_key`. Without `kid`
        the thumbprint serves.
        """
        if any(name in jwk for name in _PRIVATE_PARAMETERS):
            raise TokenError("A private key stands where a public key belongs.", error="private_key")
        algorithm = _supported(jwk)
        x = _coordinate(jwk, "x")
        try:
            key: EllipticCurvePublicKey | Ed25519PublicKey
            if algorithm == "ES256":
                numbers = (int.from_bytes(x, "big"), int.from_bytes(_coordinate(jwk, "y"), "big"))
                key = EllipticCurvePublicNumbers(*numbers, SECP256R1()).public_key()
            else:
                key = Ed25519PublicKey.from_public_bytes(x)
        except ValueError as error:
            raise TokenError("The key is not a point of its curve.", error="unusable_key") from error
        kid = jwk.get("kid", thumbprint(_public_parameters(key)))
        if not isinstance(kid, str) or not kid:
            raise TokenError("A key's kid is a text.", error="unusable_key")
        return cls(kid, algorithm, key)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this is the key's signature over `data`, at exactly its length."""
        if len(signature) != _SIGNATURE_BYTES:
            return False
        try:
            if isinstance(self.key, EllipticCurvePublicKey):
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self.key.verify(encode_dss_signature(r, s), data, _ECDSA)
            else:
                self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def thumbprint(jwk: JWK) -> str:
    """The SHA-256 thumbprint of a JWK (RFC 7638), base64url."""
    members = ("crv", "kty", "x", "y") if jwk.get("kty") == "EC" else ("crv", "kty", "x")
    return encode(hashlib.sha256(compact({name: jwk[name] for name in members})).digest())


def key_set(document: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """The usable keys of a JWKS document by `kid`. Keys of other kinds are left out (RFC 7517 section 5).

    Raises `TokenError` for anything that is no JWKS, a private key in it, or a `kid` that occurs twice.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise TokenError("A JWKS document has a list of keys.", error="unusable_key")
    keys: dict[str, VerificationKey] = {}
    for entry in cast("list[object]", entries):
        if not isinstance(entry, dict):
            raise TokenError("A key in a JWKS document is an object.", error="unusable_key")
        try:
            key = VerificationKey.from_jwk(cast("dict[str, Any]", entry))
        except TokenError as error:
            if error.error == "unsupported_key":
                continue
            raise
        if key.kid in keys:
            raise TokenError("Two keys of a JWKS document have the same kid.", error="unusable_key")
        keys[key.kid] = key
    return keys


def _supported(jwk: JWK) -> Algorithm:
    algorithm = _CURVES.get((str(jwk.get("kty")), str(jwk.get("crv"))))
    operations = jwk.get("key_ops", ["verify"])
    if (
        algorithm is None
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        raise TokenError("The key is not one for verifying ES256 or EdDSA.", error="unsupported_key")
    return algorithm


def _coordinate(jwk: JWK, name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise TokenError(f"The key has no {name}.", error="unusable_key")
    try:
        data = decode(value)
    except ValueError as error:
        raise TokenError(f"The key's {name} is not in strict base64url.", error="unusable_key") from error
    if len(data) != 32:
        raise TokenError(f"The key's {name} does not have 32 bytes.", error="unusable_key")
    return data


def _public_parameters(key: EllipticCurvePublicKey | Ed25519PublicKey) -> dict[str, str]:
    if isinstance(key, EllipticCurvePublicKey):
        numbers = key.public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return {"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)}
    return {"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_bytes_raw())}
