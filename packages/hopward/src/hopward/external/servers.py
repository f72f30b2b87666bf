"""The external authorization servers of one installation, and the exchanges under way at them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol, TypeAlias

import msgspec

from hopward.assertion import client_assertion
from hopward.authorization_servers import AuthorizationServerSettings
from hopward.claims import CallDetails
from hopward.clock import Clock
from hopward.errors import ConfigError, ExchangeRefusedError, TokenError
from hopward.external.cache import Cache, Kept, Purpose
from hopward.external.forms import actor_form, authenticated, exchange_form, read_answer
from hopward.external.issued import Judge
from hopward.external.legs import legs
from hopward.external.subjects import SubjectTokens
from hopward.external.svids import svid_in
from hopward.external.walk import Walk
from hopward.foreign import foreign_kid
from hopward.jwk import SigningKey
from hopward.keysets import KeySet
from hopward.model import Chain, Credential
from hopward.settings import Settings
from hopward.tokenrequest import TokenRequest

SvidSource: TypeAlias = Callable[[str], str]
"""A JWT-SVID of this process for an audience; raises `HopwardError` where there is none."""


class Keys(Protocol):
    """The key that this process authenticates with."""

    @property
    def proxy(self) -> SigningKey:
        """The proxy's own; raises `ConfigError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalRequest(TokenRequest):
    """A question on the way to a token: the published keys, a client's own token, or an exchange."""

    walk: Walk = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class Obtained:
    """A token for one call, and what the log may say of it."""

    token: str = field(repr=False)
    credential: Credential


class ExternalServers:
    """Begins exchanges and takes them on with each answer. Safe to share between threads.

    `svid` is where JWT-SVIDs come from, for servers that take one (`client_authentication = "spiffe_jwt"`).
    `policy_set` says which policies are in force.
    """

    def __init__(self, settings: Settings, keys: Keys, clock: Clock, policy_set: Callable[[], str]) -> None:
        self._settings = settings
        self._servers = settings.authorization_servers
        self._keys = keys
        self._clock = clock
        self._policy_set = policy_set
        self.svid: SvidSource | None = None
        self.subjects = SubjectTokens(settings.subject_tokens_folder, self._servers, clock)
        self.cache = Cache(clock)
        self._key_sets = {
            name: KeySet(tuple(server.algorithms), clock) for name, server in self._servers.items()
        }

    def of(self, server: str) -> str:
        """The name of the authorization server that a server's tokens come from; empty if it is ours."""
        return self._settings.servers[server].credential.authorization_server

    def check(self) -> None:
        """Raise `ConfigError` unless this process holds what it authenticates with."""
        for name, server in self._servers.items():
            if server.client_authentication == "private_key_jwt":
                _ = self._keys.proxy
            elif self.svid is None and not server.svid_file:
                raise ConfigError(
                    f"authorization_servers.{name}: there is no JWT-SVID in this process to show.",
                    advice="Set svid_file to where a SPIFFE helper keeps one whose audience is the issuer.",
                )

    def request(self, credential: Credential, chain: Chain, call: CallDetails) -> ExternalRequest | Obtained:
        """The first question for a planned credential, or a token that was obtained before.

        Raises `ExchangeRefusedError`, `ConfigError` without the proxy's key.
        """
        if credential.kind != "exchanged" or credential.expires_at <= self._clock.now():
            raise ExchangeRefusedError("The credential is over.")
        delivery = self._settings.servers[call.server].credential
        name = delivery.authorization_server
        server = self._servers[name]
        audience = delivery.audience or credential.audience
        scope = delivery.scope_for(call.tool)
        subject_token = self.subjects.token(chain.task, name)
        key = ""
        if server.cache_seconds:
            key = self._purpose(name, subject_token, chain, call.server, (audience, scope)).key
            kept = self.cache.get(key)
            if kept is not None:
                return Obtained(kept.token, kept.credential)
        walk = Walk(server, chain.subject, scope, legs(server, chain.actors, audience), subject_token)
        first = ExternalRequest(
            form={}, call=call, credential=credential, chain=chain, walk=walk, name=name, flight=key
        )
        return self._onward(first, walk)

    def received(self, request: ExternalRequest, status: int, body: bytes) -> ExternalRequest | Obtained:
        """What comes of an answer: the next question, or the token, exactly what was asked for.

        Raises `ExchangeRefusedError` with the server's own code if it refused, `server_error` if its answer
        cannot be read, `keys_unavailable`, `wrong_credential` if a token is not what was asked for.
        """
        if not request.form:
            self._take_keys(request.name, status, body)
            return self._onward(request, request.walk)
        exchanged = request.walk.next == "exchange"
        answer = read_answer(self._servers[request.name], status, body, exchanged=exchanged)
        return self._onward(request, request.walk.with_answer(answer))

    def again(self, request: ExternalRequest) -> ExternalRequest:
        """The same question once more, authenticated anew: what authenticates counts once."""
        return request if not request.form else self._ask(request, request.walk)

    def sweep(self, stands: Callable[[Chain, str], bool]) -> int:
        """Let go of tokens whose chain does not stand any more; how many are left."""
        return self.cache.sweep(stands)

    def _onward(self, request: ExternalRequest, walk: Walk) -> ExternalRequest | Obtained:
        while walk.next != "done":
            token = walk.looked_at
            if not token:
                return self._ask(request, walk)
            if self._key_sets[request.name].due(foreign_kid(token)):
                url = self._servers[request.name].jwks_uri
                return replace(request, form={}, url=url, walk=walk)
            walk = walk.judged(self._judge(request.name))
        return self._obtained(request, walk)

    def _ask(self, request: ExternalRequest, walk: Walk) -> ExternalRequest:
        server = self._servers[request.name]
        client = walk.leg.client.client_id
        form = actor_form() if walk.next == "actor" else exchange_form(server, walk.asked)
        proved = authenticated(server, client, self._assertion(server, client))
        return replace(request, form={**form, **proved}, url=server.token_endpoint, walk=walk)

    def _assertion(self, server: AuthorizationServerSettings, client: str) -> str:
        """Whose audience is the issuer and nothing else."""
        if server.client_authentication == "private_key_jwt":
            return client_assertion(client, server.issuer, self._keys.proxy, clock=self._clock)
        if self.svid is not None:
            return self.svid(server.issuer)
        return svid_in(self._settings.root / server.svid_file, server.issuer)

    def _take_keys(self, name: str, status: int, body: bytes) -> None:
        key_set = self._key_sets[name]
        try:
            if status != 200:
                key_set.failed()
                raise TokenError("The published keys could not be had.", error="keys_unavailable")
            key_set.take(body)
        except TokenError as error:
            if key_set.due():
                # There are none to go on with.
                raise ExchangeRefusedError(error.message, error="keys_unavailable") from error

    def _judge(self, name: str) -> Judge:
        try:
            keys = self._key_sets[name].keys
        except TokenError as error:
            raise ExchangeRefusedError(error.message, error=error.error) from error
        return Judge(self._servers[name], keys, self._clock.now())

    def _obtained(self, request: ExternalRequest, walk: Walk) -> Obtained:
        token, now = walk.token, self._clock.now()
        told = walk.id or "sha-256:" + sha256(token.encode()).hexdigest()
        credential = msgspec.structs.replace(
            request.credential, id=f"{request.name}:{told}", issued_at=now, expires_at=walk.ends
        )
        if request.flight:
            kept = Kept(token, credential, request.chain, request.call.server, walk.ends)
            self.cache.put(request.flight, kept, self._servers[request.name].cache_seconds)
        return Obtained(token, credential)

    def _purpose(
        self, name: str, subject_token: str, chain: Chain, server: str, of: tuple[str, tuple[str, ...]]
    ) -> Purpose:
        audience, scope = of
        return Purpose(
            authorization_server=name,
            subject_token=subject_token,
            chain=chain,
            server=server,
            scope=scope,
            audience=audience,
            thumbprint=self._thumbprint(name),
            policy_set=self._policy_set(),
        )

    def _thumbprint(self, name: str) -> str:
        server = self._servers[name]
        return self._keys.proxy.kid if server.client_authentication == "private_key_jwt" else "svid"
