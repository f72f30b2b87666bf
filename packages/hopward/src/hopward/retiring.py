"""Retiring an agent for good: all that it holds stops counting, and each of it is tried afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hopward import revocation
from hopward.assertion import ClientAuthenticator, client_assertion
from hopward.chain import entered
from hopward.delegation import led
from hopward.errors import ConfigError, HopwardError, StateError, TokenError
from hopward.jwk import SigningKey, VerificationKey
from hopward.keys import KeyRing
from hopward.model import Chain, Hop, Task
from hopward.record import Draft
from hopward.wiring import Guard

Held: TypeAlias = Literal["agent", "key", "task", "hop", "approval"]
_MANY = 1_000_000
"""Open tasks and approvals that are looked through."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One thing that the agent held. `refused` is the reason with which it is refused now, as it was tried;
    empty where it is not refused, which nobody may be told is an end."""

    kind: Held
    id: str
    refused: str


def retire(guard: Guard, name: str, *, by: str, why: str) -> tuple[Ended, ...]:
    """Retire an agent for good and revoke its key, its open tasks and the hops from and to it; then try each.

    Approvals that were asked for or given in chains with it are void with that. What it is tried with, and
    what came of it, stands in the log. May be repeated, for what could not be ended. Raises `NotFoundError`
    for an unknown agent, `LedgerError`.
    """
    tasks, hops = _tasks(guard, name), _hops(guard, name)
    approvals = [
        one.id
        for one in guard.approvals.find(("pending", "approved"), limit=_MANY)
        if name in one.chain.actors or one.tool == f"delegate:{name}"
    ]
    if guard.agent(name).state != "retired":
        guard.set_agent_state(name, "retired", by=by, why=why)
    _revoke(guard, name, tasks, hops, by, why)
    tried = (
        Ended("agent", name, _agent_refused(guard, name)),
        *(Ended("key", key.kid, _key_refused(guard, name, key)) for key in _keys(guard, name)),
        *(Ended("task", task.id, _refused(guard, entered(task))) for task in tasks),
        *(Ended("hop", chain.hops[-1], _refused(guard, chain)) for chain in hops),
        *(Ended("approval", one, _approval_refused(guard, one)) for one in approvals),
    )
    told = [{"kind": one.kind, "id": one.id, "refused": one.refused} for one in tried]
    record = {"event": "tried", "agent": name, "by": by, "why": why, "ended": told}
    guard.ledger.record([Draft(kind="agent", at=guard.now, record=record, agent=name)])
    return tried


def _revoke(guard: Guard, name: str, tasks: list[Task], hops: list[Chain], by: str, why: str) -> None:
    told = f"agent {name} is retired: {why}"
    for key in _keys(guard, name):
        if not guard.ledger.revocations("key", key.kid):
            guard.revoke("key", key.kid, by=by, why=told)
    if not guard.ledger.revocations("agent", name):
        guard.revoke("agent", name, by=by, why=why)
    for task in tasks:
        try:
            guard.revoke("task", task.id, by=by, why=told)
        except StateError:
            continue  # it has ended meanwhile
    for chain in hops:
        if not guard.ledger.revocations("hop", chain.hops[-1]):
            guard.revoke("hop", chain.hops[-1], by=by, why=told)


def _tasks(guard: Guard, name: str) -> list[Task]:
    """Its own open tasks."""
    return [task for task in _open(guard) if task.agent == name]


def _hops(guard: Guard, name: str) -> list[Chain]:
    """The chains that end with an open hop from the agent, or to it."""
    return [
        led(task, _line(hops, hop))
        for task in _open(guard)
        for hops in [{hop.id: hop for hop in guard.ledger.hops(task.id)}]
        for hop in hops.values()
        if hop.state == "open" and hop.expires_at > guard.now and name in (hop.agent, hop.delegator)
    ]


def _open(guard: Guard) -> Iterator[Task]:
    return (task for task in guard.ledger.tasks("open", limit=_MANY) if task.expires_at > guard.now)


def _line(hops: dict[str, Hop], last: Hop) -> list[Hop]:
    """The hops from the task to this one."""
    above = _line(hops, hops[last.parent]) if last.parent else []
    return [*above, last]


def _keys(guard: Guard, name: str) -> list[VerificationKey]:
    """The keys with which the agent authenticates."""
    agent = guard.settings.agents[name]
    former = agent.former_key.jwk if agent.former_key else {}
    return [VerificationKey.from_jwk(jwk) for jwk in (agent.key, former) if jwk]


def _refused(guard: Guard, chain: Chain) -> str:
    fallen = revocation.why_fallen(guard.ledger.standing(chain), chain, guard.now)
    return fallen[0] if fallen else ""


def _agent_refused(guard: Guard, name: str) -> str:
    """Why it gets no token, and no task."""
    alone = Chain(task="", subject="", actors=(name,), issued_at=guard.now, expires_at=0, scope=())
    fallen = revocation.why_agent_stopped(guard.ledger.standing(alone), alone)
    if fallen is None or not guard.signs:
        return fallen[0] if fallen else ""
    try:
        guard.issuer.agent_token(name, guard.ledger)
    except HopwardError as error:
        return error.error
    return ""


def _key_refused(guard: Guard, name: str, key: VerificationKey) -> str:
    """Why the authority lets nobody in with a key: it is tried, where its private part is on this machine."""
    private = _private(guard, name, key)
    if private is None:
        return "key_revoked" if guard.ledger.revocations("key", key.kid) else ""
    clients = ClientAuthenticator(guard.issuer, guard.ledger.seen_once, guard.key_revoked)
    try:
        clients.authenticate(client_assertion(name, guard.issuer.issuer, private, clock=guard.issuer.clock))
    except TokenError as error:
        return error.error
    return ""


def _private(guard: Guard, name: str, key: VerificationKey) -> SigningKey | None:
    try:
        private = KeyRing.open(guard.settings.keys_folder).agent_key(name)
    except ConfigError:
        return None
    return private if private.kid == key.kid else None


def _approval_refused(guard: Guard, approval_id: str) -> str:
    state = guard.approvals.get(approval_id).state
    return "" if state in ("pending", "approved") else state
