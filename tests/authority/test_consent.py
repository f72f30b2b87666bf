"""People log in with an OAuth client: they are asked, and the client gets tokens; over HTTP."""

import jwt
import pytest

from hopward.clock import SECOND

from .approving import PAGE, Desk
from .logging_in import CLIENT, DESK, ISSUER, LoginPlace, answered, asked, form_of, press


def test_the_metadata_says_what_is_served_to_clients_that_people_log_in_with(place: LoginPlace) -> None:
    document = place.http.get("/.well-known/oauth-authorization-server").json()
    assert document["authorization_endpoint"] == f"{PAGE}/authorize"
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert {"authorization_code", "refresh_token"} < set(document["grant_types_supported"])
    assert document["token_endpoint_auth_methods_supported"] == ["none", "private_key_jwt"]


def test_a_yes_leads_to_tokens_with_which_the_client_calls(place: LoginPlace) -> None:
    answer = answered(press(place.browser(), asked()))
    assert (answer["state"], answer["iss"]) == ("a state", ISSUER)
    redeemed = place.redeem(answer["code"])
    assert redeemed.headers["cache-control"] == "no-store"
    tokens = redeemed.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 900, "desk/*")
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("ines", CLIENT, DESK)
    assert claims["act"] == {"sub": "agent:assistant"}
    assert place.call(tokens["access_token"], "note") == "permitted"


def test_the_page_names_the_client_the_agent_the_purpose_and_what_it_may_do(place: LoginPlace) -> None:
    page = place.browser().get(f"/authorize?{asked()}").text
    for told in (
        "Desk &lt;assistant&gt;",
        CLIENT,
        "a program on this device (127.0.0.1:4711)",
        "assistant",
        "answers &lt;tickets&gt;",
        "omar",
        "answer tickets",
        "2 hours",
        "50 calls, of which 5",
        "desk/look",
        "desk/note",
        "read/write; with desk/*; up to internal; at desk",
    ):
        assert told in page, told
    assert "<tickets>" not in page


def test_the_page_asks_every_time_and_tells_what_is_new_to_this_client(place: LoginPlace) -> None:
    browser = place.browser()
    assert browser.get(f"/authorize?{asked()}").text.count("new to this client") == 2
    place.redeem(answered(press(browser, asked(scope="desk/look")))["code"])
    page = browser.get(f"/authorize?{asked()}").text
    assert (page.count("new to this client"), page.count("granted before")) == (1, 1)
    other = browser.get(f"/authorize?{asked(client_id='client:other')}").text
    assert other.count("new to this client") == 2


def test_a_no_is_told_to_the_client_and_stands_in_the_log(place: LoginPlace) -> None:
    answer = answered(press(place.browser(), asked(), "no"))
    assert answer == {"error": "access_denied", "state": "a state", "iss": ISSUER}
    assert [row.record["event"] for row in place.rows()] == ["declined"]
    assert place.guard.ledger.logins() == ()


def test_a_yes_to_no_tool_at_all_is_a_no(place: LoginPlace) -> None:
    browser = place.browser()
    fields = form_of(browser.get(f"/authorize?{asked()}").text)
    none = {name: value for name, value in fields.items() if not name.startswith("tool-")}
    there = browser.post("/authorize", {**none, "answer": "yes"}).headers["location"]
    assert answered(there)["error"] == "access_denied"


def test_a_person_grants_only_what_they_leave_checked(place: LoginPlace) -> None:
    browser = place.browser()
    fields = form_of(browser.get(f"/authorize?{asked()}").text)
    assert fields.pop("tool-2") == "desk/note"
    code = answered(browser.post("/authorize", {**fields, "answer": "yes"}).headers["location"])["code"]
    tokens = place.redeem(code).json()
    assert tokens["scope"] == "desk/look desk/method:*"
    assert place.call(tokens["access_token"], "note") == "outside_scope"


def test_a_wider_scope_is_a_new_question(place: LoginPlace) -> None:
    """What a client does that was told `insufficient_scope` (RFC 6750 section 3.1)."""
    browser = place.browser()
    first = place.redeem(answered(press(browser, asked(scope="desk/look")))["code"]).json()
    assert place.call(first["access_token"], "note") == "outside_scope"
    second = place.redeem(answered(press(browser, asked(scope="desk/look desk/note")))["code"]).json()
    assert place.call(second["access_token"], "note") == "permitted"


def test_a_stranger_is_asked_to_pair_first_and_led_back_to_the_question(place: LoginPlace) -> None:
    browser = place.browser("")
    stranger = browser.get(f"/authorize?{asked()}")
    assert stranger.status_code == 200
    assert "This browser is not paired" in stranger.text
    assert "Desk" not in stranger.text
    pairing = browser.get("/pair", referer=f"{PAGE}/authorize?{asked()}")
    fields = form_of(pairing.text) | {
        "code": place.guard.devices.offer("ines", by="local:root").code,
        "label": "",
    }
    paired = browser.post("/pair", fields)
    assert (paired.status_code, paired.headers["location"]) == (303, "/authorize")
    question = browser.get("/authorize")
    assert "Desk &lt;assistant&gt;" in question.text
    assert browser.get("/authorize").status_code == 400


def test_a_refresh_gives_the_next_tokens_of_the_same_task(place: LoginPlace) -> None:
    first = place.tokens()
    second = place.refresh(first["refresh_token"])
    assert second.status_code == 200, second.text
    assert place.call(second.json()["access_token"]) == "permitted"
    assert place.guard.identify(first["access_token"], DESK).task == (
        place.guard.identify(second.json()["access_token"], DESK).task
    )


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_client_logs_out_by_revoking_either_token(place: LoginPlace, which: str) -> None:
    tokens = place.tokens()
    answer = place.post("/revoke", client_id=CLIENT, token=tokens[which], token_type_hint=which)
    assert (answer.status_code, answer.json()) == (200, {})
    assert place.call(tokens["access_token"]) == "task_completed"
    assert place.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert [row.record["event"] for row in place.rows()] == ["granted", "opened", "ended"]


def test_a_client_with_a_key_authenticates_with_it(place: LoginPlace) -> None:
    code = place.code(client_id="client:keyed")
    tokens = place.redeem(code, **place.assertion())
    assert tokens.status_code == 200, tokens.text
    refreshed = place.refresh(tokens.json()["refresh_token"], **place.assertion())
    assert place.call(refreshed.json()["access_token"]) == "permitted"
    ended = place.post("/revoke", token=refreshed.json()["refresh_token"], **place.assertion())
    assert ended.status_code == 200
    assert place.call(refreshed.json()["access_token"]) == "task_completed"


def test_the_form_may_lead_back_to_the_client_and_nowhere_else(place: LoginPlace) -> None:
    policy = place.browser().get(f"/authorize?{asked()}").headers["content-security-policy"]
    assert "form-action 'self' http://127.0.0.1:4711;" in policy
    assert "frame-ancestors 'none'" in policy


def test_everything_of_a_login_stands_in_the_log_and_no_secret(place: LoginPlace) -> None:
    code = place.code()
    tokens = place.redeem(code).json()
    refreshed = place.refresh(tokens["refresh_token"]).json()
    place.clock.advance(SECOND)
    place.redeem(code)
    rows = place.rows()
    assert [row.record["event"] for row in rows] == ["granted", "opened", "refreshed", "reused"]
    assert {row.record["person"] for row in rows} == {"ines"}
    text = "\n".join(str(row.record) for row in place.guard.ledger.rows())
    secrets = (
        code,
        *(one[name] for one in (tokens, refreshed) for name in ("access_token", "refresh_token")),
    )
    assert [secret for secret in secrets if secret in text] == []


def test_without_anybody_who_may_log_in_there_is_no_authorization_endpoint(desk: Desk) -> None:
    assert desk.paired().get("/authorize").status_code == 404
