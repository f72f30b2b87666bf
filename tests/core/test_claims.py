"""Between claims and the model's words: names, scopes, nested actors, lineage."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward.claims import (
    CallDetails,
    Party,
    act,
    details,
    is_agent,
    principal,
    read,
    scope_names,
    scope_text,
    write,
)
from hopward.clock import SECOND
from hopward.errors import TokenError
from hopward.model import Credential
from hopward.testing.clock import NOON

CLAIMS: dict[str, Any] = {
    "iss": "https://authority.example",
    "sub": "alice",
    "aud": "https://desk.example/mcp",
    "client_id": "helper",
    "iat": NOON // SECOND,
    "exp": NOON // SECOND + 60,
    "jti": "tok_1",
    "scope": "desk/refund",
    "txn": "task_1",
    "act": {"sub": "agent:helper", "act": {"sub": "agent:first"}},
    "lineage": ["token:tok_0", "key:kid_0"],
}
DIGEST = "sha-256:" + "0" * 64
CALL = {"type": "hopward_tool_call", "server": "desk", "tool": "refund", "arguments_digest": DIGEST}


def test_claims_are_read_in_the_models_words() -> None:
    presented = read(CLAIMS, "kid_1")
    assert presented.actors == ("first", "helper")
    assert presented.scope == ("desk/refund",)
    assert presented.lineage == ("token:tok_0", "key:kid_0")
    assert presented.ancestry == ("token:tok_1", "key:kid_1", "token:tok_0", "key:kid_0")
    assert (presented.expires_at - presented.issued_at, presented.may_act, presented.bound) == (
        60 * SECOND,
        None,
        "",
    )
    chain = presented.chain
    assert (chain.actor, chain.token, chain.key, chain.lineage) == (
        "helper",
        "tok_1",
        "kid_1",
        presented.lineage,
    )


def test_the_token_of_a_hop_is_held_by_its_agent_and_by_the_one_that_handed_it_on() -> None:
    may_act = {"iss": CLAIMS["iss"], "sub": "agent:helper"}
    hops = {"hops": ["hop_" + "1" * 24]}
    of_hop = read({**CLAIMS, **hops, "may_act": may_act, "act": {"sub": "agent:boss"}}, "kid_1")
    assert of_hop.of_hop
    assert of_hop.holders == ("helper", "boss")
    assert of_hop.described["hops"] == list(of_hop.hops)
    for other in (CLAIMS, {**CLAIMS, **hops}, {**CLAIMS, "may_act": may_act}):
        presented = read(other, "kid_1")
        assert not presented.of_hop
        assert presented.holders == ("helper",)


def test_what_is_written_is_read_back() -> None:
    presented = read(CLAIMS, "kid_1")
    credential = Credential(
        id="tok_1",
        kind="token",
        audience=presented.audience,
        scope=scope_text(presented.scope),
        subject=presented.subject,
        actors=presented.actors,
        task=presented.task,
        issued_at=NOON + 7,
        expires_at=NOON + 60 * SECOND,
        lineage=presented.lineage,
    )
    assert write(credential, presented.issuer, "helper") == CLAIMS
    assert presented.described == {name: value for name, value in CLAIMS.items() if name != "lineage"}


def test_a_token_without_authority_says_nothing_of_it() -> None:
    bare = {name: CLAIMS[name] for name in ("iss", "sub", "aud", "client_id", "iat", "exp", "jti")}
    presented = read(bare, "kid_1")
    assert (presented.actors, presented.scope, presented.task, presented.lineage) == ((), (), "", ())
    assert presented.described == bare


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", None),
        ("client_id", ""),
        ("client_id", 7),
        ("scope", ""),
        ("scope", ["desk/refund"]),
        ("scope", "a  b"),
        ("scope", " a"),
        ("scope", "a%2f"),
        ("scope", "a%41"),
        ("scope", "a%"),
        ("scope", "a%ZZ"),
        ("scope", "a%C3"),
        ("scope", 'a"b'),
        ("scope", "é"),
        ("txn", ""),
        ("txn", None),
        ("act", None),
        ("act", {}),
        ("act", "agent:helper"),
        ("act", ["agent:helper"]),
        ("act", {"sub": "alice"}),
        ("act", {"sub": 7}),
        ("act", {"sub": "agent:helper", "act": {"sub": "alice"}}),
        ("act", {"sub": "agent:helper", "act": "agent:x"}),
        ("act", {"sub": "agent:helper", "act": {}}),
        ("act", {"sub": "agent:helper", "iss": "https://elsewhere.example"}),
        ("act", {"sub": "agent:helper", "exp": 1}),
        ("may_act", {}),
        ("may_act", None),
        ("may_act", {"sub": "agent:helper"}),
        ("may_act", {"sub": "agent:helper", "iss": 7}),
        ("may_act", {"sub": ["agent:helper"], "iss": "i"}),
        ("may_act", {"sub": "agent:helper", "iss": "i", "client_id": "x"}),
        ("lineage", None),
        ("lineage", "token:a"),
        ("lineage", [7]),
        ("lineage", ["tok_0"]),
        ("lineage", ["subject:alice"]),
        ("lineage", ["token:"]),
        ("lineage", ["token:a b"]),
    ],
)
def test_a_claim_of_another_shape_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TokenError) as refused:
        read({**CLAIMS, name: value}, "kid_1")
    assert refused.value.error == "bad_claim"


@pytest.mark.parametrize("method", ["jkt", "x5t#S256"])
def test_the_key_a_token_is_bound_to_is_read_as_it_was_written(method: str) -> None:
    confirmation = {method: "k" * 43}
    presented = read({**CLAIMS, "cnf": confirmation}, "kid_1")
    assert presented.bound == presented.chain.bound == f"{method}:{'k' * 43}"
    assert presented.described["cnf"] == confirmation
    assert "cnf" not in read(CLAIMS, "kid_1").described


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "x",
        {"jkt": "x"},
        {"jkt": "k" * 44},
        {"jkt": None},
        {"jkt": ["k" * 43]},
        {"jkt": "k" * 43, "x5t#S256": "k" * 43},
        {"jwk": {}},
        {"kid": "k" * 43},
    ],
    ids=str,
)
def test_a_binding_that_cannot_be_understood_is_refused_not_ignored(value: Any) -> None:
    with pytest.raises(TokenError) as refused:
        read({**CLAIMS, "cnf": value}, "kid_1")
    assert refused.value.error == "bad_claim"


def test_a_may_act_is_noticed() -> None:
    may_act = {"iss": "i", "sub": "agent:helper"}
    presented = read({**CLAIMS, "may_act": may_act}, "kid_1")
    assert presented.may_act == Party(issuer="i", subject="agent:helper")
    assert presented.described["may_act"] == may_act


def test_an_agent_is_never_taken_for_a_person() -> None:
    assert principal("alice") == "agent:alice" != "alice"
    assert is_agent(principal("alice"))
    assert not is_agent("alice")
    assert not is_agent("Agent:alice")


@given(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=9).map(tuple))
def test_actors_nest_and_come_back_in_order(actors: tuple[str, ...]) -> None:
    assert read({**CLAIMS, "act": act(actors)}, "kid_1").actors == actors


def test_the_current_actor_is_outermost() -> None:
    assert act(("first", "second")) == {"sub": "agent:second", "act": {"sub": "agent:first"}}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5).map(tuple))
def test_any_names_survive_a_scope(names: tuple[str, ...]) -> None:
    text = scope_text(names)
    assert scope_names(text) == names
    assert text.isascii()
    assert not set(text) & set('"\\\n\t')


def test_a_scope_is_spelled_plainly_wherever_oauth_allows() -> None:
    assert scope_text(["desk/*", "desk/read_ticket"]) == "desk/* desk/read_ticket"
    assert scope_text(["desk/resource:file:///a b%é"]) == "desk/resource:file:///a%20b%25%C3%A9"
    assert scope_names("") == ()


def test_the_details_of_a_call_are_one_object_of_our_type() -> None:
    call = CallDetails(server="desk", tool="refund", arguments_digest=DIGEST)
    assert details([CALL]) == call
    assert call.claim() == [CALL]
    decided = details([{**CALL, "decision": "dec_1"}])
    assert decided.parameter() == [{**CALL, "decision": "dec_1"}]
    assert decided.claim() == [CALL]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        CALL,
        [CALL, CALL],
        ["x"],
        [{}],
        [{**CALL, "type": "other"}],
        [{name: value for name, value in CALL.items() if name != "type"}],
        [{name: value for name, value in CALL.items() if name != "tool"}],
        [{**CALL, "actions": "all"}],
        [{**CALL, "tool": 7}],
        [{**CALL, "tool": ["refund"]}],
        [{**CALL, "arguments_digest": "sha-256:0"}],
        [{**CALL, "arguments_digest": DIGEST.upper()}],
        [{**CALL, "arguments_digest": DIGEST + "\n"}],
    ],
)
def test_details_of_anything_else_are_refused(value: Any) -> None:
    with pytest.raises(TokenError):
        details(value)
