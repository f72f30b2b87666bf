"""An OpenID provider in this process, which can be made to do anything wrong, and a desk that uses it."""

import asyncio
import hashlib
import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from hopward import Guard
from hopward.project import create
from hopward.testing.clock import FixedClock
from hopward_authority import create_app

from .approving import CONFIG, ISSUER, PAGE, POLICIES, Browser, Desk

IDP = "https://idp.example/realms/staff"

CLIENT = "hopward"

SECRET = "s3cret:with/odd+signs"

PEOPLE = f"""
[people]
issuer = "{IDP}"
client_id = "{CLIENT}"
authentication = "client_secret_basic"
secret_environment = "IDP_SECRET"
name = "email"
"""

Change = Callable[[dict[str, Any]], None]


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class FakeProvider(httpx2.AsyncBaseTransport):
    """Answers like a provider. `claims`, `header` and `document` change what it signs and says; `down` makes
    it answer nobody, and the `disabled` are not vouched for."""

    clock: FixedClock
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}))
    published: list[Any] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    down: bool = False
    unsigned: bool = False
    jwks: dict[str, Any] | None = None
    issued: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _refresh: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.published = self.published or [self.key]

    def log_in(self, url: str, person: str) -> str:
        """What the browser comes back with, as a query, when somebody has logged in at the address."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == f"{PAGE}/login/callback"
        code = secrets.token_hex(8)
        self._codes[code] = asked | {"person": person}
        return urlencode({"code": code, "state": asked["state"], "iss": IDP})

    def signed(self, claims: dict[str, Any], typ: str = "JWT", **more: Any) -> str:
        """A token as this provider signs it, but for what is to be wrong."""
        now = self.clock.now() // 1_000_000
        content = {"iss": IDP, "aud": CLIENT, "iat": now, "exp": now + 300} | claims | self.claims
        header = {"alg": "RS256", "kid": "k1", "typ": typ} | self.header | more
        content = {name: value for name, value in content.items() if value is not None}
        header = {name: value for name, value in header.items() if value is not None}
        if self.unsigned:
            head = base64url(json.dumps(header | {"alg": "none"}).encode())
            return f"{head}.{base64url(json.dumps(content).encode())}."
        return jwt.encode(header, content, self.key, algorithms=[header["alg"]])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = dict(parse_qsl((await request.aread()).decode()))
        self.asked.append((request.url.path, body))
        if self.down:
            raise httpx2.ConnectError("nobody is there", request=request)
        path = request.url.path.removeprefix("/realms/staff")
        if path == "/.well-known/openid-configuration":
            return self._json(self._discovery() | self.document)
        if path == "/jwks":
            return self._json(KeySet(self.published).as_dict(private=False))
        assert path == "/token"
        if not self._authenticated(request, body):
            return self._json({"error": "invalid_client"}, 401)
        return self._token(body)

    def times(self, path: str) -> int:
        """How often something has been asked."""
        return sum(asked.endswith(path) for asked, _ in self.asked)

    def _authenticated(self, request: httpx2.Request, body: dict[str, str]) -> bool:
        if self.jwks is None:
            pair = b64encode(f"{CLIENT}:s3cret%3Awith%2Fodd%2Bsigns".encode()).decode()
            return request.headers.get("authorization") == f"Basic {pair}"
        claims = jwt.decode(body["client_assertion"], KeySet.import_key_set(self.jwks)).claims
        return (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, IDP)

    def _token(self, body: dict[str, str]) -> httpx2.Response:
        if body["grant_type"] == "authorization_code":
            asked = self._codes.pop(body["code"], None)
            challenge = base64url(hashlib.sha256(body["code_verifier"].encode()).digest())
            if asked is None or asked["code_challenge"] != challenge:
                return self._json({"error": "invalid_grant"}, 400)
        else:
            asked = self._refresh.pop(body["refresh_token"], None)
        if asked is None or asked["person"] in self.disabled:
            return self._json({"error": "invalid_grant"}, 400)
        access, refresh = secrets.token_hex(8), secrets.token_hex(8)
        self._refresh[refresh] = asked
        self.issued += [access, refresh]
        person = asked["person"]
        digest = hashlib.sha256(access.encode()).digest()
        claims: dict[str, Any] = {
            "sub": f"id-of-{person}",
            "sid": f"session-of-{person}",
            "nonce": asked["nonce"],
            "at_hash": base64url(digest[:16]),
            "email": f"{person}@example.com",
            "email_verified": True,
        }
        answer = {"access_token": access, "token_type": "Bearer", "refresh_token": refresh}
        whole = answer | {"id_token": self.signed(claims)} | self.answer
        return self._json({name: value for name, value in whole.items() if value is not None})

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": IDP,
            "authorization_endpoint": f"{IDP}/auth",
            "token_endpoint": f"{IDP}/token",
            "jwks_uri": f"{IDP}/jwks",
            "end_session_endpoint": f"{IDP}/logout",
            "code_challenge_methods_supported": ["plain", "S256"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _json(self, content: dict[str, Any], status: int = 200) -> httpx2.Response:
        return httpx2.Response(status, content=json.dumps(content).encode())


def another_key(kid: str = "k1") -> Any:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def elliptic(kid: str = "k1") -> Any:
    return ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})


@dataclass(slots=True)
class Office(Desk):
    """A desk whose people log in at the provider."""

    provider: FakeProvider

    def logged_in(self, person: str = "lena", path: str = "/login") -> Browser:
        """A browser in which somebody has logged in."""
        browser = self.browser()
        answer = self.log_in(browser, person, path)
        assert answer.status_code == 303, answer.text
        return browser

    def log_in(self, browser: Browser, person: str = "lena", path: str = "/login") -> httpx2.Response:
        """What is answered to a browser that comes back from the provider."""
        return browser.get(f"/login/callback?{self.provider.log_in(self.sent(browser, path), person)}")

    def sent(self, browser: Browser, path: str = "/login") -> str:
        """Where a browser is sent that wants to log in."""
        answer = browser.get(path)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def check(self) -> None:
        """Ask the provider about every login that is due, as the authority does all the time."""
        asyncio.run(self.app.state.provider.ask_due())

    def close(self) -> None:
        self.guard.close()


def an_office(folder: Path, people: str = PEOPLE) -> Office:
    """A new one. lena@example.com, omar@example.com and ines@example.com supervise."""
    config = folder / "hopward.toml"
    text = CONFIG.format(issuer=ISSUER, page=f'page = "{PAGE}"', approvals=people, purpose="answer a ticket")
    for name in ("lena", "omar", "ines"):
        text = text.replace(f'"{name}"', f'"{name}@example.com"')
    config.write_text(text)
    create(folder)
    for path in (folder / "policies").glob("*.cedar"):
        path.unlink()
    (folder / "policies" / "desk.cedar").write_text(POLICIES)
    clock = FixedClock()
    guard = Guard.open(config, clock=clock)
    provider = FakeProvider(clock)
    return Office(config, guard, clock, create_app(guard, provider), provider)
