"""The agent's side of the authority: plain OAuth, with PyJWT and an HTTP client, nothing of Hopward.

An agent has a key of its own and no standing right. To work in a task it shows the authority two tokens: the
task's, which says for whom and what, and its own, which says who acts. Back comes an access token (RFC 8693)
for one endpoint of the guarding proxy.
"""

import secrets
import time
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name, no secret


class Agent:
    """A registered agent: its id, and the key it authenticates with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._kid = f"{name}-{secrets.token_hex(4)}"

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public key, for `[agents.NAME]` in hopward.toml."""
        jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {
            **{name: str(jwk[name]) for name in ("kty", "crv", "x", "y")},
            "kid": self._kid,
            "alg": "ES256",
        }

    def exchange(self, authority: str, task_token: str, endpoint: str) -> str:
        """The access token for working in a task, through one endpoint of the proxy."""
        own = self._ask(authority, {"grant_type": "client_credentials"})
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": task_token,
            "subject_token_type": ACCESS_TOKEN,
            "actor_token": own["access_token"],
            "actor_token_type": ACCESS_TOKEN,
            "resource": endpoint,
        }
        return str(self._ask(authority, form)["access_token"])

    def _ask(self, authority: str, form: dict[str, str]) -> dict[str, Any]:
        """One answer of the token endpoint; the agent authenticates with `private_key_jwt` (RFC 7523)."""
        metadata = httpx2.get(f"{authority}/.well-known/oauth-authorization-server").raise_for_status().json()
        now = int(time.time())
        claims = {
            "iss": self.name,
            "sub": self.name,
            "aud": metadata["issuer"],
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(16),
        }
        assertion = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._kid})
        authentication = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        answer = httpx2.post(metadata["token_endpoint"], data=form | authentication)
        return answer.raise_for_status().json()
