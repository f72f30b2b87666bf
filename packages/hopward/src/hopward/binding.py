"""Which key a caller has proved to hold: DPoP (RFC 9449) at the proxy's endpoints and at the token
endpoint."""

from collections.abc import Callable

from hopward.clock import Clock, Instant
from hopward.dpop import DpopProof, Nonces, Proofs
from hopward.errors import TokenError
from hopward.exchange import endpoint
from hopward.identity import Identifier
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.ledger import SqliteLedger
from hopward.model import Chain
from hopward.published import PublishedKeys
from hopward.settings import Settings

_AT_PROXY, _AT_AUTHORITY = "dpop nonce of the proxy", "dpop nonce of the authority"


class Proved:
    """Checks the proofs of one installation. `proofs` are those of requests at the proxy, `passed_on` those
    that another worker of it has accepted already, `asking` those at the token endpoint."""

    def __init__(
        self, settings: Settings, keys: KeyRing | PublishedKeys, ledger: SqliteLedger, clock: Clock
    ) -> None:
        """Raises `ConfigError` where nonces are wanted, and the key they are made with may not be read."""

        def seen(kind: str, value: str, _: Instant) -> bool:
            return ledger.seen(kind, value)

        at_proxy = _nonces(settings.proxy.dpop_nonce, lambda: keys.proxy, _AT_PROXY, clock)
        at_authority = _nonces(settings.authority.dpop_nonce, lambda: keys.signing, _AT_AUTHORITY, clock)
        self.proofs = Proofs(ledger.seen_once, clock, at_proxy)
        self.passed_on = Proofs(seen, clock, at_proxy)
        self.asking = Proofs(ledger.seen_once, clock, at_authority)


class Binding:
    """The part of a `Guard` that knows who has proved to hold which key."""

    settings: Settings
    _identifier: Identifier
    _proved: Proved

    @property
    def nonce(self) -> str:
        """The nonce that proofs at the proxy have to carry from now on; empty where none is wanted."""
        return self._proved.proofs.nonce

    @property
    def token_nonce(self) -> str:
        """Likewise of proofs at the token endpoint."""
        return self._proved.asking.nonce

    def identify(
        self, token: str, audience: str, proof: tuple[str, str] | None = None, *, passed_on: bool = False
    ) -> Chain:
        """The chain a caller's access token (RFC 9068) presents at `audience`; raises `TokenError`.

        `proof` is the request's one `DPoP` header, and its method. A token that is bound to a key counts with
        a proof alone, and one that is not without. Where its agent or the endpoint requires it, only a bound
        one does. Of a request that another worker has `passed_on`, that worker must have accepted the proof.
        Standing is not looked at here: `authorize` does, on every call.
        """
        proofs = self._proved.passed_on if passed_on else self._proved.proofs
        made = DpopProof(jwt=proof[0], method=proof[1], url=audience) if proof else None
        chain = self._identifier.identify(token, audience, made, proofs)
        if not chain.bound and (self.is_bound(audience) or self._requires(chain)):
            raise TokenError("A token that is bound to no key is not taken here.", error="unbound_token")
        return chain

    def is_bound(self, audience: str) -> bool:
        """Whether this endpoint of the proxy lets in nobody without a bound token."""
        servers = self.settings.servers
        return any(
            servers[one].dpop == "required" and endpoint(self.settings, one) == audience for one in servers
        )

    def asked_with(self, proof: str) -> str:
        """The key that whoever asks for a token has proved to hold, as in `Chain.bound`; raises `TokenError`.

        `proof` is the one `DPoP` header of the request.
        """
        url = f"{self.settings.authority.issuer.rstrip('/')}/token"
        return f"jkt:{self._proved.asking.check(DpopProof(jwt=proof, method='POST', url=url))}"

    def _requires(self, chain: Chain) -> bool:
        agent = self.settings.agents.get(chain.actor)
        return agent is not None and agent.dpop == "required"


def _nonces(wanted: bool, key: Callable[[], SigningKey], purpose: str, clock: Clock) -> Nonces | None:
    return Nonces(lambda: key().secret(purpose), clock) if wanted else None
