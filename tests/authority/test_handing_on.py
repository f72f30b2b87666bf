"""POST /token for an agent that hands work on: the hop, its token, what is done with it, and who may not."""

import json
from typing import Any

import pytest

from hopward import TokenError, ToolCall
from hopward.canonical import digest
from hopward.clock import SECOND
from hopward.jwk import thumbprint
from hopward.testing.clock import NOON
from hopward_authority.form import Form
from hopward_authority.oauth import OAuthServer
from hopward_authority.tally import Tally

from .conftest import (
    ACCESS_TOKEN,
    DESK,
    DESK_UPSTREAM,
    FILES,
    ISSUER,
    JWT,
    READING,
    Authority,
    a_delegation,
)
from .handing import READ, called, chain_of_three, entered, entry, refused

# What is issued.


def test_an_agent_hands_work_to_another_one(authority: Authority) -> None:
    task = authority.open_task()
    answer = authority.hand_on("helper", "other", authority.task_token(task))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    claims = authority.claims(body.pop("access_token"))
    (detail,) = body.pop("authorization_details")
    assert body == {
        "token_type": "N_A",
        "issued_token_type": JWT,
        "expires_in": 600,
        "scope": "desk/method:* desk/read_ticket",
    }
    (hop,) = claims.pop("hops")
    lineage = claims.pop("lineage")
    assert claims.pop("jti") == authority.rows("credential")[-1].record["credential"]["id"]
    assert claims == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": ISSUER,
        "client_id": "other",
        "iat": NOON // SECOND,
        "exp": NOON // SECOND + 600,
        "scope": "desk/method:* desk/read_ticket",
        "txn": task.id,
        "act": {"sub": "agent:helper"},
        "may_act": {"iss": ISSUER, "sub": "agent:other"},
        "authorization_details": [detail],
    }
    assert len([name for name in lineage if name.startswith("token:")]) == 2
    stored = authority.guard.hop(hop)
    assert (stored.delegator, stored.agent, stored.task) == ("helper", "other", task.id)
    assert stored.key == thumbprint(authority.keys["other"].public_jwk())


def test_what_was_cut_off_is_not_in_the_answer(authority: Authority) -> None:
    """RFC 9396 section 7: the answer and the token name what was granted, which may be less."""
    wide = {"tools": ["*"], "actions": ["read", "write", "delete"], "sensitivity": "restricted"}
    work = a_delegation(
        capabilities=[{**wide, "destinations": ["*"]}],
        budget={"calls": 9, "writes": 2},
        expires_in=86_400,
        depth=7,
        fan_out=7,
        delegable=[READING],
    )
    answer = authority.hand_on("helper", "other", authority.task_token(authority.open_task()), work)
    body = answer.json()
    (granted,) = body["authorization_details"]
    assert granted["capabilities"] == [
        {
            "tools": ["desk/*"],
            "actions": ["read"],
            "sensitivity": "internal",
            "destinations": ["*"],
            "constraints": {},
            "closed": False,
        }
    ]
    assert (granted["depth"], granted["fan_out"], granted["expires_in"]) == (1, 2, 3600)
    assert (granted["type"], granted["purpose"], granted["shared"]) == (
        "hopward_delegation",
        "read ticket 7",
        False,
    )
    assert body["expires_in"] == 3600
    assert set(granted) == {"type", *a_delegation(), "shared", "delegable", "depth", "fan_out"}


def test_the_receiving_agent_calls_and_the_server_sees_everyone(authority: Authority) -> None:
    task = authority.open_task()
    hop_token = authority.hop_token(task)
    (hop,) = authority.claims(hop_token)["hops"]
    access = entered(authority, hop_token)
    claims = authority.claims(access)
    assert claims["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    assert (claims["txn"], claims["hops"], claims["client_id"]) == (task.id, [hop], "other")
    assert f"token:{authority.claims(hop_token)['jti']}" in claims["lineage"]
    assert not {"may_act", "authorization_details"} & set(claims)
    decision = called(authority, access)
    assert decision.permitted, decision.verdict
    assert (decision.chain.actors, decision.chain.hops) == (("helper", "other"), (hop,))
    upstream = authority.claims(authority.guard.mint(decision, READ))
    assert upstream["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    assert (upstream["txn"], upstream["hops"], upstream["aud"]) == (task.id, [hop], DESK_UPSTREAM)
    assert upstream["sub"] == "alice"


def test_over_http_the_proxy_gets_the_same_credential(authority: Authority) -> None:
    hop_token = authority.hop_token()
    access = entered(authority, hop_token)
    decision = called(authority, access)
    minted = authority.claims(authority.guard.mint(decision, READ))
    detail = {
        "type": "hopward_tool_call",
        "server": "desk",
        "tool": "read_ticket",
        "arguments_digest": digest(READ.arguments),
        "decision": decision.id,
    }
    answer = authority.credential(
        access, scope="desk/read_ticket", authorization_details=json.dumps([detail])
    )
    exchanged = authority.claims(answer.json()["access_token"])
    assert minted.pop("jti") != exchanged.pop("jti")
    assert minted == exchanged


def test_work_is_handed_on_again_and_every_actor_stays(authority: Authority) -> None:
    task, first, second = chain_of_three(authority)
    claims = authority.claims(second)
    hops = [*authority.claims(first)["hops"], claims["hops"][1]]
    assert (claims["hops"], claims["txn"], claims["client_id"]) == (hops, task.id, "third")
    assert claims["act"] == {"sub": "agent:other", "act": {"sub": "agent:helper"}}
    assert claims["may_act"] == {"iss": ISSUER, "sub": "agent:third"}
    assert f"token:{authority.claims(first)['jti']}" in claims["lineage"]
    access = entered(authority, second, "third")
    decision = called(authority, access)
    assert decision.permitted, decision.verdict
    assert decision.chain.actors == ("helper", "other", "third")
    upstream = authority.claims(authority.guard.mint(decision, READ))
    assert upstream["act"]["act"]["act"] == {"sub": "agent:helper"}
    assert upstream["hops"] == hops


def test_a_hop_has_its_decision_its_rows_and_no_token_in_the_log(authority: Authority) -> None:
    hop_token = authority.hop_token()
    (decision,) = authority.rows("decision")
    (opened,) = authority.rows("hop")
    row = authority.rows("credential")[-1]
    assert (decision.tool, decision.agent, decision.verdict) == ("delegate:other", "helper", "permit")
    assert opened.decision == row.decision == decision.decision
    assert (row.agent, row.record["client"]) == ("other", "other")
    text = authority.log_text()
    assert hop_token not in text
    assert hop_token.split(".")[1] not in text
    assert authority.guard.ledger.verify().problems == ()


def test_a_hop_outlives_the_actor_token_of_its_delegator_but_never_the_task(
    authority: Authority,
) -> None:
    """The actor token proves who hands on, as an assertion does; what lasts is the delegation."""
    authority.clock.set(NOON + 3000 * SECOND)
    task = authority.open_task()
    claims = authority.claims(authority.hop_token(task, expires_in=86_400))
    assert claims["exp"] == NOON // SECOND + 6600
    early = authority.task_token(task)
    authority.clock.set(NOON + 6590 * SECOND)
    answer = authority.hand_on("helper", "third", early, a_delegation(expires_in=600))
    assert authority.claims(answer.json()["access_token"])["exp"] == NOON // SECOND + 6600


# What is refused.


def test_a_hop_token_is_for_the_agent_it_names_and_for_no_other(authority: Authority) -> None:
    hop_token = authority.hop_token()
    for agent in ("helper", "third"):
        assert refused(entry(authority, hop_token, agent)) == "invalid_request"
        assert refused(authority.hand_on(agent, "third", hop_token)) == "invalid_request"
    own = authority.agent_token("other")
    assert refused(entry(authority, hop_token, "third", actor_token=own)) == "invalid_request"
    assert refused(entry(authority, hop_token, "hopward-proxy", actor_token=None)) == "invalid_target"
    answer = authority.credential(hop_token)
    assert refused(answer) == "invalid_request"


def test_a_hop_token_opens_nothing_by_itself(authority: Authority) -> None:
    hop_token = authority.hop_token()
    assert refused(entry(authority, hop_token, actor_token=None)) == "invalid_request"
    assert refused(authority.hand_on("other", "third", hop_token, actor_token=None)) == "invalid_request"
    for audience in (DESK, DESK_UPSTREAM, ISSUER):
        with pytest.raises(TokenError, match=r"someone else|not one an agent calls with"):
            authority.guard.identify(hop_token, audience)


def test_tokens_of_two_chains_cannot_be_spliced(authority: Authority) -> None:
    """Every token is genuine and current, and every pairing is wrong."""
    mine, theirs = authority.open_task(), authority.open_task("other", "bob")
    hop_token = authority.hop_token(mine)
    other_hop = authority.hop_token(theirs, "third")
    back = authority.hop_token(theirs, "helper")
    wrong_actors = [
        authority.task_token(theirs),
        authority.task_token(mine),
        other_hop,
        hop_token,
        back,
        authority.agent_token("helper"),
        authority.agent_token("third"),
        authority.access_token(mine),
    ]
    for actor in wrong_actors:
        assert refused(entry(authority, hop_token, actor_token=actor)) == "invalid_request"
        assert refused(authority.hand_on("other", "third", hop_token, actor_token=actor)) == "invalid_request"
    for subject in (other_hop, authority.task_token(mine), authority.access_token(mine), back):
        assert refused(entry(authority, subject)) == "invalid_request"
        assert refused(authority.hand_on("other", "third", subject)) == "invalid_request"
    assert entry(authority, hop_token).status_code == 200


def test_an_endpoint_token_hands_nothing_on(authority: Authority) -> None:
    task = authority.open_task()
    for agent, subject in (
        ("helper", authority.access_token(task)),
        ("other", entered(authority, authority.hop_token(task))),
    ):
        assert refused(authority.hand_on(agent, "third", subject)) == "invalid_request"
    assert [row for row in authority.rows("decision") if row.tool == "delegate:third"] == []


def test_nobody_is_handed_work_twice_in_a_chain(authority: Authority) -> None:
    """The refusal is a decision of its own, named in the answer."""
    task = authority.open_task()
    itself = authority.hand_on("helper", "helper", authority.task_token(task))
    back = authority.hand_on("other", "helper", authority.hop_token(task, depth=1, fan_out=1))
    for answer in (itself, back):
        assert refused(answer) == "invalid_target"
        assert "(actor_twice)" in answer.json()["error_description"]
    found = [row for row in authority.rows("decision") if row.verdict == "deny"]
    assert [row.reason for row in found] == ["actor_twice", "actor_twice"]
    for row, answer in zip(found, (itself, back), strict=True):
        assert row.decision in answer.json()["error_description"]
        assert row.decision in json.dumps([one.record for one in authority.rows("refusal")])


@pytest.mark.parametrize("to", ["ghost", "", "hopward-proxy", "server:desk", "Other", "other/../helper", "*"])
def test_work_is_handed_to_a_registered_agent_only(authority: Authority, to: str) -> None:
    assert refused(authority.hand_on("helper", to, authority.task_token(authority.open_task()))) == (
        "invalid_target"
    )
    assert authority.rows("hop") == []


@pytest.mark.parametrize("client", ["hopward-proxy", "server:desk"])
def test_only_an_agent_hands_work_on(authority: Authority, client: str) -> None:
    subject = authority.access_token()
    answer = authority.hand_on(client, "other", subject, actor_token=None)
    assert refused(answer) == {"hopward-proxy": "invalid_target"}.get(client, "unauthorized_client")


def test_a_suspended_agent_neither_hands_on_nor_is_handed_anything(authority: Authority) -> None:
    task = authority.open_task()
    subject, hop_token = authority.task_token(task), authority.hop_token(task, depth=1, fan_out=1)
    actor = authority.agent_token("helper")
    authority.guard.set_agent_state("other", "suspended", by="bob", why="a test")
    assert refused(authority.hand_on("helper", "other", subject)) == "invalid_target"
    assert authority.post("/token", "other", grant_type="client_credentials").status_code == 400
    authority.guard.set_agent_state("other", "active", by="bob", why="a test")
    authority.guard.set_agent_state("helper", "suspended", by="bob", why="a test")
    answer = authority.hand_on("helper", "third", subject, actor_token=actor)
    assert refused(answer) == "invalid_request"
    assert refused(entry(authority, hop_token)) == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": "agent:other", "audience": None}, "invalid_target"),
        ({"resource": DESK}, "invalid_target"),
        ({"audience": ["agent:other", "agent:third"]}, "invalid_target"),
        ({"audience": ["agent:other", "agent:other"]}, "invalid_target"),
        ({"audience": "AGENT:other"}, "invalid_authorization_details"),
        ({"audience": DESK}, "invalid_authorization_details"),
        ({"scope": "desk/read_ticket"}, "invalid_scope"),
        ({"requested_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"authorization_details": None}, "invalid_request"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"subject_token": "x"}, "invalid_request"),
        ({"actor_token": None}, "invalid_request"),
    ],
)
def test_every_parameter_of_a_delegation_is_honoured_or_refused(
    authority: Authority, changes: dict[str, Any], error: str
) -> None:
    subject = authority.task_token(authority.open_task())
    parameters: dict[str, Any] = {"subject_token": subject} | changes
    answer = authority.hand_on("helper", "other", parameters.pop("subject_token"), **parameters)
    assert refused(answer) == error
    assert authority.rows("hop") == authority.rows("decision") == []
    assert authority.rows("refusal")[-1].reason == error


def test_a_delegation_may_ask_for_the_type_it_gets(authority: Authority) -> None:
    subject = authority.task_token(authority.open_task())
    assert authority.hand_on("helper", "other", subject, requested_token_type=JWT).status_code == 200


def test_an_endpoint_is_not_handed_work(authority: Authority) -> None:
    answer = authority.exchange("helper", authorization_details=json.dumps([a_delegation()]))
    assert refused(answer) == "invalid_authorization_details"


@pytest.mark.parametrize(
    ("work", "error", "reason"),
    [
        ({"capabilities": [{**READING, "tools": ["files/*"]}]}, "invalid_authorization_details", "nothing"),
        ({"capabilities": [{**READING, "actions": ["delete"]}]}, "invalid_authorization_details", "nothing"),
        ({"budget": {"calls": 10, "writes": 0}}, "invalid_authorization_details", "budget_exhausted"),
        ({"budget": {"calls": 1, "writes": 2}}, "invalid_authorization_details", "narrowing_invalid"),
        ({"expires_in": 0}, "invalid_authorization_details", "narrowing_invalid"),
        ({"purpose": " "}, "invalid_authorization_details", "narrowing_invalid"),
    ],
)
def test_a_refused_delegation_names_its_decision(
    authority: Authority, work: dict[str, Any], error: str, reason: str
) -> None:
    subject = authority.task_token(authority.open_task())
    answer = authority.hand_on("helper", "other", subject, a_delegation(**work))
    assert refused(answer) == error
    (row,) = authority.rows("decision")
    assert row.verdict == "deny"
    assert row.reason.startswith(reason)
    assert f"Decision {row.decision} ({row.reason}): " in answer.json()["error_description"]
    assert authority.rows("hop") == []


def test_depth_and_fan_out_end(authority: Authority) -> None:
    task = authority.open_task()
    subject = authority.task_token(task)
    authority.hop_token(task)
    assert refused(authority.hand_on("other", "third", authority.hop_token(task))) == "invalid_target"
    answer = authority.hand_on("helper", "third", subject)
    assert refused(answer) == "invalid_target"
    assert "(fan_out_exhausted)" in answer.json()["error_description"]


def test_what_a_policy_forbids_is_not_handed_on(authority: Authority) -> None:
    policy = authority.config.parent / "policies" / "closed.cedar"
    policy.write_text('forbid (principal, action == Hopward::Action::"delegate", resource);')
    authority.clock.advance(5 * SECOND)
    answer = authority.hand_on("helper", "other", authority.task_token(authority.open_task()))
    assert refused(answer) == "invalid_target"
    assert "(forbidden)" in answer.json()["error_description"]


def test_scope_is_never_widened_on_the_way(authority: Authority) -> None:
    hop_token = authority.hop_token()
    for scope in ("desk/*", "*", "desk/refund", "files/read_ticket", "desk/read_ticket files/x"):
        assert refused(entry(authority, hop_token, scope=scope)) == "invalid_scope"
    assert refused(entry(authority, hop_token, resource=FILES)) == "invalid_scope"
    access = entered(authority, hop_token)
    pay = ToolCall(server="desk", tool="refund", arguments={})
    assert called(authority, access, pay).verdict.reason == "tool_unclassified"
    wider = authority.hand_on("other", "third", hop_token, a_delegation(delegable=[READING]))
    assert refused(wider) == "invalid_target"


def test_a_log_that_cannot_be_written_hands_nothing_on(authority: Authority) -> None:
    subject, actor = authority.task_token(authority.open_task()), authority.agent_token("helper")
    authority.guard.ledger.close()
    answer = authority.hand_on("helper", "other", subject, actor_token=actor)
    assert (answer.status_code, answer.json()["error"]) == (503, "server_error")


def test_what_the_authority_cannot_do_now_is_not_the_clients_mistake(authority: Authority) -> None:
    server = OAuthServer(authority.guard, Tally(authority.guard))
    for error, status in (("server_error", 503), ("temporarily_unavailable", 503), ("invalid_target", 400)):
        assert server.refused(Form("/token", []), error, "Because.").status == status
