"""Whether anything a chain stands on has fallen, or is contained. The one rule the guard and the authority
both ask."""

from collections.abc import Iterable
from itertools import pairwise

import msgspec

from hopward.clock import Instant
from hopward.containment import why_chain_contained, why_stopped
from hopward.model import Agent, Chain, Revocation, Task
from hopward.record import Standing

Fallen = tuple[str, str]
"""A machine reason and a sentence for people."""

_TASK_ENDED = {
    "completed": ("task_completed", "The task is completed."),
    "revoked": ("task_revoked", "The task has been revoked."),
    "expired": ("task_expired", "The task has expired."),
}


def why_fallen(standing: Standing, chain: Chain, now: Instant) -> Fallen | None:
    """Why a chain no longer counts, or None.

    The task must be open, unexpired and the one the chain claims; every actor registered and active; every
    hop open, unexpired and leading from the actor before to the next; nothing in the chain or its lineage
    revoked, and nothing in the chain quarantined. All cut-offs are looked at, so the latest one wins. A chain
    is as old as its task: tokens got for it later, or dated later by a clock that was ahead, do not outlive a
    cut-off. While everything is stopped, that is the reason, whatever else there is.
    """
    return (
        why_stopped(standing.containments)
        or _task_fallen(standing.task, chain, now)
        or (("chain_expired", "The caller's token has expired.") if chain.expires_at <= now else None)
        or _actors_fallen(standing, chain)
        or _hops_fallen(standing, chain, now)
        or why_cut_off(standing, chain)
        or why_chain_contained(standing.containments, chain)
    )


def why_cut_off(standing: Standing, chain: Chain) -> Fallen | None:
    """Which revocation covers a chain that is as old as its task, or None."""
    return why_revoked(standing.revocations, _as_old_as(standing.task, chain))


def why_agent_fallen(agent: Agent | None, name: str) -> Fallen | None:
    """Why an agent may not act at all, or None."""
    if agent is None or agent.id != name:
        return ("agent_unregistered", f"Agent {name} is not registered.")
    if agent.state != "active":
        return (f"agent_{agent.state}", f"Agent {name} is {agent.state}.")
    return None


def why_agent_stopped(standing: Standing, chain: Chain) -> Fallen | None:
    """Why the acting agent of a chain may not act, with or without a task, or None."""
    return (
        why_stopped(standing.containments)
        or why_agent_fallen(standing.agents.get(chain.actor), chain.actor)
        or why_chain_contained(standing.containments, chain)
    )


def why_revoked(revocations: Iterable[Revocation], chain: Chain) -> Fallen | None:
    """Which revocation covers the chain, or None.

    A task, agent or subject falls for what was issued at or before the cut-off; a token or a key, and
    whatever was exchanged from it, falls altogether.
    """
    for revocation in revocations:
        if _covers(revocation, chain):
            return (f"{revocation.kind}_revoked", _SENTENCES[revocation.kind])
    return None


def of_person(person: str, since: Instant, until: Instant) -> Chain:
    """What a person has by themselves, without any task, for `why_revoked`."""
    return Chain(task="", subject=person, actors=(), issued_at=since, expires_at=until, scope=())


_SENTENCES = {
    "task": "The task has been revoked.",
    "hop": "A hop of the chain has been revoked.",
    "agent": "An agent of the chain has been revoked; what it held before that no longer counts.",
    "subject": "The subject's authority has been revoked; what was opened before that no longer counts.",
    "token": "The caller's token, or one it was exchanged from, has been revoked.",
    "key": "The key that signed the caller's token, or one it was exchanged from, has been revoked.",
}


def _task_fallen(task: Task | None, chain: Chain, now: Instant) -> Fallen | None:
    if task is None or task.id != chain.task:
        return ("task_unknown", "There is no such task.")
    if task.state != "open":
        return _TASK_ENDED[task.state]
    if task.expires_at <= now:
        return _TASK_ENDED["expired"]
    if task.subject != chain.subject:
        return ("wrong_subject", "The task was opened for another subject.")
    if not chain.actors or chain.actors[0] != task.agent:
        return ("wrong_agent", "The task was opened for another agent.")
    return None


def _as_old_as(task: Task | None, chain: Chain) -> Chain:
    if task is None or chain.issued_at <= task.opened_at:
        return chain
    return msgspec.structs.replace(chain, issued_at=task.opened_at)


def _actors_fallen(standing: Standing, chain: Chain) -> Fallen | None:
    for actor in chain.actors:
        fallen = why_agent_fallen(standing.agents.get(actor), actor)
        if fallen is not None:
            return fallen
    return None


def _hops_fallen(standing: Standing, chain: Chain, now: Instant) -> Fallen | None:
    """Why the hops are not those of the chain, one after the other, or no longer count."""
    if not chain.hops and not standing.hops and len(chain.actors) == 1:
        return None
    hops = [one.hop for one in standing.hops]
    if tuple(hop.id for hop in hops) != chain.hops:
        return ("hop_unknown", "There is no such hop.")
    if len(chain.actors) != 1 + len(hops):
        return ("chain_broken", "There is not one hop between each agent of the chain and the next.")
    above = ""
    for hop, (delegator, agent) in zip(hops, pairwise(chain.actors), strict=True):
        if (hop.task, hop.parent, hop.delegator, hop.agent) != (chain.task, above, delegator, agent):
            return ("chain_broken", "A hop belongs to another chain.")
        if hop.state != "open":
            return ("hop_completed", f"The work handed to agent {agent} is completed.")
        if hop.expires_at <= now:
            return ("hop_expired", f"The time agent {agent} had for the work is over.")
        above = hop.id
    return None


def _covers(revocation: Revocation, chain: Chain) -> bool:
    named = {
        "task": revocation.id == chain.task,
        "hop": revocation.id in chain.hops,
        "agent": revocation.id in chain.actors,
        "subject": revocation.id == chain.subject,
    }
    if revocation.kind in named:
        return named[revocation.kind] and chain.issued_at <= revocation.at
    own = chain.token if revocation.kind == "token" else chain.key
    return own == revocation.id != "" or f"{revocation.kind}:{revocation.id}" in chain.lineage
