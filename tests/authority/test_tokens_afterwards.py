"""POST /revoke and POST /introspect: a token ends with all its descendants, and nobody else is told."""

from typing import Any

import pytest

from hopward import TokenError
from hopward.clock import SECOND

from .conftest import DESK, DESK_UPSTREAM, FILES, ISSUER, Authority


def active(authority: Authority, client: str, token: str) -> bool:
    answer = authority.post("/introspect", client, token=token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    if answer.json()["active"] is not True:
        assert answer.json() == {"active": False}
        return False
    return True


def test_introspection_describes_a_token_to_those_it_concerns(authority: Authority) -> None:
    task = authority.open_task()
    access = authority.access_token(task)
    answer = authority.post("/introspect", "hopward-proxy", token=access).json()
    claims = authority.claims(access)
    assert answer == {
        "active": True,
        "token_type": "Bearer",
        **{name: value for name, value in claims.items() if name != "lineage"},
    }
    assert answer["act"] == {"sub": "agent:helper"}
    assert answer["txn"] == task.id


def test_introspection_tells_a_server_only_about_its_own_tokens(authority: Authority) -> None:
    """Advisory row 52 (CVE-2026-37979)."""
    access = authority.access_token()
    credential = authority.credential(access).json()["access_token"]
    task_token = authority.task_token(authority.open_task())
    concerned = {
        access: {"helper", "hopward-proxy"},
        credential: {"hopward-proxy", "server:desk"},
        task_token: {"helper"},
        authority.agent_token("helper"): {"helper"},
    }
    for token, clients in concerned.items():
        for client in authority.keys:
            assert active(authority, client, token) == (client in clients)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "\x00", " ", "a" * 20_000])
def test_what_is_no_token_is_inactive_and_revoking_it_changes_nothing(
    authority: Authority, token: str
) -> None:
    assert not active(authority, "helper", token)
    answer = authority.post("/revoke", "helper", token=token)
    assert (answer.status_code, answer.json()) == (200, {})
    assert authority.rows("revocation") == []


def test_every_prefix_and_extension_of_a_token_is_refused(authority: Authority) -> None:
    """Advisory rows 38 and 46 (CVE-2026-27840), through the whole authority."""
    access = authority.access_token()
    assert active(authority, "helper", access)
    for altered in (
        access[:-1],
        access[:-4],
        access[1:],
        access + "A",
        access + ".",
        access[: len(access) // 2],
    ):
        assert not active(authority, "helper", altered)
        assert authority.credential(altered).status_code == 400
        with pytest.raises(TokenError):
            authority.guard.identify(altered, DESK)


def test_an_expired_token_is_inactive(authority: Authority) -> None:
    access = authority.access_token()
    authority.clock.advance(900 * SECOND)
    assert not active(authority, "helper", access)
    assert authority.post("/revoke", "helper", token=access).status_code == 200


def test_a_client_revokes_its_token_and_everything_exchanged_from_it(authority: Authority) -> None:
    """Check 10; RFC 7009 leaves descendants undefined."""
    task = authority.open_task()
    subject = authority.task_token(task)
    access = authority.exchange("helper", subject_token=subject).json()["access_token"]
    credential = authority.credential(access).json()["access_token"]
    assert active(authority, "server:desk", credential)
    answer = authority.post("/revoke", "helper", token=subject)
    assert (answer.status_code, answer.json()) == (200, {})
    for client, token in (("helper", subject), ("helper", access), ("server:desk", credential)):
        assert not active(authority, client, token)
    assert authority.credential(access).status_code == 400
    assert authority.exchange("helper", subject_token=subject).status_code == 400
    (row,) = authority.rows("revocation")
    assert row.record["id"] == authority.claims(subject)["jti"]
    assert row.record["by"] == "helper"
    assert active(authority, "helper", authority.access_token(task))


def test_revoking_a_descendant_leaves_its_ancestors_alone(authority: Authority) -> None:
    subject = authority.task_token(authority.open_task())
    access = authority.exchange("helper", subject_token=subject).json()["access_token"]
    sibling = authority.exchange("helper", subject_token=subject, resource=FILES).json()["access_token"]
    assert authority.post("/revoke", "helper", token=access).status_code == 200
    assert not active(authority, "helper", access)
    assert active(authority, "helper", subject)
    assert active(authority, "helper", sibling)


def test_a_revoked_token_opens_nothing_at_the_proxy(authority: Authority) -> None:
    access = authority.access_token()
    chain = authority.guard.identify(access, DESK)
    authority.post("/revoke", "helper", token=access)
    standing = authority.guard.ledger.standing(authority.guard.identify(access, DESK))
    assert {(one.kind, one.id) for one in standing.revocations} == {("token", chain.token)}


def test_a_client_cannot_revoke_another_clients_token(authority: Authority) -> None:
    access = authority.access_token()
    for client in ("other", "hopward-proxy", "server:desk"):
        answer = authority.post("/revoke", client, token=access)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert active(authority, "helper", access)
    assert len(authority.rows("refusal")) == 3


def test_revoking_twice_is_as_good_as_once(authority: Authority) -> None:
    access = authority.access_token()
    for _ in range(2):
        assert authority.post("/revoke", "helper", token=access).status_code == 200
    assert len(authority.rows("revocation")) == 1


def test_a_hint_changes_nothing(authority: Authority) -> None:
    access = authority.access_token()
    for hint in ("access_token", "refresh_token", "anything"):
        answer = authority.post("/introspect", "helper", token=access, token_type_hint=hint)
        assert answer.json()["active"] is True
    assert (
        authority.post("/revoke", "helper", token=access, token_type_hint="refresh_token").status_code == 200
    )
    assert not active(authority, "helper", access)


@pytest.mark.parametrize("path", ["/revoke", "/introspect"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"token": ""}, {"token": ["x", "x"]}, {"token": "x", "other": "y"}, {"grant_type": "x"}],
)
def test_a_malformed_question_about_a_token_is_refused(
    authority: Authority, path: str, parameters: dict[str, Any]
) -> None:
    answer = authority.post(path, "helper", **parameters)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["agent", "subject", "task", "key"])
def test_whatever_a_token_stands_on_fells_it(authority: Authority, kind: Any) -> None:
    """Advisory rows 39 and 53."""
    task = authority.open_task()
    access = authority.access_token(task)
    credential = authority.credential(access).json()["access_token"]
    kid = authority.http.get("/jwks").json()["keys"][0]["kid"]
    name = {"agent": "helper", "subject": "alice", "task": task.id, "key": kid}[kind]
    authority.guard.revoke(kind, name, by="bob", why="a test")
    assert not active(authority, "helper", access)
    assert not active(authority, "server:desk", credential)
    assert authority.credential(access).status_code == 400


def test_a_value_used_once_as_one_kind_is_never_valid_as_another(authority: Authority) -> None:
    """Advisory row 55 (CVE-2026-4282): the store of used values is namespaced."""
    once, ends = authority.guard.ledger.seen_once, authority.clock.now() + 60 * SECOND
    assert once("jti", "helper a1", ends)
    assert once("client_assertion", "helper a1", ends)
    assert not once("client_assertion", "helper a1", ends)
    assert once("client_assertion", "other a1", ends)


def test_tokens_for_the_authority_are_for_the_authority_only(authority: Authority) -> None:
    for token in (authority.agent_token(), authority.task_token(authority.open_task())):
        assert authority.claims(token)["aud"] == ISSUER
        for audience in (DESK, DESK_UPSTREAM, ISSUER):
            with pytest.raises(TokenError):
                authority.guard.identify(token, audience)
