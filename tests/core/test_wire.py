"""RFC 8693 on the wire: what is asked, what is answered, and what is not understood."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopward import handover
from hopward.claims import CallDetails
from hopward.errors import ExchangeRefusedError
from hopward.model import Budget, Narrowing
from hopward.wire import (
    ACCESS_TOKEN_TYPE,
    JWT_TYPE,
    SELF_SIGNED_TYPE,
    TOKEN_EXCHANGE,
    Exchanged,
    ExchangeForm,
    build_request,
    exchange_members,
    fields,
    read_request,
    read_response,
)

DIGEST = "sha-256:" + "0" * 64
CALL = CallDetails(server="desk", tool="refund", arguments_digest=DIGEST, decision="dec_1")
FORM = ExchangeForm(
    subject_token="subject.token.x",
    actor_token="actor.token.x",
    target="https://desk.example/mcp",
    scope=("desk/refund",),
    call=CALL,
)
WORK = Narrowing(purpose="read", capabilities=(), budget=Budget(calls=1, writes=0), expires_in=60)
REQUEST = build_request(FORM, "assertion.x.y")
PARAMETERS = sorted(set(REQUEST) - {"resource"})


def refusal(pairs: list[tuple[str, str]]) -> str:
    with pytest.raises(ExchangeRefusedError) as refused:
        read_request(pairs)
    return refused.value.error


def test_a_request_that_is_built_is_read_back() -> None:
    assert read_request(list(REQUEST.items())) == FORM
    plain = ExchangeForm(subject_token="s", target="https://proxy.example/desk/mcp")
    built = build_request(plain, "a")
    assert read_request(list(built.items())) == plain
    assert set(built) == {
        "grant_type",
        "client_assertion",
        "client_assertion_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "resource",
    }
    assert built["grant_type"] == TOKEN_EXCHANGE


def test_a_request_to_hand_on_names_the_agent_by_audience() -> None:
    form = ExchangeForm(subject_token="s", actor_token="a", target="agent:other", delegation=WORK)
    request = build_request(form, "assertion")
    assert (request["audience"], "resource" in request) == ("agent:other", False)
    assert request["requested_token_type"] == JWT_TYPE
    assert read_request(list(request.items())) == form
    assert form.hands_on
    assert not FORM.hands_on
    moved = [("resource" if name == "audience" else name, value) for name, value in request.items()]
    assert refusal(moved) == "invalid_target"
    assert refusal([*request.items(), ("resource", "https://desk.example/mcp")]) == "invalid_target"
    for kind in (ACCESS_TOKEN_TYPE, SELF_SIGNED_TYPE):
        assert refusal(list({**request, "requested_token_type": kind}.items())) == "invalid_request"
    details = json.dumps(CALL.parameter())
    wrong = {**request, "authorization_details": details}
    assert refusal(list(wrong.items())) == "invalid_authorization_details"
    del request["authorization_details"], request["requested_token_type"]
    assert read_request(list(request.items())).delegation is None


def test_something_called_is_not_handed_work() -> None:
    details = json.dumps(handover.asked(WORK))
    assert refusal(list({**REQUEST, "authorization_details": details}.items())) == (
        "invalid_authorization_details"
    )
    wrong = {**REQUEST, "requested_token_type": JWT_TYPE}
    assert refusal(list(wrong.items())) == "invalid_request"


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_parameter_may_occur_twice(name: str) -> None:
    """Check 12, and advisory row 47 (CVE-2026-9704): a parameter is honoured or refused, never ignored."""
    for value in (REQUEST[name], "other", ""):
        assert refusal([*REQUEST.items(), (name, value)]) == "invalid_request"
        assert refusal([(name, value), *REQUEST.items()]) == "invalid_request"


@pytest.mark.parametrize("name", [*PARAMETERS, "resource", "audience", "client_id"])
def test_no_parameter_may_be_empty(name: str) -> None:
    assert refusal(list({**REQUEST, name: ""}.items())) == "invalid_request"


@pytest.mark.parametrize(
    "name", ["refresh_token", "code", "dpop_jkt", "subject_issuer", "requested_subject", "Scope", "act", "x"]
)
def test_a_parameter_that_is_not_understood_is_refused(name: str) -> None:
    assert refusal([*REQUEST.items(), (name, "x")]) == "invalid_request"


@pytest.mark.parametrize("value", ["refresh_token", "id_token", "saml2", "txn_token", ""])
def test_only_access_tokens_are_exchanged_for_access_tokens(value: str) -> None:
    kind = f"urn:ietf:params:oauth:token-type:{value}"
    for name in ("subject_token_type", "actor_token_type", "requested_token_type"):
        assert refusal(list({**REQUEST, name: kind}.items())) == "invalid_request"


def test_only_the_subject_token_may_be_self_signed() -> None:
    form = ExchangeForm(subject_token="s", target="t", subject_token_type=SELF_SIGNED_TYPE)
    request = build_request(form, "a")
    assert request["subject_token_type"] == "urn:ietf:params:oauth:token-type:self_signed"
    assert read_request(list(request.items())) == form
    for name in ("actor_token_type", "requested_token_type"):
        assert refusal(list({**REQUEST, name: SELF_SIGNED_TYPE}.items())) == "invalid_request"


def test_a_jwt_access_token_may_be_called_a_jwt() -> None:
    kind = "urn:ietf:params:oauth:token-type:jwt"
    assert (
        read_request(list({**REQUEST, "subject_token_type": kind, "actor_token_type": kind}.items())) == FORM
    )


@pytest.mark.parametrize(
    "missing", ["subject_token", "subject_token_type", "actor_token", "actor_token_type"]
)
def test_a_token_and_its_type_go_together(missing: str) -> None:
    assert refusal([(name, value) for name, value in REQUEST.items() if name != missing]) == "invalid_request"


def test_without_a_subject_token_there_is_nothing_to_exchange() -> None:
    rest = [pair for pair in REQUEST.items() if not pair[0].startswith("subject_token")]
    assert refusal(rest) == "invalid_request"


def test_there_is_exactly_one_target() -> None:
    """Check 8: RFC 8693 would multiply several targets by all scopes."""
    rest = [pair for pair in REQUEST.items() if pair[0] != "resource"]
    one, two = "https://desk.example/mcp", "urn:example:files"
    for targets in (
        [],
        [("resource", one), ("resource", one)],
        [("resource", one), ("resource", two)],
        [("audience", one), ("audience", two)],
        [("resource", one), ("audience", one)],
    ):
        assert refusal([*rest, *targets]) == "invalid_target"
    assert read_request([*rest, ("audience", one)]) == FORM


@pytest.mark.parametrize("scope", [" ", "a  b", "a%2f", '"', "é", "a\tb"])
def test_a_scope_that_is_not_spelled_properly_is_refused(scope: str) -> None:
    assert refusal(list({**REQUEST, "scope": scope}.items())) == "invalid_scope"


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "{}",
        "[]",
        "null",
        "[1]",
        '[{"type":"payment"}]',
        '[{"type":"hopward_tool_call"}]',
        json.dumps([*CALL.parameter(), *CALL.parameter()]),
        json.dumps(CALL.parameter())[:-2] + ',"tool":"delete"}]',
        "[" * 5000,
        "\ud800",
    ],
)
def test_details_of_another_kind_are_refused(text: str) -> None:
    request = {**REQUEST, "authorization_details": text}
    assert refusal(list(request.items())) == "invalid_authorization_details"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*REQUEST, "audience", "x"]), st.text() | st.sampled_from(list(REQUEST.values()))
        )
    )
)
def test_no_form_makes_the_reader_fail_in_another_way(pairs: list[tuple[str, str]]) -> None:
    try:
        form = read_request(pairs)
    except ExchangeRefusedError:
        return
    assert form.subject_token


def test_fields_keep_only_what_was_allowed() -> None:
    assert fields([("token", "t")], frozenset({"token"})) == {"token": "t"}
    with pytest.raises(ExchangeRefusedError, match="not supported"):
        fields([("token", "t"), ("\ntoken", "t")], frozenset({"token"}))


def answer(**changes: Any) -> bytes:
    token: dict[str, Any] = {
        "access_token": "minted.token.x",
        "token_type": "Bearer",
        "expires_in": 60,
        "scope": "desk/refund",
    }
    body = token | exchange_members(FORM) | changes
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def test_an_answer_that_is_built_is_read_back() -> None:
    exchanged = Exchanged(token="minted.token.x", expires_in=60, scope=("desk/refund",))
    assert read_response(200, answer(), FORM) == exchanged
    assert read_response(200, answer(scope=None, token_type="bearer"), FORM) == exchanged
    details = json.loads(answer())["authorization_details"]
    assert details == CALL.claim()


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "60"},
        {"expires_in": True},
        {"expires_in": 60.0},
        {"token_type": None},
        {"token_type": "DPoP"},
        {"token_type": "N_A"},
        {"issued_token_type": None},
        {"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"scope": "desk/*"},
        {"scope": ""},
        {"scope": ["desk/refund"]},
    ],
)
def test_an_answer_that_is_not_a_plain_yes_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeRefusedError) as refused:
        read_response(200, answer(**changes), FORM)
    assert refused.value.error == "server_error"
    assert "minted" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":"invalid_grant"}', "invalid_request"),
        (400, b'{"error":"invalid_request"}', "invalid_request"),
        (400, b'{"error":"invalid_target"}', "invalid_target"),
        (401, b'{"error":"invalid_client"}', "invalid_client"),
        (500, b"{}", "server_error"),
        (502, b"<html>", "server_error"),
        (400, b'{"error":null}', "server_error"),
        (400, b'{"error":""}', "server_error"),
        (400, b'{"error":["x"]}', "server_error"),
        (204, b"", "server_error"),
        (201, answer(), "server_error"),
        (302, answer(), "server_error"),
        (200, b"[]", "server_error"),
        (200, b'{"access_token":"a","access_token":"b"}', "server_error"),
        (200, b"\xff", "server_error"),
    ],
)
def test_a_refusal_keeps_its_code_and_what_cannot_be_read_is_a_refusal(
    status: int, body: bytes, error: str
) -> None:
    """Servers that answer `invalid_grant` for a bad token mean what RFC 8693 calls `invalid_request`."""
    with pytest.raises(ExchangeRefusedError) as refused:
        read_response(status, body, FORM)
    assert refused.value.error == error


def test_the_type_of_token_asked_for_is_an_access_token() -> None:
    assert REQUEST["requested_token_type"] == REQUEST["subject_token_type"] == ACCESS_TOKEN_TYPE
