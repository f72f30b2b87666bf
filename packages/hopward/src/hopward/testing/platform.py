"""A platform that issues workload tokens, for tests: what a cluster, a CI service or SPIRE would sign."""

import json
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hopward.base64url import encode


class Platform:
    """Signs whatever it is asked to, with a key of its own, and publishes that key.

    `use` is that of the published key: `sig`, or `jwt-svid` in a SPIFFE bundle.
    """

    def __init__(
        self, kid: str = "k1", *, algorithm: Literal["ES256", "RS256"] = "ES256", use: str = "sig"
    ) -> None:
        self.algorithm, self.use = algorithm, use
        self.keys: dict[str, EllipticCurvePrivateKey | RSAPrivateKey] = {}
        self.kid = kid
        self.rotate(kid)

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on; those before stay published."""
        self.kid = kid
        self.keys[kid] = (
            generate_private_key(SECP256R1()) if self.algorithm == "ES256" else generate_rsa(65537, 2048)
        )

    def withdraw(self, kid: str) -> None:
        """Publish a key no more."""
        del self.keys[kid]

    def jwks(self) -> dict[str, Any]:
        """The JWKS document (RFC 7517), which is a SPIFFE bundle too."""
        return {"keys": [self._jwk(kid, key) for kid, key in self.keys.items()]}

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """A token that makes these claims; a claim or header parameter that is None is left out.

        Its header names the algorithm and the key, unless `header` says otherwise.
        """
        parameters = {"alg": self.algorithm, "kid": self.kid} | header
        signed = f"{_part(parameters)}.{_part(claims)}"
        return f"{signed}.{encode(self._signature(signed.encode('ascii')))}"

    def _signature(self, data: bytes) -> bytes:
        key = self.keys[self.kid]
        if isinstance(key, RSAPrivateKey):
            return key.sign(data, PKCS1v15(), SHA256())
        r, s = decode_dss_signature(key.sign(data, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def _jwk(self, kid: str, key: EllipticCurvePrivateKey | RSAPrivateKey) -> dict[str, Any]:
        shared = {"kid": kid, "use": self.use}
        if isinstance(key, RSAPrivateKey):
            rsa = key.public_key().public_numbers()
            return {**shared, "kty": "RSA", "n": _number(rsa.n, 256), "e": _number(rsa.e, 3)}
        point = key.public_key().public_numbers()
        x, y = _number(point.x, 32), _number(point.y, 32)
        return {**shared, "kty": "EC", "crv": "P-256", "x": x, "y": y}


def _part(content: dict[str, Any]) -> str:
    kept = {name: value for name, value in content.items() if value is not None}
    return encode(json.dumps(kept).encode("utf-8"))


def _number(value: int, length: int) -> str:
    return encode(value.to_bytes(length, "big"))
