"""Security events pushed to the authority (RFC 8935): what is genuine, once, and only ever less access."""

from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from hopward import ConfigError, StateError, ToolCall
from hopward.clock import DAY, SECOND
from hopward.config import read_settings
from hopward.secevent import VERIFICATION
from hopward_authority import create_app

from .conftest import Authority, MakeAuthority
from .eventing import AUDIENCE, SOURCE, Transmitter, caep, email, risc

U17 = {"format": "opaque", "id": "u-17"}
CALL = ToolCall(server="desk", tool="read_ticket")
GROUP = '[approvals]\npage = "https://authority.example"\n'


@pytest.fixture(scope="module")
def idp() -> Transmitter:
    return Transmitter()


@pytest.fixture
def heard(make_authority: MakeAuthority, idp: Transmitter) -> Authority:
    return listening(make_authority, idp)


def listening(
    make_authority: MakeAuthority, idp: Transmitter, source: str = SOURCE, **files: str
) -> Authority:
    """An authority that hears the transmitter; `files` are written beside its hopward.toml."""

    def write(folder: Any) -> None:
        idp.publish(folder)
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)

    return make_authority(extra=source, before=write)


def pushed(at: Authority, token: str | bytes, **headers: str) -> httpx2.Response:
    sent = {"content-type": "application/secevent+jwt", "accept": "application/json"} | headers
    return at.http.post(
        "/events/idp", content=token, headers={k.replace("_", "-"): v for k, v in sent.items()}
    )


def now(at: Authority) -> int:
    return at.clock.now() // SECOND


def refused(at: Authority, token: str | bytes, err: str) -> None:
    """It is refused with that code, and nothing has come of it."""
    chain = at.guard.enter(at.open_task().id)
    answer = pushed(at, token)
    assert (answer.status_code, answer.json()["err"]) == (400, err), answer.text
    assert answer.json()["description"]
    assert at.guard.stands(chain)
    assert at.guard.contained() == ()


def test_an_event_is_acknowledged_and_the_next_call_of_the_subject_is_refused(
    heard: Authority, idp: Transmitter
) -> None:
    mine, other = (heard.guard.enter(heard.open_task(subject=who).id) for who in ("alice", "bob"))
    answer = pushed(heard, idp.event(at=now(heard)))
    assert (answer.status_code, answer.content) == (202, b"")
    assert heard.guard.authorize(CALL, mine).verdict.reason == "subject_revoked"
    assert heard.guard.stands(other)
    (row,) = heard.rows("event")
    assert row.record["source"] == "idp"
    assert row.record["names"] == ["alice"]
    assert row.record["done"] == ["revoked subject alice"]
    (told,) = heard.rows("revocation")
    assert (told.record["by"], told.record["why"]) == ("hopward:events:idp", "idp says session-revoked")


def test_what_the_subject_opens_afterwards_counts_again_after_a_revoked_session(
    heard: Authority, idp: Transmitter
) -> None:
    pushed(heard, idp.event(at=now(heard), subject=U17))
    heard.clock.advance(SECOND)
    assert heard.guard.stands(heard.guard.enter(heard.open_task().id))


@pytest.mark.parametrize("name", ["account-disabled", "account-purged", "identifier-recycled"])
def test_a_disabled_account_begins_nothing_new_until_a_person_releases_it(
    heard: Authority, idp: Transmitter, name: str
) -> None:
    assert pushed(heard, idp.event(risc(name), U17, at=now(heard))).status_code == 202
    with pytest.raises(StateError, match="quarantined"):
        heard.open_task()
    assert pushed(heard, idp.event(risc("account-enabled"), email("alice"), at=now(heard))).status_code == 202
    with pytest.raises(StateError, match="quarantined"):
        heard.open_task()
    heard.clock.advance(SECOND)
    heard.guard.release("subject", "alice", by="carol", why="back")
    assert heard.guard.stands(heard.guard.enter(heard.open_task().id))


ENDING = [
    (risc("credential-compromise"), {"credential_type": "password"}),
    (risc("account-credential-change-required"), {}),
    (risc("sessions-revoked"), {}),
    (caep("credential-change"), {"credential_type": "password", "change_type": "update"}),
    (caep("credential-change"), {"credential_type": "fido2-roaming", "change_type": "delete"}),
    (caep("credential-change"), {}),
    (caep("risk-level-change"), {"principal": "USER", "current_level": "HIGH"}),
    (caep("risk-level-change"), {"principal": "USER"}),
    (caep("assurance-level-change"), {"change_direction": "decrease"}),
    (caep("device-compliance-change"), {"current_status": "not-compliant"}),
]
HARMLESS = [
    (risc("account-enabled"), {}),
    (risc("opt-in"), {}),
    (caep("session-established"), {}),
    (caep("credential-change"), {"credential_type": "fido2-platform", "change_type": "create"}),
    (caep("risk-level-change"), {"principal": "USER", "current_level": "LOW"}),
    (caep("assurance-level-change"), {"change_direction": "increase"}),
    (caep("device-compliance-change"), {"current_status": "compliant"}),
    (caep("token-claims-change"), {"claims": {"role": "admin"}}),
    ("https://vendor.example/event-type/party", {"grant": "everything"}),
]


@pytest.mark.parametrize(("kind", "payload"), ENDING)
def test_each_event_that_ends_something_ends_the_tasks_of_its_subject(
    heard: Authority, idp: Transmitter, kind: str, payload: dict[str, Any]
) -> None:
    chain = heard.guard.enter(heard.open_task().id)
    assert pushed(heard, idp.event(kind, payload=payload, at=now(heard))).status_code == 202
    assert not heard.guard.stands(chain)


@pytest.mark.parametrize(("kind", "payload"), HARMLESS)
def test_an_event_that_would_widen_or_is_not_known_is_acknowledged_recorded_and_changes_nothing(
    heard: Authority, idp: Transmitter, kind: str, payload: dict[str, Any]
) -> None:
    chain = heard.guard.enter(heard.open_task().id)
    heard.guard.quarantine("subject", "alice", by="carol", why="odd")
    heard.guard.set_agent_state("other", "suspended", by="carol", why="odd")
    for subject in (email("alice"), {"format": "opaque", "id": "a-1"}):
        assert pushed(heard, idp.event(kind, subject, payload, at=now(heard))).status_code == 202
    assert [one.id for one in heard.guard.contained()] == ["alice"]
    assert heard.guard.agent("other").state == "suspended"
    assert heard.rows("revocation") == []
    heard.guard.release("subject", "alice", by="carol", why="fine")
    assert heard.guard.stands(chain)
    assert [row.record["effect"] for row in heard.rows("event")] == ["none", "none"]


def test_an_agent_is_revoked_and_a_disabled_one_is_suspended(heard: Authority, idp: Transmitter) -> None:
    chain = heard.guard.enter(heard.open_task().id)
    agent = {"format": "complex", "application": {"format": "opaque", "id": "a-1"}}
    pushed(heard, idp.event(subject=agent, at=now(heard)))
    assert not heard.guard.stands(chain)
    assert heard.guard.agent("helper").state == "active"
    for _ in range(2):
        assert pushed(heard, idp.event(risc("account-disabled"), agent, at=now(heard))).status_code == 202
    assert heard.guard.agent("helper").state == "suspended"


def test_every_name_and_every_spelling_of_a_person_is_meant(heard: Authority, idp: Transmitter) -> None:
    chains = [heard.guard.enter(heard.open_task(subject=who).id) for who in ("Alice", "ALICE", "alicia")]
    pushed(heard, idp.event(subject=email("alice"), at=now(heard)))
    assert [heard.guard.stands(chain) for chain in chains] == [False, False, True]
    assert sorted(heard.rows("event")[0].record["names"]) == ["ALICE", "Alice", "alice"]


def test_the_devices_of_an_approver_end_and_their_yes_counts_no_more(
    heard: Authority, idp: Transmitter
) -> None:
    offer = heard.guard.devices.offer("local:carol", by="ops")
    secret, device = heard.guard.devices.pair(offer.code, "phone")
    pushed(heard, idp.event(risc("account-disabled"), U17, at=now(heard)))
    assert heard.guard.devices.known(secret) is None
    assert f"ended device {device.id}" in heard.rows("event")[0].record["done"]
    assert heard.guard.containment("subject", "local:carol") is not None


def test_a_subject_that_nobody_knows_is_recorded_as_a_digest_and_nothing_else_happens(
    heard: Authority, idp: Transmitter
) -> None:
    for subject in (
        email("mallory@elsewhere.example"),
        {"format": "opaque", "id": "nobody"},
        {"format": "iss_sub", "iss": "https://other.example", "sub": "248"},
        {"format": "phone_number", "phone_number": "+1"},
        {"format": "complex", "tenant": U17},
        {"format": "aliases", "identifiers": [{"format": "email"}, "x", 7]},
        {},
    ):
        assert pushed(heard, idp.event(subject=subject, at=now(heard))).status_code == 202
    assert heard.rows("revocation") == []
    assert all(row.record["names"] == [] for row in heard.rows("event"))
    assert "mallory" not in heard.log_text()
    known = {"format": "iss_sub", "iss": "https://idp.example", "sub": "248"}
    pushed(
        heard,
        idp.event(subject={"format": "aliases", "identifiers": [{"format": "x"}, known]}, at=now(heard)),
    )
    assert heard.rows("event")[-1].record["names"] == ["alice"]


def test_the_same_event_is_acted_on_once_in_every_process_and_after_a_restart(
    heard: Authority, idp: Transmitter
) -> None:
    token = idp.event(at=now(heard), subject=U17)
    assert pushed(heard, token).status_code == 202
    heard.clock.advance(SECOND)
    chain = heard.guard.enter(heard.open_task().id)
    assert pushed(heard, token).status_code == 202
    again = heard.restarted()
    assert pushed(again, token).status_code == 202
    assert again.guard.stands(chain)
    assert len(again.rows("event")) == 1


def test_an_event_whose_hearing_broke_off_is_not_acknowledged_and_is_heard_again(
    heard: Authority, idp: Transmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = idp.event(risc("account-disabled"), U17, at=now(heard))
    with monkeypatch.context() as broken:

        def fails(*_: Any, **__: Any) -> None:
            raise StateError("standing changed meanwhile")

        broken.setattr(heard.guard, "quarantine", fails)
        answer = pushed(heard, token)
        assert (answer.status_code, answer.json()["err"]) == (503, "")
    assert pushed(heard, token).status_code == 202
    assert heard.guard.containment("subject", "alice") is not None


def test_an_event_older_than_what_is_remembered_is_refused_and_never_acted_on_again(
    heard: Authority, idp: Transmitter
) -> None:
    token = idp.event(at=now(heard), subject=U17)
    pushed(heard, token)
    heard.clock.advance(30 * DAY)
    refused(heard, token, "invalid_request")
    assert len(heard.rows("event")) == 1
    refused(heard, idp.event(at=now(heard) + 3600), "invalid_request")


@pytest.mark.parametrize(
    "typ", ["JWT", "at+jwt", "logout+jwt", "dpop+jwt", "client-authentication+jwt", "", None]
)
def test_a_token_of_another_type_is_refused_whatever_it_says(
    heard: Authority, idp: Transmitter, typ: str | None
) -> None:
    claims = jwt.decode(idp.event(at=now(heard)), options={"verify_signature": False})
    refused(heard, idp.signed(claims, typ=typ), "invalid_request")


def test_a_logout_token_and_an_access_token_are_no_events_even_with_the_right_type(
    heard: Authority, idp: Transmitter
) -> None:
    base = {"iss": "https://idp.example", "aud": AUDIENCE, "iat": now(heard), "jti": "x", "sub": "alice"}
    logout = base | {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "1"}
    refused(heard, idp.signed(logout), "invalid_request")
    refused(heard, idp.signed(base | {"exp": now(heard) + 60, "scope": "desk/*"}), "invalid_request")
    refused(heard, heard.agent_token(), "invalid_request")
    refused(heard, heard.assertion("helper"), "invalid_request")


@pytest.mark.parametrize(
    ("changes", "err"),
    [
        ({"iss": "https://evil.example"}, "invalid_issuer"),
        ({"iss": "https://idp.example/"}, "invalid_issuer"),
        ({"iss": None}, "invalid_request"),
        ({"aud": "https://someone.example"}, "invalid_audience"),
        ({"aud": None}, "invalid_request"),
        ({"aud": []}, "invalid_audience"),
        ({"jti": None}, "invalid_request"),
        ({"jti": ""}, "invalid_request"),
        ({"jti": "x" * 2000}, "invalid_request"),
        ({"iat": None}, "invalid_request"),
        ({"iat": "now"}, "invalid_request"),
        ({"exp": 4_000_000_000}, "invalid_request"),
        ({"sub": "alice"}, "invalid_request"),
        ({"nonce": "n"}, "invalid_request"),
        ({"events": None}, "invalid_request"),
        ({"events": {}}, "invalid_request"),
        ({"events": []}, "invalid_request"),
        ({"events": {caep("session-revoked"): None}}, "invalid_request"),
        ({"events": {caep("session-revoked"): {}, risc("account-disabled"): {}}}, "invalid_request"),
        ({"sub_id": "alice"}, "invalid_request"),
    ],
)
def test_a_token_that_says_anything_else_is_refused_with_the_code_of_the_standard(
    heard: Authority, idp: Transmitter, changes: dict[str, Any], err: str
) -> None:
    claims = jwt.decode(idp.event(at=now(heard)), options={"verify_signature": False}) | changes
    refused(heard, idp.signed({name: value for name, value in claims.items() if value is not None}), err)


def test_an_event_without_a_subject_is_refused(heard: Authority, idp: Transmitter) -> None:
    claims = jwt.decode(idp.event(at=now(heard)), options={"verify_signature": False})
    del claims["sub_id"]
    refused(heard, idp.signed(claims), "invalid_request")


def test_the_key_must_be_one_that_the_transmitter_has_published(heard: Authority, idp: Transmitter) -> None:
    other, same_kid = Transmitter("idp-2"), Transmitter("idp-1")
    refused(heard, other.event(at=now(heard)), "invalid_key")
    refused(heard, same_kid.event(at=now(heard)), "invalid_key")
    claims = jwt.decode(idp.event(at=now(heard)), options={"verify_signature": False})
    headers = {"typ": "secevent+jwt", "kid": "idp-1"}
    refused(heard, jwt.encode(claims, "", algorithm="none", headers=headers), "invalid_key")
    secret = "public-key-as-a-secret-of-at-least-32-bytes"
    refused(heard, jwt.encode(claims, secret, algorithm="HS256", headers=headers), "invalid_key")
    refused(heard, idp.signed(claims, jku="https://evil.example/jwks", kid="evil"), "invalid_key")
    genuine = idp.event(at=now(heard))
    refused(heard, genuine[:-4] + "AAAA", "invalid_key")


@pytest.mark.parametrize("body", [b"", b"x", b"a.b.c", b"\xff\xfe", b'{"sub_id": "alice"}', b"." * 100])
def test_what_is_no_token_is_refused(heard: Authority, body: bytes) -> None:
    refused(heard, body, "invalid_request")


def test_five_megabytes_are_not_read(heard: Authority) -> None:
    assert pushed(heard, b"a" * 5_000_000).status_code == 413


def test_only_the_content_type_of_the_standard_is_taken(heard: Authority, idp: Transmitter) -> None:
    token = idp.event(at=now(heard))
    for wrong in ("application/json", "application/x-www-form-urlencoded", "application/jwt", ""):
        assert pushed(heard, token, content_type=wrong).status_code == 415
    assert pushed(heard, token, content_encoding="gzip").status_code == 415
    assert heard.rows("event") == []


def test_nothing_is_pushed_to_a_source_that_is_not_there(heard: Authority, idp: Transmitter) -> None:
    token = idp.event(at=now(heard))
    answer = heard.http.post(
        "/events/other", content=token, headers={"content-type": "application/secevent+jwt"}
    )
    assert answer.status_code == 404
    assert heard.http.get("/events/idp").status_code == 405


def test_without_a_source_there_is_no_endpoint(authority: Authority, idp: Transmitter) -> None:
    assert pushed(authority, idp.event(at=now(authority))).status_code == 404


def test_the_bearer_token_of_the_endpoint_is_required_and_compared(
    make_authority: MakeAuthority, idp: Transmitter
) -> None:
    source = SOURCE.replace("silent_after", 'push_token_file = "push.token"\nsilent_after')
    at = listening(make_authority, idp, source, push_token="correct-horse\n")
    token = idp.event(at=now(at))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "correct-horse"}):
        answer = pushed(at, token, **headers)
        assert (answer.status_code, answer.json()["err"]) == (401, "authentication_failed")
    assert at.rows("event") == []
    assert pushed(at, token, authorization="Bearer correct-horse").status_code == 202


@pytest.mark.parametrize(
    ("keys", "source", "told"),
    [
        (
            "",
            SOURCE.replace("silent", 'push_token_file = "push.token"\nsilent', 1),
            r"push\.token cannot be read",
        ),
        ("{}", SOURCE, "keys"),
        (None, SOURCE, r"idp\.jwks\.json"),
    ],
)
def test_a_source_that_cannot_be_used_refuses_to_start(
    make_authority: MakeAuthority, idp: Transmitter, keys: str | None, source: str, told: str
) -> None:
    def write(folder: Path) -> None:
        if keys is not None:
            idp.publish(folder)
        if keys:
            (folder / "idp.jwks.json").write_text(keys)

    with pytest.raises(ConfigError, match=told):
        make_authority(extra=source, before=write)


def test_the_keys_are_read_again_when_a_new_one_is_published(
    make_authority: MakeAuthority, idp: Transmitter
) -> None:
    at = listening(make_authority, idp)
    new = Transmitter("idp-2")
    new.publish(at.config.parent)
    assert pushed(at, new.event(at=now(at))).status_code == 400
    at.clock.advance(11 * SECOND)
    assert pushed(at, new.event(at=now(at))).status_code == 202


def test_a_verification_counts_as_heard_only_with_a_state_that_was_asked_for(
    heard: Authority, idp: Transmitter
) -> None:
    stream = {"format": "opaque", "id": "stream-1"}
    state = heard.guard.events.ask("idp")["state"]
    assert (
        pushed(heard, idp.event(VERIFICATION, stream, {"state": "guess"}, at=now(heard))).status_code == 400
    )
    assert pushed(heard, idp.event(VERIFICATION, stream, {"state": state}, at=now(heard))).status_code == 202
    assert pushed(heard, idp.event(VERIFICATION, stream, at=now(heard))).status_code == 202
    assert heard.rows("event") == []


def test_silence_is_noticed_and_ends_with_the_next_event(heard: Authority, idp: Transmitter) -> None:
    assert list(heard.guard.events.silences()) == []
    heard.clock.advance(600 * SECOND)
    assert [one.source for one in heard.guard.events.silences()] == ["idp"]
    heard.open_task()
    pushed(heard, idp.event(VERIFICATION, {"format": "opaque", "id": "s"}, at=now(heard)))
    assert list(heard.guard.events.silences()) == []


def test_with_when_silent_refuse_nothing_new_begins_and_what_was_begun_goes_on(
    make_authority: MakeAuthority, idp: Transmitter
) -> None:
    at = listening(make_authority, idp, SOURCE.replace("= 600", '= 600\nwhen_silent = "refuse"'))
    chain = at.guard.enter(at.open_task().id)
    token = at.agent_token()
    at.clock.advance(600 * SECOND)
    with pytest.raises(StateError, match="nothing new begins") as told:
        at.open_task()
    assert told.value.error == "events_silent"
    answer = at.post("/token", "helper", grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert at.guard.authorize(CALL, chain).verdict.reason != "subject_revoked"
    assert at.guard.stands(chain)
    assert token
    pushed(at, idp.event(VERIFICATION, {"format": "opaque", "id": "s"}, at=now(at)))
    at.open_task()
    assert at.agent_token()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("jwks_file =", 'jwks_uri = "https://idp.example/jwks"\njwks_file =', "exactly one of jwks_file"),
        ('jwks_file = "idp.jwks.json"', "", "exactly one of jwks_file"),
        ("silent_after = 600", "silent_after = 5", "must be 60 to"),
        ("silent_after = 600", 'when_silent = "refuse"', "no effect without silent_after"),
        ("silent_after = 600", 'poll_url = "https://idp.example/poll"', "access_token_file: missing"),
        ("silent_after = 600", 'access_token_file = "x"', "nothing is asked"),
        (
            "silent_after = 600",
            'verification_url = "https://idp.example/v"',
            "needs silent_after and stream_id",
        ),
        ("silent_after = 600", 'jwks_url = "https://idp.example/v"', "jwks_uri"),
        ('same = ["email"]', 'same = ["emial"]', "email"),
        ("agent:helper", "agent:helpr", r"no \[agents.helpr\]; did you mean helper"),
        ('["alice", "local:carol"]', "[]", "names nobody"),
        ('issuer = "https://idp.example"', "", "issuer: missing"),
    ],
)
def test_a_source_that_says_too_little_or_too_much_refuses_to_start(
    heard: Authority, old: str, new: str, told: str
) -> None:
    text = heard.config.read_text()
    assert old in text
    heard.config.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=told):
        read_settings(heard.config)


def test_a_guard_that_does_not_serve_hears_nothing(heard: Authority) -> None:
    assert create_app(heard.guard)
    assert heard.guard.events.source("nobody") is None
