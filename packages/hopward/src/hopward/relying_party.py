"""Logging people in at an OpenID provider, with the network left out: what to ask it, and what to believe.

    party = RelyingParty(settings, clock, redirect_uri, sign)
    party.discovered(body)                        # of `party.discovery_url`
    begun = party.begin()                         # the browser goes to `begun.url`
    request = party.code_request(begun, parameters)   # POST to `party.token_endpoint`
    login = party.logged_in(begun, status, body)

Authorization code with PKCE, `state` and `nonce` (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9700),
the issuer of the response (RFC 9207), refresh (section 12), RP-Initiated and Back-Channel Logout 1.0.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, urlencode

from hopward.assertion import client_assertion
from hopward.base64url import encode
from hopward.clock import Clock
from hopward.config.forms import wrong_endpoint
from hopward.errors import ConfigError, TokenError
from hopward.foreign import foreign_kid
from hopward.idtoken import Came, Known, LoggedOut, read_id_token, read_logout_token
from hopward.jwk import SigningKey
from hopward.keysets import KeySet
from hopward.people import PeopleSettings
from hopward.strictjson import parse
from hopward.wire import ASSERTION_TYPE

LARGEST_ANSWER = 262_144
"""Bytes of anything a provider says."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that a browser was sent to the provider for; none of it but `url` is shown to anybody."""

    url: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A form to post to the token endpoint, with the headers that authenticate us. Secret."""

    form: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """Who the provider says has logged in. The tokens are secret."""

    known: Known
    refresh_token: str = field(repr=False)
    id_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """New tokens of a login that stands, each empty where none came. Secret."""

    refresh_token: str = field(repr=False)
    id_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Provider:
    """The parts of a provider's discovery document (OpenID Connect Discovery 1.0 section 3) that are used."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    names_itself: bool


class RelyingParty:
    """The authority as a client of one provider. Safe to share between threads."""

    def __init__(
        self,
        settings: PeopleSettings,
        clock: Clock,
        redirect_uri: str,
        secret: str,
        signing: Callable[[], SigningKey],
    ) -> None:
        """`secret` is the client secret, or empty: then `signing` gives the key to authenticate with."""
        self._settings = settings
        self._clock = clock
        self._redirect_uri = redirect_uri
        self._secret = secret
        self._signing = signing
        self._provider: Provider | None = None
        self.keys = KeySet((settings.algorithm,), clock)

    @property
    def discovery_url(self) -> str:
        """Where the provider's discovery document is (section 4 of Discovery)."""
        return self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration"

    @property
    def provider(self) -> Provider | None:
        """What has been discovered."""
        return self._provider

    def discovered(self, body: bytes) -> Provider:
        """Use a discovery document; raises `TokenError` for one that is not this issuer's, or falls short."""
        document = _object(body)
        if document.get("issuer") != self._settings.issuer:
            raise TokenError("The discovery document is of another issuer.", error="wrong_issuer")
        if "S256" not in _texts(document.get("code_challenge_methods_supported")):
            raise TokenError("The provider does not support PKCE with S256.", error="unsupported_provider")
        algorithms = _texts(document.get("id_token_signing_alg_values_supported"))
        if self._settings.algorithm not in algorithms:
            told = f"The provider does not sign ID tokens with {self._settings.algorithm}."
            raise TokenError(told, error="unsupported_provider")
        self._provider = Provider(
            authorization_endpoint=_endpoint(document, "authorization_endpoint"),
            token_endpoint=_endpoint(document, "token_endpoint"),
            jwks_uri=_endpoint(document, "jwks_uri"),
            end_session_endpoint=_endpoint(document, "end_session_endpoint", optional=True),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )
        return self._provider

    def begin(self) -> Begun:
        """A login of its own; raises `TokenError` before discovery."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        wanted = {"openid", *self._settings.scopes}
        wanted |= {"email"} if self._settings.name == "email" else set()
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(sorted(wanted, key=lambda one: (one != "openid", one))),
            "state": state,
            "nonce": nonce,
            "code_challenge": encode(hashlib.sha256(verifier.encode("ascii")).digest()),
            "code_challenge_method": "S256",
        }
        if "offline_access" in wanted:
            asked["prompt"] = "consent"  # OpenID Connect Core 1.0 section 11
        at = self._found().authorization_endpoint
        return Begun(f"{at}{'&' if '?' in at else '?'}{urlencode(asked)}", state, nonce, verifier)

    def code_request(self, begun: Begun, parameters: list[tuple[str, str]]) -> Asked:
        """What to ask for the code in an authorization response, whose `state` has found `begun`.

        Raises `TokenError` for a response that is not the provider's, and for one that says no.
        """
        found = dict(parameters)
        if len(found) != len(parameters) or not hmac.compare_digest(
            found.get("state", "").encode(), begun.state.encode()
        ):
            raise TokenError("The response is not one to this login.", error="malformed")
        named = found.get("iss")
        if (self._found().names_itself or named is not None) and named != self._settings.issuer:
            raise TokenError("The response is from another issuer.", error="wrong_issuer")
        if "error" in found:
            raise TokenError("The provider has not logged anybody in.", error="login_refused")
        if not found.get("code"):
            raise TokenError("The response holds no code.", error="malformed")
        form = {
            "grant_type": "authorization_code",
            "code": found["code"],
            "redirect_uri": self._redirect_uri,
            "code_verifier": begun.verifier,
        }
        return self._asked(form)

    def logged_in(self, begun: Begun, status: int, body: bytes) -> Login:
        """Who has logged in; raises `TokenError` unless that is certain, and can be asked about again."""
        answer = self._answer(status, body)
        token, access, refresh = _tokens(answer)
        if not token:
            raise TokenError("The provider has sent no ID token.", error="malformed")
        known = self._read(token, Came(begun.nonce, True, access))
        if not refresh:
            told = "The provider has sent no refresh token, so that nobody could ask about the login again."
            raise TokenError(told, error="malformed")
        return Login(known, refresh, token)

    def refresh_request(self, refresh_token: str) -> Asked:
        """What to ask about a login."""
        return self._asked({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def refreshed(self, kept: Known, nonce: str, status: int, body: bytes) -> Refreshed:
        """That a login still stands; raises `TokenError`.

        Its `error` is `login_refused` where the provider says that it does not, and for an answer about
        somebody else; for every other, nothing is known.
        """
        answer = self._answer(status, body)
        token, access, refresh = _tokens(answer)
        if not access:
            raise TokenError("The provider has sent no access token.", error="malformed")
        if token:
            known = self._read(token, Came(nonce, False, access))
            if (known.name, known.sub) != (kept.name, kept.sub):
                raise TokenError("The provider has answered about somebody else.", error="login_refused")
        return Refreshed(refresh, token)

    def kid(self, body: bytes) -> str:
        """The key that an answer's ID token names, before anything of it is known to be true."""
        try:
            return foreign_kid(_text(_object(body), "id_token"))
        except TokenError:
            return ""

    def logout_url(self, id_token: str, back: str) -> str:
        """Where a browser logs out at the provider too; empty where that is not offered."""
        at = self._found().end_session_endpoint
        asked = {"id_token_hint": id_token, "client_id": self._settings.client_id}
        asked["post_logout_redirect_uri"] = back
        return f"{at}{'&' if '?' in at else '?'}{urlencode(asked)}" if at else ""

    def logged_out(self, token: str) -> LoggedOut:
        """Whom a logout token is about; raises `TokenError`."""
        return read_logout_token(token, self.keys.keys, self._settings, self._clock.now())

    def _read(self, token: str, came: Came) -> Known:
        return read_id_token(token, self.keys.keys, self._settings, self._clock.now(), came)

    def _found(self) -> Provider:
        if self._provider is None:
            raise TokenError("The provider cannot be reached.", error="provider_unavailable")
        return self._provider

    def _asked(self, form: dict[str, str]) -> Asked:
        client = self._settings.client_id
        if self._secret:
            # RFC 6749 section 2.3.1: form-encoded first.
            pair = f"{quote(client, safe='')}:{quote(self._secret, safe='')}"
            return Asked(form, {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})
        assertion = client_assertion(client, self._settings.issuer, self._signing(), clock=self._clock)
        proof = {"client_id": client, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return Asked(form | proof, {})

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        if status == 200:
            return _object(body)
        try:
            error = _object(body).get("error")
        except TokenError:
            error = None
        if status == 400 and error == "invalid_grant":
            raise TokenError("The provider does not vouch for this login.", error="login_refused")
        raise TokenError("The provider has not answered the question.", error="provider_unavailable")


def client_secret(settings: PeopleSettings, environment: Mapping[str, str]) -> str:
    """The client secret, if that is how we authenticate; raises `ConfigError` where it is missing."""
    if settings.authentication == "private_key_jwt":
        return ""
    secret = environment.get(settings.secret_environment, "")
    if not secret:
        told = (
            f"people.secret_environment: the environment variable {settings.secret_environment} is not set."
        )
        raise ConfigError(told, advice="It holds the client secret that the OpenID provider has for us.")
    return secret


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_ANSWER:
        raise TokenError("The provider's answer is too large.", error="malformed")
    try:
        value: object = parse(body)
    except ValueError as error:
        raise TokenError("The provider's answer is no proper JSON.", error="malformed") from error
    if not isinstance(value, dict):
        raise TokenError("The provider's answer is no JSON object.", error="malformed")
    return cast("dict[str, Any]", value)


def _endpoint(document: Mapping[str, Any], name: str, *, optional: bool = False) -> str:
    value = document.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or wrong_endpoint(value):
        raise TokenError(f"The discovery document has no usable {name}.", error="unsupported_provider")
    return value


def _tokens(answer: Mapping[str, Any]) -> tuple[str, str, str]:
    """ID token, access token and refresh token of an answer, each empty where it is missing."""
    return _text(answer, "id_token"), _text(answer, "access_token"), _text(answer, "refresh_token")


def _texts(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name, "")
    if not isinstance(value, str):
        raise TokenError(f"The {name} of the provider's answer is not a text.", error="malformed")
    return value
