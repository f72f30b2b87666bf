"""A real Keycloak on loopback, with the realm of `tests/servers/keycloak-realm.json`.

People: `ana`, `ben` and `carol`, whose password is their name with `-password`; ana and carol are in the
group `approvers`. Clients: `hopward-authority` logs people in; `assistant` is where people work with
`agent-a`; `agent-a` (secret) and `agent-b` (private_key_jwt) may exchange tokens, for `desk-api` (scope
`refunds`) and `orders-api` (scope `orders`), and agent-a's for agent-b (scope `for-agent-b`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from hopward.jose import SigningKey

from .project import ROOT
from .running import PATIENCE, Running

REALM = ROOT / "tests" / "servers" / "keycloak-realm.json"


class Keycloak(Running):
    """Started, with its realm, once for all tests; a test leaves the realm as it was (`reset`)."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        super().__init__([*command, "--http-port=0", "--hostname-strict=false"], folder)
        self.origin = ""
        self.changed = False
        self.http = httpx2.Client(timeout=PATIENCE, trust_env=False)
        self._as_admin = {"Authorization": "Bearer none-yet"}
        self.agent_b_key = SigningKey.generate("ES256")
        try:
            self.origin = self.wait_for(r"Listening on: (http://127\.0\.0\.1:\d+)")[1]
            self.wait_for(r"Bootstrap completed")
            assert self.http.get(f"{self.origin}/realms/master").status_code == 200
            self._import()
        except BaseException:
            self.end()
            raise

    @property
    def issuer(self) -> str:
        """The issuer of the realm, which is in front of its discovery document."""
        return f"{self.origin}/realms/hopward"

    @property
    def token_endpoint(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/token"

    def password_of(self, user: str) -> str:
        return f"{user}-password"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the admin API, below the realm; the JSON that is answered, if any."""
        self.changed = self.changed or method != "GET"
        url = f"{self.origin}/admin/realms{path}"
        answer = self.http.request(method, url, json=body, headers=self._as_admin)
        if answer.status_code == 401:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
            at = f"{self.origin}/realms/master/protocol/openid-connect/token"
            token = self.http.post(at, data=form | {"password": "admin"}).raise_for_status().json()
            self._as_admin = {"Authorization": f"Bearer {token['access_token']}"}
            answer = self.http.request(method, url, json=body, headers=self._as_admin)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def reset(self) -> None:
        """The realm as it was at the start: users, clients, keys and sessions are new, if any was changed."""
        if not self.changed:
            return
        self.admin("DELETE", "/hopward")
        self._import()

    def user(self, name: str) -> dict[str, Any]:
        """The representation of a user, with its `id`, which is the `sub` of tokens."""
        return self.admin("GET", f"/hopward/users?exact=true&username={name}")[0]

    def change_user(self, name: str, **fields: Any) -> None:
        """Change fields of a user: `enabled=False` disables them."""
        found = self.user(name)
        self.admin("PUT", f"/hopward/users/{found['id']}", found | fields)

    def change_client(self, client: str, *, authenticator: str = "", **attributes: str) -> None:
        """Change attributes of a client, with `_` for `.` in their names, and how it authenticates."""
        found = self.admin("GET", f"/hopward/clients?clientId={client}")[0]
        changed = {name.replace("_", "."): value for name, value in attributes.items()}
        found["attributes"] = found["attributes"] | changed
        found["clientAuthenticatorType"] = authenticator or found["clientAuthenticatorType"]
        self.admin("PUT", f"/hopward/clients/{found['id']}", found)

    def rotate(self) -> None:
        """Sign with a new RSA key from now on; the old one is not published any more."""
        realm = self.admin("GET", "/hopward")["id"]
        old = self.admin("GET", "/hopward/components?type=org.keycloak.keys.KeyProvider")
        key = {
            "name": "new",
            "parentId": realm,
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["200"], "algorithm": ["RS256"]},
        }
        self.admin("POST", "/hopward/components", key)
        for one in old:
            if one["providerId"] == "rsa-generated":
                self.admin("DELETE", f"/hopward/components/{one['id']}")

    def user_token(self, user: str, scope: str = "openid refunds") -> str:
        """An access token for a user at the client `assistant`, addressed to agent-a."""
        form = {
            "grant_type": "password",
            "client_id": "assistant",
            "client_secret": "assistant-secret",
            "username": user,
            "password": self.password_of(user),
            "scope": scope,
        }
        return self.http.post(self.token_endpoint, data=form).raise_for_status().json()["access_token"]

    def end(self) -> None:
        self.http.close()
        super().end()

    def _import(self) -> None:
        """Scopes one by one: a realm that is created with scopes lacks those that Keycloak brings."""
        realm = json.loads(REALM.read_text("utf-8"))
        scopes, clients = realm.pop("clientScopes"), realm.pop("clients")
        (agent_b,) = [one for one in clients if one["clientId"] == "agent-b"]
        agent_b["attributes"]["jwks.string"] = json.dumps({"keys": [self.agent_b_key.public_jwk()]})
        self.admin("POST", "", realm)
        for scope in scopes:
            self.admin("POST", "/hopward/client-scopes", scope)
        for client in clients:
            self.admin("POST", "/hopward/clients", client)
        self.changed = False
