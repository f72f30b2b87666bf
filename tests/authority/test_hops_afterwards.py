"""What ends the token of a hop, and who is told about it."""

import pytest

from hopward.clock import SECOND

from .conftest import Authority
from .handing import called, chain_of_three, entered, entry, refused


@pytest.mark.parametrize("end", ["hop", "task", "agent", "other", "parent", "token"])
def test_a_hop_token_is_worth_nothing_once_anything_above_it_has_ended(
    authority: Authority, end: str
) -> None:
    task, first, second = chain_of_three(authority)
    access = entered(authority, second, "third")
    authority.clock.advance(SECOND)
    guard, (above, own) = authority.guard, authority.claims(second)["hops"]
    ended = {
        "hop": ("hop", own),
        "parent": ("hop", above),
        "task": ("task", task.id),
        "agent": ("agent", "helper"),
        "other": ("agent", "other"),
        "token": ("token", authority.claims(first)["jti"]),
    }
    kind, name = ended[end]
    guard.revoke(kind, name, by="bob", why="a test")  # type: ignore[arg-type]
    assert refused(entry(authority, second, "third")) == "invalid_request"
    assert refused(authority.hand_on("third", "helper", second)) == "invalid_request"
    assert not called(authority, access).permitted
    assert authority.post("/introspect", "third", token=second).json() == {"active": False}


def test_a_completed_hop_lets_nobody_exchange_its_token_any_more(authority: Authority) -> None:
    _, first, second = chain_of_three(authority)
    authority.guard.complete_hop(authority.guard.issuer.verify(first).chain)
    for agent, token in (("other", first), ("third", second)):
        answer = entry(authority, token, agent)
        assert refused(answer) == "invalid_request"
        assert "completed" in answer.json()["error_description"]


def test_an_expired_hop_token_is_refused(authority: Authority) -> None:
    hop_token = authority.hop_token(expires_in=60)
    authority.clock.advance(60 * SECOND)
    assert refused(entry(authority, hop_token)) == "invalid_request"
    assert refused(authority.hand_on("other", "third", hop_token)) == "invalid_request"


@pytest.mark.parametrize("client", ["helper", "other"])
def test_holder_and_delegator_end_a_hop_by_revoking_its_token(authority: Authority, client: str) -> None:
    """RFC 7009; a hop has one token, so with the token the hop itself ends, and its budget goes back."""
    task = authority.open_task()
    hop_token = authority.hop_token(task)
    access = entered(authority, hop_token)
    (hop,) = authority.claims(hop_token)["hops"]
    assert authority.guard.ledger.usage(task.id).calls == 4
    for _ in range(2):
        answer = authority.post("/revoke", client, token=hop_token)
        assert (answer.status_code, answer.json()) == (200, {})
    assert authority.guard.hop(hop).state == "completed"
    assert authority.guard.ledger.usage(task.id).calls == 1
    assert [row.record["event"] for row in authority.rows("hop")] == ["opened", "completed"]
    (row,) = authority.rows("revocation")
    assert (row.record["by"], "handed" in row.record["why"]) == (client, client == "helper")
    assert not called(authority, access).permitted
    assert refused(entry(authority, hop_token)) == "invalid_request"


def test_the_token_of_a_hop_can_be_revoked_after_its_hop_or_task_has_ended(authority: Authority) -> None:
    first, second = authority.open_task(), authority.open_task()
    done, over = authority.hop_token(first), authority.hop_token(second)
    authority.guard.complete_hop(authority.guard.issuer.verify(done).chain)
    authority.guard.complete_task(second.id)
    for token in (done, over):
        answer = authority.post("/revoke", "other", token=token)
        assert (answer.status_code, answer.json()) == (200, {})
    assert len(authority.rows("revocation")) == 2


def test_nobody_else_ends_a_hop(authority: Authority) -> None:
    task, first, second = chain_of_three(authority)
    for client in ("helper", "hopward-proxy", "server:desk"):
        assert refused(authority.post("/revoke", client, token=second)) == "invalid_grant"
    assert refused(authority.post("/revoke", "third", token=first)) == "invalid_grant"
    assert called(authority, entered(authority, second, "third")).permitted
    assert authority.post("/revoke", "helper", token=first).status_code == 200
    assert refused(entry(authority, second, "third")) == "invalid_request"
    assert authority.guard.task(task.id).state == "open"


def test_revoking_what_a_hop_was_exchanged_for_leaves_the_hop_alone(authority: Authority) -> None:
    hop_token = authority.hop_token()
    access = entered(authority, hop_token)
    assert authority.post("/revoke", "other", token=access).status_code == 200
    assert not called(authority, access).permitted
    assert called(authority, entered(authority, hop_token)).permitted


def test_introspection_describes_a_hop_token_to_both_ends(authority: Authority) -> None:
    hop_token = authority.hop_token()
    claims = authority.claims(hop_token)
    told = {name: value for name, value in claims.items() if name != "lineage"}
    for client in authority.keys:
        answer = authority.post("/introspect", client, token=hop_token).json()
        concerned = client in ("helper", "other")
        assert answer == (
            {"active": True, "token_type": "Bearer", **told} if concerned else {"active": False}
        )


def test_introspection_describes_the_chain_of_an_endpoint_token(authority: Authority) -> None:
    access = entered(authority, authority.hop_token())
    answer = authority.post("/introspect", "hopward-proxy", token=access).json()
    assert answer["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    assert answer["hops"] == authority.claims(access)["hops"]


def test_the_metadata_names_both_types_of_details(authority: Authority) -> None:
    """RFC 9396 section 10."""
    document = authority.http.get("/.well-known/oauth-authorization-server").json()
    assert document["authorization_details_types_supported"] == ["hopward_tool_call", "hopward_delegation"]
