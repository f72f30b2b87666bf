"""Work handed on over OAuth: the guard's decision about a hop, as the hop's token or as an OAuth error."""

from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import msgspec

from hopward import claims, handover, pattern, revocation
from hopward.canonical import compact
from hopward.capability import check
from hopward.clock import Instant, to_seconds
from hopward.errors import ExchangeRefusedError
from hopward.issuer.minting import Book, Prepared, credential_row, for_authority
from hopward.jose import MAX_TOKEN
from hopward.model import Chain, Decision, Delegation, Narrowing
from hopward.wire import JWT_TYPE

_MOST_BYTES = MAX_TOKEN * 3 // 4 - 512
"""Of claims, so that header and signature still fit into a token that can be read."""

_ERRORS = {
    "invalid_target": (
        "actor_twice",
        "agent_retired",
        "agent_revoked",
        "agent_suspended",
        "agent_unregistered",
        "approval_required",
        "chain_too_long",
        "depth_exhausted",
        "fan_out_exhausted",
        "forbidden",
        "no_policy",
        "policy_error",
    ),
    "invalid_authorization_details": ("budget_exhausted", "narrowing_invalid", "nothing_delegated"),
    "temporarily_unavailable": ("log_unavailable", "standing_unsettled"),
    "server_error": ("internal_error",),
}
"""By OAuth error code, the reasons for which the guard refuses a hop; all others are about the two tokens.

`invalid_target` is for every target the authority is unwilling to issue a token for (RFC 8693 section 2.2.2),
`invalid_authorization_details` for what could be handed on if less were asked for (RFC 9396 section 5).
"""

_CODES = {reason: code for code, reasons in _ERRORS.items() for reason in reasons}


class Delegator(Protocol):
    """What is needed of the guard."""

    def delegate(self, chain: Chain, to_agent: str, narrowed: Narrowing, key: str = "") -> Delegation:
        """Decide one hop, durably."""
        ...

    def complete_hop(self, chain: Chain) -> None:
        """End the last hop of a chain."""
        ...


@dataclass(frozen=True, slots=True)
class Handed:
    """A permitted hop: the chain that leads to its agent, and the decision that opened it."""

    chain: Chain
    decision: str

    def prepared(self, issuer: str, book: Book, now: Instant) -> Prepared:
        """The token that lets the hop's agent act, as of now; raises `ExchangeRefusedError`.

        It names the actors before that agent, and the agent as the one that may act: only an exchange with
        that agent's own token puts it into the chain.
        """
        found = book.standing(self.chain)
        fallen = revocation.why_fallen(found, self.chain, now)
        if fallen is not None or to_seconds(self.chain.expires_at) <= to_seconds(now):
            raise ExchangeRefusedError(fallen[1] if fallen else "Less than a second is left of the hop.")
        *before, agent = self.chain.actors
        scope = pattern.normal(self.chain.scope)
        held = msgspec.structs.replace(self.chain, issued_at=now, scope=scope)
        credential = for_authority(issuer, self.chain.subject, held, tuple(before))
        content = claims.write(credential, issuer, agent)
        content["may_act"] = {"iss": issuer, "sub": claims.principal(agent)}
        carried: claims.Content = {"authorization_details": handover.carried(found.hops[-1].hop)}
        content |= carried
        if len(compact(content)) > _MOST_BYTES:
            sentence = "What would be handed on does not fit into a token."
            raise ExchangeRefusedError(sentence, error="invalid_authorization_details")
        draft = credential_row(credential, agent, found.epoch)
        draft = msgspec.structs.replace(draft, decision=self.decision)
        # No access token: nothing but the authority itself takes it (RFC 8693 section 2.2.1).
        more = {"token_type": "N_A", "issued_token_type": JWT_TYPE, **carried}
        return Prepared(credential, content, draft, more)


def check_asked(asked: Narrowing) -> None:
    """Raise `ExchangeRefusedError` for a capability that is not well written (RFC 9396 section 5)."""
    for problem in chain.from_iterable(map(check, (*asked.capabilities, *asked.delegable))):
        sentence = f"The authorization_details are not a delegation: {problem}."
        raise ExchangeRefusedError(sentence, error="invalid_authorization_details")


def handed(delegation: Delegation) -> Handed:
    """What the guard has permitted; raises `ExchangeRefusedError` for what it has not."""
    decision = delegation.decision
    if delegation.chain is None:
        raise _refusal(decision)
    return Handed(delegation.chain, decision.id)


def _refusal(decision: Decision) -> ExchangeRefusedError:
    reason, sentence = decision.verdict.reason, decision.verdict.sentence
    # The id comes first: a description is cut where it is long.
    told = f"Decision {decision.id} ({reason}): {sentence}"
    return ExchangeRefusedError(told, error=_CODES.get(reason, "invalid_request"))
