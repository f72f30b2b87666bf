"""People who log in at a real OpenID provider, with the authority and the guarded server as they are run."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from .browser import Browser
from .keycloak import Keycloak
from .oidc_provider import Provided
from .project import HOPWARD, Project, recorded
from .running import PATIENCE, Running
from .served import free_port
from .test_approvals import HELD
from .wire import Wire, refusal, told

CLIENT = "hopward-authority"

PEOPLE = """
[people]
issuer = "{issuer}"
client_id = "hopward-authority"
{authentication}
name = "email"
check_seconds = 10
"""

BY_SECRET = 'authentication = "client_secret_basic"\nsecret_environment = "IDP_SECRET"'


class Desk(NamedTuple):
    """A project whose changes ana and carol approve in a browser, and what it is reached by."""

    project: Project
    page: str
    authority: Running

    def browser(self) -> Browser:
        return Browser()


Open = Callable[..., Desk]


@pytest.fixture
def open_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Starts the authority of a project whose people log in at an issuer."""
    with ExitStack() as stack:

        def opened(issuer: str, secret: str = "", page: str = "") -> Desk:
            project = recorded(tmp_path)
            page = page or f"http://127.0.0.1:{free_port()}"
            listen = page.removeprefix("http://")
            project.change('issuer = "http://127.0.0.1:8700"', f'issuer = "{page}"\nlisten = "{listen}"')
            project.change('members = ["local:carol"]', 'members = ["ana@example.com", "carol@example.com"]')
            project.change("[approvals.groups", f'[approvals]\npage = "{page}"\n\n[approvals.groups')
            (tmp_path / "policies" / "held.cedar").write_text(HELD, "utf-8")
            by = BY_SECRET if secret else 'authentication = "private_key_jwt"'
            config = project.config.read_text("utf-8") + PEOPLE.format(issuer=issuer, authentication=by)
            project.config.write_text(config, "utf-8")
            monkeypatch.setenv("IDP_SECRET", secret)
            authority = Running([str(HOPWARD), "authority", "serve"], project.folder)
            stack.callback(authority.end)
            authority.wait_for("People answer at")
            return Desk(project, page, authority)

        yield opened


@pytest.fixture
def browser() -> Iterator[Browser]:
    with ExitStack() as stack:
        made = Browser()
        stack.callback(made.close)
        yield made


def log_in(browser: Browser, url: str, person: str, field: str) -> httpx2.Response:
    """Go to a page, be sent to the provider, log in there, and be where one was going."""
    assert browser.open(url).status_code == 403
    browser.follow("/login")
    return browser.submit(field, **{field: person, "password": f"{person}-password"})


def held(project: Project, subject: str, stack: ExitStack) -> tuple[Wire, str]:
    """A session on behalf of somebody in which a call waits, and the approval it waits for."""
    wire = Wire(project, options=["--subject", subject])
    stack.callback(wire.end)
    wire.greet()
    return wire, refusal(wire.call("change", note="a"))["approval"]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does by itself."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.1)


def test_a_person_logs_in_at_keycloak_and_approves_what_waits(
    keycloak: Keycloak, open_desk: Open, browser: Browser
) -> None:
    desk = open_desk(keycloak.issuer, "authority-secret")
    with ExitStack() as stack:
        wire, approval = held(desk.project, "ben@example.com", stack)
        shown = log_in(browser, f"{desk.page}/approvals/{approval}", "ana", "username")
        assert str(shown.url) == f"{desk.page}/approvals/{approval}"
        assert "ana@example.com" in shown.text
        browser.submit("token", answer="yes", why="it is Friday")
        told(wire.call("change", note="a"))
    (said,) = [row for row in desk.project.rows(kind="approval") if row.record["event"] == "approved"]
    (answer,) = said.record["approval"]["answers"]
    assert (answer["by"], answer["yes"], answer["why"]) == ("ana@example.com", True, "it is Friday")


async def test_a_person_disabled_in_keycloak_is_refused_and_so_is_what_runs_in_their_name(
    keycloak: Keycloak, open_desk: Open, browser: Browser
) -> None:
    desk = open_desk(keycloak.issuer, "authority-secret")
    with ExitStack() as stack:
        _, approval = held(desk.project, "ben@example.com", stack)
        wire, _ = held(desk.project, "ana@example.com", stack)
        told(wire.call("note", text="a"))
        log_in(browser, f"{desk.page}/approvals", "ana", "username")
        assert browser.open(f"{desk.page}/approvals/{approval}").status_code == 200

        keycloak.change_user("ana", enabled=False)
        await until(lambda: bool(desk.project.rows(kind="revocation")))
        assert refusal(wire.call("note", text="a"))["reason"] == "subject_revoked"
        assert browser.open(f"{desk.page}/approvals/{approval}").status_code == 403
        browser.follow("/login")
        assert "Nobody was logged in" not in browser.page.text
        assert str(browser.page.url).startswith(keycloak.origin)


def test_who_is_logged_out_in_keycloak_is_logged_out_here_at_once(
    keycloak: Keycloak, open_desk: Open, browser: Browser
) -> None:
    desk = open_desk(keycloak.issuer, "authority-secret")
    keycloak.change_client(CLIENT, backchannel_logout_url=f"{desk.page}/backchannel-logout")
    log_in(browser, f"{desk.page}/approvals", "ana", "username")
    assert browser.open(f"{desk.page}/approvals").status_code == 200

    keycloak.admin("POST", f"/hopward/users/{keycloak.user('ana')['id']}/logout")
    assert browser.open(f"{desk.page}/approvals").status_code == 403


def test_who_logs_out_here_is_led_out_of_keycloak_too(
    keycloak: Keycloak, open_desk: Open, browser: Browser
) -> None:
    desk = open_desk(keycloak.issuer, "authority-secret")
    log_in(browser, f"{desk.page}/approvals", "ana", "username")
    browser.submit("token")
    assert "You are logged out" in browser.page.text
    browser.follow(keycloak.issuer)
    assert str(browser.page.url) == f"{desk.page}/logged-out"
    sessions = keycloak.admin("GET", f"/hopward/users/{keycloak.user('ana')['id']}/sessions")
    assert sessions == []


def test_keycloak_knows_the_authority_by_its_published_key(
    keycloak: Keycloak, open_desk: Open, browser: Browser
) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    keycloak.change_client(
        CLIENT,
        authenticator="client-jwt",
        use_jwks_url="true",
        jwks_url=f"{page}/jwks",
        token_endpoint_auth_signing_alg="ES256",
    )
    desk = open_desk(keycloak.issuer, page=page)
    assert log_in(browser, f"{desk.page}/approvals", "ana", "username").status_code == 200


async def test_a_new_key_of_keycloak_is_found(keycloak: Keycloak, open_desk: Open, browser: Browser) -> None:
    desk = open_desk(keycloak.issuer, "authority-secret")
    log_in(browser, f"{desk.page}/approvals", "ana", "username")
    keycloak.rotate()
    with ExitStack() as stack:
        another = Browser()
        stack.callback(another.close)
        log_in(another, f"{desk.page}/approvals", "carol", "username")
        # Newer keys are looked for every ten seconds at most.
        await until(lambda: another.open(f"{desk.page}/login").status_code == 200)
        assert "carol@example.com" in another.page.text


def for_page(page: str, **more: Any) -> Provided:
    """oidc-provider with a client for the authority at a page."""
    uris = {"redirect_uris": [f"{page}/login/callback"], "application_type": "web"}
    return Provided().with_client(CLIENT, **uris, post_logout_redirect_uris=[f"{page}/logged-out"], **more)


async def test_a_person_logs_in_at_oidc_provider_and_approves_until_they_are_disabled(
    start_provider: Any, open_desk: Open, browser: Browser
) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    provider = start_provider(for_page(page, backchannel_logout_uri=f"{page}/backchannel-logout"))
    desk = open_desk(provider.issuer, f"{CLIENT}-secret", page)
    with ExitStack() as stack:
        wire, approval = held(desk.project, "ben@example.com", stack)
        log_in(browser, f"{desk.page}/approvals/{approval}", "carol", "login")
        browser.submit("token", answer="yes", why="it is Friday")
        told(wire.call("change", note="a"))

        provider.change_user("carol", disabled=True)
        await until(lambda: bool(desk.project.rows(kind="revocation")))
        assert browser.open(f"{desk.page}/approvals").status_code == 403


def test_ben_who_may_approve_nothing_is_told_so(
    start_provider: Any, open_desk: Open, browser: Browser
) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    provider = start_provider(for_page(page))
    desk = open_desk(provider.issuer, f"{CLIENT}-secret", page)
    shown = log_in(browser, f"{desk.page}/approvals", "ben", "login")
    assert (shown.status_code, "ben@example.com is logged in, but" in shown.text) == (403, True)


def test_oidc_provider_signs_with_another_algorithm_than_is_pinned(
    start_provider: Any, open_desk: Open, browser: Browser
) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    provider = start_provider(for_page(page, id_token_signed_response_alg="ES256"))
    desk = open_desk(provider.issuer, f"{CLIENT}-secret", page)
    shown = log_in(browser, f"{desk.page}/approvals", "ana", "login")
    assert (shown.status_code, "Nobody was logged in" in shown.text) == (403, True)


def test_the_issuer_in_the_configuration_has_to_be_the_providers(
    oidc_provider: Any, open_desk: Open, browser: Browser
) -> None:
    desk = open_desk(oidc_provider.issuer.replace("127.0.0.1", "localhost"), f"{CLIENT}-secret")
    assert browser.open(f"{desk.page}/login").status_code == 403
    assert "of another issuer" in browser.page.text
