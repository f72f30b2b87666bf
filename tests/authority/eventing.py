"""A transmitter of security events for tests: it signs with PyJWT and a key of its own, as others do."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from hopward.secevent import CAEP, RISC

ISSUER = "https://idp.example"
AUDIENCE = "https://authority.example/events/idp"
SOURCE = f"""
[events.sources.idp]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks_file = "idp.jwks.json"
silent_after = 600

[events.sources.idp.subjects]
same = ["email"]
opaque = {{ "u-17" = ["alice", "local:carol"], "a-1" = ["agent:helper"] }}
iss_sub = {{ "248" = ["alice"] }}
"""


class Transmitter:
    """Signs events. `claims` and headers can be anything, so that it can be a bad one too."""

    def __init__(self, kid: str = "idp-1", issuer: str = ISSUER) -> None:
        self.key: RSAPrivateKey = generate_private_key(65537, 2048)
        self.kid, self.issuer, self.count = kid, issuer, 0

    def jwks(self) -> dict[str, Any]:
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def publish(self, folder: Path) -> None:
        path = folder / "idp.jwks.json"
        path.write_text(json.dumps(self.jwks()))
        path.chmod(0o644)

    def event(
        self,
        kind: str = f"{CAEP}session-revoked",
        subject: dict[str, Any] | None = None,
        payload: dict[str, Any] | None = None,
        *,
        at: int | None = None,
        **changes: Any,
    ) -> str:
        """A signed token; `changes` replace claims, None leaves one out."""
        self.count += 1
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "iat": int(time.time()) if at is None else at,
            "jti": f"set-{self.count}",
            "txn": "t-1",
            "sub_id": email("alice") if subject is None else subject,
            "events": {kind: payload or {}},
        }
        claims = {name: value for name, value in (claims | changes).items() if value is not None}
        return self.signed(claims)

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        headers = {"typ": "secevent+jwt", "kid": self.kid} | header
        return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)


def email(address: str) -> dict[str, Any]:
    return {"format": "email", "email": address}


def risc(name: str) -> str:
    return f"{RISC}{name}"


def caep(name: str) -> str:
    return f"{CAEP}{name}"
