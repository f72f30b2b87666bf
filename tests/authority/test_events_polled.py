"""Security events that the authority polls (RFC 8936), and the keys and signs of life it asks for."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hopward import LedgerError
from hopward.clock import SECOND
from hopward_authority.fetching import LARGEST, Fetcher, FetchError
from hopward_authority.receiving import Receiver
from hopward_authority.tally import Tally

from .conftest import Authority, MakeAuthority
from .eventing import AUDIENCE, ISSUER, SOURCE, Transmitter

POLLED = SOURCE.replace(
    "silent_after = 600",
    f"""silent_after = 600
poll_url = "{ISSUER}/poll"
access_token_file = "idp.token"
verification_url = "{ISSUER}/verify"
stream_id = "stream-1"
""",
)
FETCHED = POLLED.replace('jwks_file = "idp.jwks.json"', f'jwks_uri = "{ISSUER}/jwks"')


class Idp:
    """The transmitter's end: what it has, what it was told, and what it answers in place of that."""

    def __init__(self, transmitter: Transmitter) -> None:
        self.transmitter = transmitter
        self.waiting: dict[str, str] = {}
        self.asked: list[httpx2.Request] = []
        self.instead: Callable[[httpx2.Request], httpx2.Response] | None = None

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if self.instead is not None:
            return self.instead(request)
        if request.url.path == "/jwks":
            return httpx2.Response(200, json=self.transmitter.jwks())
        if request.url.path == "/verify":
            return httpx2.Response(204)
        told = json.loads(request.content)
        for jti in (*told.get("ack", []), *told.get("setErrs", {})):
            self.waiting.pop(jti, None)
        sets = dict(list(self.waiting.items())[: told["maxEvents"]])
        return httpx2.Response(200, json={"sets": sets, "moreAvailable": len(sets) < len(self.waiting)})

    def paths(self) -> list[str]:
        return [request.url.path for request in self.asked]

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(one.content) for one in self.asked if one.url.path == "/poll"]


@pytest.fixture
def idp() -> Idp:
    return Idp(Transmitter())


def started(make_authority: MakeAuthority, idp: Idp, source: str = POLLED) -> tuple[Authority, Receiver]:
    def write(folder: Path) -> None:
        idp.transmitter.publish(folder)
        (folder / "idp.token").write_text("secret-token\n")

    at = make_authority(extra=source, before=write)
    return at, Receiver(at.guard, Tally(at.guard), Fetcher(httpx2.MockTransport(idp)))


def event(at: Authority, idp: Idp, **changes: Any) -> str:
    subject = {"format": "opaque", "id": "u-17"}
    return idp.transmitter.event(subject=subject, at=at.clock.now() // SECOND, **changes)


def poll(receiver: Receiver, state: tuple[list[str], dict[str, dict[str, str]]]) -> bool:
    return asyncio.run(receiver.poll("idp", *state))


def test_what_is_polled_is_acted_on_and_acknowledged_with_the_next_request(
    make_authority: MakeAuthority, idp: Idp
) -> None:
    at, receiver = started(make_authority, idp)
    chain, state = at.guard.enter(at.open_task().id), (list[str](), dict[str, dict[str, str]]())
    idp.waiting = {"a": event(at, idp), "b": event(at, idp, aud="someone else"), "c": "x"}
    assert poll(receiver, state) is False
    assert not at.guard.stands(chain)
    assert state[0] == ["a"]
    assert {jti: wrong["err"] for jti, wrong in state[1].items()} == {
        "b": "invalid_audience",
        "c": "invalid_request",
    }
    poll(receiver, state)
    assert idp.waiting == {}
    assert state == ([], {})
    assert [sorted(told) for told in idp.told()] == [
        ["maxEvents", "returnImmediately"],
        ["ack", "maxEvents", "returnImmediately", "setErrs"],
    ]
    assert {one.headers["authorization"] for one in idp.asked} == {"Bearer secret-token"}
    assert AUDIENCE not in json.dumps(idp.told())


def test_what_could_not_be_told_is_told_again_and_what_was_not_heard_is_not_acknowledged(
    make_authority: MakeAuthority, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, receiver = started(make_authority, idp)
    state = (list[str](), dict[str, dict[str, str]]())
    idp.waiting = {"a": event(at, idp)}
    poll(receiver, state)
    idp.instead = lambda _: httpx2.Response(500)
    with pytest.raises(FetchError, match="500"):
        poll(receiver, state)
    assert state[0] == ["a"]
    idp.instead = None
    with monkeypatch.context() as broken:
        broken.setattr(at.guard.ledger, "seen", _broken)
        idp.waiting["b"] = event(at, idp)
        poll(receiver, state)
    assert state == ([], {})
    assert list(idp.waiting) == ["b"]
    poll(receiver, state)
    assert state[0] == ["b"]


def _broken(*_: object) -> bool:
    raise LedgerError("no disk")


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content=b"<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"sets": []}),
        httpx2.Response(200, content=b"[" * 50_000),
        httpx2.Response(200, content=b" " * (LARGEST + 1)),
        httpx2.Response(302, headers={"location": "https://evil.example/"}),
        httpx2.Response(401),
    ],
)
def test_an_answer_that_is_none_changes_nothing(
    make_authority: MakeAuthority, idp: Idp, answer: httpx2.Response
) -> None:
    _, receiver = started(make_authority, idp)
    idp.instead = lambda _: answer
    with pytest.raises(FetchError):
        poll(receiver, ([], {}))
    assert len(idp.asked) == 1


def test_a_connection_that_breaks_is_told_as_such(make_authority: MakeAuthority, idp: Idp) -> None:
    _, receiver = started(make_authority, idp)

    def breaks(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    idp.instead = breaks
    with pytest.raises(FetchError, match="ConnectError"):
        poll(receiver, ([], {}))


def test_nobody_pushes_to_a_source_that_is_polled(make_authority: MakeAuthority, idp: Idp) -> None:
    at, _ = started(make_authority, idp)
    headers = {"content-type": "application/secevent+jwt"}
    assert at.http.post("/events/idp", content=event(at, idp), headers=headers).status_code == 404


def test_keys_are_fetched_when_they_are_needed_and_not_for_everybody_who_asks(
    make_authority: MakeAuthority, idp: Idp
) -> None:
    at, receiver = started(make_authority, idp, FETCHED)
    stranger = Transmitter("unknown")
    for _ in range(5):
        token = stranger.event(at=at.clock.now() // SECOND)
        assert (asyncio.run(receiver.heard("idp", token)) or {})["err"] == "invalid_key"
    assert idp.paths() == ["/jwks"]
    assert asyncio.run(receiver.heard("idp", event(at, idp))) is None
    assert idp.paths() == ["/jwks"]


def test_without_keys_an_event_is_to_be_sent_again(make_authority: MakeAuthority, idp: Idp) -> None:
    at, receiver = started(make_authority, idp, FETCHED)
    idp.instead = lambda _: httpx2.Response(503)
    assert (asyncio.run(receiver.heard("idp", event(at, idp))) or {})["err"] == ""
    idp.instead = None
    at.clock.advance(11 * SECOND)
    assert asyncio.run(receiver.heard("idp", event(at, idp))) is None


def test_a_sign_of_life_is_asked_for_with_a_state_that_its_answer_must_have(
    make_authority: MakeAuthority, idp: Idp
) -> None:
    _, receiver = started(make_authority, idp)
    asyncio.run(receiver.ask_for_life("idp"))
    (request,) = idp.asked
    asked = json.loads(request.content)
    assert (request.url.path, asked["stream_id"]) == ("/verify", "stream-1")
    assert len(asked["state"]) >= 20
    assert request.headers["authorization"] == "Bearer secret-token"
