"""Grants and endpoints in Authlib's authorization-server framework; the decisions are the core's.

Authlib finds the grant, has the client authenticated, and spells the errors.
"""
# Authlib has no annotations, and the stubs pyright brings for it describe an older release loosely:
# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, TokenEndpoint
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidGrantError, UnauthorizedClientError
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from hopward import (
    ClientAuthenticator,
    ExchangeRefusedError,
    Guard,
    HopwardError,
    LedgerError,
    StateError,
    TokenError,
    form_fields,
    read_exchange,
)
from hopward_authority.form import Form
from hopward_authority.issuer_keys import IssuerKeys
from hopward_authority.metadata import AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, TOKEN_EXCHANGE
from hopward_authority.tally import Tally

_METHODS = ["private_key_jwt"]
PUBLIC_METHODS = ["none", *_METHODS]
"""How clients that people log in with authenticate: those without a key not at all."""

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_AUTHENTICATION = frozenset({"client_id", "client_assertion", "client_assertion_type"})
_ALLOWED = {
    "token": None,
    "revocation": _AUTHENTICATION | {"token", "token_type_hint"},
    "introspection": _AUTHENTICATION | {"token", "token_type_hint"},
}
_INCIDENTS = ("replayed", "seen_twice")
"""Somebody has a credential that is not theirs: the log says so by these codes."""

_NOT_NOW = ("temporarily_unavailable", "server_error")
_LONGEST_SENTENCE = 300
_UNUSABLE = re.compile(r"[^\x20\x21\x23-\x5B\x5D-\x7E]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class RegisteredClient(ClientMixin):
    """A client as Authlib asks about it."""

    def __init__(self, name: str, role: str, method: str = "private_key_jwt") -> None:
        self.id = name
        self._role = role
        self._method = method

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A client authenticates by its key, everywhere; only some that people log in with have none."""
        return method == self._method

    def check_grant_type(self, grant_type: str) -> bool:
        """Agents have tokens of their own; agents and the proxy exchange; servers do neither. People log in
        with others."""
        allowed = {
            "agent": (CLIENT_CREDENTIALS, TOKEN_EXCHANGE),
            "proxy": (TOKEN_EXCHANGE,),
            "login": (AUTHORIZATION_CODE, REFRESH_TOKEN),
        }
        return grant_type in allowed.get(self._role, ())


class FormRequest(OAuth2Request):
    """A strictly read form as Authlib's request. Its address is the issuer's, whatever `Host` said."""

    def __init__(self, issuer: str, read: Form, parameters: dict[str, str]) -> None:
        super().__init__("POST", issuer, headers={})
        self.read = read
        self.parameters = parameters
        self.payload = BasicOAuth2Payload(parameters)


class OAuthServer(AuthorizationServer):
    """The authority's endpoints over a guard. One request at a time; nothing here awaits."""

    def __init__(self, guard: Guard, tally: Tally) -> None:
        """Raises `TokenError` if two clients could be taken for each other, `ConfigError` where a file of
        keys cannot be used."""
        super().__init__()
        self.guard = guard
        self._tally = tally
        self._clients = ClientAuthenticator(guard.issuer, guard.ledger.seen_once, guard.key_revoked)
        self._issuer_keys = IssuerKeys(guard)
        self.register_client_auth_method(_METHODS[0], self._authenticated)
        self.register_client_auth_method(PUBLIC_METHODS[0], self._public)
        self.register_grant(AgentGrant)
        self.register_grant(ExchangeGrant)
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    async def prepare(self, form: Form) -> None:
        """Get the keys that it takes to know a client that is a workload, where they have to be got."""
        with suppress(HopwardError):
            await self._issuer_keys.prepare(
                form.first("client_assertion_type"), form.first("client_assertion")
            )

    def respond(self, endpoint: str, form: Form) -> Answer:
        """The answer of `token`, `revocation` or `introspection` to a form."""
        try:
            parameters = _parameters(endpoint, form)
            request = FormRequest(self.guard.issuer.issuer, form, parameters)
            if endpoint == "token" and "grant_type" not in parameters:
                raise ExchangeRefusedError("The grant_type is missing.")
            if endpoint == "token":
                self._require_heard()
                return self._with_nonce(cast("Answer", self.create_token_response(request)))
            return cast("Answer", self.create_endpoint_response(endpoint, request))
        except ExchangeRefusedError as error:
            return self._with_nonce(self.refused(form, error.error, error.message))
        except HopwardError as error:
            self._record(form, "server_error", error.message)
            return _answer(503, "server_error", "The authority cannot answer at the moment.")

    def _require_heard(self) -> None:
        try:
            self.guard.events.require_heard()
        except StateError as error:
            raise ExchangeRefusedError(error.message, error="temporarily_unavailable") from error

    def refused(self, form: Form, error: str, sentence: str, status: int = 400) -> Answer:
        """A refusal, recorded."""
        self._record(form, error, sentence)
        return _answer(503 if error in _NOT_NOW else status, error, sentence)

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """Authlib's hook: requests come read."""
        return request

    def handle_error_response(self, request: FormRequest, error: OAuth2Error) -> Answer:
        """Authlib's hook: every error it raises ends here, and in the log."""
        sentence = str(error.get_error_description() or error.error)
        return self.refused(request.read, str(error.error), sentence, error.status_code)

    def handle_response(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]]) -> Answer:
        """Authlib's hook: how an answer leaves the framework."""
        return Answer(status, body, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Authlib's hook: nobody listens."""

    def query_client(self, client_id: str) -> None:
        """Authlib's hook: a client is known by its key, never by its id alone."""

    def _with_nonce(self, answer: Answer) -> Answer:
        """Where proofs have to carry a nonce, every answer tells the next one (RFC 9449 section 8.2)."""
        nonce = self.guard.token_nonce
        return replace(answer, headers={**answer.headers, "DPoP-Nonce": nonce}) if nonce else answer

    def _authenticated(self, _query: object, request: FormRequest) -> RegisteredClient:
        try:
            client = self._client(request)
        except TokenError as error:
            if error.error == "keys_unavailable":
                raise ExchangeRefusedError(error.message, error="temporarily_unavailable") from error
            request.read.incident = error.error if error.error in _INCIDENTS else ""
            raise InvalidClientError(_spoken(error.message), status_code=401) from error
        if not request.read.svid and request.parameters.get("client_id", client.id) != client.id:
            raise InvalidClientError("The assertion is of another client.", status_code=401)
        request.read.client = client.id
        return client

    def _client(self, request: FormRequest) -> RegisteredClient:
        """Raises `TokenError`."""
        if request.read.svid:
            return self._by_svid(request)
        assertion = request.parameters.get("client_assertion", "")
        assertion_type = request.parameters.get("client_assertion_type", "")
        if self.guard.workloads.source(assertion_type, assertion) is not None:
            proven = self.guard.workloads.authenticate(assertion_type, assertion, request.read.peer)
            request.read.until = proven.until
            return RegisteredClient(proven.agent, "agent")
        if assertion_type != _ASSERTION_TYPE:
            raise TokenError("Clients authenticate with private_key_jwt, or as workloads known here.")
        client = self._clients.authenticate(assertion)
        return RegisteredClient(client.id, client.role)

    def _public(self, _query: object, request: FormRequest) -> RegisteredClient | None:
        """A client that people log in with and that has no key; None for one that has to authenticate."""
        name, logins = request.parameters.get("client_id", ""), self.guard.logins
        if not logins.is_client(name) or "client_assertion" in request.parameters:
            return None
        try:
            public = logins.public(name)
        except ExchangeRefusedError as error:
            raise InvalidClientError(_spoken(error.message), status_code=401) from error
        if not public or "client_secret" in request.parameters:
            raise InvalidClientError("This client does not authenticate that way.", status_code=401)
        request.read.claimed = name
        return RegisteredClient(name, "login", "none")

    def _by_svid(self, request: FormRequest) -> RegisteredClient:
        """Raises `TokenError`."""
        if "client_assertion" in request.parameters:
            raise TokenError("A client authenticates in one way: by its certificate, or by an assertion.")
        client_id = request.parameters.get("client_id", "")
        proven = self.guard.workloads.authenticate_svid(request.read.svid, client_id)
        request.read.until = proven.until
        return RegisteredClient(proven.agent, "agent")

    def _record(self, form: Form, error: str, sentence: str) -> None:
        who = f"client {form.speaker}" if form.speaker else "a client not authenticated"
        told = f"The authority refused {who} at {form.endpoint}: {_spoken(sentence)}"
        if not form.client:
            self._tally.note(form.incident or error, told)
            return
        with suppress(LedgerError):
            self.guard.refuse("", error, told)


class Grant(BaseGrant, TokenEndpointMixin):
    """A grant of the token endpoint: who asks, then what the core says."""

    TOKEN_ENDPOINT_AUTH_METHODS = _METHODS
    bound = ""
    """The key that the client has proved to hold, as in `Chain.bound`."""

    def validate_token_request(self) -> None:
        """Who asks, and whether it may use this grant."""
        client = self.authenticate_token_endpoint_client()
        self.request.client = client
        if not client.check_grant_type(str(self.GRANT_TYPE)):
            raise UnauthorizedClientError("This client may not use this grant.")
        self.bound = self._proved()

    def create_token_response(self) -> tuple[int, dict[str, Any], Collection[tuple[str, str]]]:
        """The token response."""
        return 200, self.answer(), self.TOKEN_RESPONSE_HEADER

    def answer(self) -> dict[str, Any]:
        """What the core grants."""
        raise NotImplementedError

    def _proved(self) -> str:
        """The key that the client has proved to hold (RFC 9449 section 5), empty where it has sent no
        proof."""
        if self.form.proof is None:
            return ""
        try:
            return self.guard.asked_with(self.form.proof)
        except TokenError as error:
            raise ExchangeRefusedError(error.message, error=error.error) from error

    @property
    def form(self) -> Form:
        """The form, its client authenticated."""
        return cast("FormRequest", self.request).read

    @property
    def guard(self) -> Guard:
        """The guard."""
        return cast("OAuthServer", self.server).guard


class AgentGrant(Grant):
    """Client credentials (RFC 6749 section 4.4): an agent's own token, to be its `actor_token`."""

    GRANT_TYPE = CLIENT_CREDENTIALS

    def answer(self) -> dict[str, Any]:
        """The agent's token. It has no scope and only one audience, so neither can be asked for."""
        form_fields(self.form.pairs, _AUTHENTICATION | {"grant_type"})
        client, until = self.form.client, self.form.until
        return self.guard.issuer.agent_token(client, self.guard.ledger, self.bound, until=until).answer()


class ExchangeGrant(Grant):
    """Token exchange (RFC 8693), for something to call or for an agent to hand work on to."""

    GRANT_TYPE = TOKEN_EXCHANGE

    def answer(self) -> dict[str, Any]:
        """The exchanged token."""
        form, issuer, ledger = read_exchange(self.form.pairs), self.guard.issuer, self.guard.ledger
        client = issuer.clients[self.form.client]
        if form.hands_on:
            return issuer.hand_on(form, client, ledger, self.guard, self.bound).answer()
        return issuer.exchange(form, client, ledger, self.bound).answer()


class _TokenEndpoint(TokenEndpoint):
    CLIENT_AUTH_METHODS = _METHODS

    def create_endpoint_response(
        self, request: FormRequest
    ) -> tuple[int, dict[str, Any], Collection[tuple[str, str]]]:
        """Who asks, then what about the token."""
        self.authenticate_endpoint_client(request)
        if "token" not in request.parameters:
            raise ExchangeRefusedError("The token is missing.")
        answer = self.answer(request.read.speaker, request.parameters["token"])
        return 200, answer, BaseGrant.TOKEN_RESPONSE_HEADER

    def answer(self, client: str, token: str) -> dict[str, Any]:
        """What the core says about the token to this client."""
        raise NotImplementedError

    @property
    def guard(self) -> Guard:
        """The guard."""
        return cast("OAuthServer", self.server).guard


class Revocation(_TokenEndpoint):
    """RFC 7009: the token and everything exchanged from it stop counting. No token at all is no error.

    A hop has one token. The agent that holds it and the agent that handed it on may revoke it, and that ends
    the hop: what was set aside for it and not used is the delegator's again. A token of a login ends the
    login, and its task.
    """

    ENDPOINT_NAME = "revocation"
    CLIENT_AUTH_METHODS = PUBLIC_METHODS

    def answer(self, client: str, token: str) -> dict[str, Any]:
        """Nothing; raises `InvalidGrantError` for another client's token."""
        if self.guard.logins.revoke(token, client):
            return {}
        try:
            presented = self.guard.issuer.verify(token)
        except TokenError:
            return {}
        if client not in presented.holders:
            raise InvalidGrantError("The token was issued to another client.")
        login = self.guard.logins.of_task(presented.task)
        if login is not None:
            self.guard.logins.end(login, by=client, why="the client has logged out")
        # Once is enough; each revocation makes every decision under way look at standing again.
        if not self.guard.ledger.revocations("token", presented.token):
            own = client == presented.client
            why = f"revoked by the {'client it was issued to' if own else 'agent that handed the work on'}"
            self.guard.revoke("token", presented.token, by=client, why=why)
        if presented.of_hop:
            with suppress(StateError):
                self.guard.complete_hop(presented.chain)
        return {}


class Introspection(_TokenEndpoint):
    """RFC 7662: told to the client a token was issued to, to its audience, and to whoever handed it on."""

    ENDPOINT_NAME = "introspection"

    def answer(self, client: str, token: str) -> dict[str, Any]:
        """The description, or only that the token is not active."""
        issuer = self.guard.issuer
        return issuer.introspect(token, issuer.clients[client], self.guard.ledger)


def _parameters(endpoint: str, form: Form) -> dict[str, str]:
    allowed = _ALLOWED[endpoint]
    if allowed is None:
        allowed = frozenset(name for name, _ in form.pairs)
    return form_fields(form.pairs, allowed)


def _answer(status: int, error: str, sentence: str) -> Answer:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if status == 401:
        headers["WWW-Authenticate"] = 'private_key_jwt error="invalid_client"'
    return Answer(status, {"error": error, "error_description": _spoken(sentence)}, headers)


def _spoken(sentence: str) -> str:
    """A sentence in the characters of `error_description` (RFC 6749 section 5.2), cut where it is long."""
    return _UNUSABLE.sub("?", sentence[:_LONGEST_SENTENCE])
