"""Tokens bound to a key (RFC 9449 sections 5 to 8): at the token endpoint, and what a stolen one is worth."""

import json
from typing import Any

import httpx2
import pytest

from hopward import ExchangeRefusedError, TokenError
from hopward.clock import SECOND
from hopward.dpop import OLDEST, prove
from hopward.jwk import SigningKey

from .conftest import ACCESS_TOKEN, DESK, EXCHANGE, ISSUER, Authority, MakeAuthority
from .logging_in import LoginPlace

KEY, OTHER = SigningKey.generate("ES256"), SigningKey.generate("EdDSA")
URL = f"{ISSUER}/token"


def proof(authority: Authority, key: SigningKey = KEY, url: str = URL, **more: Any) -> dict[str, str]:
    return {"DPoP": prove(key, "POST", url, authority.clock, **more)}


def asked(authority: Authority, headers: Any, client: str = "helper", **form: Any) -> httpx2.Response:
    """A request for a token with these headers; by default, for the client's own."""
    form = {"grant_type": "client_credentials"} | form
    authority.http.headers = httpx2.Headers(headers)
    try:
        return authority.post("/token", client, **form)
    finally:
        authority.http.headers = httpx2.Headers()


def refused(answer: httpx2.Response) -> str:
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def own_token(authority: Authority, key: SigningKey = KEY) -> str:
    return asked(authority, proof(authority, key)).json()["access_token"]


def exchanged(authority: Authority, headers: Any, actor: str, **changes: Any) -> httpx2.Response:
    form = {
        "grant_type": EXCHANGE,
        "subject_token": authority.task_token(authority.open_task()),
        "subject_token_type": ACCESS_TOKEN,
        "actor_token": actor,
        "actor_token_type": ACCESS_TOKEN,
        "resource": DESK,
    }
    return asked(authority, headers, **(form | changes))


def bound_access(authority: Authority, key: SigningKey = KEY) -> str:
    answer = exchanged(authority, proof(authority, key), own_token(authority, key))
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def required(authority: Authority) -> Authority:
    """The same authority, restarted with the tokens of one agent to be bound."""
    authority.guard.close()
    text = authority.config.read_text("utf-8")
    authority.config.write_text(text.replace("[agents.helper]\n", '[agents.helper]\ndpop = "required"\n'))
    return authority.restarted()


def test_the_metadata_lists_what_proofs_are_signed_with(authority: Authority) -> None:
    document = authority.http.get("/.well-known/oauth-authorization-server").json()
    assert document["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA"]


@pytest.mark.parametrize("key", [KEY, OTHER], ids=["ES256", "EdDSA"])
def test_a_proof_binds_every_token_to_its_key(authority: Authority, key: SigningKey) -> None:
    answer = asked(authority, proof(authority, key))
    assert answer.json()["token_type"] == "DPoP"
    own = answer.json()["access_token"]
    assert authority.claims(own)["cnf"] == {"jkt": key.kid}
    answer = exchanged(authority, proof(authority, key), own)
    assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
    assert authority.claims(answer.json()["access_token"])["cnf"] == {"jkt": key.kid}
    bound = [row.record["credential"]["bound"] for row in authority.rows("credential")]
    assert bound == [f"jkt:{key.kid}", "", f"jkt:{key.kid}"]


def test_introspection_tells_which_key_a_token_is_bound_to(authority: Authority) -> None:
    told = authority.post("/introspect", "helper", token=bound_access(authority)).json()
    assert (told["active"], told["token_type"], told["cnf"]) == (True, "DPoP", {"jkt": KEY.kid})
    told = authority.post("/introspect", "helper", token=authority.agent_token()).json()
    assert (told["token_type"], "cnf" in told) == ("Bearer", False)


def test_a_bound_token_is_exchanged_by_who_holds_its_key_alone(authority: Authority) -> None:
    own = own_token(authority)
    assert refused(exchanged(authority, {}, own)) == "invalid_request"
    assert refused(exchanged(authority, proof(authority, OTHER), own)) == "invalid_request"
    assert exchanged(authority, proof(authority), own).status_code == 200


def test_a_bound_token_of_a_task_handed_on_stays_with_its_holder(authority: Authority) -> None:
    """Handing on takes the same proof; what the receiver gets is for its own key to be bound to."""
    own = own_token(authority)
    work = {
        "type": "hopward_delegation",
        "purpose": "read",
        "capabilities": [
            {
                "tools": ["desk/read_ticket"],
                "actions": ["read"],
                "sensitivity": "internal",
                "destinations": ["desk"],
            }
        ],
        "budget": {"calls": 1, "writes": 0},
        "expires_in": 60,
    }
    form = {"resource": None, "audience": "agent:other", "authorization_details": json.dumps([work])}
    assert refused(exchanged(authority, {}, own, **form)) == "invalid_request"
    assert refused(exchanged(authority, proof(authority, OTHER), own, **form)) == "invalid_request"
    answer = exchanged(authority, proof(authority), own, **form)
    assert answer.status_code == 200, answer.text
    assert "cnf" not in authority.claims(answer.json()["access_token"])


def test_the_proxy_exchanges_the_bound_token_of_a_caller_it_has_let_in(authority: Authority) -> None:
    answer = authority.credential(bound_access(authority))
    assert answer.status_code == 200, answer.text
    assert "cnf" not in authority.claims(answer.json()["access_token"])


def test_a_bearer_token_of_an_agent_that_has_to_bind_is_not_minted(authority: Authority) -> None:
    authority = required(authority)
    assert refused(asked(authority, {})) == "invalid_dpop_proof"
    assert refused(exchanged(authority, {}, own_token(authority))) == "invalid_dpop_proof"
    assert refused(authority.hand_on("helper", "other", "x", actor_token=own_token(authority)))
    chain = authority.guard.enter(authority.open_task().id)
    with pytest.raises(ExchangeRefusedError, match="bound to a key"):
        authority.guard.access_token(chain, "desk")
    assert asked(authority, {}, "other").status_code == 200


def test_a_bearer_token_from_before_opens_nothing_once_binding_is_required(authority: Authority) -> None:
    """The downgrade: an unbound token of the same agent, still current."""
    access = authority.access_token()
    authority = required(authority)
    with pytest.raises(TokenError) as refusal:
        authority.guard.identify(access, DESK)
    assert refusal.value.error == "unbound_token"


def test_at_the_proxy_a_bound_token_counts_with_its_proof_alone(authority: Authority) -> None:
    access, guard = bound_access(authority), authority.guard

    def made(key: SigningKey = KEY, url: str = DESK, method: str = "POST", token: str = access) -> Any:
        return (prove(key, method, url, authority.clock, token=token), method)

    assert guard.identify(access, DESK, made()).bound == f"jkt:{KEY.kid}"
    unbound = authority.access_token()
    wrong = {
        "unproved_token": (access, None),
        "wrong_holder": (access, made(OTHER)),
        "unbound_token": (unbound, made(token=unbound)),
    }
    for error, (token, shown) in wrong.items():
        with pytest.raises(TokenError) as refusal:
            guard.identify(token, DESK, shown)
        assert refusal.value.error == error
    used = made()
    guard.identify(access, DESK, used)
    for shown in (used, made(url=URL), made(token=unbound), (made()[0], "GET"), ("", "POST")):
        with pytest.raises(TokenError) as refusal:
            guard.identify(access, DESK, shown)
        assert refusal.value.error == "invalid_dpop_proof"


def test_what_one_worker_has_let_in_another_takes_once_it_is_passed_on(authority: Authority) -> None:
    access, guard = bound_access(authority), authority.guard
    shown = (prove(KEY, "POST", DESK, authority.clock, token=access), "POST")
    with pytest.raises(TokenError, match="used before"):
        guard.identify(access, DESK, shown, passed_on=True)
    guard.identify(access, DESK, shown)
    assert guard.identify(access, DESK, shown, passed_on=True).bound
    with pytest.raises(TokenError, match="used before"):
        guard.identify(access, DESK, shown)


def test_a_proof_counts_once_at_the_token_endpoint_and_after_a_restart(authority: Authority) -> None:
    used = proof(authority)
    assert asked(authority, used).status_code == 200
    assert refused(asked(authority, used)) == "invalid_dpop_proof"
    assert refused(asked(authority.restarted(), used)) == "invalid_dpop_proof"


def test_a_proof_for_another_place_method_or_time_is_refused(authority: Authority) -> None:
    late = proof(authority)
    wrong = [
        {"DPoP": prove(KEY, "GET", URL, authority.clock)},
        proof(authority, url=f"{ISSUER}/introspect"),
        proof(authority, url="https://testserver/token"),
        {"DPoP": "x"},
        {"DPoP": ""},
    ]
    for headers in wrong:
        assert refused(asked(authority, headers)) == "invalid_dpop_proof"
    authority.clock.advance((OLDEST + 1) * SECOND)
    assert refused(asked(authority, late)) == "invalid_dpop_proof"


def test_the_url_of_a_proof_is_the_issuers_whatever_the_host_says(authority: Authority) -> None:
    elsewhere = proof(authority, url="http://127.0.0.1:8700/token") | {"Host": "127.0.0.1:8700"}
    assert refused(asked(authority, elsewhere)) == "invalid_dpop_proof"
    assert asked(authority, proof(authority) | {"Host": "127.0.0.1:8700"}).status_code == 200


def test_two_proofs_are_refused(authority: Authority) -> None:
    two = [("DPoP", proof(authority)["DPoP"]), ("DPoP", proof(authority)["DPoP"])]
    assert refused(asked(authority, two)) == "invalid_dpop_proof"
    joined = {"DPoP": ", ".join(value for _, value in two)}
    assert refused(asked(authority, joined)) == "invalid_dpop_proof"


@pytest.mark.parametrize("path", ["/introspect", "/revoke"])
def test_a_proof_where_none_belongs_is_refused_not_ignored(authority: Authority, path: str) -> None:
    authority.http.headers = httpx2.Headers(proof(authority))
    assert refused(authority.post(path, "helper", token="x")) == "invalid_dpop_proof"


def test_a_client_that_is_not_authenticated_has_no_proof_remembered(authority: Authority) -> None:
    used = proof(authority)
    form = {"grant_type": "client_credentials"}
    assert authority.http.post("/token", data=form, headers=used).status_code == 401
    assert asked(authority, used).status_code == 200


def test_a_nonce_is_asked_for_and_told_where_it_is_wanted(make_authority: MakeAuthority) -> None:
    authority = make_authority(extra="dpop_nonce = true\n")
    answer = asked(authority, proof(authority))
    nonce = answer.headers["dpop-nonce"]
    assert (refused(answer), bool(nonce)) == ("use_dpop_nonce", True)
    assert refused(asked(authority, proof(authority, nonce="made-up"))) == "use_dpop_nonce"
    answer = asked(authority, proof(authority, nonce=nonce))
    assert (answer.status_code, answer.headers["dpop-nonce"]) == (200, nonce)
    authority = authority.restarted()
    assert asked(authority, proof(authority, nonce=nonce)).status_code == 200
    assert asked(authority, {}).status_code == 200


def test_refused_proofs_are_recorded_without_the_proof(authority: Authority) -> None:
    used = proof(authority, url="https://elsewhere.example/token")
    asked(authority, used)
    row = authority.rows("refusal")[-1] if authority.rows("refusal") else authority.rows("decision")[-1]
    assert row.reason == "invalid_dpop_proof"
    assert used["DPoP"] not in authority.log_text()


def test_the_tokens_of_a_login_are_bound_and_its_refresh_token_counts_with_the_key_alone(
    place: LoginPlace,
) -> None:
    def headers(key: SigningKey | None) -> dict[str, str]:
        return {"DPoP": prove(key, "POST", URL, place.clock)} if key else {}

    place.http.headers = httpx2.Headers(headers(KEY))
    tokens = place.redeem(place.code()).json()
    assert tokens["token_type"] == "DPoP"
    with pytest.raises(TokenError, match="without a proof"):
        place.guard.identify(tokens["access_token"], DESK)
    for wrong in (OTHER, None):
        place.http.headers = httpx2.Headers(headers(wrong))
        assert refused(place.refresh(tokens["refresh_token"])) == "invalid_dpop_proof"
    place.http.headers = httpx2.Headers(headers(KEY))
    answer = place.refresh(tokens["refresh_token"])
    assert (answer.status_code, answer.json()["token_type"]) == (200, "DPoP")
    again = place.refresh(answer.json()["refresh_token"])
    assert refused(again) == "invalid_dpop_proof"


def test_a_login_without_a_proof_has_bearer_tokens_as_before(place: LoginPlace) -> None:
    tokens = place.tokens()
    assert tokens["token_type"] == "Bearer"
    assert place.refresh(tokens["refresh_token"]).json()["token_type"] == "Bearer"
