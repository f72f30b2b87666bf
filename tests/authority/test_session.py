"""POST /token for a session of the proxy: a subject token of its own, and nobody else's."""

import json
from typing import Any

import httpx2
import pytest

from hopward import selfsigned
from hopward.canonical import digest
from hopward.chain import entered
from hopward.clock import SECOND
from hopward.jose import sign
from hopward.model import Task
from hopward.testing.clock import NOON

from .conftest import ACCESS_TOKEN, ARGUMENTS, DESK, DESK_UPSTREAM, ISSUER, Authority

SELF_SIGNED = "urn:ietf:params:oauth:token-type:self_signed"
PROXY = "hopward-proxy"


def session_token(authority: Authority, task: Task, client: str = PROXY) -> str:
    return selfsigned.write(entered(task), ISSUER, authority.keys[client], authority.clock)


def asked(authority: Authority, token: str, client: str = PROXY, **changes: Any) -> httpx2.Response:
    detail = {
        "type": "hopward_tool_call",
        "server": "desk",
        "tool": "refund",
        "arguments_digest": digest(ARGUMENTS),
        "decision": "dec_1",
    }
    parameters: dict[str, Any] = {
        "subject_token": token,
        "subject_token_type": SELF_SIGNED,
        "actor_token": None,
        "resource": DESK_UPSTREAM,
        "scope": "desk/refund",
        "authorization_details": json.dumps([detail]),
    }
    return authority.exchange(client, **(parameters | changes))


def test_a_session_gets_the_credential_of_its_call(authority: Authority) -> None:
    task = authority.open_task()
    token = session_token(authority, task)
    answer = asked(authority, token)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["issued_token_type"], body["scope"], body["expires_in"]) == (ACCESS_TOKEN, "desk/refund", 60)
    claims = authority.claims(body["access_token"])
    assert (claims["sub"], claims["act"], claims["txn"]) == ("alice", {"sub": "agent:helper"}, task.id)
    assert (claims["aud"], claims["client_id"], claims["decision"]) == (DESK_UPSTREAM, PROXY, "dec_1")
    row = authority.rows("credential")[-1]
    assert (row.task, row.server, row.tool, row.decision) == (task.id, "desk", "refund", "dec_1")
    assert token not in authority.log_text()


def test_a_credential_does_not_outlive_the_session_token_it_was_got_with(authority: Authority) -> None:
    token = session_token(authority, authority.open_task())
    authority.clock.set(NOON + 50 * SECOND)
    answer = asked(authority, token)
    assert answer.status_code == 200, answer.text
    assert authority.claims(answer.json()["access_token"])["exp"] == NOON // SECOND + 60


def test_a_session_token_is_refused_from_anyone_but_the_proxy(authority: Authority) -> None:
    task = authority.open_task()
    for client in ("helper", "other"):
        for signer in (PROXY, client):
            for changes in ({}, {"resource": DESK, "scope": None, "authorization_details": None}):
                answer = asked(authority, session_token(authority, task, signer), client, **changes)
                assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
                assert "Only the proxy" in authority.rows("refusal")[-1].record["sentence"]
    answer = asked(authority, session_token(authority, task), "server:desk")
    assert answer.json()["error"] == "unauthorized_client"
    assert [row for row in authority.rows("credential") if row.task == task.id] == []


def test_a_session_token_without_the_proxy_authenticating_is_worth_nothing(authority: Authority) -> None:
    token = session_token(authority, authority.open_task())
    for assertion in (None, token, authority.assertion("helper")[:-2]):
        answer = asked(authority, token, client_assertion=assertion)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_session_token_is_no_client_assertion_and_no_assertion_a_session_token(
    authority: Authority,
) -> None:
    assertion = authority.assertion(PROXY)
    answer = asked(authority, assertion)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert asked(authority, session_token(authority, authority.open_task())).status_code == 200


def test_a_session_token_is_used_once_in_every_process(authority: Authority) -> None:
    token = session_token(authority, authority.open_task())
    assert asked(authority, token).status_code == 200
    assert asked(authority, token).status_code == 400
    restarted = authority.restarted()
    answer = asked(restarted, token)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    restarted.guard.close()


def test_the_same_id_may_name_an_assertion_and_a_session_token(authority: Authority) -> None:
    """Advisory: single-use stores are namespaced (CVE-2026-4282)."""
    task, key = authority.open_task(), authority.keys[PROXY]
    times = {"iat": NOON // SECOND, "exp": NOON // SECOND + 60, "jti": "one-id", "aud": ISSUER}
    assertion = sign({"iss": PROXY, "sub": PROXY, **times}, key, "client-authentication+jwt")
    token = sign({"iss": PROXY, "sub": "alice", "txn": task.id, **times}, key, selfsigned.TYPE)
    assert asked(authority, token, client_assertion=assertion).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": DESK}, "invalid_target"),
        ({"resource": None}, "invalid_target"),
        ({"scope": "desk/*"}, "invalid_scope"),
        ({"scope": "files/refund"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"authorization_details": None}, "invalid_authorization_details"),
        ({"requested_token_type": SELF_SIGNED}, "invalid_request"),
        ({"subject_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": SELF_SIGNED}, "invalid_request"),
    ],
)
def test_every_other_rule_of_an_exchange_holds_for_a_session(
    authority: Authority, changes: dict[str, Any], error: str
) -> None:
    answer = asked(authority, session_token(authority, authority.open_task()), **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert authority.rows("refusal")[-1].reason == error


def test_what_the_session_stands_on_is_looked_at_each_time(authority: Authority) -> None:
    task = authority.open_task()
    tokens = [session_token(authority, task) for _ in range(2)]
    assert asked(authority, tokens[0]).status_code == 200
    authority.guard.complete_task(task.id)
    answer = asked(authority, tokens[1])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "completed" in answer.json()["error_description"]
