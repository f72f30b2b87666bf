"""POST /token: who gets which token, and what the log says about it."""

import json
from typing import Any

import pytest

from hopward.clock import SECOND
from hopward.testing.clock import NOON

from .conftest import (
    ACCESS_TOKEN,
    ARGUMENTS,
    ASSERTION,
    DESK,
    DESK_UPSTREAM,
    EXCHANGE,
    FILES,
    FILES_UPSTREAM,
    ISSUER,
    Authority,
)


def test_an_agent_gets_its_own_token_by_client_credentials(authority: Authority) -> None:
    answer = authority.post("/token", "helper", grant_type="client_credentials")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    claims = authority.claims(body["access_token"])
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("agent:helper", "helper", ISSUER)
    assert not {"scope", "txn", "act", "may_act"} & set(claims)


def test_an_agent_exchanges_its_task_for_one_endpoint_of_the_proxy(authority: Authority) -> None:
    task = authority.open_task()
    answer = authority.exchange("helper", subject_token=authority.task_token(task))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    claims = authority.claims(body.pop("access_token"))
    assert body == {
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": "desk/*",
        "issued_token_type": ACCESS_TOKEN,
    }
    assert claims["sub"] == "alice"
    assert claims["act"] == {"sub": "agent:helper"}
    assert (claims["client_id"], claims["aud"], claims["txn"]) == ("helper", DESK, task.id)
    assert authority.guard.identify(authority.access_token(task), DESK).task == task.id


def test_the_proxy_exchanges_a_call_for_its_credential(authority: Authority) -> None:
    task = authority.open_task()
    answer = authority.credential(authority.access_token(task))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["expires_in"], body["scope"]) == (60, "desk/refund")
    (detail,) = body["authorization_details"]
    assert set(detail) == {"type", "server", "tool", "arguments_digest"}
    claims = authority.claims(body["access_token"])
    assert claims["act"] == {"sub": "agent:helper"}
    assert (claims["client_id"], claims["aud"], claims["decision"]) == (
        "hopward-proxy",
        DESK_UPSTREAM,
        "dec_1",
    )
    assert claims["authorization_details"] == [detail]
    row = authority.rows("credential")[-1]
    assert (row.task, row.agent, row.server, row.tool, row.decision) == (
        task.id,
        "helper",
        "desk",
        "refund",
        "dec_1",
    )


def test_every_token_leaves_its_row_and_no_token_is_in_the_log(authority: Authority) -> None:
    access = authority.access_token()
    credential = authority.credential(access).json()["access_token"]
    ids = [row.record["credential"]["id"] for row in authority.rows("credential")]
    assert ids[-2:] == [authority.claims(access)["jti"], authority.claims(credential)["jti"]]
    assert len(ids) == 4
    text = authority.log_text()
    for token in (access, credential):
        assert token not in text
        assert token.split(".")[1] not in text
        assert token.split(".")[2] not in text
    assert authority.guard.ledger.verify().problems == ()


def test_a_narrower_scope_is_granted_and_a_wider_one_refused(authority: Authority) -> None:
    narrow = authority.exchange("helper", scope="desk/read*")
    assert authority.claims(narrow.json()["access_token"])["scope"] == "desk/read*"
    for scope in ("*", "files/*", "desk/read* files/x", "desk/resource:a%2Fb files/x"):
        answer = authority.exchange("helper", scope=scope)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
        ({"resource": DESK_UPSTREAM}, "invalid_target"),
        ({"resource": FILES_UPSTREAM}, "invalid_target"),
        ({"resource": ISSUER}, "invalid_target"),
        ({"resource": None}, "invalid_target"),
        ({"resource": [DESK, FILES]}, "invalid_target"),
        ({"resource": [DESK, DESK]}, "invalid_target"),
        ({"audience": DESK}, "invalid_target"),
        ({"subject_token": "x"}, "invalid_request"),
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
        ({"actor_token": None}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": None}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"scope": ""}, "invalid_request"),
        ({"scope": ["desk/a", "desk/b"]}, "invalid_request"),
        ({"unknown": "x"}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
        ({"grant_type": [EXCHANGE, EXCHANGE]}, "invalid_request"),
    ],
)
def test_a_security_parameter_is_honoured_or_refused_never_ignored(
    authority: Authority, changes: dict[str, Any], error: str
) -> None:
    """Advisory row 47 (CVE-2026-9704)."""
    before = len(authority.rows("refusal"))
    answer = authority.exchange("helper", **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    (row,) = authority.rows("refusal")[before:]
    assert (row.reason, row.verdict) == (error, "deny")


@pytest.mark.parametrize(
    "extra", [{"scope": "desk/*"}, {"resource": DESK}, {"subject_token": "x"}, {"x": "y"}]
)
def test_an_agents_own_token_takes_no_parameters(authority: Authority, extra: dict[str, str]) -> None:
    answer = authority.post("/token", "helper", grant_type="client_credentials", **extra)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("client", ["hopward-proxy", "server:desk"])
def test_only_agents_have_tokens_of_their_own(authority: Authority, client: str) -> None:
    answer = authority.post("/token", client, grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_a_client_without_the_right_to_delegate_cannot_exchange(authority: Authority) -> None:
    """Advisory rows 35 and 49 (keycloak#48104)."""
    access = authority.access_token()
    answer = authority.exchange(
        "server:desk", subject_token=access, actor_token=None, resource=FILES_UPSTREAM
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


# Splicing (section 20 of the facts), and its relatives.


def test_tokens_of_two_chains_cannot_be_spliced(authority: Authority) -> None:
    """Each token is genuine and current; only together they are wrong. Splices 1, 2 and 2b."""
    for_helper = authority.task_token(authority.open_task("helper"))
    for_other = authority.task_token(authority.open_task("other"))
    helper, other = authority.agent_token("helper"), authority.agent_token("other")
    attempts = {
        "splice 1": ("other", for_helper, other),
        "splice 2": ("other", for_other, helper),
        "splice 2b": ("other", for_helper, helper),
        "the same from the other side": ("helper", for_other, other),
        "no actor at all": ("other", for_helper, None),
    }
    for client, subject, actor in attempts.values():
        answer = authority.exchange(client, subject_token=subject, actor_token=actor)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert authority.exchange("helper", subject_token=for_helper, actor_token=helper).status_code == 200
    assert authority.exchange("other", subject_token=for_other, actor_token=other).status_code == 200
    assert len(authority.rows("refusal")) == len(attempts)


def test_an_access_token_of_another_agent_is_no_subject_token(authority: Authority) -> None:
    access = authority.access_token()
    for client in ("helper", "other"):
        answer = authority.exchange(client, subject_token=access, resource=FILES)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_may_act_token_without_its_actor_is_refused(authority: Authority) -> None:
    """Advisory row 48 (keycloak#52691): not by the agent, and not by the proxy either."""
    subject = authority.task_token(authority.open_task())
    assert authority.exchange("helper", subject_token=subject, actor_token=None).status_code == 400
    assert authority.credential(subject).status_code == 400


def test_an_exchanged_token_keeps_its_act(authority: Authority) -> None:
    access = authority.access_token()
    credential = authority.credential(access).json()["access_token"]
    assert authority.claims(credential)["act"] == authority.claims(access)["act"] == {"sub": "agent:helper"}
    spoiled = authority.credential(
        access, actor_token=authority.agent_token("other"), actor_token_type=ACCESS_TOKEN
    )
    assert spoiled.status_code == 400


def test_exchange_never_adds_authority(authority: Authority) -> None:
    """Advisory row 43 (CVE-2026-56668)."""
    narrow = authority.exchange("helper", scope="desk/read_ticket").json()["access_token"]
    assert authority.credential(narrow).json()["error"] == "invalid_scope"
    detail = json.dumps(
        [
            {
                "type": "hopward_tool_call",
                "server": "files",
                "tool": "refund",
                "arguments_digest": "sha-256:" + "0" * 64,
            }
        ]
    )
    elsewhere = authority.credential(
        authority.access_token(), resource=FILES_UPSTREAM, scope="files/refund", authorization_details=detail
    )
    assert elsewhere.json()["error"] == "invalid_scope"
    for changes in ({"scope": "desk/*"}, {"scope": None}, {"scope": "desk/delete"}):
        assert authority.credential(authority.access_token(), **changes).json()["error"] == "invalid_scope"
    assert authority.credential(authority.access_token(), authorization_details=None).status_code == 400


def test_a_credential_of_a_credential_is_refused(authority: Authority) -> None:
    credential = authority.credential(authority.access_token()).json()["access_token"]
    assert authority.credential(credential).json()["error"] == "invalid_request"


def test_a_disabled_subject_or_agent_cannot_exchange(authority: Authority) -> None:
    """Advisory rows 34 and 51 (CVE-2026-9097, CVE-2026-1609)."""
    task = authority.open_task()
    subject, access = authority.task_token(task), authority.access_token(task)
    assert authority.credential(access).status_code == 200
    authority.guard.complete_task(task.id)
    for answer in (authority.exchange("helper", subject_token=subject), authority.credential(access)):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert "completed" in answer.json()["error_description"]


def test_a_revocation_survives_a_restart(authority: Authority) -> None:
    """Advisory row 54 (CVE-2026-9802)."""
    access = authority.access_token()
    assert authority.post("/revoke", "helper", token=access).status_code == 200
    again = authority.restarted()
    assert again.credential(access).status_code == 400
    again.guard.close()


def test_an_expired_token_is_exchanged_for_nothing(authority: Authority) -> None:
    access = authority.access_token()
    authority.clock.advance(900 * SECOND)
    answer = authority.credential(access)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "expired" in answer.json()["error_description"]


def test_no_series_of_exchanges_exceeds_its_first_token(authority: Authority) -> None:
    """Advisory row 56 (GHSA-75p6-52g3-rqc8); the rules alone are tested at random in tests/core."""
    task = authority.open_task()
    authority.clock.set(NOON + 3000 * SECOND)
    first = authority.claims(authority.task_token(task))
    second = authority.claims(authority.access_token(task))
    authority.clock.set(NOON + 3500 * SECOND)
    third = authority.claims(authority.credential(authority.access_token(task)).json()["access_token"])
    assert first["exp"] == NOON // SECOND + 3600
    assert second["exp"] == NOON // SECOND + 3600
    assert third["exp"] == NOON // SECOND + 3560
    assert third["txn"] == second["txn"] == first["txn"]
    assert third["sub"] == first["sub"]


def test_an_actor_of_another_tenant_is_refused_and_logged(authority: Authority, make_authority: Any) -> None:
    """Advisory row 57 (CVE-2025-55241): every use of an actor token leaves a row, refusals too."""
    elsewhere: Authority = make_authority()
    answer = authority.exchange("helper", actor_token=elsewhere.agent_token("helper"))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    (row,) = authority.rows("refusal")
    assert "client helper at /token" in row.record["sentence"]
    assert authority.exchange("helper").status_code == 200
    names = authority.rows("credential")[-1].record["credential"]["lineage"]
    actor = authority.rows("credential")[-2].record["credential"]
    assert (actor["subject"], f"token:{actor['id']}" in names) == ("agent:helper", True)


def test_a_token_from_another_environment_is_refused(authority: Authority, make_authority: Any) -> None:
    """Advisory rows 18 and 26: same issuer, same names, other keys."""
    elsewhere: Authority = make_authority()
    subject = elsewhere.task_token(elsewhere.open_task())
    answer = authority.exchange("helper", subject_token=subject)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    foreign = elsewhere.assertion("helper")
    answer = authority.post("/token", "helper", client_assertion=foreign, grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


# Client authentication.


@pytest.mark.parametrize(
    "changes",
    [
        {"client_assertion": None},
        {"client_assertion_type": None},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"},
        {"client_assertion": "x"},
        {"client_assertion": None, "client_assertion_type": None},
        {"client_assertion": None, "client_assertion_type": None, "client_id": "helper"},
        {"client_id": "other"},
        {"client_id": "agent:helper"},
    ],
)
def test_every_endpoint_authenticates_its_clients(authority: Authority, changes: dict[str, Any]) -> None:
    """Advisory row 23: no route but metadata and keys answers a stranger."""
    for path in ("/token", "/revoke", "/introspect"):
        parameters = {"grant_type": "client_credentials"} if path == "/token" else {"token": "x"}
        answer = authority.post(path, "helper", **(parameters | changes))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "www-authenticate" in answer.headers
        assert answer.headers["cache-control"] == "no-store"
        assert authority.rows("refusal")[-1].reason == "invalid_client"
        assert authority.post(path, "helper", **(parameters | {"client_id": "helper"})).status_code == 200


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect"])
def test_a_client_assertion_is_good_once_at_whatever_endpoint(authority: Authority, path: str) -> None:
    used = authority.assertion("helper")
    assert (
        authority.post("/token", "helper", grant_type="client_credentials", client_assertion=used).status_code
        == 200
    )
    parameters = {"grant_type": "client_credentials"} if path == "/token" else {"token": "x"}
    answer = authority.post(path, "helper", client_assertion=used, **parameters)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    again = authority.restarted()
    assert again.post(path, "helper", client_assertion=used, **parameters).status_code == 401
    again.guard.close()


def test_no_secret_and_no_second_method_authenticates(authority: Authority) -> None:
    for extra in ({"client_secret": "x"}, {"client_secret": ""}):
        answer = authority.post("/token", "helper", grant_type="client_credentials", **extra)
        assert answer.status_code == 400
    answer = authority.http.post(
        "/token",
        data={
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": authority.assertion("helper"),
        },
        auth=("helper", "x"),
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert authority.http.post("/token", data={"grant_type": "client_credentials"}).status_code == 401


def test_another_clients_assertion_gives_another_clients_token(authority: Authority) -> None:
    answer = authority.post(
        "/token", "helper", grant_type="client_credentials", client_assertion=authority.assertion("other")
    )
    assert authority.claims(answer.json()["access_token"])["sub"] == "agent:other"


def test_arguments_are_never_in_a_token(authority: Authority) -> None:
    token = authority.credential(authority.access_token()).json()["access_token"]
    assert str(ARGUMENTS["amount"]) not in json.dumps(
        authority.claims(token)["authorization_details"][0]["tool"]
    )
    assert "arguments" not in authority.claims(token)
