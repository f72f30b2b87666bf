"""People who log in at an OpenID provider: who is known by it, and for how long."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward import ConfigError, Guard
from hopward.clock import SECOND
from hopward.model import ToolCall
from hopward_authority import create_app

from .approving import PAGE
from .provider import CLIENT, IDP, PEOPLE, SECRET, Office, an_office, another_key, elliptic

MINUTE = 60 * SECOND

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"

MakeOffice = Callable[..., Office]


@pytest.fixture
def make_office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeOffice]:
    monkeypatch.setenv("IDP_SECRET", SECRET)
    made: list[Office] = []

    def make(people: str = PEOPLE) -> Office:
        made.append(an_office(tmp_path, people))
        return made[-1]

    yield make
    for office in made:
        office.close()


@pytest.fixture
def office(make_office: MakeOffice) -> Office:
    return make_office()


def tell(office: Office, **claims: Any) -> int:
    """The status of the answer to a logout token of the provider."""
    content = {"jti": "j1", "events": {LOGOUT: {}}, "sub": "id-of-lena", "sid": "session-of-lena"} | claims
    return tell_token(office, office.provider.signed(content, typ="logout+jwt"))


def tell_token(office: Office, token: str) -> int:
    form = {"logout_token": token}
    return office.browser().http.post("/backchannel-logout", data=form).status_code


# Who logs in is known, and answers.


def test_somebody_who_has_logged_in_approves_under_their_name(office: Office) -> None:
    approval = office.ask(subject="wendy@example.com")
    stranger = office.browser()
    shown = stranger.get(f"/approvals/{approval.id}")
    assert shown.status_code == 403
    assert f'href="/login/approvals/{approval.id}"' in shown.text

    back = office.log_in(stranger, path=f"/login/approvals/{approval.id}")
    assert back.headers["location"] == f"/approvals/{approval.id}"
    assert stranger.answer(approval, "yes").status_code == 303
    (answer,) = office.guard.approvals.get(approval.id).answers
    assert (answer.by, answer.yes) == ("lena@example.com", True)


def test_nobody_approves_what_is_done_in_their_own_name_however_they_are_spelled(office: Office) -> None:
    lena = office.logged_in()
    for subject in ("lena@example.com", "LENA@Example.com", "l\u0435na@example.com"):
        approval = office.ask(subject=subject)
        lena.answer(approval, "yes")
        assert office.guard.approvals.get(approval.id).answers == ()


def test_people_are_called_by_issuer_and_sub_unless_it_is_said_otherwise(make_office: MakeOffice) -> None:
    office = make_office(PEOPLE.replace('name = "email"', ""))
    text = office.config.read_text().replace('"lena@example.com"', f'"{IDP}#id-of-lena"')
    office.config.write_text(text)
    with office.reopened() as desk:
        again = Office(
            desk.config, desk.guard, desk.clock, create_app(desk.guard, office.provider), office.provider
        )
        again.logged_in()
        (device,) = desk.guard.devices.find()
    assert (device.person, device.issuer, device.offered_by) == (f"{IDP}#id-of-lena", IDP, IDP)


def test_somebody_who_is_in_no_group_is_told_so_and_not_known(office: Office) -> None:
    browser = office.browser()
    answer = office.log_in(browser, "mallory")
    assert (answer.status_code, "in no group" in answer.text) == (403, True)
    assert browser.get("/approvals").status_code == 403
    assert office.guard.devices.find() == ()


def test_the_log_tells_of_logins_and_holds_no_token(office: Office) -> None:
    lena = office.logged_in()
    row = office.rows("device")[-1]
    assert (row.record["event"], row.record["person"], row.record["by"]) == (
        *("logged in", "lena@example.com"),
        IDP,
    )
    (kept,) = office.guard.settings.state.joinpath("sessions").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    log = office.guard.settings.log_file.read_bytes()
    for secret in (lena.cookie.partition("=")[2], *office.provider.issued):
        assert secret.encode() not in log


def test_nobody_is_paired_where_people_log_in(office: Office) -> None:
    with pytest.raises(Exception, match="log in at"):
        office.guard.devices.offer("lena@example.com")
    assert office.browser().get("/pair").status_code == 404


def test_a_browser_that_was_paired_before_does_not_count_where_people_log_in(make_office: MakeOffice) -> None:
    office = make_office("")
    lena = office.paired("lena@example.com")
    text = office.config.read_text().replace(
        "[approvals.groups.supervisors]", f"{PEOPLE}\n[approvals.groups.supervisors]"
    )
    office.config.write_text(text)
    with office.reopened() as desk:
        assert desk.browser().get("/approvals", Cookie=lena.cookie).status_code == 403


# The way to the provider and back.


def test_a_login_is_good_only_in_the_browser_that_began_it(office: Office) -> None:
    """Login CSRF: somebody else's code, sent to a victim's browser, logs nobody in."""
    mallory, victim = office.browser(), office.browser()
    query = office.provider.log_in(office.sent(mallory), "omar")
    assert victim.get(f"/login/callback?{query}").status_code == 403
    office.sent(victim)
    assert victim.get(f"/login/callback?{query}").status_code == 403
    assert victim.get("/approvals").status_code == 403


def test_a_response_counts_once(office: Office) -> None:
    browser = office.browser()
    query = office.provider.log_in(office.sent(browser), "lena")
    assert browser.get(f"/login/callback?{query}").status_code == 303
    assert browser.get(f"/login/callback?{query}").status_code == 403


def test_a_response_that_takes_too_long_does_not_count(office: Office) -> None:
    browser = office.browser()
    query = office.provider.log_in(office.sent(browser), "lena")
    office.clock.advance(10 * MINUTE)
    assert browser.get(f"/login/callback?{query}").status_code == 403


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("iss=https%3A%2F%2Fidp.example", "iss=https%3A%2F%2Fevil.example"),
        ("&iss=https%3A%2F%2Fidp.example%2Frealms%2Fstaff", ""),
        ("state=", "state=x"),
        ("state=", "other="),
        ("state=", "state=x&state="),
        ("code=", "other="),
        ("code=", "error=access_denied&code="),
        ("code=", "code=a&code="),
        ("code=", "code=%ff&other="),
    ],
)
def test_a_response_that_is_not_as_it_must_be_logs_nobody_in(office: Office, old: str, new: str) -> None:
    browser = office.browser()
    query = office.provider.log_in(office.sent(browser), "lena")
    assert old in query
    assert browser.get(f"/login/callback?{query.replace(old, new)}").status_code == 403
    assert browser.get("/approvals").status_code == 403
    assert not [path for path, _ in office.provider.asked if path.endswith("/token")] or "code" in old


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "approvals/%2e%2e/%2e%2e/evil",
        "approvals/apr_x",
        "\\evil.example",
        "approvals/apr_000000000000000000000000/x",
    ],
)
def test_nobody_is_sent_elsewhere_after_a_login(office: Office, path: str) -> None:
    answer = office.log_in(office.browser(), path=f"/login/{path}")
    assert answer.headers["location"] == "/approvals"


def test_each_login_begins_a_session_of_its_own(office: Office) -> None:
    """Fixation: what a browser had before is not what it is known by afterwards."""
    browser = office.browser()
    browser.http.cookies.set("__Host-hopward", "A" * 43, domain="approve.example", path="/")
    first = office.log_in(browser)
    secret = first.cookies["__Host-hopward"]
    assert secret != "A" * 43
    again = office.log_in(browser)
    assert again.cookies["__Host-hopward"] != secret
    assert office.browser().get("/approvals", Cookie=f"__Host-hopward={secret}").status_code == 403


def test_the_cookies_are_for_this_host_over_https_and_for_no_script(office: Office) -> None:
    browser = office.browser()
    headers = [browser.get("/login").headers["set-cookie"], office.log_in(browser).headers["set-cookie"]]
    for header in headers:
        assert header.startswith("__Host-hopward")
        assert {"httponly", "secure", "samesite=lax", "path=/"} <= set(header.lower().split("; "))


# What an ID token must be.


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": f"{IDP}/"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"events": {LOGOUT: {}}},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": None},
        {"email": "lena@example.com\u200b"},
        {"email": "agent:assistant"},
    ],
    ids=str,
)
def test_an_id_token_with_a_wrong_claim_logs_nobody_in(office: Office, claims: dict[str, Any]) -> None:
    office.provider.claims = claims
    browser = office.browser()
    assert office.log_in(browser).status_code == 403
    assert browser.get("/approvals").status_code == 403
    assert office.guard.devices.find() == ()


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "k2"},
        {"kid": None},
        {"typ": "at+jwt"},
        {"typ": "logout+jwt"},
        {"alg": "PS256"},
    ],
    ids=str,
)
def test_an_id_token_with_a_wrong_header_logs_nobody_in(office: Office, header: dict[str, Any]) -> None:
    office.provider.header = header
    assert office.log_in(office.browser()).status_code == 403


def test_an_id_token_of_another_key_logs_nobody_in(office: Office) -> None:
    office.provider.published = [another_key()]
    assert office.log_in(office.browser()).status_code == 403


def test_a_key_of_another_algorithm_does_not_change_which_is_pinned(office: Office) -> None:
    office.provider.key = elliptic()
    office.provider.published = [another_key("k0"), office.provider.key]
    office.provider.header = {"alg": "ES256"}
    assert office.log_in(office.browser()).status_code == 403


def test_an_unsigned_id_token_logs_nobody_in(office: Office) -> None:
    office.provider.unsigned = True
    assert office.log_in(office.browser()).status_code == 403


def test_a_new_key_of_the_provider_is_looked_for_once_in_a_while(office: Office) -> None:
    office.logged_in()
    office.provider.key = another_key("k2")
    office.provider.header = {"kid": "k2"}
    office.provider.published = [office.provider.key]
    office.clock.advance(11 * SECOND)
    office.logged_in("omar")
    fetched = office.provider.times("/jwks")
    office.provider.header = {"kid": "k3"}
    for _ in range(5):
        assert office.log_in(office.browser(), "ines").status_code == 403
    assert office.provider.times("/jwks") == fetched


# What a provider must be.


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"{IDP}/"},
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"id_token_signing_alg_values_supported": ["HS256"]},
        {"token_endpoint": "http://idp.example/token"},
        {"token_endpoint": 7},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
    ids=str,
)
def test_a_provider_that_falls_short_is_not_used(office: Office, document: dict[str, Any]) -> None:
    office.provider.document = document
    answer = office.browser().get("/login")
    assert answer.status_code == 403
    assert "location" not in answer.headers


def test_a_provider_that_is_down_is_told_as_such(office: Office) -> None:
    office.provider.down = True
    answer = office.browser().get("/login")
    assert (answer.status_code, "cannot be reached" in answer.text) == (503, True)


def test_a_provider_without_refresh_tokens_logs_nobody_in(office: Office) -> None:
    office.provider.answer = {"refresh_token": None}
    answer = office.log_in(office.browser())
    assert (answer.status_code, "no refresh token" in answer.text) == (403, True)


# A login stands as long as the provider says so.


def test_a_person_the_provider_disables_is_refused_and_so_are_their_tasks(office: Office) -> None:
    lena, omar = office.logged_in(), office.logged_in("omar")
    theirs = office.guard.open_task("tickets", "lena@example.com")
    others = office.guard.open_task("tickets", "omar@example.com")
    approval = office.ask(subject="wendy@example.com")
    chains = [office.guard.enter(task.id) for task in (theirs, others)]
    office.provider.disabled.add("lena")
    office.clock.advance(MINUTE)
    office.check()

    assert lena.get(f"/approvals/{approval.id}").status_code == 403
    assert omar.get(f"/approvals/{approval.id}").status_code == 200
    call = ToolCall(server="desk", tool="refund", arguments={"ticket": "T", "amount": 1, "note": "x"})
    decisions = [office.guard.authorize(call, chain) for chain in chains]
    assert [one.permitted for one in decisions] == [False, True]
    assert decisions[0].verdict.reason == "subject_revoked"


def test_what_a_disabled_person_had_approved_counts_no_more(office: Office) -> None:
    lena, chain = office.logged_in(), office.guard.enter(office.guard.open_task("tickets", "wendy").id)
    call = ToolCall(server="desk", tool="refund", arguments={"ticket": "T", "amount": 45, "note": "x"})
    for disabled, permitted in ((False, True), (True, False)):
        approval = office.guard.authorize(call, chain).verdict.approval
        lena.answer(office.guard.approvals.get(approval), "yes")
        if disabled:
            office.provider.disabled.add("lena")
            office.clock.advance(MINUTE)
            office.check()
        assert office.guard.authorize(call, chain).permitted is permitted


def test_a_person_who_is_enabled_again_logs_in_anew(office: Office) -> None:
    office.logged_in()
    office.provider.disabled.add("lena")
    office.clock.advance(MINUTE)
    office.check()
    office.provider.disabled.clear()
    office.clock.advance(SECOND)
    assert office.logged_in().get("/approvals").status_code == 200
    task = office.guard.open_task("tickets", "lena@example.com")
    call = ToolCall(server="desk", tool="refund", arguments={"ticket": "T", "amount": 1, "note": "x"})
    assert office.guard.authorize(call, office.guard.enter(task.id)).permitted


def test_a_login_goes_on_while_the_provider_says_so_and_no_longer_than_it_lasts(office: Office) -> None:
    lena = office.logged_in()
    for _ in range(8 * 60 - 1):
        office.clock.advance(MINUTE)
        office.check()
    assert lena.get("/approvals").status_code == 200
    task = office.guard.open_task("tickets", "lena@example.com")
    office.clock.advance(MINUTE)
    assert lena.get("/approvals").status_code == 403
    office.check()
    assert office.guard.task(task.id).state == "revoked"
    assert list(office.guard.settings.state.joinpath("sessions").iterdir()) == []


def test_while_the_provider_cannot_be_asked_nobody_is_known_but_nothing_ends(office: Office) -> None:
    lena = office.logged_in()
    task = office.guard.open_task("tickets", "lena@example.com")
    office.provider.down = True
    for _ in range(24):
        office.clock.advance(5 * SECOND)
        office.check()
    assert lena.get("/approvals").status_code == 403
    assert office.guard.task(task.id).state == "open"
    office.provider.down = False
    office.clock.advance(5 * SECOND)
    office.check()
    assert lena.get("/approvals").status_code == 200


def test_a_provider_that_answers_about_somebody_else_ends_the_login(office: Office) -> None:
    lena = office.logged_in()
    office.provider.claims = {"sub": "id-of-omar"}
    office.clock.advance(MINUTE)
    office.check()
    assert lena.get("/approvals").status_code == 403


def test_a_login_whose_device_was_ended_elsewhere_is_not_kept_up(office: Office) -> None:
    office.logged_in()
    (device,) = office.guard.devices.find()
    office.guard.devices.end(device.id, by="local:root")
    office.clock.advance(MINUTE)
    asked = office.provider.times("/token")
    office.check()
    assert office.provider.times("/token") == asked
    assert list(office.guard.settings.state.joinpath("sessions").iterdir()) == []


def test_whoever_is_revoked_as_a_subject_has_to_log_in_again(office: Office) -> None:
    """By a command, or because a transmitter of security events has told so."""
    lena, omar = office.logged_in(), office.logged_in("omar")
    office.guard.revoke("subject", "lena@example.com", by="local:root", why="a test")
    assert lena.get("/approvals").status_code == 403
    assert omar.get("/approvals").status_code == 200
    office.clock.advance(MINUTE)
    office.check()
    assert [one.person for one in office.guard.devices.find()] == ["omar@example.com"]
    assert office.logged_in().get("/approvals").status_code == 200


def test_a_quarantined_person_approves_nothing_however_they_log_in(office: Office) -> None:
    approval = office.ask(subject="wendy@example.com")
    office.guard.open_task("tickets", "lena@example.com")
    office.guard.quarantine("subject", "lena@example.com", by="local:root", why="a test")
    office.logged_in().answer(approval, "yes")
    assert office.guard.approvals.get(approval.id).answers == ()


def test_logins_outlive_a_restart_of_the_authority(office: Office) -> None:
    lena = office.logged_in()
    with office.reopened() as desk:
        app = create_app(desk.guard, office.provider)
        again = Office(desk.config, desk.guard, desk.clock, app, office.provider)
        assert again.browser().get("/approvals", Cookie=lena.cookie).status_code == 200


# Logging out.


def test_who_logs_out_is_not_known_any_more_and_their_tasks_end(office: Office) -> None:
    lena = office.logged_in()
    task = office.guard.open_task("tickets", "lena@example.com")
    cookie, token = lena.cookie, lena.forget()
    answer = lena.post("/unpair", {"token": token})
    assert (answer.status_code, f"{IDP}/logout?id_token_hint=" in answer.text) == (200, True)
    assert office.browser().get("/approvals", Cookie=cookie).status_code == 403
    assert office.guard.task(task.id).state == "revoked"


def test_who_logs_out_in_one_browser_and_not_in_another_keeps_their_tasks(office: Office) -> None:
    lena, other = office.logged_in(), office.logged_in()
    task = office.guard.open_task("tickets", "lena@example.com")
    lena.post("/unpair", {"token": lena.forget()})
    assert office.guard.task(task.id).state == "open"
    assert other.get("/approvals").status_code == 200


def test_a_session_that_ends_at_the_provider_ends_here(office: Office) -> None:
    lena, omar = office.logged_in(), office.logged_in("omar")
    task = office.guard.open_task("tickets", "lena@example.com")
    assert tell(office) == 200
    assert lena.get("/approvals").status_code == 403
    assert omar.get("/approvals").status_code == 200
    assert office.guard.task(task.id).state == "revoked"


@pytest.mark.parametrize("claims", [{"sid": None}, {"sub": None}], ids=str)
def test_a_logout_token_names_a_person_or_a_session(office: Office, claims: dict[str, Any]) -> None:
    lena = office.logged_in()
    assert tell(office, **claims) == 200
    assert lena.get("/approvals").status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "n"},
        {"events": None},
        {"events": {}},
        {"events": {LOGOUT: "x"}},
        {"sub": None, "sid": None},
        {"jti": None},
        {"exp": None},
        {"exp": 1},
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"sid": 7},
    ],
    ids=str,
)
def test_a_logout_token_with_a_wrong_claim_ends_nothing(office: Office, claims: dict[str, Any]) -> None:
    lena = office.logged_in()
    assert tell(office, **claims) == 400
    assert lena.get("/approvals").status_code == 200


def test_an_id_token_is_no_logout_token(office: Office) -> None:
    lena = office.logged_in()
    claims = {"sub": "id-of-lena", "sid": "session-of-lena", "nonce": "n"}
    assert tell_token(office, office.provider.signed(claims)) == 400
    assert lena.get("/approvals").status_code == 200


def test_a_logout_token_of_another_key_ends_nothing(office: Office) -> None:
    lena = office.logged_in()
    office.provider.key = another_key()
    assert tell(office) == 400
    assert lena.get("/approvals").status_code == 200


def test_a_logout_token_counts_once(office: Office) -> None:
    office.logged_in()
    assert tell(office) == 200
    lena = office.logged_in()
    assert tell(office) == 400
    assert lena.get("/approvals").status_code == 200


# What is refused before it starts.


def test_the_authority_does_not_start_without_the_client_secret(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IDP_SECRET")
    with pytest.raises(ConfigError, match="IDP_SECRET"):
        create_app(office.guard)


def test_a_proxy_needs_no_client_secret(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDP_SECRET")
    Guard.open(office.config).close()


def test_sessions_that_others_could_read_are_refused(office: Office) -> None:
    office.guard.settings.state.joinpath("sessions").chmod(0o755)
    with pytest.raises(ConfigError, match="chmod go="):
        create_app(office.guard)


def test_with_a_key_of_the_authority_no_secret_is_needed(make_office: MakeOffice) -> None:
    people = PEOPLE.replace("client_secret_basic", "private_key_jwt").replace(
        'secret_environment = "IDP_SECRET"', ""
    )
    office = make_office(people)
    office.provider.jwks = office.guard.issuer.jwks()
    office.logged_in()
    (form,) = [body for path, body in office.provider.asked if path.endswith("/token")]
    assert form["client_id"] == CLIENT
    assert PAGE not in form["client_assertion"]
