"""A token's row, then its signature: no token exists that the decision log does not name."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hopward import claims, standing
from hopward.claims import CallDetails
from hopward.clock import Instant
from hopward.errors import ExchangeRefusedError, StateError
from hopward.exchange import Grant
from hopward.jose import sign
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import Chain, Credential, plain
from hopward.record import Draft, Receipt
from hopward.statuslist import SIZE

_ROUNDS = 4
"""How often a token is prepared again when standing changed between check and commit."""


class Keys(Protocol):
    """The keys an issuer needs: `hopward.keys.KeyRing`, or `PublishedKeys` where the authority is remote."""

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        ...

    @property
    def proxy_key(self) -> VerificationKey:
        """The proxy's own key, public part."""
        ...

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """By `kid`, every key whose tokens may still be good."""
        ...

    def jwks(self) -> dict[str, Any]:
        """The JWKS document, the key that signs now first."""
        ...

    def rotate(self, *, keep: int) -> SigningKey:
        """Sign with a new key; the old one verifies for `keep` seconds more."""
        ...

    def drop(self, kid: str) -> bool:
        """Neither publish nor accept a key any more, nor sign with it; False if there is no such key."""
        ...


class Book(standing.Standings, Protocol):
    """What the issuer needs of the ledger."""

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts durably."""
        ...

    def seen_once(self, kind: str, value: str, expires_at: Instant) -> bool:
        """True the first time a value is presented as this kind, in any process."""
        ...

    def list_status(self, size: int, expires_at: Instant, body: str) -> int:
        """A random index of the status list that no other token has."""
        ...

    def statuses(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Index and description of every token in the status list."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """A token fresh from the key, and what may be said about it. `expires_in` is seconds.

    `bound` names the key that it belongs to, as in `Chain`. `more` is what an exchange answers besides, or
    instead (RFC 8693, RFC 9396).
    """

    token: str
    id: str
    scope: tuple[str, ...]
    expires_in: int
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    bound: str = ""

    def answer(self) -> dict[str, Any]:
        """The token response (RFC 6749 section 5.1)."""
        scope = {"scope": claims.scope_text(self.scope)} if self.scope else {}
        return {
            "access_token": self.token,
            "token_type": token_type(self.bound),
            "expires_in": self.expires_in,
            **scope,
            **self.more,
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """A token before its row is written; `more` is as in `Issued`."""

    credential: Credential
    content: claims.Content
    draft: Draft
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])


def issue(prepare: Callable[[], Prepared], keys: Keys, book: Book, listed: str = "") -> Issued:
    """Sign what is prepared once its row is durable; prepare again when standing changed meanwhile.

    `listed` is the address of the status list it is to be in, if any. A credential for one call is in none:
    it is over sooner than anybody would fetch one.

    Raises `ExchangeRefusedError` (`temporarily_unavailable`) where it keeps changing, `LedgerError` if the
    row cannot be written.
    """
    for _ in range(_ROUNDS):
        prepared = prepare()
        if book.record([prepared.draft])[0].refused:
            continue
        content = _listed(prepared, keys, book, listed)
        return Issued(
            token=sign(content, keys.signing, claims.TYPE),
            id=prepared.credential.id,
            scope=claims.scope_names(prepared.credential.scope),
            expires_in=content["exp"] - content["iat"],
            more=prepared.more,
            bound=prepared.credential.bound,
        )
    sentence = "Tasks or revocations keep changing; try again."
    raise ExchangeRefusedError(sentence, error="temporarily_unavailable")


def token_type(bound: str) -> str:
    """The `token_type` of a token: who uses one that is bound by DPoP has to send a proof (RFC 9449 section
    5)."""
    return "DPoP" if bound.startswith("jkt:") else "Bearer"


def _listed(prepared: Prepared, keys: Keys, book: Book, listed: str) -> claims.Content:
    content = prepared.content
    details: list[dict[str, Any]] = content.get("authorization_details", [])
    if not listed or any(one.get("type") == claims.TOOL_CALL for one in details):
        return content
    try:
        body = json.dumps({"claims": content, "key": keys.signing.kid})
        index = book.list_status(SIZE, prepared.credential.expires_at, body)
    except StateError as error:
        raise ExchangeRefusedError(error.message, error="temporarily_unavailable") from error
    return {**content, "status": {"status_list": {"idx": index, "uri": listed}}}


def for_authority(issuer: str, subject: str, chain: Chain, actors: tuple[str, ...] = ()) -> Credential:
    """A token for the authority itself. `actors` are those before the agent that is to act with it."""
    return Credential(
        id=_new_id(),
        kind="token",
        audience=issuer,
        scope=claims.scope_text(chain.scope),
        subject=subject,
        actors=actors,
        task=chain.task,
        issued_at=chain.issued_at,
        expires_at=chain.expires_at,
        lineage=chain.lineage,
        hops=chain.hops,
    )


def _new_id() -> str:
    return "tok_" + secrets.token_hex(16)


def credential_of(grant: Grant) -> Credential:
    """What a grant lets be minted."""
    return Credential(
        id=_new_id(),
        kind="token",
        audience=grant.target.resource,
        scope=claims.scope_text(grant.scope),
        subject=grant.subject,
        actors=grant.actors,
        task=grant.task,
        issued_at=grant.issued_at,
        expires_at=grant.expires_at,
        lineage=grant.lineage,
        hops=grant.hops,
        bound=grant.bound,
    )


def call_claims(call: CallDetails) -> claims.Content:
    """The claims of a token that is for one call."""
    details: claims.Content = {"authorization_details": call.claim()}
    return {**details, "decision": call.decision} if call.decision else details


def credential_row(credential: Credential, client: str, epoch: int) -> Draft:
    """The row of a token: what it says, never the token. Its agent is the client, unless that is no agent."""
    return Draft(
        kind="credential",
        at=credential.issued_at,
        record={"credential": plain(credential), "client": client},
        task=credential.task,
        agent=client,
        epoch=epoch,
        hops=credential.hops,
    )
