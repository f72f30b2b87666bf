"""Others are told of our revocations and quarantines: signed, in order, at least once."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from hopward import ConfigError
from hopward.announcing import MOST_TRIES
from hopward.config import read_settings
from hopward.secevent import CAEP, read_event
from hopward_authority.announcements import Announcements

from .conftest import Authority, MakeAuthority
from .eventing import SOURCE, Transmitter

URL = "https://siem.example/events"
RECEIVER = f"""
[events.receivers.siem]
url = "{URL}"
audience = "https://siem.example/"
token_file = "siem.token"
"""


class Siem:
    """The receiver's end."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers: list[Callable[[httpx2.Request], httpx2.Response]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.answers.pop(0)(request) if self.answers else httpx2.Response(202)

    @property
    def tokens(self) -> list[str]:
        return [request.content.decode() for request in self.requests]


@pytest.fixture
def siem() -> Siem:
    return Siem()


def prepared(folder: Path) -> None:
    (folder / "siem.token").write_text("s3cret\n")


@pytest.fixture
def telling(make_authority: MakeAuthority, siem: Siem) -> Authority:
    """An authority whose receiver has been told of everything so far."""
    at = make_authority(extra=RECEIVER, before=prepared)
    at.guard.revoke("subject", "before", by="carol", why="long ago")
    tell(at, siem)
    assert siem.requests == []
    return at


def tell(at: Authority, siem: Siem, tries: int = 0) -> int:
    async def told() -> int:
        announcements = Announcements(at.guard, httpx2.MockTransport(siem))
        try:
            return await announcements.tell("siem", tries)
        finally:
            await announcements.close()

    return asyncio.run(told())


def claims(at: Authority, token: str) -> dict[str, Any]:
    """What an event says, verified by another library with the published keys."""
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "secevent+jwt"
    keys = {key["kid"]: jwt.PyJWK(key) for key in at.http.get("/jwks").json()["keys"]}
    options: Any = {"verify_iat": False}
    return jwt.decode(
        token, keys[header["kid"]], ["ES256"], audience="https://siem.example/", options=options
    )


def test_a_revoked_subject_is_told_with_who_decided_and_when(telling: Authority, siem: Siem) -> None:
    telling.guard.revoke("subject", "alice@example.com", by="carol", why="lost laptop")
    assert tell(telling, siem) == 0
    (request,) = siem.requests
    assert str(request.url) == URL
    assert request.headers["content-type"] == "application/secevent+jwt"
    assert request.headers["authorization"] == "Bearer s3cret"
    said = claims(telling, siem.tokens[0])
    assert said["sub_id"] == {"format": "email", "email": "alice@example.com"}
    assert not said.keys() & {"sub", "exp", "nbf"}
    assert said["iss"] == telling.guard.issuer.issuer
    event = said["events"][f"{CAEP}session-revoked"]
    assert (event["initiating_entity"], event["reason_admin"]) == ("admin", {"en": "lost laptop"})
    assert event["event_timestamp"] == telling.clock.now() // 1_000_000
    assert read_event(said).type == f"{CAEP}session-revoked"


def test_tasks_agents_and_quarantines_are_told_in_order_and_releases_are_not(
    telling: Authority, siem: Siem
) -> None:
    guard, task = telling.guard, telling.open_task(subject="alice@example.com")
    guard.quarantine("agent", "other", by="hopward:risk", why="odd")
    guard.revoke("task", task.id, by="carol", why="mistake")
    guard.set_agent_state("third", "suspended", by="carol", why="odd")
    guard.set_agent_state("third", "active", by="carol", why="fine")
    guard.release("agent", "other", by="carol", why="fine")
    guard.stop_all(by="carol", why="fire")
    tell(telling, siem)
    said = [claims(telling, token) for token in siem.tokens]
    assert [one["sub_id"].get("id", "") for one in said] == ["agent:other", "", "agent:third", "all:*"]
    assert said[1]["sub_id"] == {
        "format": "complex",
        "session": {"format": "opaque", "id": task.id},
        "user": {"format": "email", "email": "alice@example.com"},
        "application": {"format": "opaque", "id": "agent:helper"},
    }
    assert said[1]["txn"] == task.id
    entities = [one["events"][f"{CAEP}session-revoked"]["initiating_entity"] for one in said]
    assert entities == ["policy", "admin", "admin", "admin"]


def test_what_is_not_taken_is_sent_again_under_the_same_id_and_nothing_overtakes_it(
    telling: Authority, siem: Siem
) -> None:
    for subject in ("a", "b"):
        telling.guard.revoke("subject", subject, by="carol", why="x")
    siem.answers = [
        lambda _: httpx2.Response(500),
        lambda _: httpx2.Response(302, headers={"location": "/x"}),
    ]
    assert tell(telling, siem) == 1
    assert tell(telling, siem, 1) == 2
    again = telling.restarted()
    assert tell(again, siem) == 0
    ids = [claims(again, token)["jti"] for token in siem.tokens]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [claims(again, token)["sub_id"]["id"] for token in siem.tokens] == ["a", "a", "a", "b"]
    assert tell(again, siem) == 0
    assert len(siem.requests) == 4


def test_after_the_last_try_it_is_given_up_the_log_says_so_and_the_next_is_told(
    telling: Authority, siem: Siem
) -> None:
    for subject in ("a", "b"):
        telling.guard.revoke("subject", subject, by="carol", why="x")
    assert telling.guard.announcing.behind("siem") == 2
    siem.answers = [lambda _: httpx2.Response(400)]
    assert tell(telling, siem, MOST_TRIES - 1) == 0
    assert [claims(telling, token)["sub_id"]["id"] for token in siem.tokens] == ["a", "b"]
    (row,) = telling.rows("event")
    assert (row.record["event"], row.record["receiver"]) == ("untold", "siem")
    assert "400" in row.record["why"]
    assert telling.guard.announcing.behind("siem") == 0


def test_a_connection_that_breaks_is_a_try(telling: Authority, siem: Siem) -> None:
    def breaks(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    telling.guard.revoke("subject", "a", by="carol", why="x")
    siem.answers = [breaks]
    assert tell(telling, siem) == 1


def test_what_an_event_of_somebody_else_has_led_to_is_not_told_on(
    make_authority: MakeAuthority, siem: Siem
) -> None:
    idp = Transmitter()

    def before(folder: Path) -> None:
        prepared(folder)
        idp.publish(folder)

    at = make_authority(extra=RECEIVER + SOURCE, before=before)
    tell(at, siem)
    token = idp.event(subject={"format": "opaque", "id": "u-17"}, at=at.clock.now() // 1_000_000)
    at.guard.events.hear("idp", token)
    assert len(at.rows("revocation")) == 2
    tell(at, siem)
    assert siem.requests == []


def test_the_metadata_says_how_we_transmit_and_only_where_somebody_is_told(
    telling: Authority, authority: Authority
) -> None:
    document = telling.http.get("/.well-known/ssf-configuration").json()
    assert document["issuer"] == telling.guard.issuer.issuer
    assert document["jwks_uri"] == "https://authority.example/jwks"
    assert document["delivery_methods_supported"] == ["urn:ietf:rfc:8935"]
    assert authority.http.get("/.well-known/ssf-configuration").status_code == 404


def test_no_event_tells_a_secret(telling: Authority, siem: Siem) -> None:
    token = telling.access_token()
    telling.post("/revoke", "helper", token=token)
    tell(telling, siem)
    said = json.dumps([claims(telling, one) for one in siem.tokens])
    assert token not in said
    assert "token:tok_" in said


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (URL, "http://siem.example/events", "url"),
        ('audience = "https://siem.example/"', "", "audience: missing"),
        ("token_file", "tokenfile", "token_file"),
    ],
)
def test_a_receiver_that_cannot_be_told_refuses_to_start(
    telling: Authority, old: str, new: str, told: str
) -> None:
    text = telling.config.read_text()
    assert old in text
    telling.config.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=told):
        read_settings(telling.config)


def test_a_receiver_without_its_bearer_token_refuses_to_start(make_authority: MakeAuthority) -> None:
    with pytest.raises(ConfigError, match=r"siem\.token cannot be read"):
        make_authority(extra=RECEIVER)
