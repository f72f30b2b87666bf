"""How one hop follows from the link before it: a child never exceeds its parent, in any dimension. Pure.

What is asked for is met with what the delegator may hand on, by its link and by its own registration, and
with what the receiver may ever do. The right to call and the right to hand on come from the same source,
the delegator's `delegable`: what the delegator may call itself plays no part.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from hopward import pattern, revocation
from hopward.budget import least
from hopward.capability import attenuate_all, normal_all
from hopward.chain import entered, scope_of
from hopward.clock import SECOND, Instant
from hopward.commitment import opened_digest
from hopward.containment import why_chain_contained
from hopward.model import MOST_ACTORS, Agent, Capability, Chain, Hop, Narrowing, Task
from hopward.record import Refusal, Standing


@dataclass(frozen=True, slots=True)
class Handing:
    """The wish of a chain's acting agent to hand work to agent `to`; `key` is the thumbprint of its key.

    `continues` is the hop that the work was handed over, if it is one that was broken off.
    """

    chain: Chain
    to: str
    asked: Narrowing
    key: str = ""
    continues: str = ""


def together(chain: Chain, to: str) -> Chain:
    """The chain with the receiver as one more actor, for looking up what all of them stand on."""
    return msgspec.structs.replace(chain, actors=(*chain.actors, to))


def unfit(handing: Handing, task: Task, standing: Standing) -> Refusal | None:
    """Why the receiver cannot be handed anything by this chain, whatever it is, or None."""
    chain, to = handing.chain, handing.to
    if to in chain.actors:
        return ("actor_twice", f"Agent {to} is in the chain already; it cannot be handed its own work.")
    if len(chain.actors) >= MOST_ACTORS:
        return ("chain_too_long", f"A chain has at most {MOST_ACTORS} agents.")
    fallen = revocation.why_agent_fallen(standing.agents.get(to), to)
    if fallen is None:
        fallen = revocation.why_cut_off(standing, together(chain, to))
    if fallen is None:
        fallen = why_chain_contained(standing.containments, together(chain, to))
    if fallen is not None:
        return fallen
    asked, link = handing.asked, last_link(task, standing)
    if link.depth < 1:
        return ("depth_exhausted", f"Agent {chain.actor} may not hand on work in this task.")
    if not asked.purpose.strip() or asked.expires_in < 1 or min(asked.depth, asked.fan_out) < 0:
        return ("narrowing_invalid", "A hop needs a purpose, at least a second, and no negative number.")
    if not 0 <= asked.budget.writes <= asked.budget.calls:
        return ("narrowing_invalid", "The budget of a hop has at most as many writes as calls.")
    return None


def narrowed(handing: Handing, task: Task, standing: Standing, now: Instant) -> Hop | Refusal:
    """The hop that may be had of what was asked for, or why there is none. `unfit` comes first."""
    chain, asked, link = handing.chain, handing.asked, last_link(task, standing)
    delegator, receiver = standing.agents[chain.actor], standing.agents[handing.to]
    available = _available(chain, link, delegator)
    capabilities = attenuate_all(attenuate_all(asked.capabilities, available), receiver.ceiling)
    delegable = attenuate_all(attenuate_all(asked.delegable, available), receiver.delegable)
    depth = min(asked.depth, link.depth - 1)
    further = bool(delegable) and depth > 0 and asked.fan_out > 0
    if not capabilities and not further:
        told = f"Nothing of what was asked for may be handed on by {chain.actor} to {handing.to}."
        return ("nothing_delegated", told)
    expires_at = min(now + asked.expires_in * SECOND, chain.expires_at, link.expires_at, task.expires_at)
    if expires_at - now < SECOND:
        return ("task_expired", "Less than a second is left of the task.")
    return Hop(
        id="hop_" + secrets.token_hex(12),
        task=task.id,
        parent=chain.hops[-1] if chain.hops else "",
        parent_digest=opened_digest(link),
        delegator=chain.actor,
        agent=handing.to,
        purpose=asked.purpose,
        capabilities=capabilities,
        delegable=delegable if further else (),
        depth=depth if further else 0,
        fan_out=min(asked.fan_out, link.fan_out) if further else 0,
        budget=least(asked.budget, link.budget),
        shared=asked.shared,
        key=handing.key,
        opened_at=now,
        expires_at=expires_at,
        state="open",
    )


def goes_on(found: Hop, wanted: Hop) -> bool:
    """Whether a hop that is there is open, and what would be opened now, apart from when it began and ends.

    Its holder's key may be another process's: there it is still held, for whatever leaves the process.
    """
    same = {"id": found.id, "key": found.key, "opened_at": found.opened_at, "expires_at": found.expires_at}
    return found == msgspec.structs.replace(wanted, **same) and found.expires_at > wanted.opened_at


def _available(chain: Chain, link: Task | Hop, delegator: Agent) -> tuple[Capability, ...]:
    """What may be handed on at all; by a chain whose holder has reduced its scope, nothing beyond it."""
    available = attenuate_all(link.delegable, delegator.delegable)
    if pattern.normal(chain.scope) == pattern.normal(scope_of(link.capabilities)):
        return available
    within = (pattern.meet(one.tools, chain.scope) for one in available)
    return normal_all(
        msgspec.structs.replace(one, tools=tools) for one, tools in zip(available, within, strict=True)
    )


def extended(chain: Chain, hop: Hop) -> Chain:
    """The chain that a hop leads to."""
    return msgspec.structs.replace(
        chain,
        actors=(*chain.actors, hop.agent),
        hops=(*chain.hops, hop.id),
        expires_at=hop.expires_at,
        scope=scope_of(hop.capabilities),
    )


def led(task: Task, hops: Iterable[Hop]) -> Chain:
    """The chain that a task and its hops, one after the other, lead to."""
    chain = entered(task)
    for hop in hops:
        chain = extended(chain, hop)
    return chain


def last_link(task: Task, standing: Standing) -> Task | Hop:
    """What the acting agent has its authority from."""
    return standing.hops[-1].hop if standing.hops else task
