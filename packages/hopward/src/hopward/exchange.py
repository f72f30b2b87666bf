"""The rules of a token exchange (RFC 8693): who may turn which token into which. Pure; no keys, no network.

RFC 8693 validates subject token and actor token each on its own and never relates them, which lets an
intermediary splice two chains into one. `check` relates them, and is the only way to a grant: the authority
over HTTP and the proxy in its own process both go through it. Its twelve checks:

     1  the client is registered, and of a kind that may exchange (who it is, has been authenticated before)
     2  both tokens are ours and current; what they stand on has not fallen (`hopward.revocation`)
     3  the subject token is addressed to this very client
     4  an agent exchanges only as itself: the actor token is its own, `may_act` is there and names it; the
        proxy is no party to the chain and brings none. Nothing is inferred from a parameter left out
     5  every actor of the subject token stays in the chain
     6  scope lies within the subject token's and within the target's
     7  nothing outlives what it was exchanged from
     8  one target, registered, and open to this client
     9  no actor twice in a chain, and no more actors than allowed
    10  the result names every token and key it was exchanged from
    11  a token bound to a key (`cnf`) is exchanged by who proves to hold that key, and what comes of it is
        bound to the same; the proxy has had its caller prove that, and what it gets is bound to its own key,
        or used up by one call
    12  no parameter occurs twice (`hopward.wire`, where parameters are read)

Where the target is another agent, `handed_on` makes the same checks and leads to the chain that asks; what a
hop may carry instead of 6, and how long instead of 7, the guard decides (`hopward.delegation`).
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from hopward import pattern
from hopward.claims import CallDetails, Party, Presented, is_agent, principal
from hopward.clock import Instant, from_seconds, to_seconds
from hopward.errors import ConfigError, ExchangeRefusedError
from hopward.model import MOST_ACTORS, Chain, Narrowing, Value
from hopward.settings import Settings

PROXY = "hopward-proxy"
"""The proxy's client id, wherever it runs."""

_RESOURCE = re.compile(r"[a-z][a-z0-9+.-]*:[\x21\x22\x24-\x7E]+")


class Client(Value, frozen=True):
    """A party that may authenticate at the authority.

    `targets` are the resource indicators it may obtain tokens for. `audiences` are the resource indicators it
    answers to itself: a token for one of them is addressed to it.
    """

    id: str
    role: Literal["agent", "proxy", "server", "login"]
    targets: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


class Target(Value, frozen=True):
    """What a token may be for: a proxy endpoint, or the upstream server itself (one tool call at a time)."""

    resource: str
    server: str
    kind: Literal["endpoint", "upstream"]


class Limits(Value, frozen=True):
    """Whose tokens these are, and how far they reach: seconds of life, and actors in a chain."""

    issuer: str
    token_seconds: int = 900
    credential_seconds: int = 60
    actors: int = MOST_ACTORS


class ExchangeRequest(Value, frozen=True):
    """What an authenticated client asks for, its tokens verified. Empty `scope` asks for all it can have.

    `bound` names the key that the client has proved to hold, as in `Chain`.
    """

    client: Client
    subject: Presented
    target: str
    actor: Presented | None = None
    scope: tuple[str, ...] = ()
    call: CallDetails | None = None
    delegation: Narrowing | None = None
    bound: str = ""


class Grant(Value, frozen=True):
    """What may be minted, and nothing beyond it."""

    client: str
    target: Target
    subject: str
    actors: tuple[str, ...]
    scope: tuple[str, ...]
    task: str
    issued_at: Instant
    expires_at: Instant
    lineage: tuple[str, ...]
    hops: tuple[str, ...] = ()
    call: CallDetails | None = None
    bound: str = ""


def endpoint(settings: Settings, server: str) -> str:
    """The resource indicator of a server's endpoint at the proxy: the audience of its callers' tokens."""
    return f"{settings.proxy.public_url.rstrip('/')}/{server}/mcp"


def targets_of(settings: Settings) -> dict[str, Target]:
    """Every target by its resource indicator (RFC 8707).

    Raises `ConfigError` if one is no absolute URI without fragment, or if two could be taken for each other:
    a token for one of them would open the other.
    """
    targets: dict[str, Target] = {}
    alike = {_folded(settings.authority.issuer): "the authority"}
    for server, entry in settings.servers.items():
        for target in (
            Target(resource=endpoint(settings, server), server=server, kind="endpoint"),
            Target(resource=entry.resource, server=server, kind="upstream"),
        ):
            resource = target.resource
            if not _RESOURCE.fullmatch(resource) or is_agent(resource):
                raise ConfigError(f"{resource!r} of server {server} is no resource indicator (RFC 8707).")
            owner = f"the {target.kind} of server {server}"
            if alike.setdefault(_folded(resource), owner) != owner:
                raise ConfigError(f"{resource} is {owner}, and also {alike[_folded(resource)]}.")
            targets[resource] = target
    return targets


def clients_of(settings: Settings) -> dict[str, Client]:
    """Every client by its id: the agents, the proxy, the servers, which only ask about their tokens, and
    those that people log in with, which exchange nothing.

    An agent may target the proxy's endpoints and nothing else: this is what makes the proxy unavoidable.
    """
    endpoints = tuple(endpoint(settings, server) for server in settings.servers)
    resources = tuple(entry.resource for entry in settings.servers.values())
    clients = {
        PROXY: Client(id=PROXY, role="proxy", targets=resources, audiences=endpoints),
        **{
            f"server:{name}": Client(id=f"server:{name}", role="server", audiences=(entry.resource,))
            for name, entry in settings.servers.items()
        },
    }
    for name in settings.clients:
        clients[f"client:{name}"] = Client(id=f"client:{name}", role="login")
    for agent in settings.agents:
        if agent in clients:
            raise ConfigError(f"An agent cannot be called {agent}: that is another client's id.")
        clients[agent] = Client(id=agent, role="agent", targets=endpoints)
    return clients


def check(request: ExchangeRequest, targets: Mapping[str, Target], now: Instant, limits: Limits) -> Grant:
    """The grant a request deserves; raises `ExchangeRefusedError` with the OAuth error code.

    `targets` are all registered targets by resource indicator.
    """
    return as_of(now, checked(request, targets, limits), request, limits)


def checked(request: ExchangeRequest, targets: Mapping[str, Target], limits: Limits) -> Grant:
    """As `check`, of everything but the time: the grant is worth nothing before `as_of`."""
    target = _target(request, targets)
    _check_tokens(request, limits)
    _check_addressed(request, limits)
    return Grant(
        client=request.client.id,
        target=target,
        subject=request.subject.subject,
        actors=_actors(request, limits),
        scope=_scope(request, target),
        task=request.subject.task,
        issued_at=0,
        expires_at=0,
        lineage=_lineage(request),
        hops=request.subject.hops,
        call=_call(request, target),
        bound=request.bound,
    )


def as_of(now: Instant, grant: Grant, request: ExchangeRequest, limits: Limits) -> Grant:
    """What was `checked`, as of now; raises `ExchangeRefusedError` where a token is no longer current."""
    expires_at = _expiry(request, grant.target, now, limits)
    return msgspec.structs.replace(grant, issued_at=now, expires_at=expires_at)


def handed_on(request: ExchangeRequest, agents: Collection[str], now: Instant, limits: Limits) -> Chain:
    """The chain that asks to hand work on to the agent that is the target, as old as the older of its tokens.

    It lives as long as the subject token: the actor token only proves who hands on. `agents` are the ids of
    the registered ones. Raises `ExchangeRefusedError` with the OAuth error code.
    """
    _check_receiver(request, agents)
    _check_tokens(request, limits)
    _check_addressed(request, limits)
    actors = _actors(request, limits)
    if request.scope:
        sentence = "What is handed on is asked for by authorization_details, not by scope."
        raise _refused("invalid_scope", sentence)
    inputs = _inputs(request)
    if min(to_seconds(token.expires_at) for token in inputs) <= to_seconds(now):
        raise _refused("invalid_request", "A token has expired, or will within a second.")
    return Chain(
        task=request.subject.task,
        subject=request.subject.subject,
        actors=actors,
        issued_at=min(token.issued_at for token in inputs),
        expires_at=request.subject.expires_at,
        scope=request.subject.scope,
        lineage=_lineage(request),
        hops=request.subject.hops,
    )


def _folded(resource: str) -> str:
    return resource.rstrip("/").lower()


def _target(request: ExchangeRequest, targets: Mapping[str, Target]) -> Target:
    """Checks 1 and 8."""
    client = request.client
    if client.role == "server":
        raise _refused("unauthorized_client", "This client may not exchange tokens.")
    target = targets.get(request.target)
    if target is None:
        raise _refused("invalid_target", "There is no such target.")
    if target.resource not in client.targets:
        raise _refused("invalid_target", "This client may not obtain tokens for that target.")
    return target


def _check_receiver(request: ExchangeRequest, agents: Collection[str]) -> None:
    """Checks 1 and 8 where work is handed on, and that the request says what."""
    if request.client.role == "server":
        raise _refused("unauthorized_client", "This client may not exchange tokens.")
    if request.client.role != "agent":
        raise _refused("invalid_target", "Only an agent hands on work to an agent.")
    if request.target not in map(principal, agents):
        raise _refused("invalid_target", "There is no such agent.")
    if request.delegation is None or request.call is not None:
        raise _refused("invalid_request", "The authorization_details do not say what is handed on.")


def _check_tokens(request: ExchangeRequest, limits: Limits) -> None:
    """Checks 2 and 11, and that the subject token is a task's and the actor token an agent's."""
    subject, actor = request.subject, request.actor
    for token in _inputs(request):
        if token.issuer != limits.issuer:
            raise _refused("invalid_request", "A token is of another issuer.")
        if token.bound and token.bound != request.bound and request.client.role != "proxy":
            raise _refused("invalid_request", "A token is bound to a key that this request does not prove.")
    if not subject.task or is_agent(subject.subject):
        raise _refused("invalid_request", "The subject_token is not the token of a task.")
    carries = actor and (actor.task or actor.actors or actor.may_act or actor.scope or actor.hops)
    if actor and (carries or not is_agent(actor.subject)):
        raise _refused("invalid_request", "The actor_token is not the token of an agent.")


def _check_addressed(request: ExchangeRequest, limits: Limits) -> None:
    """Check 3. A token for the authority itself is its client's; any other is its audience's."""
    client, subject = request.client, request.subject
    own = subject.audience == limits.issuer and subject.client == client.id
    if not own and subject.audience not in client.audiences:
        raise _refused("invalid_request", "The subject_token is not addressed to this client.")


def _actors(request: ExchangeRequest, limits: Limits) -> tuple[str, ...]:
    """Checks 4, 5 and 9."""
    subject, client = request.subject, request.client
    if client.role == "agent":
        _check_actor(request, limits)
        actors = (*subject.actors, client.id)
    else:
        _check_enforcer(request)
        actors = subject.actors
    if len(set(actors)) != len(actors):
        raise _refused("invalid_request", "The same actor would be in the chain twice.")
    if len(actors) > limits.actors:
        raise _refused("invalid_request", f"A chain has at most {limits.actors} actors.")
    return actors


def _check_actor(request: ExchangeRequest, limits: Limits) -> None:
    client, actor, may_act = request.client, request.actor, request.subject.may_act
    if actor is None:
        raise _refused("invalid_request", "An agent exchanges with its own actor_token.")
    if actor.client != client.id or actor.subject != principal(client.id):
        raise _refused("invalid_request", "The actor_token belongs to another client.")
    if actor.audience != limits.issuer:
        raise _refused("invalid_request", "The actor_token is not addressed to the authority.")
    if may_act != Party(issuer=actor.issuer, subject=actor.subject):
        raise _refused("invalid_request", "The subject_token does not let this actor act.")


def _check_enforcer(request: ExchangeRequest) -> None:
    if request.actor is not None:
        raise _refused("invalid_request", "The proxy is no party to a chain, so it brings no actor_token.")
    if request.subject.may_act is not None:
        raise _refused("invalid_request", "The subject_token demands an actor_token.")
    if not request.subject.actors:
        raise _refused("invalid_request", "The subject_token names no actor.")


def _scope(request: ExchangeRequest, target: Target) -> tuple[str, ...]:
    """Check 6. Patterns nest or share no name, so being within one entry is being within the scope."""
    scope = _granted(request.scope, request.subject.scope, target.server)
    if not scope:
        raise _refused("invalid_scope", "The scope reaches beyond the subject_token or the target.")
    return scope


@lru_cache(maxsize=1024)
def _granted(asked: tuple[str, ...], held: tuple[str, ...], server: str) -> tuple[str, ...]:
    """What is granted of a scope at a server, empty if it reaches beyond: alike for each call of a tool."""
    reachable = pattern.meet(held, (f"{server}/*",))
    scope = asked or reachable
    if any(not any(pattern.within(name, entry) for entry in reachable) for name in scope):
        return ()
    return pattern.normal(scope)


def _call(request: ExchangeRequest, target: Target) -> CallDetails | None:
    """A credential for an upstream server is for one call, and says so; no other token is."""
    call = request.call
    if request.delegation is not None:
        raise _refused("invalid_authorization_details", "Only an agent is handed work.")
    if target.kind == "endpoint":
        if call is not None:
            raise _refused("invalid_authorization_details", "A token for the proxy is not for one call.")
        return None
    if call is None or call.server != target.server:
        raise _refused("invalid_authorization_details", "A credential is for one call of its target.")
    if "*" in call.tool or request.scope != (f"{call.server}/{call.tool}",):
        raise _refused("invalid_scope", "The scope of a credential is the tool of its call.")
    return call


def _expiry(request: ExchangeRequest, target: Target, now: Instant, limits: Limits) -> Instant:
    """Check 7, in whole seconds as tokens have them; and that both tokens are current, of check 2."""
    life = limits.token_seconds if target.kind == "endpoint" else limits.credential_seconds
    ends = min(to_seconds(now) + life, *[to_seconds(token.expires_at) for token in _inputs(request)])
    if ends <= to_seconds(now):
        raise _refused("invalid_request", "A token has expired, or will within a second.")
    return from_seconds(ends)


def _lineage(request: ExchangeRequest) -> tuple[str, ...]:
    """Check 10."""
    return tuple(dict.fromkeys([name for token in _inputs(request) for name in token.ancestry]))


def _inputs(request: ExchangeRequest) -> tuple[Presented, ...]:
    return (request.subject,) if request.actor is None else (request.subject, request.actor)


def _refused(error: str, sentence: str) -> ExchangeRefusedError:
    return ExchangeRefusedError(sentence, error=error)
