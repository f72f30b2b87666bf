"""Real authorization servers exchange a person's token for each call through the proxy; no splice gets by.

The server called verifies what it gets by itself, with the keys that the authorization server publishes.
"""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hopward import Guard
from hopward.assertion import client_assertion
from hopward.keys import KeyRing
from hopward.wire import ASSERTION_TYPE

from .abroad import Abroad, abroad, proxy_key
from .browser import Browser
from .conftest import StartProvider
from .keycloak import Keycloak
from .oidc_provider import AGENT_A, AGENT_B, DESK, OidcProvider, Provided
from .project import HOPWARD
from .resource_server import ResourceServer, serving
from .running import PATIENCE
from .test_identity_servers import CALLBACK, claims, exchanged, user_token
from .wire import refusal

NESTED = """
[authorization_servers.firm]
issuer = "{issuer}"
token_endpoint = "{issuer}/token"
jwks_uri = "{issuer}/jwks"
algorithms = ["ES256"]
token_types = ["at+jwt"]
target = "resource"
chain = "nested"
narrows = true
[authorization_servers.firm.agents.assistant]
client_id = "agent-a"
audience = "https://agent-a.example/"
[authorization_servers.firm.agents.clerk]
client_id = "agent-b"
audience = "https://agent-b.example/"
"""
AT_DESK = '{ by = "authorization", authorization_server = "firm", scope = ["refunds:read"] }'
KEYCLOAK = """
[authorization_servers.firm]
issuer = "{issuer}"
token_endpoint = "{issuer}/protocol/openid-connect/token"
jwks_uri = "{issuer}/protocol/openid-connect/certs"
algorithms = ["RS256"]
token_types = ["JWT"]
chain = "signed"
narrows = true
client_id = "hopward-proxy"
subject_claim = "preferred_username"
timeout_seconds = 30
"""
AT_DESK_API = (
    '{ by = "authorization", authorization_server = "firm", audience = "desk-api", scope = ["refunds"] }'
)


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser(stop=CALLBACK)
    yield made
    made.close()


def knowing(folder: Path, strict: bool = True) -> Provided:
    """oidc-provider with the proxy of a folder as each agent's client."""
    made, key = replace(Provided(), strict=strict), {"keys": [proxy_key(folder)]}
    for name in ("agent-a", "agent-b"):
        made = made.with_client(
            name, client_secret=None, token_endpoint_auth_method="private_key_jwt", jwks=key
        )
    return made


@pytest.fixture
def provider(tmp_path: Path, start_provider: StartProvider) -> OidcProvider:
    return start_provider(knowing(tmp_path))


@contextmanager
def nesting(folder: Path, provider: OidcProvider) -> Iterator[Abroad]:
    upstream = ResourceServer(f"{provider.issuer}/jwks", provider.issuer, DESK, "ES256")
    firm = NESTED.format(issuer=provider.issuer)
    with serving(upstream), abroad(folder, upstream, firm, AT_DESK) as made:
        yield made


@pytest.fixture
def nested(tmp_path: Path, provider: OidcProvider) -> Iterator[Abroad]:
    with nesting(tmp_path, provider) as made:
        yield made


def test_a_task_an_agent_and_a_sub_agent_reach_the_tool_with_a_token_that_names_all_of_them(
    nested: Abroad, provider: OidcProvider, browser: Browser
) -> None:
    token = user_token(provider, browser, "ana", AGENT_A)
    task = nested.task("ana", "firm", token)
    nested.call(nested.guard.enter(task.id), refund=7)
    nested.call(nested.handed(task), refund=7)

    assert nested.upstream.refused == []
    (by_agent, _), (by_sub_agent, _) = nested.upstream.calls
    assert (by_agent["sub"], by_agent["act"]) == ("ana", {"sub": "agent-a"})
    assert by_sub_agent["act"] == {"sub": "agent-b", "act": {"sub": "agent-a"}}
    for said in (by_agent, by_sub_agent):
        assert (said["sub"], said["aud"], said["scope"]) == ("ana", DESK, "refunds:read")
    assert token not in nested.upstream.tokens
    assert [one["id"] for one in nested.credentials()] == [
        f"firm:{said['jti']}" for said in (by_agent, by_sub_agent)
    ]


def test_a_token_of_another_person_or_for_another_agent_is_not_kept_for_a_task(
    nested: Abroad, provider: OidcProvider, browser: Browser
) -> None:
    task = nested.guard.open_task("refunds", "ana")
    asked = (str(HOPWARD), "task", "subject-token", task.id, "firm")
    for person, resource, why in (
        ("ben", AGENT_A, "is not the subject"),
        ("ana", AGENT_B, "is not addressed"),
    ):
        browser = Browser(stop=CALLBACK)
        token = user_token(provider, browser, person, resource)
        browser.close()
        done = subprocess.run(
            asked, input=token, cwd=nested.project.folder, text=True, capture_output=True, check=False
        )
        assert done.returncode == 1
        assert why in done.stderr
        assert token not in done.stdout + done.stderr
    assert nested.why(nested.guard.enter(task.id)) == "subject_token_missing"


def test_a_token_smuggled_into_another_persons_task_is_refused_before_it_is_sent(
    nested: Abroad, provider: OidcProvider, browser: Browser
) -> None:
    anas = nested.task("ana", "firm", user_token(provider, browser, "ana", AGENT_A))
    bens = nested.guard.open_task("refunds", "ben")
    folder = nested.guard.settings.subject_tokens_folder
    (folder / f"{bens.id}.firm.json").write_bytes((folder / f"{anas.id}.firm.json").read_bytes())
    (folder / f"{bens.id}.firm.json").chmod(0o600)
    assert nested.why(nested.guard.enter(bens.id)) == "wrong_subject"


@pytest.mark.parametrize("strict", [True, False])
def test_a_splice_is_refused_by_a_strict_server_and_noticed_at_a_loose_one(
    tmp_path: Path, start_provider: StartProvider, browser: Browser, strict: bool
) -> None:
    provider = start_provider(knowing(tmp_path, strict))
    with nesting(tmp_path, provider) as made:
        # The clients of the two agents are exchanged: each exchanges what is addressed to the other.
        made.guard.close()
        spliced = made.project.config.read_text("utf-8")
        for old, new in (("agent-a.", "agent-x."), ("agent-b.", "agent-a."), ("agent-x.", "agent-b.")):
            spliced = spliced.replace(f"https://{old}", f"https://{new}")
        made.project.config.write_text(spliced, "utf-8")
        made.proxy.process.send_signal(signal.SIGHUP)
        made.proxy.wait_for("was reloaded")
        made.guard = Guard.open(made.project.config)
        task = made.task("ana", "firm", user_token(provider, browser, "ana", AGENT_B))
        if strict:
            assert made.why(made.guard.enter(task.id)) == "invalid_request"
        else:
            made.call(made.guard.enter(task.id), refund=7)
            ((said, _),) = made.upstream.calls
            assert said["act"] == {"sub": "agent-a"}


def test_an_authority_that_is_down_refuses_in_bounded_time_and_calls_go_on_when_it_is_back(
    nested: Abroad, provider: OidcProvider, browser: Browser
) -> None:
    task = nested.task("ana", "firm", user_token(provider, browser, "ana", AGENT_A))
    chain = nested.guard.enter(task.id)
    nested.call(chain, refund=7)
    provider.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert nested.why(chain) == "authority_timed_out"
    assert time.monotonic() - begun < PATIENCE / 2
    provider.process.send_signal(signal.SIGCONT)
    nested.call(chain, refund=7)
    assert len(nested.upstream.calls) == 2
    provider.end()
    found = [nested.why(chain) for _ in range(4)]
    assert found[0] == "authority_unreachable"
    assert found[-1] == "authority_circuit_open"


def test_a_person_whose_authority_is_revoked_has_no_token_exchanged(
    nested: Abroad, provider: OidcProvider, browser: Browser
) -> None:
    task = nested.task("ana", "firm", user_token(provider, browser, "ana", AGENT_A))
    token, _ = nested.guard.access_token(nested.guard.enter(task.id), "desk")
    nested.guard.revoke("subject", "ana", by="local:carol", why="left the firm")
    assert refusal(nested.call_with(token, refund=7))["reason"] == "subject_revoked"
    assert nested.upstream.calls == []
    assert nested.credentials() == []


# Keycloak.


def as_a_client(keycloak: Keycloak, folder: Path) -> None:
    """The client and scopes of the guide's recipe."""
    mapper = {
        "name": "hopward-proxy",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.client.audience": "hopward-proxy", "access.token.claim": "true"},
    }
    client = {
        "clientId": "hopward-proxy",
        "clientAuthenticatorType": "client-jwt",
        "standardFlowEnabled": False,
        "serviceAccountsEnabled": True,
        "attributes": {
            "standard.token.exchange.enabled": "true",
            "token.endpoint.auth.signing.alg": "ES256",
            "use.jwks.string": "true",
            "jwks.string": json.dumps({"keys": [proxy_key(folder)]}),
        },
        "defaultClientScopes": ["basic"],
        "optionalClientScopes": ["refunds", "orders"],
    }
    keycloak.admin("POST", "/hopward/clients", client)
    (assistant,) = keycloak.admin("GET", "/hopward/clients?clientId=assistant")
    keycloak.admin("POST", f"/hopward/clients/{assistant['id']}/protocol-mappers/models", mapper)


@contextmanager
def guarded_at(keycloak: Keycloak, folder: Path, firm: str = KEYCLOAK) -> Iterator[Abroad]:
    as_a_client(keycloak, folder)
    certs = f"{keycloak.issuer}/protocol/openid-connect/certs"
    upstream = ResourceServer(certs, keycloak.issuer, "desk-api", "RS256")
    tables = firm.format(issuer=keycloak.issuer)
    with serving(upstream), abroad(folder, upstream, tables, AT_DESK_API) as made:
        yield made


@pytest.fixture
def at_keycloak(tmp_path: Path, keycloak: Keycloak) -> Iterator[Abroad]:
    with guarded_at(keycloak, tmp_path) as made:
        yield made


def test_keycloak_exchanges_a_persons_token_for_each_call_and_our_chain_goes_along(
    at_keycloak: Abroad, keycloak: Keycloak
) -> None:
    token = keycloak.user_token("ana")
    task = at_keycloak.task("ana", "firm", token)
    chain = at_keycloak.handed(task)
    answer = at_keycloak.call(chain, refund=7)

    assert at_keycloak.upstream.refused == [], answer
    ((said, statement),) = at_keycloak.upstream.calls
    assert (said["sub"], said["azp"]) == (keycloak.user("ana")["id"], "hopward-proxy")
    assert (said["aud"], said["scope"]) == ("desk-api", "refunds")
    assert statement["act"] == {"sub": "agent:clerk", "act": {"sub": "agent:assistant"}}
    assert (statement["sub"], statement["txn"], statement["hops"]) == ("ana", task.id, list(chain.hops))
    assert token not in at_keycloak.upstream.tokens
    assert "hopward: firm does not nest actors in act" in at_keycloak.proxy.said
    assert "firm does not nest actors in act" in at_keycloak.project.hopward("doctor")


def test_a_person_who_is_disabled_in_keycloak_makes_no_further_call(
    at_keycloak: Abroad, keycloak: Keycloak
) -> None:
    chain = at_keycloak.guard.enter(at_keycloak.task("ben", "firm", keycloak.user_token("ben")).id)
    at_keycloak.call(chain, refund=7)
    assert len(at_keycloak.upstream.calls) == 1
    keycloak.change_user("ben", enabled=False)
    assert at_keycloak.why(chain) == "invalid_request"


def test_keycloak_refuses_a_token_that_is_not_addressed_to_the_client(
    at_keycloak: Abroad, keycloak: Keycloak
) -> None:
    """Keycloak's own check, asked past Hopward's, which would not have kept the token."""
    form = exchanged(keycloak.user_token("ana"), audience="desk-api", scope="refunds")
    proxy = KeyRing.open(at_keycloak.guard.settings.keys_folder).proxy
    for client, status in (("hopward-proxy", 200), ("agent-b", 403)):
        key = proxy if client == "hopward-proxy" else keycloak.agent_b_key
        assertion = client_assertion(client, keycloak.issuer, key)
        proof = {"client_id": client, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        answer = keycloak.http.post(keycloak.token_endpoint, data=form | proof)
        assert answer.status_code == status, answer.text


def test_scope_that_keycloak_adds_unasked_is_refused(at_keycloak: Abroad, keycloak: Keycloak) -> None:
    (client,) = keycloak.admin("GET", "/hopward/clients?clientId=hopward-proxy")
    scopes = {one["name"]: one["id"] for one in keycloak.admin("GET", "/hopward/client-scopes")}
    chain = at_keycloak.guard.enter(at_keycloak.task("ana", "firm", keycloak.user_token("ana")).id)
    keycloak.admin("PUT", f"/hopward/clients/{client['id']}/default-client-scopes/{scopes['profile']}")
    assert at_keycloak.why(chain) == "wrong_credential"


def delegating(keycloak: Keycloak, delegate: str) -> str:
    """A token of ana that says in `may_act` who may act for her, by Keycloak's experimental delegation."""
    clients = {one["clientId"]: one["id"] for one in keycloak.admin("GET", "/hopward/clients")}
    scopes = {one["name"]: one for one in keycloak.admin("GET", "/hopward/client-scopes")}
    scope, realm = scopes["delegation"], clients["realm-management"]
    scope["attributes"]["always.display.consent"] = "false"
    keycloak.admin("PUT", f"/hopward/client-scopes/{scope['id']}", scope)
    keycloak.admin("PUT", f"/hopward/clients/{clients['assistant']}/optional-client-scopes/{scope['id']}")
    role = keycloak.admin("GET", f"/hopward/clients/{realm}/roles/impersonation")
    user = keycloak.user(delegate)["id"]
    keycloak.admin("POST", f"/hopward/users/{user}/role-mappings/clients/{realm}", [role])
    token = keycloak.user_token("ana", f"openid refunds delegation:{delegate}")
    assert claims(token)["may_act"] == {"sub": user}
    return token


def test_a_keycloak_that_forgets_who_may_act_is_noticed(keycloak: Keycloak, tmp_path: Path) -> None:
    """keycloak#52691: a token with `may_act` is exchanged for one without `act`, actor token or not."""
    nested = KEYCLOAK.replace('"signed"', '"nested"').replace(
        'client_id = "hopward-proxy"\n', 'actor = "token"\n'
    )
    nested += '[authorization_servers.firm.agents.assistant]\nclient_id = "hopward-proxy"\n'
    with guarded_at(keycloak, tmp_path, nested) as made:
        token = delegating(keycloak, "service-account-hopward-proxy")
        assert made.why(made.guard.enter(made.task("ana", "firm", token).id)) == "wrong_credential"
        assert made.credentials() == []


def test_a_token_that_says_who_may_act_is_not_exchanged_without_an_actor_token(
    at_keycloak: Abroad, keycloak: Keycloak
) -> None:
    token = delegating(keycloak, "service-account-hopward-proxy")
    chain = at_keycloak.guard.enter(at_keycloak.task("ana", "firm", token).id)
    assert at_keycloak.why(chain) == "subject_token_unusable"
