"""Agents that authenticate as workloads: by an OIDC workload token (RFC 7523) or a SPIFFE JWT-SVID.

The token is the client assertion. The agent is the one that `hopward.toml` binds to exactly its issuer and
subject, or to exactly its SPIFFE ID; the keys are those of that issuer or trust domain and of no other, so
that neither another issuer nor a federated trust domain can speak for a workload of this one. What the token
says of its own keys is never followed. Whoever has the network fetches the keys (`Source`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from hopward import keyfile
from hopward.certificates import workload_of
from hopward.clock import Clock, Instant, from_seconds, to_seconds
from hopward.errors import ConfigError, TokenError
from hopward.foreign import Foreign, audiences, foreign_kid, unverified_claims, verify_foreign
from hopward.keysets import KeySet
from hopward.settings import Settings
from hopward.wire import ASSERTION_TYPE, SPIFFE_ASSERTION_TYPE
from hopward.workload import AgentIdentity, IssuerSettings, TrustDomainSettings, spiffe_id

OIDC = ASSERTION_TYPE
"""RFC 7523 section 2.2."""

SPIFFE = SPIFFE_ASSERTION_TYPE
"""draft-ietf-oauth-spiffe-client-auth-02."""

_SKEW = 30
_SVID_TYPES = ("", "JWT", "JOSE")
_CLAIMS = ("iss", "sub", "aud", "exp", "iat")
_SVID_CLAIMS = ("sub", "aud", "exp")


class Book(Protocol):
    """Who remembers which tokens have been used; the ledger does."""

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        """True the first time a value is presented as this kind, in any process."""
        ...

    def seen(self, kind: str, value: str) -> bool:
        """Whether `seen_once` has been told of a value."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """An issuer or a trust domain: its name, where its keys come from, and those that are known now."""

    name: str
    settings: IssuerSettings | TrustDomainSettings
    keys: KeySet


class Proven(NamedTuple):
    """The agent that a workload token proves, and when that token is over."""

    agent: str
    until: Instant


class Workloads:
    """Knows the agents that are bound to workloads. Safe to share between threads."""

    def __init__(self, settings: Settings, book: Book, clock: Clock) -> None:
        self._root = settings.root
        self._audience = settings.authority.issuer
        self._mtls = settings.identity.mtls
        self._book = book
        self._clock = clock
        self._issuers = {
            entry.issuer: Source(f"issuer {name}", entry, KeySet(entry.algorithms, clock))
            for name, entry in settings.identity.issuers.items()
        }
        self._domains = {
            name: Source(f"trust domain {name}", entry, KeySet(entry.algorithms, clock, ("jwt-svid",)))
            for name, entry in settings.identity.trust_domains.items()
        }
        names = {name: entry.issuer for name, entry in settings.identity.issuers.items()}
        bound = {name: agent.identity for name, agent in settings.agents.items() if agent.identity}
        self._agents = {_mark(identity, names): (name, identity) for name, identity in bound.items()}

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every issuer and trust domain whose word counts."""
        return (*self._issuers.values(), *self._domains.values())

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that workload tokens may be signed with."""
        return frozenset(name for source in self.sources for name in source.settings.algorithms)

    @property
    def has_svids(self) -> bool:
        """Whether agents may authenticate with JWT-SVIDs."""
        return bool(self._domains)

    @property
    def mtls_url(self) -> str:
        """Where agents may authenticate with certificates; empty where they may not."""
        return self._mtls.url if self._mtls else ""

    def source(self, assertion_type: str, assertion: str) -> Source | None:
        """Who would have to vouch for an assertion; None where nobody here could. Nothing is verified yet."""
        if assertion_type == SPIFFE:
            found = spiffe_id(_said(assertion, "sub"))
            return self._domains.get(found.trust_domain) if found else None
        return self._issuers.get(_said(assertion, "iss")) if assertion_type == OIDC else None

    def read_files(self) -> None:
        """Read the keys that stand in files; raises `ConfigError` where one cannot be used."""
        for source in filter(_file, self.sources):
            self._read(source)

    def wanting(self, assertion_type: str, assertion: str) -> Source | None:
        """The source whose keys have to be fetched before `authenticate` can know; a file is read here.

        Raises `ConfigError` for a file that can be used no more.
        """
        source = self.source(assertion_type, assertion)
        if source is None or not source.keys.due(foreign_kid(assertion)):
            return None
        if _file(source):
            self._read(source)
            return None
        return source

    def authenticate(self, assertion_type: str, assertion: str, place: str) -> Proven:
        """The agent whose workload a token was issued to, for this authority and nobody else.

        `place` is the address it came from. Raises `TokenError`: with `keys_unavailable` where the keys that
        it takes cannot be had, `seen_twice` where a token comes from another place than before.
        """
        source = self.source(assertion_type, assertion)
        if source is None:
            raise TokenError("Nobody who is known here vouches for the assertion.", error="wrong_issuer")
        claims = verify_foreign(assertion, source.keys.keys, _expected(source), self._clock.now())
        self._check(claims, source)
        agent, identity = self._agent(assertion_type, claims)
        for claim, value in identity.claims.items():
            if claims.get(claim) != value:
                raise TokenError(f"The token's {claim} is not that of the workload.", error="bad_claim")
        self._use(assertion, claims, source, place)
        return Proven(agent, from_seconds(claims["exp"]))

    def authenticate_svid(self, der: bytes, client_id: str) -> Proven:
        """The agent whose workload has shown a certificate over mutual TLS; `client_id` is its SPIFFE ID.

        That it leads to the bundle of the trust domain, TLS has found out. Raises `TokenError`.
        """
        own = spiffe_id(self._mtls.spiffe_id) if self._mtls else None
        if own is None:
            raise TokenError("Certificates count for nothing here.", error="wrong_issuer")
        name, until = workload_of(der, own.trust_domain, self._clock.now())
        if client_id != name:
            raise TokenError("The client_id is not the SPIFFE ID of the certificate.", error="bad_claim")
        agent, _ = self._agent(SPIFFE, {"sub": name})
        return Proven(agent, until)

    def _read(self, source: Source) -> None:
        path = self._root / _file(source)
        try:
            data, _ = keyfile.read(path, public=True)
            source.keys.take(data)
        except (ConfigError, TokenError) as error:
            raise ConfigError(f"{path} cannot be used for {source.name}: {error.message}") from error

    def _check(self, claims: Mapping[str, Any], source: Source) -> None:
        if audiences(dict(claims)) != (self._audience,):
            raise TokenError("The token is not for this authority alone.", error="wrong_audience")
        begun = min(claims.get("iat", to_seconds(self._clock.now())), to_seconds(self._clock.now()))
        if claims["exp"] - begun > source.settings.longest_seconds:
            longest = source.settings.longest_seconds
            raise TokenError(f"The token lives longer than {longest} s.", error="bad_claim")

    def _agent(self, assertion_type: str, claims: Mapping[str, Any]) -> tuple[str, AgentIdentity]:
        who = ("", claims["sub"]) if assertion_type == SPIFFE else (claims["iss"], claims["sub"])
        found = self._agents.get(who)
        if found is None:
            raise TokenError("No agent is bound to this workload.", error="unknown_workload")
        return found

    def _use(self, assertion: str, claims: Mapping[str, Any], source: Source, place: str) -> None:
        until = from_seconds(claims["exp"])
        if source.settings.use == "once":
            if not claims.get("jti"):
                raise TokenError("The token has no jti, so it could be used again.", error="bad_claim")
            if not self._book.seen_once("workload_token", f"{source.name} {claims['jti']}", until):
                raise TokenError("The token has been used before.", error="replayed")
            return
        # Not its signature: of that there are several for the same token.
        token = sha256(assertion.rpartition(".")[0].encode("ascii")).hexdigest()
        if self._book.seen("workload_exposed", token):
            raise TokenError("The token has come from two places.", error="seen_twice")
        if self._book.seen_once("workload_token", token, until):
            self._book.seen_once("workload_place", f"{token} {place}", until)
        elif not self._book.seen("workload_place", f"{token} {place}"):
            self._book.seen_once("workload_exposed", token, until)
            raise TokenError("The token has come from another place before.", error="seen_twice")


def _file(source: Source) -> str:
    entry = source.settings
    return entry.jwks_file if isinstance(entry, IssuerSettings) else entry.bundle_file


def _mark(identity: AgentIdentity, names: Mapping[str, str]) -> tuple[str, str]:
    """Issuer and subject; no issuer stands for SPIFFE."""
    return ("", identity.spiffe_id) if identity.spiffe_id else (names[identity.issuer], identity.subject)


def _expected(source: Source) -> Foreign:
    entry = source.settings
    algorithms = frozenset[str](entry.algorithms)
    if isinstance(entry, IssuerSettings):
        types = (entry.type,) if entry.type else ("", "JWT")
        return Foreign(algorithms, types, entry.issuer, None, _CLAIMS, _SKEW)
    return Foreign(algorithms, _SVID_TYPES, None, None, _SVID_CLAIMS, _SKEW)


def _said(assertion: str, claim: str) -> str:
    """What an assertion says, before anything of it is known to be true; empty where that is no text."""
    try:
        value: object = unverified_claims(assertion).get(claim) if assertion.isascii() else None
    except TokenError:
        return ""
    return value if isinstance(value, str) else ""
