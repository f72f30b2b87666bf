"""Clients known by a document at the URL that is their id: who they are, and what is never reached by it."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from hopward import Guard
from hopward_authority import create_app
from hopward_authority.documents import FRESH, LARGEST, Documents, is_public

from .logging_in import BACK, LoginPlace, a_login_place, answered, asked, press

URL = "https://client.example/oauth/client.json"
GOOD: dict[str, Any] = {
    "client_id": URL,
    "client_name": "Code <editor>",
    "redirect_uris": ["http://127.0.0.1/callback", "https://client.example/back"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
}


class Internet:
    """What stands at addresses, and what was asked of whom."""

    def __init__(self) -> None:
        self.answer = httpx2.Response(200, json=GOOD)
        self.addresses = ["93.184.216.34"]
        self.asked: list[httpx2.Request] = []
        self.now = 0.0

    async def resolve(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("client.example", 443)
        return self.addresses

    def documents(self, guard: Guard) -> Documents:
        transport = httpx2.MockTransport(self._answered)
        return Documents(guard, transport, resolve=self.resolve, now=lambda: self.now)

    def _answered(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        return self.answer


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def net_place(tmp_path: Path, internet: Internet) -> Iterator[LoginPlace]:
    place = a_login_place(tmp_path, '\n[login]\ndocuments = ["client.example"]\n')
    place.app = create_app(place.guard, documents=internet.documents(place.guard))
    place.http = TestClient(place.app, base_url="https://authority.example")
    yield place
    place.guard.close()


def refused(place: LoginPlace, client_id: str = URL) -> str:
    """The page that refuses a request of such a client."""
    answer = place.browser().get(f"/authorize?{asked(client_id=client_id)}")
    assert (answer.status_code, "location" in answer.headers) == (400, False)
    return answer.text


def test_a_client_with_a_document_is_let_work(net_place: LoginPlace, internet: Internet) -> None:
    browser = net_place.browser()
    page = browser.get(f"/authorize?{asked(client_id=URL)}").text
    assert "Code &lt;editor&gt;" in page
    assert URL in page
    assert "Nobody else has checked the name" in page
    code = answered(press(browser, asked(client_id=URL)))["code"]
    tokens = net_place.redeem(code, client_id=URL).json()
    assert net_place.call(tokens["access_token"]) == "permitted"
    again = net_place.refresh(tokens["refresh_token"], client_id=URL)
    assert again.status_code == 200, again.text
    document = net_place.http.get("/.well-known/oauth-authorization-server").json()
    assert document["client_id_metadata_document_supported"] is True


def test_it_is_fetched_once_at_the_address_that_was_looked_at(
    net_place: LoginPlace, internet: Internet
) -> None:
    """The name is not looked up again: by then it could lead elsewhere (DNS rebinding)."""
    browser = net_place.browser()
    for _ in range(3):
        assert browser.get(f"/authorize?{asked(client_id=URL)}").status_code == 200
    (request,) = internet.asked
    assert str(request.url) == "https://93.184.216.34/oauth/client.json"
    assert request.headers["host"] == "client.example"
    assert request.extensions["sni_hostname"] == "client.example"
    assert not {"cookie", "authorization"} & request.headers.keys()
    internet.now += FRESH
    internet.answer = httpx2.Response(404)
    assert "the answer was 404" in refused(net_place)
    assert "There is no such client" in refused(net_place)
    assert len(internet.asked) == 2


def test_nothing_is_fetched_for_somebody_who_is_not_known(net_place: LoginPlace, internet: Internet) -> None:
    net_place.browser("").get(f"/authorize?{asked(client_id=URL)}")
    net_place.redeem("a code", client_id=URL)
    net_place.post("/revoke", client_id=URL, token="x")
    assert internet.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - no server listens here
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::1",
        "2001:0:1::1",
        "nothing",
    ],
)
def test_no_address_that_is_not_public_is_ever_asked(
    net_place: LoginPlace, internet: Internet, address: str
) -> None:
    assert not is_public(address)
    internet.addresses = ["93.184.216.34", address]
    assert "not at a public address" in refused(net_place)
    assert internet.asked == []


def test_public_addresses_are_public() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"):
        assert is_public(address)


@pytest.mark.parametrize(
    "client_id",
    [
        "http://client.example/client.json",
        "https://evil.example/client.json",
        "https://client.example.evil.example/client.json",
        "https://client.example",
        "https://client.example/",
        "https://client.example/a?b=c",
        "https://client.example/a#b",
        "https://user@client.example/a",
        "https://client.example:x/a",
        "https://client.example/a/../b",
        "https://client.example/%2e%2e/b",
        "https://client.example/a b",
        "https://CLIENT.example/a",
        "https://client.example\\@evil.example/a",
        "https://[::1]/a",
        "https://127.0.0.1/a",
        "https://client.example/" + "a" * 500,
        "file:///etc/passwd",
    ],
)
def test_nothing_is_fetched_for_what_is_no_id_or_at_no_host_that_is_let_in(
    net_place: LoginPlace, internet: Internet, client_id: str
) -> None:
    refused(net_place, client_id)
    assert internet.asked == []


def changed(**changes: Any) -> httpx2.Response:
    document = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return httpx2.Response(200, json=document)


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(302, headers={"Location": "http://127.0.0.1/"}),
        httpx2.Response(500),
        httpx2.Response(200, text=json.dumps(GOOD), headers={"Content-Type": "text/html"}),
        httpx2.Response(200, content=b"[]", headers={"Content-Type": "application/json"}),
        httpx2.Response(200, content=b"{", headers={"Content-Type": "application/json"}),
        httpx2.Response(
            200,
            content=json.dumps(GOOD).encode()[:-1] + b', "client_id": "x"}',
            headers={"Content-Type": "application/json"},
        ),
        changed(padding="x" * LARGEST),
        changed(client_id=None),
        changed(client_id=URL + "/"),
        changed(redirect_uris=None),
        changed(redirect_uris=[]),
        changed(redirect_uris=[BACK] * 21),
        changed(redirect_uris=["javascript:/alert(1)"]),
        changed(redirect_uris=["http://client.example/back"]),
        changed(redirect_uris=[7]),
        changed(token_endpoint_auth_method="client_secret_basic"),
        changed(token_endpoint_auth_method="private_key_jwt"),
        changed(client_secret="x"),
        httpx2.Response(
            200,
            content=gzip.compress(json.dumps(GOOD).encode()),
            headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ),
        changed(grant_types=["implicit"]),
    ],
)
def test_a_document_that_is_not_right_lets_nobody_in(
    net_place: LoginPlace, internet: Internet, answer: httpx2.Response
) -> None:
    internet.answer = answer
    refused(net_place)
    assert len(internet.asked) == 1


def test_a_redirect_uri_that_the_document_does_not_have_leads_nowhere(net_place: LoginPlace) -> None:
    answer = net_place.browser().get(
        f"/authorize?{asked(client_id=URL, redirect_uri='https://evil.example/')}"
    )
    assert (answer.status_code, "location" in answer.headers) == (400, False)


def test_a_name_that_hides_something_is_shown_with_it(net_place: LoginPlace, internet: Internet) -> None:
    internet.answer = changed(client_name="Hopward\u202e\u200b" + "x" * 100)
    page = net_place.browser().get(f"/authorize?{asked(client_id=URL)}").text
    assert "\u202e" not in page
    assert "x" * 60 not in page
    assert "\\u202e" in page


def test_without_hosts_no_document_counts(place: LoginPlace) -> None:
    assert "not let in" in refused(place)
    document = place.http.get("/.well-known/oauth-authorization-server").json()
    assert document["client_id_metadata_document_supported"] is False
