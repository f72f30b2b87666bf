"""An authority where people log in with OAuth clients, somebody's browser, and what a client sends."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from starlette.testclient import TestClient

from hopward import Guard, ToolCall
from hopward.assertion import client_assertion
from hopward.base64url import encode
from hopward.jwk import SigningKey
from hopward.project import create
from hopward.record import Row
from hopward.testing.clock import FixedClock
from hopward_authority import create_app

from .approving import PAGE, Browser

ISSUER = "https://authority.example"
DESK = "https://proxy.example/desk/mcp"
CLIENT = "client:desktop"
BACK = "http://127.0.0.1:4711/callback"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"

CONFIG = """
[authority]
issuer = "https://authority.example"
[approvals]
page = "https://approve.example"
[approvals.groups.operators]
members = ["lena"]
[proxy]
public_url = "https://proxy.example"
[agents.assistant]
owner = "omar"
purpose = "answers <tickets>"
[[agents.assistant.ceiling]]
tools = ["desk/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["desk"]
[servers.desk]
url = "http://127.0.0.1:1/mcp"
resource = "urn:example:desk"
credential = { by = "authorization" }
workflow = "tickets"
[servers.desk.tools]
look = { action = "read", sensitivity = "internal", integrity = "trusted", destination = "desk" }
note = { action = "write", sensitivity = "internal", integrity = "trusted", destination = "desk" }
[workflows.tickets]
agent = "assistant"
purpose = "answer tickets"
expires_in = 7200
budget = { calls = 50, writes = 5 }
login = ["ines", "mallory"]
[[workflows.tickets.capabilities]]
tools = ["desk/*"]
actions = ["read", "write"]
sensitivity = "internal"
destinations = ["desk"]
[clients.desktop]
name = "Desk <assistant>"
redirect_uris = ["http://127.0.0.1/callback", "https://app.example/back"]
[clients.other]
redirect_uris = ["http://127.0.0.1/callback"]
[clients.keyed]
redirect_uris = ["http://127.0.0.1/callback"]
key = KEY
"""


@dataclass
class LoginPlace:
    """The installation under test."""

    guard: Guard
    clock: FixedClock
    app: Any
    key: SigningKey
    http: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = TestClient(self.app, base_url=ISSUER)

    def browser(self, person: str = "ines") -> Browser:
        """A browser that is paired for somebody; nobody for an empty name."""
        browser = Browser(TestClient(self.app, base_url=PAGE, follow_redirects=False))
        if person:
            answer = browser.pair(self.guard.devices.offer(person, by="local:root").code)
            assert answer.status_code == 303, answer.text
        return browser

    def post(self, path: str, **form: str) -> httpx2.Response:
        """A form to the authority; a parameter changed to nothing is left out."""
        return self.http.post(path, data={name: value for name, value in form.items() if value})

    def redeem(self, code: str, **changes: str) -> httpx2.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": CLIENT,
            "redirect_uri": BACK,
            "resource": DESK,
            "code_verifier": VERIFIER,
        }
        return self.post("/token", **(form | changes))

    def refresh(self, token: str, **changes: str) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT, "resource": DESK}
        return self.post("/token", **(form | changes))

    def code(self, browser: Browser | None = None, **changes: str) -> str:
        """The code of a person's yes."""
        there = press(browser or self.browser(), asked(**changes))
        return answered(there)["code"]

    def tokens(self, **changes: str) -> dict[str, Any]:
        """The tokens of a login."""
        answer = self.redeem(self.code(**changes))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def assertion(self, client: str = "client:keyed") -> dict[str, str]:
        """What a client with a key authenticates with."""
        return {
            "client_id": client,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": client_assertion(client, ISSUER, self.key, clock=self.clock),
        }

    def call(self, access_token: str, tool: str = "look") -> str:
        """The reason of the decision about a call with an access token."""
        chain = self.guard.identify(access_token, DESK)
        return self.guard.authorize(ToolCall(server="desk", tool=tool, arguments={}), chain).verdict.reason

    def rows(self, kind: str = "login") -> list[Row]:
        return [row for row in self.guard.ledger.rows() if row.kind == kind][::-1]


MakeLoginPlace = Callable[..., LoginPlace]


def a_login_place(folder: Path, extra: str = "") -> LoginPlace:
    """A new installation with these settings added."""
    key = SigningKey.generate("ES256")
    inline = "{ " + ", ".join(f'{name} = "{value}"' for name, value in key.public_jwk().items()) + " }"
    (folder / "hopward.toml").write_text(CONFIG.replace("KEY", inline) + extra)
    create(folder)
    clock = FixedClock()
    guard = Guard.open(folder / "hopward.toml", clock=clock)
    return LoginPlace(guard, clock, create_app(guard), key)


def asked(**changes: str) -> str:
    """The query of a good authorization request; a parameter changed to nothing is left out."""
    good = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "state": "a state",
        "code_challenge": encode(sha256(VERIFIER.encode()).digest()),
        "code_challenge_method": "S256",
        "resource": DESK,
        "scope": "desk/*",
    } | changes
    return urlencode({name: value for name, value in good.items() if value})


def form_of(page: str) -> dict[str, str]:
    """The fields that a browser would send with a page's form, before a button is pressed."""
    main = page.partition("<main>")[2].partition("</main>")[0]
    inputs = [dict(re.findall(r'([\w-]+)="([^"]*)"', one)) for one in re.findall(r"<input([^>]*)>", main)]
    return {one["name"]: html.unescape(one.get("value", "")) for one in inputs}


def press(browser: Browser, query: str, answer: str = "yes", **changes: str) -> str:
    """Where a browser is sent by pressing a button of the consent page."""
    page = browser.get(f"/authorize?{query}")
    assert page.status_code == 200, page.text
    sent = browser.post("/authorize", form_of(page.text) | {"answer": answer} | changes)
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def answered(there: str, back: str = BACK) -> dict[str, str]:
    """The authorization response in an address."""
    parts = urlsplit(there)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == back
    return dict(parse_qsl(parts.query, strict_parsing=True))
