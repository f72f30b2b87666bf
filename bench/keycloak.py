"""Keycloak beside our authority: the exchange of a person's token for one call, over one kept connection.
 What a proxy does per call either way: a fresh client assertion, the request, the answer, and the token in it
verified.
"""

import http.client
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.e2e.keycloak import Keycloak as Server

from bench.errors import BenchError
from bench.processes import family, total_cpu_ns
from hopward.assertion import client_assertion
from hopward.authorization_servers import AuthorizationServerSettings
from hopward.clock import SystemClock
from hopward.external.forms import Asked, authenticated, exchange_form, read_answer
from hopward.external.issued import Judge, Wanted
from hopward.external.legs import legs
from hopward.jwk import SigningKey
from hopward.keysets import KeySet

_SCRIPT = Path(__file__).resolve().parent.parent / "tests" / "servers" / "keycloak.sh"
_CLIENT, _API, _SCOPE = "agent-b", "desk-api", ("refunds", "profile", "email")


def installed() -> list[str]:
    """The command that starts Keycloak; empty where it is not installed, and then that is said."""
    done = subprocess.run([_SCRIPT, "--if-present"], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Keycloak is NOT measured: it is not installed ({_SCRIPT.name} installs it).", file=sys.stderr)
    return done.stdout.split() if done.returncode == 0 else []


class Keycloak:
    """A running Keycloak, and one client that exchanges a person's token at it again and again."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._server = Server(command, folder)
        self._settings = AuthorizationServerSettings(
            issuer=self._server.issuer,
            token_endpoint=self._server.token_endpoint,
            jwks_uri=f"{self._server.issuer}/protocol/openid-connect/certs",
            algorithms=("RS256",),
            token_types=("JWT",),
            chain="signed",
            narrows=True,
            client_id=_CLIENT,
        )
        self._key: SigningKey = self._server.agent_b_key
        self._keys = KeySet(self._settings.algorithms, SystemClock())
        self._keys.take(self._server.http.get(self._settings.jwks_uri).content)
        (self._leg,) = legs(self._settings, (), _API)
        self._address_to_client()
        self.renew()
        self._path = urlsplit(self._settings.token_endpoint).path
        self._connection = http.client.HTTPConnection(urlsplit(self._server.origin).netloc, timeout=30)

    def renew(self) -> None:
        """A person's token lives for five minutes, a round may begin later."""
        self._token = self._server.user_token("ana", "openid refunds for-agent-b")
        self._person = self._server.user("ana")["id"]
        # As once per exchange in the proxy; a token that is not good for it fails here, not in a measurement.
        Judge(self._settings, self._keys.keys, SystemClock().now()).subject(
            self._token, self._leg, self._person
        )

    def cpu_ns(self) -> int:
        """What Keycloak has used of the processor."""
        return total_cpu_ns(family(self._server.process.pid))

    def exchange(self) -> None:
        """One exchange, its token verified as a proxy does."""
        proof = client_assertion(_CLIENT, self._settings.issuer, self._key)
        form = exchange_form(self._settings, Asked(self._token, _API, _SCOPE))
        body = urlencode({**form, **authenticated(self._settings, _CLIENT, proof)})
        self._connection.request(
            "POST", self._path, body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        found = self._connection.getresponse()
        answer = read_answer(self._settings, found.status, found.read(), exchanged=True)
        judge = Judge(self._settings, self._keys.keys, SystemClock().now())
        claims, _ = judge.exchanged(answer, self._token, Wanted(self._leg, self._person, _SCOPE, ()))
        if claims["azp"] != _CLIENT:
            raise BenchError("Keycloak gave a token of another client")

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._server.end()

    def _address_to_client(self) -> None:
        """Let people's tokens be addressed to the client that exchanges them here."""
        clients = {one["clientId"]: one["id"] for one in self._server.admin("GET", "/hopward/clients")}
        scopes = {one["name"]: one["id"] for one in self._server.admin("GET", "/hopward/client-scopes")}
        path = f"/hopward/clients/{clients['assistant']}/optional-client-scopes/{scopes['for-agent-b']}"
        self._server.admin("PUT", path)
