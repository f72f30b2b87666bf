"""The issuer: mints task tokens, agent tokens, access tokens for the proxy, and credentials for single calls.

The authority calls it over HTTP, the proxy in its own process; `hopward.exchange.check` decides for both.
A token is signed only after the row that names it is durable.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from hopward import claims, pattern, revocation, selfsigned, standing
from hopward.canonical import digest
from hopward.chain import entered
from hopward.claims import CallDetails, Presented
from hopward.clock import Clock, Instant, from_seconds, to_seconds
from hopward.errors import ExchangeRefusedError, StateError, TokenError
from hopward.exchange import (
    PROXY,
    Client,
    ExchangeRequest,
    Grant,
    Limits,
    check,
    clients_of,
    endpoint,
    targets_of,
)
from hopward.jose import Expected, sign, verify
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import Chain, Credential, Task, ToolCall, plain
from hopward.record import Draft, Receipt
from hopward.settings import Settings
from hopward.wire import SELF_SIGNED_TYPE, ExchangeForm, exchange_members

_ROUNDS = 4
"""How often an exchange is checked again when standing changed between check and commit."""


class Keys(Protocol):
    """The keys an issuer needs: `hopward.keys.KeyRing`, or `PublishedKeys` where the authority is remote."""

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        ...

    @property
    def proxy_key(self) -> VerificationKey:
        """The proxy's own key, public part."""
        ...

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """By `kid`, every key whose tokens may still be good."""
        ...

    def jwks(self) -> dict[str, Any]:
        """The JWKS document, the key that signs now first."""
        ...

    def rotate(self, *, keep: int) -> SigningKey:
        """Sign with a new key; the old one verifies for `keep` seconds more."""
        ...

    def drop(self, kid: str) -> bool:
        """Neither publish nor accept a key any more, nor sign with it; False if there is no such key."""
        ...


class Book(standing.Standings, Protocol):
    """What the issuer needs of the ledger."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts durably."""
        ...

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        """True the first time a value is presented as this kind, in any process."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """A token fresh from the key, and what may be said about it. `expires_in` is seconds.

    `more` is what an exchange answers besides (RFC 8693, RFC 9396).
    """

    token: str
    id: str
    scope: tuple[str, ...]
    expires_in: int
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def answer(self) -> dict[str, Any]:
        """The token response (RFC 6749 section 5.1)."""
        scope = {"scope": claims.scope_text(self.scope)} if self.scope else {}
        return {
            "access_token": self.token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            **scope,
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class _Prepared:
    credential: Credential
    content: claims.Content
    draft: Draft


class Issuer:
    """Mints everything one installation mints. Safe to share between threads."""

    def __init__(self, *, settings: Settings, keyring: Keys, clock: Clock) -> None:
        """Raises `ConfigError` when the settings hold targets or clients that could be confused."""
        self.issuer = settings.authority.issuer
        self.targets = targets_of(settings)
        self.clients = clients_of(settings)
        self.clock = clock
        self._settings = settings
        self._keys = keyring
        self._limits = Limits(issuer=self.issuer)

    @property
    def longest_token_seconds(self) -> int:
        """How long a key must go on verifying after it has signed for the last time."""
        tasks = [workflow.expires_in for workflow in self._settings.workflows.values()]
        return max([self._limits.token_seconds, *tasks])

    def client_keys(self) -> dict[str, VerificationKey]:
        """By client id, the public key each client authenticates with; without one it cannot."""
        jwks = {
            **{name: agent.key for name, agent in self._settings.agents.items()},
            **{f"server:{name}": server.key for name, server in self._settings.servers.items()},
        }
        keys = {name: VerificationKey.from_jwk(jwk) for name, jwk in jwks.items() if jwk}
        return {**keys, PROXY: self._keys.proxy_key}

    def jwks(self) -> dict[str, Any]:
        """The JWKS document: the public keys that verify what is minted here."""
        return self._keys.jwks()

    def rotate(self, book: Book) -> str:
        """Sign with a new key from now on, and return its `kid`. Recorded before and after.

        The old key verifies as long as a token it signed may live. To stop it at once, revoke it
        (`Guard.revoke`), which withdraws it too.
        """
        old, keep = self._keys.signing.kid, self.longest_token_seconds
        begun = {"event": "rotation", "active": old}
        book.record([Draft(kind="key", at=self.clock.now(), record=begun)])
        new = self._keys.rotate(keep=keep).kid
        done = {"event": "rotated", "active": new, "retired": old, "keep_seconds": keep}
        book.record([Draft(kind="key", at=self.clock.now(), record=done)])
        return new

    def withdraw(self, kid: str, book: Book) -> None:
        """Stop publishing and accepting a revoked signing key, so that servers which only look at the JWKS
        refuse what it signed; a new key takes the place of the active one. Recorded. A key that is not
        ours is left alone.
        """
        if self._keys.drop(kid):
            active = self._keys.jwks()["keys"][0]["kid"]
            done = {"event": "withdrawn", "active": active, "withdrawn": kid}
            book.record([Draft(kind="key", at=self.clock.now(), record=done)])

    def verify(self, token: str) -> Presented:
        """A token minted here, genuine and unexpired; raises `TokenError`. Standing is not looked at."""
        expected = Expected(types=(claims.TYPE,), issuer=self.issuer, audience=None)
        verified = verify(token, self._keys.verification_keys(), expected, self.clock.now())
        return claims.read(verified.claims, verified.kid)

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        """The credential one call of a chain may get: the proxy's exchange of the chain at that server.

        Raises `ExchangeRefusedError` where the exchange is refused.
        """
        server = self._settings.servers.get(call.server)
        if server is None or task.id != chain.task:
            raise ExchangeRefusedError("There is no such target.", error="invalid_target")
        request = ExchangeRequest(
            client=self.clients[PROXY],
            subject=self._held(chain, task, call.server),
            target=server.resource,
            scope=(call.name,),
            call=CallDetails(server=call.server, tool=call.tool, arguments_digest=digest(call.arguments)),
        )
        credential = _credential(check(request, self.targets, now, self._limits))
        delivery = server.credential
        if delivery.by in ("header", "variable"):
            source = (
                f"keyring:{delivery.keyring}" if delivery.keyring else f"environment:{delivery.environment}"
            )
            return msgspec.structs.replace(credential, id=source, kind="brokered")
        if self._settings.authority.mode == "remote":
            return msgspec.structs.replace(credential, id="", kind="exchanged")
        return credential

    def mint(self, credential: Credential, decision: str, call: ToolCall) -> str:
        """The token of a planned credential; empty where an API key is brokered instead.

        Raises `ExchangeRefusedError` if the credential is over, is for another call, or is not minted here.
        """
        if credential.kind == "brokered":
            return ""
        target = self.targets.get(credential.audience)
        if credential.kind != "token":
            raise ExchangeRefusedError("A remote authority mints this credential.", error="server_error")
        if (
            target is None
            or (target.kind, target.server) != ("upstream", call.server)
            or credential.scope != claims.scope_text([call.name])
        ):
            raise ExchangeRefusedError("The credential was planned for another call.", error="invalid_target")
        if credential.expires_at <= self.clock.now():
            raise ExchangeRefusedError("The credential is over.")
        details = CallDetails(
            server=call.server,
            tool=call.tool,
            arguments_digest=digest(call.arguments),
            decision=decision,
        )
        content = claims.write(credential, self.issuer, PROXY) | _call_claims(details)
        return sign(content, self._keys.signing, claims.TYPE)

    def exchange(self, form: ExchangeForm, client: Client, book: Book) -> Issued:
        """Exchange tokens for an authenticated client (RFC 8693).

        Raises `ExchangeRefusedError` with the OAuth error code, `LedgerError` if it cannot be recorded.
        """
        request = ExchangeRequest(
            client=client,
            subject=self._subject(form, client, book),
            actor=self._opened(form.actor_token) if form.actor_token else None,
            target=form.target,
            scope=form.scope,
            call=form.call,
        )
        issued = self._issue(lambda: self._exchanged(request, book), book)
        return replace(issued, more=exchange_members(form))

    def agent_token(self, agent: str, book: Book) -> Issued:
        """An agent's own token, to be its `actor_token`: it says who acts, and carries no authority.

        Raises `ExchangeRefusedError` unless the agent is registered and active.
        """
        return self._issue(lambda: self._identified(agent, book), book)

    def task_token(self, task: Task, book: Book) -> Issued:
        """The token of a task, for its agent to exchange: it says what, for whom, and who must act.

        Raises `StateError` unless the task is open and everything it stands on counts.
        """
        if claims.is_agent(task.subject):
            raise StateError("The subject of a task is never an agent.")
        return self._issue(lambda: self._entrusted(task, book), book)

    def introspect(self, token: str, client: Client, book: Book) -> dict[str, Any]:
        """What an authenticated client may know about a token (RFC 7662): about its own, and those for it.

        `{"active": False}` and nothing else about any other token, and about one that no longer counts.
        """
        try:
            presented = self.verify(token)
        except TokenError:
            return {"active": False}
        concerned = presented.client == client.id or presented.audience in client.audiences
        if not concerned or standing.of_token(presented, book, self.clock.now()) is not None:
            return {"active": False}
        return {"active": True, "token_type": "Bearer", **presented.described}

    def _subject(self, form: ExchangeForm, client: Client, book: Book) -> Presented:
        if form.subject_token_type != SELF_SIGNED_TYPE:
            return self._opened(form.subject_token)
        if client.role != "proxy":
            raise ExchangeRefusedError("Only the proxy may present a token it has signed itself.")
        try:
            session = selfsigned.read(form.subject_token, self._keys.proxy_key, self.issuer, self.clock.now())
        except TokenError as error:
            raise ExchangeRefusedError(error.message) from error
        if not book.seen_once("session_token", session.id, session.expires_at):
            raise ExchangeRefusedError("The subject_token has been used before.")
        return self._entered(session, form.target, book)

    def _entered(self, session: selfsigned.Session, resource: str, book: Book) -> Presented:
        """The chain that a session of the proxy speaks for: its task's own, entered by the task's agent."""
        task = book.standing(session.chain).task
        if task is None:
            raise ExchangeRefusedError("There is no such task.")
        target = self.targets.get(resource)
        chain = msgspec.structs.replace(
            entered(task), subject=session.subject, token=session.id, key=session.key
        )
        held = self._held(chain, task, target.server if target else "")
        return msgspec.structs.replace(held, expires_at=min(held.expires_at, session.expires_at))

    def _opened(self, token: str) -> Presented:
        try:
            return self.verify(token)
        except TokenError as error:
            raise ExchangeRefusedError(error.message) from error

    def _held(self, chain: Chain, task: Task, server: str) -> Presented:
        """The chain as the token that was presented at that server's endpoint, or would have been."""
        return Presented(
            token=chain.token,
            issuer=self.issuer,
            subject=chain.subject,
            audience=endpoint(self._settings, server),
            client=chain.actors[-1] if chain.actors else "",
            issued_at=chain.issued_at,
            expires_at=min(chain.expires_at, task.expires_at),
            key=chain.key,
            actors=chain.actors,
            scope=chain.scope,
            task=chain.task,
            lineage=chain.lineage,
            hops=chain.hops,
        )

    def _exchanged(self, request: ExchangeRequest, book: Book) -> _Prepared:
        now = self.clock.now()
        grant = check(request, self.targets, now, self._limits)
        epoch, fallen = standing.of_exchange(request, grant, book, now)
        if fallen is not None:
            raise ExchangeRefusedError(fallen[1])
        credential = _credential(grant)
        draft = _draft(credential, request.client.id, epoch)
        draft = replace(draft, server=grant.target.server, agent=grant.actors[-1], hops=grant.hops)
        content = claims.write(credential, self.issuer, request.client.id)
        if grant.call is not None:
            draft = replace(draft, tool=grant.call.tool, decision=grant.call.decision)
            content |= _call_claims(grant.call)
        return _Prepared(credential, content, draft)

    def _identified(self, agent: str, book: Book) -> _Prepared:
        now = self.clock.now()
        ends = from_seconds(to_seconds(now) + self._limits.token_seconds)
        chain = Chain(task="", subject="", actors=(agent,), issued_at=now, expires_at=ends, scope=())
        found = book.standing(chain)
        fallen = revocation.why_agent_fallen(found.agents.get(agent), agent)
        if fallen is not None:
            raise ExchangeRefusedError(fallen[1], error="unauthorized_client")
        credential = self._own(claims.principal(agent), chain)
        content = claims.write(credential, self.issuer, agent)
        return _Prepared(credential, content, replace(_draft(credential, agent, found.epoch), agent=agent))

    def _entrusted(self, task: Task, book: Book) -> _Prepared:
        now = self.clock.now()
        chain = entered(task)
        found = book.standing(chain)
        fallen = revocation.why_fallen(found, chain, now)
        if fallen is not None or to_seconds(task.expires_at) <= to_seconds(now):
            why = fallen[1] if fallen else "Less than a second is left of the task."
            raise StateError(why, advice="hopward task open starts a new one.")
        held = msgspec.structs.replace(chain, issued_at=now, scope=pattern.normal(chain.scope))
        credential = self._own(task.subject, held)
        content = claims.write(credential, self.issuer, task.agent)
        content["may_act"] = {"iss": self.issuer, "sub": claims.principal(task.agent)}
        draft = replace(_draft(credential, task.agent, found.epoch), agent=task.agent)
        return _Prepared(credential, content, draft)

    def _own(self, subject: str, chain: Chain) -> Credential:
        """A token for the authority itself, which names no actor yet."""
        return Credential(
            id=_new_id(),
            kind="token",
            audience=self.issuer,
            scope=claims.scope_text(chain.scope),
            subject=subject,
            actors=(),
            task=chain.task,
            issued_at=chain.issued_at,
            expires_at=chain.expires_at,
        )

    def _issue(self, prepare: Callable[[], _Prepared], book: Book) -> Issued:
        """Sign what is prepared once its row is durable; prepare again when standing changed meanwhile."""
        for _ in range(_ROUNDS):
            prepared = prepare()
            if book.record([prepared.draft])[0].refused:
                continue
            content = prepared.content
            return Issued(
                token=sign(content, self._keys.signing, claims.TYPE),
                id=prepared.credential.id,
                scope=claims.scope_names(prepared.credential.scope),
                expires_in=content["exp"] - content["iat"],
            )
        sentence = "Tasks or revocations keep changing; try again."
        raise ExchangeRefusedError(sentence, error="temporarily_unavailable")


def _new_id() -> str:
    return "tok_" + secrets.token_hex(16)


def _credential(grant: Grant) -> Credential:
    return Credential(
        id=_new_id(),
        kind="token",
        audience=grant.target.resource,
        scope=claims.scope_text(grant.scope),
        subject=grant.subject,
        actors=grant.actors,
        task=grant.task,
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
        lineage=grant.lineage,
        hops=grant.hops,
    )


def _call_claims(call: CallDetails) -> claims.Content:
    details: claims.Content = {"authorization_details": call.claim()}
    return {**details, "decision": call.decision} if call.decision else details


def _draft(credential: Credential, client: str, epoch: int) -> Draft:
    record = {"credential": plain(credential), "client": client}
    return Draft(kind="credential", at=credential.issued_at, record=record, task=credential.task, epoch=epoch)
