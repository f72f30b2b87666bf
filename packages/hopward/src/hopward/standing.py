"""What tokens stand on, looked up and judged by the one rule of `hopward.revocation`."""

from typing import Protocol

import msgspec

from hopward import revocation
from hopward.claims import Presented
from hopward.clock import Instant
from hopward.containment import why_tool_contained
from hopward.exchange import ExchangeRequest, Grant
from hopward.model import Chain
from hopward.record import Standing


class Standings(Protocol):
    """Where standing is looked up: the ledger."""

    def standing(self, chain: Chain) -> Standing:
        """Everything known about a chain, as of now, in every process on the machine."""
        ...


def of_token(presented: Presented, book: Standings, now: Instant) -> revocation.Fallen | None:
    """Why a token minted here no longer counts, or None.

    A task token, or that of a hop, stands on the agent that must act as well, an agent's own token on that
    agent alone.
    """
    chain = presented.chain
    if not chain.actors or presented.may_act is not None:
        chain = msgspec.structs.replace(chain, actors=(*chain.actors, presented.client))
    found = book.standing(chain)
    if presented.task:
        return revocation.why_fallen(found, chain, now)
    return revocation.why_agent_stopped(found, chain) or revocation.why_revoked(found.revocations, chain)


def of_exchange(
    request: ExchangeRequest, grant: Grant, book: Standings, now: Instant
) -> tuple[int, revocation.Fallen | None]:
    """Check 2 of an exchange: the epoch, and why the chain to be would not count, or None.

    Nor does it where the server or the tool of the grant is quarantined. The chain is as old as the older of
    the tokens it comes from, so that every cut-off covers it.
    """
    inputs = (request.subject, *([request.actor] if request.actor else []))
    chain = Chain(
        task=grant.task,
        subject=grant.subject,
        actors=grant.actors,
        issued_at=min(token.issued_at for token in inputs),
        expires_at=grant.expires_at,
        scope=grant.scope,
        lineage=grant.lineage,
        hops=grant.hops,
    )
    found = book.standing(chain)
    tool = "" if grant.call is None else grant.call.tool
    fallen = revocation.why_fallen(found, chain, now)
    return found.epoch, fallen or why_tool_contained(found.containments, grant.target.server, tool)
