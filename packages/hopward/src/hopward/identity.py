"""Who calls: the chain that an access token (RFC 9068) presents at the proxy."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Protocol

from hopward import claims
from hopward.clock import Clock, Instant
from hopward.dpop import DpopProof, Proofs
from hopward.errors import TokenError
from hopward.jose import Expected, verify
from hopward.jwk import VerificationKey
from hopward.model import Chain

_MOST_TOKENS = 4_096


class VerificationKeys(Protocol):
    """Where the keys come from; `hopward.keys.KeyRing` is one such place."""

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """By `kid`, every key whose tokens may still be good."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    chain: Chain
    audience: str


class Identifier:
    """Knows the chain an access token presents. Safe to share between threads.

    A token verified once is remembered by its digest, and its signature not checked again while the token
    has not expired and its key is still in use. Standing is no matter of identity: the guard looks at it on
    every call.
    """

    def __init__(
        self, *, keyring: VerificationKeys, issuer: str, clock: Clock, size: int = _MOST_TOKENS
    ) -> None:
        self._keys = keyring
        self._issuer = issuer
        self._clock = clock
        self._size = size
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = Lock()

    def identify(
        self, token: str, audience: str, proof: DpopProof | None = None, proofs: Proofs | None = None
    ) -> Chain:
        """The chain of a caller's token for exactly this audience; raises `TokenError`.

        A token that is bound to a key needs a proof that `proofs` finds good, and one that is not bound comes
        without (RFC 9449 sections 7.1 and 7.2). The proof is looked at last: nobody without a token has one
        remembered.
        """
        keys, now = self._keys.verification_keys(), self._clock.now()
        mark = sha256(token.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            known = self._known.get(mark)
        if known is None or known.chain.expires_at <= now or known.chain.key not in keys:
            known = self._verified(token, keys, now)
            self._remember(mark, known)
        if known.audience != audience:
            raise TokenError("The token is for someone else.", error="wrong_audience")
        _check_bound(known.chain.bound, token, proof, proofs)
        return known.chain

    def _verified(self, token: str, keys: Mapping[str, VerificationKey], now: Instant) -> _Known:
        expected = Expected(types=(claims.TYPE,), issuer=self._issuer, audience=None)
        verified = verify(token, keys, expected, now)
        presented = claims.read(verified.claims, verified.kid)
        if presented.may_act is not None or not presented.actors or not _may_hold(presented):
            raise TokenError("The token is not one an agent calls with.", error="wrong_type")
        if not presented.task or claims.is_agent(presented.subject):
            raise TokenError("The token is not about a task.", error="wrong_type")
        return _Known(presented.chain, presented.audience)

    def _remember(self, mark: bytes, known: _Known) -> None:
        with self._lock:
            self._known[mark] = known
            self._known.move_to_end(mark)
            while len(self._known) > self._size:
                self._known.popitem(last=False)


def _may_hold(presented: claims.Presented) -> bool:
    """Whether a token is its acting agent's, or of the client with which its subject has logged in."""
    return presented.client == presented.actors[-1] or claims.is_login_client(presented.client)


def _check_bound(bound: str, token: str, proof: DpopProof | None, proofs: Proofs | None) -> None:
    if not bound and proof is None:
        return
    if not bound:
        raise TokenError("The token is bound to no key, so no proof goes with it.", error="unbound_token")
    if proof is None or proofs is None:
        raise TokenError("The token is bound to a key, and comes without a proof.", error="unproved_token")
    if bound != f"jkt:{proofs.check(proof, token)}":
        raise TokenError("The token is bound to another key than the proof's.", error="wrong_holder")
