"""npm's oidc-provider on loopback, an IdP that people log in at, and an authorization server that exchanges.

It runs `tests/servers/oidc-provider.mjs`. People: `ana`, `ben` and `carol`, whose password is their name
with `-password`. Clients, all with the secret `CLIENT-secret`: `hopward-authority` logs people in,
`assistant` gets tokens of people for `agent-a`, which exchanges, as does `agent-b`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from .running import PATIENCE, Running

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

DESK, ORDERS = "https://desk.example/mcp", "https://orders.example/mcp"

AGENT_A, AGENT_B = "https://agent-a.example/", "https://agent-b.example/"
"""The resource indicators of tokens that are addressed to the agents."""


def _agent(name: str) -> dict[str, Any]:
    return {
        "client_id": name,
        "client_secret": f"{name}-secret",
        "grant_types": [EXCHANGE, "client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "scope": "refunds:read refunds:write orders:read",
    }


def _user(name: str, **more: Any) -> dict[str, Any]:
    claims = {"email": f"{name}@example.com", "email_verified": True}
    return {"password": f"{name}-password", "claims": claims | more}


def _login(name: str, **more: Any) -> dict[str, Any]:
    return {
        "client_id": name,
        "client_secret": f"{name}-secret",
        "grant_types": ["authorization_code", "refresh_token"],
        "application_type": "native",  # any port of loopback
        "redirect_uris": ["http://127.0.0.1/login/callback"],
        "scope": "openid profile email offline_access",
    } | more


@dataclass(frozen=True)
class Provided:
    """What an instance is started with; a test replaces what it wants otherwise (`dataclasses.replace`)."""

    clients: Sequence[dict[str, Any]] = (
        _login("hopward-authority"),
        _login("assistant", scope="openid refunds:read refunds:write orders:read"),
        _agent("agent-a"),
        _agent("agent-b"),
    )
    users: dict[str, Any] = field(
        default_factory=lambda: {
            "ana": _user("ana", groups=["approvers"]),
            "ben": _user("ben", groups=[]),
            "carol": _user("carol", groups=["approvers"]),
        }
    )
    resources: dict[str, str] = field(
        default_factory=lambda: {
            DESK: "refunds:read refunds:write",
            ORDERS: "orders:read orders:write",
            AGENT_A: "refunds:read refunds:write orders:read",
            AGENT_B: "refunds:read refunds:write orders:read",
        }
    )
    addresses: dict[str, str] = field(default_factory=lambda: {"agent-a": AGENT_A, "agent-b": AGENT_B})
    strict: bool = True
    opaque: bool = False
    dpop_nonce: bool = False

    def with_client(self, name: str, **changes: Any) -> "Provided":
        """The same, but for metadata of one client; None takes a value away."""
        clients = [one | changes if one["client_id"] == name else one for one in self.clients]
        whole = [{key: value for key, value in one.items() if value is not None} for one in clients]
        return Provided(**(vars(self) | {"clients": whole}))


class OidcProvider(Running):
    """An instance on a port of its own."""

    def __init__(self, command: Sequence[str], folder: Path, provided: Provided | None = None) -> None:
        super().__init__([*command, json.dumps(vars(provided or Provided()))], folder)
        self.http = httpx2.Client(timeout=PATIENCE, trust_env=False)
        try:
            self.issuer = self.wait_for(r"ready (http://127\.0\.0\.1:\d+)")[1]
        except BaseException:
            self.end()
            raise

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/token"

    def token(self, client: str, status: int = 200, **parameters: str) -> dict[str, Any]:
        """What the token endpoint answers to a client with a secret; parameters of a token request."""
        answer = self.http.post(self.token_endpoint, data=parameters, auth=(client, f"{client}-secret"))
        assert answer.status_code == status, answer.text
        return answer.json()

    def change_user(self, name: str, **fields: Any) -> None:
        """Change a user: `disabled=True` disables them."""
        self.http.post(f"{self.issuer}/test/users/{name}", json=fields).raise_for_status()

    def end(self) -> None:
        self.http.close()
        super().end()
