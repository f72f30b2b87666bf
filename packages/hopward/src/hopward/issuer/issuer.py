"""Every token that one installation mints, and what is said about them afterwards."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from hopward import claims, pattern, revocation, selfsigned, standing, statement
from hopward.canonical import digest
from hopward.chain import entered
from hopward.claims import CallDetails, Presented
from hopward.clock import Clock, Instant, from_seconds, to_seconds
from hopward.containment import why_tool_contained
from hopward.delegation import led
from hopward.errors import ExchangeRefusedError, HopwardError, StateError, TokenError
from hopward.exchange import (
    PROXY,
    Client,
    ExchangeRequest,
    Grant,
    Limits,
    as_of,
    check,
    checked,
    clients_of,
    endpoint,
    handed_on,
    targets_of,
)
from hopward.issuer.handing import Delegator, check_asked, handed
from hopward.issuer.minting import (
    Book,
    Issued,
    Keys,
    Prepared,
    call_claims,
    credential_of,
    credential_row,
    for_authority,
    issue,
    token_type,
)
from hopward.jose import Expected, Verified, sign, verify
from hopward.jwk import VerificationKey, thumbprint
from hopward.model import Chain, Credential, Delegation, Task, ToolCall
from hopward.record import Draft
from hopward.secevent import TYPE as EVENT_TYPE
from hopward.settings import Settings
from hopward.statuslist import BITS, INVALID, SUSPENDED, VALID, encoded
from hopward.statuslist import TYPE as STATUS_TYPE
from hopward.wire import SELF_SIGNED_TYPE, ExchangeForm, exchange_members

STATUS_SECONDS = 60
"""How long a status list may be used without a look at a newer one."""

_SUSPENDING = ("quarantined", "stopped", "agent_suspended")
"""Reasons that a person can take back."""


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
        # Alike for every call of a tool but for the time; what is refused is not kept.
        self._checked = lru_cache(maxsize=1024)(self._planned)

    @property
    def longest_token_seconds(self) -> int:
        """How long a key must go on verifying after it has signed for the last time."""
        tasks = [workflow.expires_in for workflow in self._settings.workflows.values()]
        return max([self._limits.token_seconds, *tasks])

    def client_keys(self) -> list[tuple[str, VerificationKey, Instant | None]]:
        """Client id, a public key it authenticates with, and until when, if that ends.

        A client without one cannot authenticate with a key.
        """
        agents = self._settings.agents
        jwks = {
            **{name: agent.key for name, agent in agents.items()},
            **{f"server:{name}": server.key for name, server in self._settings.servers.items()},
            **{f"client:{name}": client.key for name, client in self._settings.clients.items()},
        }
        former = [(name, agent.former_key) for name, agent in agents.items() if agent.former_key]
        return [
            *((name, VerificationKey.from_jwk(jwk), None) for name, jwk in jwks.items() if jwk),
            *((name, VerificationKey.from_jwk(old.jwk), old.ends_at) for name, old in former),
            (PROXY, self._keys.proxy_key, None),
        ]

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

    @property
    def status_list(self) -> str:
        """The address of the status list; empty where there is none."""
        authority = self._settings.authority
        return f"{authority.issuer.rstrip('/')}/statuslist" if authority.status_list else ""

    def published_statuses(self, book: Book) -> str:
        """The status list token (draft-ietf-oauth-status-list-20 section 5.1), as of now.

        Raises `TokenError` where too many tokens are revoked at once for it to be read, `LedgerError`.
        """
        now = self.clock.now()
        found = {index: self._status(body, book, now) for index, body in book.statuses()}
        content = {
            "iss": self.issuer,
            "sub": self.status_list,
            "iat": to_seconds(now),
            "exp": to_seconds(now) + 2 * STATUS_SECONDS,
            "ttl": STATUS_SECONDS,
            "status_list": {"bits": BITS, "lst": encoded({at: one for at, one in found.items() if one})},
        }
        return sign(content, self._keys.signing, STATUS_TYPE)

    def _issue(self, prepare: Callable[[], Prepared], book: Book) -> Issued:
        return issue(prepare, self._keys, book, self.status_list)

    def _status(self, body: dict[str, Any], book: Book, now: Instant) -> int:
        fallen = standing.of_token(claims.read(body["claims"], body["key"]), book, now)
        if fallen is None:
            return VALID
        return SUSPENDED if fallen[0] in _SUSPENDING else INVALID

    def signed_event(self, content: dict[str, Any]) -> str:
        """A security event token (RFC 8417) of this authority."""
        return sign(content, self._keys.signing, EVENT_TYPE)

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
        verified = self._verified(token)
        return claims.read(verified.claims, verified.kid)

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        """The credential one call of a chain may get: the proxy's exchange of the chain at that server.

        Raises `ExchangeRefusedError` where the exchange is refused.
        """
        server = self._settings.servers.get(call.server)
        if server is None or task.id != chain.task:
            raise ExchangeRefusedError("There is no such target.", error="invalid_target")
        request, grant = self._checked(call.server, call.tool, chain, min(chain.expires_at, task.expires_at))
        credential = credential_of(as_of(now, grant, request, self._limits))
        delivery = server.credential
        if delivery.by in ("header", "variable"):
            source = (
                f"keyring:{delivery.keyring}" if delivery.keyring else f"environment:{delivery.environment}"
            )
            return msgspec.structs.replace(credential, id=source, kind="brokered")
        if delivery.authorization_server or self._settings.authority.mode == "remote":
            return msgspec.structs.replace(credential, id="", kind="exchanged")
        return credential

    def _planned(
        self, server: str, tool: str, chain: Chain, expires_at: Instant
    ) -> tuple[ExchangeRequest, Grant]:
        request = ExchangeRequest(
            client=self.clients[PROXY],
            subject=self._held(chain, expires_at, server),
            target=self._settings.servers[server].resource,
            scope=(f"{server}/{tool}",),
            # What is planned says nothing of the arguments: `mint` digests those of the call.
            call=CallDetails(server=server, tool=tool, arguments_digest=""),
        )
        return request, checked(request, self.targets, self._limits)

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
        content = claims.write(credential, self.issuer, PROXY) | call_claims(details)
        return sign(content, self._keys.signing, claims.TYPE)

    def statement(self, credential: Credential, call: CallDetails, token: str) -> str:
        """The signed form of a chain that goes with somebody else's token for a planned call.

        Raises `StateError` where this process has no key to sign with.
        """
        return statement.write(credential, call, token, self.issuer, self._keys.signing)

    def exchange(self, form: ExchangeForm, client: Client, book: Book, bound: str = "") -> Issued:
        """Exchange tokens for an authenticated client (RFC 8693).

        `bound` names the key that the client has proved to hold: the token is bound to it. Raises
        `ExchangeRefusedError` with the OAuth error code, `LedgerError` if it cannot be recorded.
        """
        self._check_proved(client.id, bound)
        request = msgspec.structs.replace(self._request(form, client, book), bound=bound)
        issued = self._issue(lambda: self._exchanged(request, book), book)
        return replace(issued, more=exchange_members(form))

    def hand_on(
        self, form: ExchangeForm, client: Client, book: Book, guard: Delegator, bound: str = ""
    ) -> Issued:
        """The token of a hop, for the agent that the form names, if the guard permits the hop.

        `bound` names the key that the client has proved to hold. The token is not bound to it: it is for
        another agent, which exchanges it with a token of its own. Where it is permitted and no token comes of
        it, the hop is ended again. Raises `ExchangeRefusedError` with the OAuth error code, `LedgerError` if
        it cannot be recorded.
        """
        self._check_proved(client.id, bound)
        request = msgspec.structs.replace(self._request(form, client, book), bound=bound)
        chain = handed_on(request, self._settings.agents, self.clock.now(), self._limits)
        fallen = revocation.why_fallen(book.standing(chain), chain, self.clock.now())
        if fallen is not None or request.delegation is None:
            raise ExchangeRefusedError(fallen[1] if fallen else "Nothing is handed on.")
        check_asked(request.delegation)
        agent = claims.agent(form.target)
        key = self._settings.agents[agent].key
        opened = guard.delegate(chain, agent, request.delegation, thumbprint(key) if key else "")
        try:
            return self.hop_token(opened, book)
        except HopwardError:
            if opened.chain is not None:
                with suppress(HopwardError):
                    guard.complete_hop(opened.chain)
            raise

    def hop_token(self, delegation: Delegation, book: Book) -> Issued:
        """The token of a hop that was permitted in this process, for its agent to exchange.

        Raises `ExchangeRefusedError` for a hop that was refused, or no longer counts.
        """
        permitted = handed(delegation)
        return self._issue(lambda: permitted.prepared(self.issuer, book, self.clock.now()), book)

    def agent_token(self, agent: str, book: Book, bound: str = "", *, until: Instant | None = None) -> Issued:
        """An agent's own token, to be its `actor_token`: it says who acts, and carries no authority.

        `bound` names the key that the agent has proved to hold: the token is bound to it. It is over at
        `until` at the latest: when that is which the agent has authenticated with. Raises
        `ExchangeRefusedError` unless the agent is registered and active.
        """
        self._check_proved(agent, bound)
        return self._issue(lambda: self._identified(agent, book, bound, until), book)

    def task_token(self, task: Task, book: Book) -> Issued:
        """The token of a task, for its agent to exchange: it says what, for whom, and who must act.

        Raises `StateError` unless the task is open and everything it stands on counts.
        """
        if claims.is_agent(task.subject):
            raise StateError("The subject of a task is never an agent.")
        return self._issue(lambda: self._entrusted(task, book), book)

    def endpoint_token(
        self, chain: Chain, server: str, book: Book, client: str = "", bound: str = ""
    ) -> Issued:
        """The access token of a chain of this process for the proxy's endpoint of a server.

        It says what an exchange over the network would have said. `client` is the OAuth client that gets it,
        where that is not the agent itself, `bound` names the key that it has proved to hold. Raises
        `ExchangeRefusedError` for a chain that has fallen or does not reach the server.
        """
        holder = client or chain.actor
        return self._issue(lambda: self._admitted(chain, server, book, holder, bound), book)

    def introspect(self, token: str, client: Client, book: Book) -> dict[str, Any]:
        """What an authenticated client may know about a token (RFC 7662): about its own, and those for it.

        `{"active": False}` and nothing else about any other token, and about one that no longer counts.
        """
        try:
            verified = self._verified(token)
            presented = claims.read(verified.claims, verified.kid)
        except TokenError:
            return {"active": False}
        concerned = client.id in presented.holders or presented.audience in client.audiences
        if not concerned or standing.of_token(presented, book, self.clock.now()) is not None:
            return {"active": False}
        kind = token_type(presented.bound)
        return {"active": True, "token_type": kind, **presented.described, **_details(verified)}

    def _check_proved(self, client: str, bound: str) -> None:
        """That an agent whose tokens have to be bound has proved to hold a key (RFC 9449 section 5.2)."""
        agent = self._settings.agents.get(client)
        if agent is not None and agent.dpop == "required" and not bound:
            sentence = f"Tokens of agent {client} are bound to a key: send a DPoP proof."
            raise ExchangeRefusedError(sentence, error="invalid_dpop_proof")

    def _verified(self, token: str) -> Verified:
        expected = Expected(types=(claims.TYPE,), issuer=self.issuer, audience=None)
        return verify(token, self._keys.verification_keys(), expected, self.clock.now())

    def _request(self, form: ExchangeForm, client: Client, book: Book) -> ExchangeRequest:
        return ExchangeRequest(
            client=client,
            subject=self._subject(form, client, book),
            actor=self._opened(form.actor_token) if form.actor_token else None,
            target=form.target,
            scope=form.scope,
            call=form.call,
            delegation=form.delegation,
        )

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
        """The chain that a session of the proxy speaks for: its task's own, and on along its hops."""
        found = book.standing(session.chain)
        task = found.task
        if task is None or len(found.hops) != len(session.hops):
            raise ExchangeRefusedError("There is no such hop." if task else "There is no such task.")
        target = self.targets.get(resource)
        chain = led(task, (one.hop for one in found.hops))
        chain = msgspec.structs.replace(
            chain, subject=session.subject, token=session.id, key=session.key, lineage=session.lineage
        )
        until = min(chain.expires_at, task.expires_at)
        held = self._held(chain, until, target.server if target else "")
        return msgspec.structs.replace(held, expires_at=min(held.expires_at, session.expires_at))

    def _opened(self, token: str) -> Presented:
        try:
            return self.verify(token)
        except TokenError as error:
            raise ExchangeRefusedError(error.message) from error

    def _held(self, chain: Chain, expires_at: Instant, server: str) -> Presented:
        """The chain as the token that was presented at that server's endpoint, or would have been."""
        return Presented(
            token=chain.token,
            issuer=self.issuer,
            subject=chain.subject,
            audience=endpoint(self._settings, server),
            client=chain.actors[-1] if chain.actors else "",
            issued_at=chain.issued_at,
            expires_at=expires_at,
            key=chain.key,
            actors=chain.actors,
            scope=chain.scope,
            task=chain.task,
            lineage=chain.lineage,
            hops=chain.hops,
        )

    def _exchanged(self, request: ExchangeRequest, book: Book) -> Prepared:
        now = self.clock.now()
        grant = check(request, self.targets, now, self._limits)
        epoch, fallen = standing.of_exchange(request, grant, book, now)
        if fallen is not None:
            raise ExchangeRefusedError(fallen[1])
        credential = credential_of(grant)
        draft = credential_row(credential, request.client.id, epoch)
        draft = msgspec.structs.replace(draft, server=grant.target.server, agent=grant.actors[-1])
        content = claims.write(credential, self.issuer, request.client.id)
        if grant.call is not None:
            draft = msgspec.structs.replace(draft, tool=grant.call.tool, decision=grant.call.decision)
            content |= call_claims(grant.call)
        return Prepared(credential, content, draft)

    def _admitted(self, chain: Chain, server: str, book: Book, client: str, bound: str) -> Prepared:
        self._check_proved(chain.actor, bound)
        now = self.clock.now()
        found = book.standing(chain)
        fallen = revocation.why_fallen(found, chain, now)
        fallen = fallen or why_tool_contained(found.containments, server)
        if fallen is not None:
            raise ExchangeRefusedError(fallen[1])
        scope = pattern.meet(chain.scope, (f"{server}/*",))
        if not scope:
            raise ExchangeRefusedError(f"The chain does not reach {server}.", error="invalid_scope")
        longest = to_seconds(now) + self._limits.token_seconds
        ends = from_seconds(min(longest, to_seconds(chain.expires_at)))
        held = msgspec.structs.replace(chain, scope=scope, issued_at=now, expires_at=ends)
        audience = endpoint(self._settings, server)
        credential = for_authority(audience, chain.subject, held, chain.actors)
        credential = msgspec.structs.replace(credential, bound=bound)
        draft = credential_row(credential, client, found.epoch)
        draft = msgspec.structs.replace(draft, server=server, agent=chain.actor)
        return Prepared(credential, claims.write(credential, self.issuer, client), draft)

    def _identified(self, agent: str, book: Book, bound: str, until: Instant | None) -> Prepared:
        now = self.clock.now()
        ends = from_seconds(to_seconds(now) + self._limits.token_seconds)
        if until is not None:
            ends = min(ends, until)
        chain = Chain(task="", subject="", actors=(agent,), issued_at=now, expires_at=ends, scope=())
        found = book.standing(chain)
        fallen = revocation.why_agent_stopped(found, chain)
        if fallen is not None:
            raise ExchangeRefusedError(fallen[1], error="unauthorized_client")
        credential = for_authority(self.issuer, claims.principal(agent), chain)
        credential = msgspec.structs.replace(credential, bound=bound)
        content = claims.write(credential, self.issuer, agent)
        return Prepared(credential, content, credential_row(credential, agent, found.epoch))

    def _entrusted(self, task: Task, book: Book) -> Prepared:
        now = self.clock.now()
        chain = entered(task)
        found = book.standing(chain)
        fallen = revocation.why_fallen(found, chain, now)
        if fallen is not None or to_seconds(task.expires_at) <= to_seconds(now):
            why = fallen[1] if fallen else "Less than a second is left of the task."
            raise StateError(why, advice="hopward task open starts a new one.")
        held = msgspec.structs.replace(chain, issued_at=now, scope=pattern.normal(chain.scope))
        credential = for_authority(self.issuer, task.subject, held)
        content = claims.write(credential, self.issuer, task.agent)
        content["may_act"] = {"iss": self.issuer, "sub": claims.principal(task.agent)}
        return Prepared(credential, content, credential_row(credential, task.agent, found.epoch))


def _details(verified: Verified) -> dict[str, Any]:
    """What a token says in `authorization_details`, if it does."""
    return {name: value for name, value in verified.claims.items() if name == "authorization_details"}
