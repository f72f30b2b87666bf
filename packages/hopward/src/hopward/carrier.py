"""Chains that leave one process of an installation and are continued in another: same task, same log.

The process that holds the signing key writes the links; whoever has the public keys reads them. What a chain
may do is looked up where it arrives, as for any chain.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from hopward import link, possession
from hopward.clock import Clock, Instant
from hopward.errors import ChainError, HopwardError, TokenError
from hopward.jwk import SigningKey, VerificationKey
from hopward.link import Links
from hopward.model import Chain, plain
from hopward.possession import Holders
from hopward.record import Standing

_MOST_WRITTEN = 1_024
"""Chains whose links are kept; beyond that, all are written again."""


class Keys(Protocol):
    """The keys of a process; `signing` raises `HopwardError` where the signing key is elsewhere."""

    @property
    def signing(self) -> SigningKey: ...
    def verification_keys(self) -> Mapping[str, VerificationKey]: ...


class Book(Protocol):
    """What is needed of the ledger."""

    def standing(self, chain: Chain) -> Standing: ...
    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool: ...
    def seen(self, kind: str, value: str) -> bool: ...


class Carrier:
    """Presents the chains of this process, and accepts those of others. Safe to share between threads."""

    def __init__(self, issuer: str, keys: Keys, book: Book, clock: Clock) -> None:
        self._issuer = issuer
        self._keys = keys
        self._book = book
        self._clock = clock
        self._holders = Holders()
        self._links = Links(issuer)
        self._written: dict[tuple[str, tuple[str, ...], str], tuple[str, ...]] = {}

    def holder(self, agent: str) -> str:
        """The thumbprint of the key that an agent holds its hops with in this process."""
        return self._holders.key(agent).kid

    def present(self, chain: Chain, audience: str, asked: str) -> dict[str, Any]:
        """A chain for one request at one place, as plain JSON.

        Raises `ChainError` for a chain that is not there or whose hops are held elsewhere, `HopwardError`
        without the signing key.
        """
        links = self._links_of(chain)
        presented = possession.present(links, self._holders.key(chain.actor), audience, asked, self._clock)
        return plain(presented)

    def accept(self, value: object, audience: str, asked: str) -> Chain:
        """The chain that is presented, once all of it is checked; raises `TokenError`.

        Standing is not looked at here: `authorize` does, on every call.
        """
        now = self._clock.now()
        presented = possession.read(value)
        linked = self._links.read(presented.links, self._keys.verification_keys(), now)
        possession.check(presented, linked, audience, asked, self._once, now)
        return msgspec.structs.replace(linked.chain, bound=f"jkt:{linked.holder}")

    def accepted(self, presented: Mapping[str, Any]) -> bool:
        """Whether what `present` made has been accepted, in any process. Ask within the minute it lives.

        Only who holds the decision log can accept a chain, so this tells the guarded proxy from anybody else.
        """
        return self._book.seen(possession.ONCE, possession.proof_id(presented["proof"]))

    def _once(self, proof: str, expires_at: Instant) -> bool:
        return self._book.seen_once(possession.ONCE, proof, expires_at)

    def _links_of(self, chain: Chain) -> tuple[str, ...]:
        signing = self._keys.signing
        key = (chain.task, chain.hops, signing.kid)
        links = self._written.get(key)
        if links is None:
            standing = self._book.standing(chain)
            hops = tuple(one.hop for one in standing.hops)
            if standing.task is None or tuple(hop.id for hop in hops) != chain.hops:
                raise ChainError("There is no such task or hop.", error="chain_broken")
            if any(hop.key != self.holder(hop.agent) for hop in hops):
                raise ChainError("A hop of the chain is held by another process.", error="wrong_holder")
            root = self.holder(standing.task.agent)
            links = link.write(standing.task, hops, root, self._issuer, signing)
            if len(self._written) >= _MOST_WRITTEN:
                self._written.clear()
            self._written[key] = links
        return links


def request_digest(method: str, params: Mapping[str, Any]) -> str:
    """What a proof is bound to; raises `TokenError` for params that cannot be digested."""
    try:
        return possession.about(method, params)
    except (ValueError, TypeError, RecursionError, HopwardError) as error:
        raise TokenError("What is asked cannot be digested.", error="malformed") from error
