"""OAuth clients of people who log in at an OpenID provider: they come back to what they were asked, and what
they have granted lasts no longer than the provider vouches for them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hopward import Guard
from hopward.clock import SECOND
from hopward.jwk import SigningKey
from hopward.project import create
from hopward.testing.clock import FixedClock
from hopward_authority import create_app

from .approving import PAGE, Browser
from .logging_in import CONFIG, LoginPlace, answered, asked, form_of, press
from .provider import PEOPLE, SECRET, FakeProvider


@dataclass
class Place(LoginPlace):
    """An authority where ines@example.com may log in with clients, and her provider."""

    provider: FakeProvider

    def browser(self, person: str = "") -> Browser:
        """A browser in which somebody has logged in; nobody for an empty name."""
        browser = Browser(TestClient(self.app, base_url=PAGE, follow_redirects=False))
        if person:
            assert self.log_in(browser, person).status_code == 303
        return browser

    def log_in(self, browser: Browser, person: str, path: str = "/login") -> Any:
        query = self.provider.log_in(browser.get(path).headers["location"], person)
        return browser.get(f"/login/callback?{query}")

    def check(self, after: int = 60 * SECOND) -> None:
        self.clock.advance(after)
        asyncio.run(self.app.state.provider.ask_due())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("IDP_SECRET", SECRET)
    key = SigningKey.generate("ES256")
    inline = "{ " + ", ".join(f'{name} = "{value}"' for name, value in key.public_jwk().items()) + " }"
    text = CONFIG.replace("KEY", inline).replace('["ines", "mallory"]', '["ines@example.com"]')
    (tmp_path / "hopward.toml").write_text(text + PEOPLE)
    create(tmp_path)
    clock = FixedClock()
    guard, provider = Guard.open(tmp_path / "hopward.toml", clock=clock), FakeProvider(clock)
    yield Place(guard, clock, create_app(guard, provider), key, provider)
    guard.close()


def test_somebody_who_has_to_log_in_first_comes_back_to_what_they_were_asked(place: Place) -> None:
    browser = place.browser()
    assert 'href="/login/authorize"' in browser.get(f"/authorize?{asked()}").text
    back = place.log_in(browser, "ines", "/login/authorize")
    assert back.headers["location"] == "/authorize"
    page = browser.get("/authorize")
    assert (page.status_code, "ines@example.com" in page.text) == (200, True)
    sent = browser.post("/authorize", form_of(page.text) | {"answer": "yes"})
    redeemed = place.redeem(answered(sent.headers["location"])["code"])
    assert redeemed.status_code == 200, redeemed.text
    assert place.call(redeemed.json()["access_token"]) == "permitted"


def test_a_person_the_provider_disables_grants_nothing_and_what_they_granted_ends(place: Place) -> None:
    browser = place.browser("ines")
    tokens = place.redeem(answered(press(browser, asked()))["code"]).json()
    page = form_of(browser.get(f"/authorize?{asked()}").text)
    place.clock.advance(30 * SECOND)
    unused = answered(press(browser, asked()))["code"]
    place.provider.disabled.add("ines")
    place.check(30 * SECOND)

    assert place.call(tokens["access_token"]) == "subject_revoked"
    assert place.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert place.redeem(unused).json()["error"] == "invalid_grant"
    assert browser.post("/authorize", page | {"answer": "yes"}).status_code == 403
    assert "You are not logged in" in browser.get(f"/authorize?{asked()}").text


def test_a_code_of_somebody_who_has_been_revoked_since_opens_nothing(place: Place) -> None:
    code = answered(press(place.browser("ines"), asked()))["code"]
    place.guard.revoke("subject", "ines@example.com", by="local:root", why="a test")
    place.clock.advance(SECOND)
    refused = place.redeem(code).json()
    assert (refused["error"], "revoked" in refused["error_description"]) == ("invalid_grant", True)


def test_who_logs_out_ends_what_they_have_granted(place: Place) -> None:
    browser = place.browser("ines")
    tokens = place.redeem(answered(press(browser, asked()))["code"]).json()
    unused = answered(press(browser, asked()))["code"]
    browser.post("/unpair", {"token": browser.forget()})
    assert place.call(tokens["access_token"]) == "task_completed"
    assert place.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert place.redeem(unused).json()["error"] == "invalid_grant"


def test_somebody_who_may_open_no_task_and_approve_nothing_is_not_known(place: Place) -> None:
    assert place.log_in(place.browser(), "mallory").status_code == 403
