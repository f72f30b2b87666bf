"""What an attacker tries against the login of somebody else, over HTTP: each attempt gives nothing."""

from hashlib import sha256

import pytest

from hopward.base64url import encode

from .approving import PAGE
from .logging_in import BACK, CLIENT, DESK, VERIFIER, LoginPlace, answered, asked, form_of, press

CHALLENGE = encode(sha256(VERIFIER.encode()).digest())


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1:4711/callback/"},
        {"redirect_uri": "http://127.0.0.1:80@evil.example/callback"},
        {"redirect_uri": "https://app.example/back?x=1"},
        {"redirect_uri": "https://app.example.evil.example/back"},
        {"redirect_uri": "http://localhost:4711/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": ""},
        {"client_id": "client:nobody"},
        {"client_id": "assistant"},
        {"client_id": "hopward-proxy"},
        {"client_id": "server:desk"},
        {"client_id": "https://evil.example/client.json"},
    ],
)
def test_nobody_is_sent_anywhere_for_a_client_or_address_that_is_not_known(
    place: LoginPlace, changes: dict[str, str]
) -> None:
    answer = place.browser().get(f"/authorize?{asked(**changes)}")
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert 'href="http' not in answer.text
    assert "javascript:" not in answer.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"resource": ""}, "invalid_target"),
        ({"resource": DESK + "/"}, "invalid_target"),
        ({"resource": "https://proxy.example/files/mcp"}, "invalid_target"),
        ({"resource": "urn:example:desk"}, "invalid_target"),
        ({"scope": "files/*"}, "invalid_scope"),
        ({"request": "e30.e30."}, "request_not_supported"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_on_a_page_and_by_a_link_back(
    place: LoginPlace, changes: dict[str, str], error: str
) -> None:
    """No redirect by itself: whoever made the link could send people anywhere with it (RFC 9700 4.11.2)."""
    answer = place.browser().get(f"/authorize?{asked(**changes)}")
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert f'href="{BACK}?error={error}' in answer.text
    assert "iss=https%3A%2F%2Fauthority.example" in answer.text
    assert "<form" not in answer.text.partition("<main>")[2].partition("</main>")[0]


@pytest.mark.parametrize(
    "query",
    ["", "x" * 3_801, "a=%zz", "client_id=%ff", f"{asked()}&client_id={CLIENT}", f"{asked()}&resource=x"],
)
def test_a_query_that_cannot_be_read_in_one_way_is_refused(place: LoginPlace, query: str) -> None:
    assert place.browser().get(f"/authorize?{query}").status_code == 400


def test_consent_by_a_forged_form_gives_nothing(place: LoginPlace) -> None:
    victim = place.browser()
    mine = form_of(victim.get(f"/authorize?{asked()}").text) | {"answer": "yes"}
    attacker = form_of(place.browser("mallory").get(f"/authorize?{asked()}").text)
    other = asked(client_id="client:other")
    for changes in (
        {"token": ""},
        {"token": "0" * 64},
        {"token": attacker["token"]},
        {"request": other},
        {"request": asked(redirect_uri="https://app.example/back")},
        {"request": asked(scope="desk/look")},
        {"request": asked(code_challenge=encode(sha256(b"x" * 43).digest()))},
    ):
        answer = victim.post("/authorize", mine | changes)
        assert (answer.status_code, "location" in answer.headers) == (403, False), changes
    for header in ({"Origin": "https://evil.example"}, {"Origin": None}, {"Sec_Fetch_Site": "cross-site"}):
        assert victim.post("/authorize", mine, **header).status_code == 403
    stranger = place.browser("").post("/authorize", mine)
    assert (stranger.status_code, "location" in stranger.headers) == (403, False)
    assert place.guard.ledger.logins() == ()
    assert {row.reason for row in place.rows("refusal")} >= {"forged_form"}


def test_a_form_with_anything_else_in_it_is_refused(place: LoginPlace) -> None:
    browser = place.browser()
    mine = form_of(browser.get(f"/authorize?{asked()}").text) | {"answer": "yes"}
    for changes in ({"answer": "maybe"}, {"scope": "desk/*"}, {"answer": ""}):
        assert browser.post("/authorize", mine | changes).status_code == 400
    forged = {name: value for name, value in mine.items() if not name.startswith("tool-")}
    there = browser.post("/authorize", forged | {"tool-1": "desk/erase"}).headers["location"]
    assert answered(there)["error"] == "access_denied"


def test_a_person_who_may_not_log_in_grants_nothing(place: LoginPlace) -> None:
    answer = place.browser("lena").get(f"/authorize?{asked()}")
    assert answer.status_code == 400
    assert "lena may not log in" in answer.text
    assert place.rows()[-1].record["event"] == "refused"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "client:other"}, "invalid_grant"),
        ({"client_id": "client:keyed"}, "invalid_client"),
        ({"client_id": "client:nobody"}, "invalid_client"),
        ({"client_id": "assistant"}, "invalid_client"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_verifier": VERIFIER.upper()}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"redirect_uri": "https://app.example/back"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1/callback"}, "invalid_grant"),
        ({"resource": ""}, "invalid_target"),
        ({"resource": DESK + "/"}, "invalid_target"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_stolen_code_is_of_no_use(place: LoginPlace, changes: dict[str, str], error: str) -> None:
    code = place.code()
    answer = place.redeem(code, **changes)
    assert (answer.status_code in (400, 401), answer.json()["error"]) == (True, error)
    assert place.guard.ledger.tasks() == []


def test_a_code_that_is_replayed_revokes_what_came_of_it(place: LoginPlace) -> None:
    code = place.code()
    tokens = place.redeem(code).json()
    again = place.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert place.call(tokens["access_token"]) == "task_completed"
    assert place.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_that_is_used_twice_ends_the_family_and_its_task(place: LoginPlace) -> None:
    first = place.tokens()
    second = place.refresh(first["refresh_token"]).json()
    assert place.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert place.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
    for tokens in (first, second):
        assert place.call(tokens["access_token"]) == "task_completed"


def test_a_client_with_a_key_is_nobody_without_it(place: LoginPlace) -> None:
    code = place.code(client_id="client:keyed")
    assert place.redeem(code, client_id="client:keyed").json()["error"] == "invalid_client"
    stolen = place.assertion("client:desktop")
    assert place.redeem(code, **stolen).json()["error"] == "invalid_client"
    tokens = place.redeem(code, **place.assertion()).json()
    bare = place.refresh(tokens["refresh_token"], client_id="client:keyed")
    assert bare.json()["error"] == "invalid_client"
    assert place.call(tokens["access_token"]) == "permitted"


def test_an_assertion_counts_once(place: LoginPlace) -> None:
    code, proof = place.code(client_id="client:keyed"), place.assertion()
    tokens = place.redeem(code, **proof).json()
    assert place.refresh(tokens["refresh_token"], **proof).json()["error"] == "invalid_client"


def test_a_client_that_people_log_in_with_exchanges_nothing(place: LoginPlace) -> None:
    token = place.tokens()["access_token"]
    kind = "urn:ietf:params:oauth:token-type:access_token"
    form = {"subject_token": token, "subject_token_type": kind, "resource": DESK}
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    answer = place.post("/token", grant_type=exchange, **form, **place.assertion())
    assert answer.json()["error"] == "unauthorized_client"
    for more in (place.assertion(), {"client_id": CLIENT}):
        assert place.post("/token", grant_type="client_credentials", **more).status_code in (400, 401)


def test_nobody_ends_the_login_of_another_client(place: LoginPlace) -> None:
    tokens = place.tokens()
    for which in ("access_token", "refresh_token"):
        answer = place.post("/revoke", client_id="client:other", token=tokens[which])
        assert answer.json()["error"] == "invalid_grant"
    assert place.call(tokens["access_token"]) == "permitted"


def test_a_public_client_learns_nothing_by_introspection(place: LoginPlace) -> None:
    tokens = place.tokens()
    answer = place.post("/introspect", client_id=CLIENT, token=tokens["access_token"])
    assert answer.json()["error"] == "invalid_client"


def test_clients_that_anybody_may_claim_to_be_leave_a_bounded_number_of_rows(place: LoginPlace) -> None:
    before = len(place.rows("refusal"))
    for _ in range(40):
        place.redeem("no code")
    assert len(place.rows("refusal")) - before <= 20


def test_the_answer_is_not_kept_anywhere_and_names_who_answers(place: LoginPlace) -> None:
    """RFC 9207: a client that asked another server sees that this is not its answer (mix-up)."""
    browser = place.browser()
    there = press(browser, asked())
    assert answered(there)["iss"] == "https://authority.example"
    page = browser.get(f"/authorize?{asked()}")
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] == "same-origin"


def test_the_kept_request_of_a_stranger_is_no_consent(place: LoginPlace) -> None:
    browser = place.browser("")
    browser.get(f"/authorize?{asked()}")
    kept = [name for name in browser.http.cookies if name == "hopward-asked"]
    assert kept == ["hopward-asked"]
    paired = browser.pair(place.guard.devices.offer("ines", by="local:root").code)
    assert paired.status_code == 303
    assert browser.get("/authorize").status_code == 200
    assert place.guard.ledger.logins() == ()


def test_another_page_of_ours_reads_no_query(place: LoginPlace) -> None:
    assert place.http.get("/jwks?x=1").status_code == 400
    assert place.browser().get(f"/approvals?{asked()}").status_code == 200
    assert place.browser().post(f"/authorize?{asked()}", {"answer": "yes"}).status_code == 400
    assert PAGE in place.http.get("/.well-known/oauth-authorization-server").json()["authorization_endpoint"]
