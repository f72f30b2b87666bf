"""The real authorization servers that other tests rely on do what those tests take for granted."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from .browser import Browser
from .keycloak import Keycloak
from .oidc_provider import AGENT_A, AGENT_B, DESK, EXCHANGE, OidcProvider, Provided

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

CALLBACK = "http://127.0.0.1:9/login/callback"
"""Nobody is there: a browser's redirect to it is where a login of these tests ends."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser(stop=CALLBACK)
    yield made
    made.close()


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def exchanged(token: str, **more: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN} | more


def code(browser: Browser, endpoint: str, person: str, field: str, **asked: str) -> dict[str, str]:
    """Log a person in, and return the token request for the code that comes back."""
    verifier = "v" * 43
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    parameters = {
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "state": "some-state",
        "nonce": "some-nonce",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    browser.open(endpoint, **(parameters | asked))
    browser.submit(field, **{field: person, "password": f"{person}-password"})
    (found,) = parse_qs(urlsplit(browser.location).query)["code"]
    return {
        "grant_type": "authorization_code",
        "code": found,
        "redirect_uri": CALLBACK,
        "code_verifier": verifier,
    }


def user_token(provider: OidcProvider, browser: Browser, person: str, resource: str) -> str:
    asked = {"client_id": "assistant", "scope": "openid refunds:read refunds:write", "resource": resource}
    request = code(browser, f"{provider.issuer}/auth", person, "login", **asked)
    return provider.token("assistant", **request, resource=resource)["access_token"]


def test_a_person_logs_in_at_keycloak_and_the_client_learns_who(keycloak: Keycloak, browser: Browser) -> None:
    endpoint = f"{keycloak.issuer}/protocol/openid-connect/auth"
    asked = {"client_id": "hopward-authority", "scope": "openid email"}
    request = code(browser, endpoint, "ana", "username", **asked)
    secret = ("hopward-authority", "authority-secret")
    answer = keycloak.http.post(keycloak.token_endpoint, data=request, auth=secret).json()

    known = claims(answer["id_token"])
    assert known["sub"] == keycloak.user("ana")["id"]
    assert (known["iss"], known["nonce"]) == (keycloak.issuer, "some-nonce")
    assert (known["email"], known["groups"]) == ("ana@example.com", ["approvers"])


def test_keycloak_exchanges_a_token_that_is_addressed_to_the_agent(keycloak: Keycloak) -> None:
    token = keycloak.user_token("ana", "openid refunds orders")
    form = exchanged(token, audience="desk-api", scope="refunds")
    answer = keycloak.http.post(keycloak.token_endpoint, data=form, auth=("agent-a", "agent-a-secret"))

    assert answer.status_code == 200, answer.text
    got = claims(answer.json()["access_token"])
    assert (got["sub"], got["azp"]) == (keycloak.user("ana")["id"], "agent-a")
    assert got["aud"] == "desk-api"
    assert "orders" not in got["scope"]


def test_keycloak_forgets_what_a_test_has_changed(shared_keycloak: Keycloak) -> None:
    shared_keycloak.change_user("ben", enabled=False)
    shared_keycloak.change_client("hopward-authority", backchannel_logout_url="http://127.0.0.1:9/logout")
    shared_keycloak.reset()

    assert shared_keycloak.user("ben")["enabled"] is True


def test_a_person_logs_in_at_oidc_provider_and_an_agent_exchanges_their_token(
    oidc_provider: OidcProvider, browser: Browser
) -> None:
    token = user_token(oidc_provider, browser, "ana", AGENT_A)
    assert (claims(token)["sub"], claims(token)["aud"]) == ("ana", AGENT_A)

    form = exchanged(token, resource=DESK, scope="refunds:read")
    got = claims(oidc_provider.token("agent-a", **form)["access_token"])
    assert (got["sub"], got["act"], got["aud"]) == ("ana", {"sub": "agent-a"}, DESK)
    assert got["scope"] == "refunds:read"


@pytest.mark.parametrize(("strict", "status"), [(True, 400), (False, 200)])
def test_only_a_loose_oidc_provider_lets_an_agent_splice(
    start_provider: Any, browser: Browser, strict: bool, status: int
) -> None:
    provider = start_provider(replace(Provided(), strict=strict))
    token = user_token(provider, browser, "ana", AGENT_B)

    provider.token("agent-a", status, **exchanged(token, resource=DESK))


def test_oidc_provider_refuses_the_token_of_a_disabled_person_at_the_next_refresh(
    start_provider: Any, browser: Browser
) -> None:
    provider = start_provider(replace(Provided(), opaque=True))
    asked = {"client_id": "hopward-authority", "scope": "openid email"}
    request = code(browser, f"{provider.issuer}/auth", "ben", "login", **asked)
    answer = provider.token("hopward-authority", **request)
    assert claims(answer["id_token"])["sub"] == "ben"

    provider.change_user("ben", disabled=True)
    again = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert provider.token("hopward-authority", 400, **again)["error"] == "invalid_grant"


def test_oidc_provider_wants_a_nonce_in_a_proof_where_told(start_provider: Any) -> None:
    provider = start_provider(replace(Provided(), dpop_nonce=True))
    key = ECKey.generate_key("P-256")
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}

    def asked(**more: str) -> Any:
        proof = {"jti": uuid4().hex, "htm": "POST", "htu": provider.token_endpoint, "iat": int(time.time())}
        return provider.http.post(
            provider.token_endpoint,
            data={"grant_type": "client_credentials"},
            auth=("agent-a", "agent-a-secret"),
            headers={"DPoP": jwt.encode(header, proof | more, key)},
        )

    first = asked()
    assert first.json()["error"] == "use_dpop_nonce"
    assert asked(nonce=first.headers["DPoP-Nonce"]).json()["token_type"] == "DPoP"
