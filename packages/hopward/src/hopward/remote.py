"""Credentials of a remote authority (RFC 8693), with the network left out: what to ask, and what to accept.

The authority is asked once per credential, and its answer is believed only as far as it is exactly what was
planned here: signed by a published key, for this server, this tool and these arguments, in the name of this
chain, and over within a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from hopward import claims, selfsigned
from hopward.assertion import client_assertion
from hopward.claims import CallDetails, Presented
from hopward.clock import SECOND, Clock, Instant
from hopward.errors import ExchangeRefusedError, HopwardError, TokenError
from hopward.exchange import PROXY
from hopward.jose import Expected, verify
from hopward.jwk import SigningKey, VerificationKey
from hopward.model import Chain, Credential
from hopward.tokenrequest import TokenRequest
from hopward.wire import ACCESS_TOKEN_TYPE, SELF_SIGNED_TYPE, ExchangeForm, build_request, read_response

CREDENTIAL_SECONDS = 60
"""Longest life of a credential."""

_SKEW = 5


class ProxyKeys(Protocol):
    """The keys a proxy needs; `hopward.published.PublishedKeys` has them."""

    @property
    def proxy(self) -> SigningKey:
        """The proxy's own key."""
        ...

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """By `kid`, the authority's keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRequest(TokenRequest):
    """One exchange to ask our authority for. `exchange` holds secrets too, and is not shown either."""

    exchange: ExchangeForm = field(repr=False)


class RemoteAuthority:
    """Builds token requests and reads the answers to them."""

    def __init__(self, *, issuer: str, keys: ProxyKeys, clock: Clock) -> None:
        self._issuer = issuer
        self._keys = keys
        self._clock = clock

    def check_key(self) -> None:
        """Raise `ConfigError` unless this process holds the key that the proxy authenticates with."""
        _ = self._keys.proxy

    def request(
        self, credential: Credential, chain: Chain, call: CallDetails, subject_token: str
    ) -> OwnRequest:
        """The request for a planned credential.

        `subject_token` is the access token that presented the chain. A chain that no token has presented (its
        task was opened here, or it came as signed links) is spoken for by a token of the proxy's own; no
        other chain ever is. Raises `HopwardError` where
        the two do not go together or the plan is over, `ConfigError` without the proxy's key.
        """
        if credential.kind != "exchanged":
            raise ExchangeRefusedError("No authority is asked for this credential.", error="server_error")
        if credential.expires_at <= self._clock.now():
            raise ExchangeRefusedError("The credential is over.")
        if bool(chain.token) != bool(subject_token):
            raise HopwardError("The chain and its token do not go together.", error="chain_invalid")
        key = self._keys.proxy
        exchange = ExchangeForm(
            subject_token=subject_token or selfsigned.write(chain, self._issuer, key, self._clock),
            subject_token_type=ACCESS_TOKEN_TYPE if subject_token else SELF_SIGNED_TYPE,
            target=credential.audience,
            scope=claims.scope_names(credential.scope),
            call=call,
        )
        assertion = client_assertion(PROXY, self._issuer, key, clock=self._clock)
        return OwnRequest(
            form=build_request(exchange, assertion),
            exchange=exchange,
            call=call,
            credential=credential,
            chain=chain,
        )

    def received(self, request: OwnRequest, status: int, body: bytes) -> tuple[str, Credential]:
        """The token in an answer, and what may be recorded of it.

        Raises `ExchangeRefusedError`: with the authority's own code if it refused, `server_error` if its
        answer cannot be read, `wrong_credential` if the token is not exactly what was asked for.
        """
        token = read_response(status, body, request.exchange).token
        planned, now = request.credential, self._clock.now()
        expected = Expected(types=(claims.TYPE,), issuer=self._issuer, audience=planned.audience, skew=_SKEW)
        try:
            verified = verify(token, self._keys.verification_keys(), expected, now)
            presented = claims.read(verified.claims, verified.kid)
            granted = claims.details(verified.claims.get("authorization_details"))
        except TokenError as error:
            raise _wrong(error.message) from error
        asked = {**_members(presented, request, now), **_call_members(granted, verified.claims, request.call)}
        for what, same in asked.items():
            if not same:
                raise _wrong(f"Its {what} is not what was asked for.")
        credential = msgspec.structs.replace(
            planned,
            id=presented.token,
            issued_at=presented.issued_at,
            expires_at=presented.expires_at,
            lineage=presented.lineage,
        )
        return token, credential


def _members(presented: Presented, request: OwnRequest, now: Instant) -> dict[str, bool]:
    planned, longest = request.credential, CREDENTIAL_SECONDS * SECOND
    latest = min(now, presented.issued_at) + longest
    return {
        "subject": presented.subject == planned.subject,
        "chain of actors": presented.actors == planned.actors and presented.may_act is None,
        "task": presented.task == planned.task,
        "chain of hops": presented.hops == planned.hops,
        "client": presented.client == PROXY,
        "scope": presented.scope == claims.scope_names(planned.scope),
        "lifetime": presented.expires_at <= min(latest, request.chain.expires_at),
        "lineage": set(planned.lineage) <= set(presented.lineage),
        "binding to a key": not presented.bound,
    }


def _call_members(granted: CallDetails, said: Mapping[str, object], call: CallDetails) -> dict[str, bool]:
    return {
        "call": granted == msgspec.structs.replace(call, decision=""),
        "decision": said.get("decision", "") == call.decision,
    }


def _wrong(why: str) -> ExchangeRefusedError:
    return ExchangeRefusedError(
        f"The authority has answered with a token that cannot be used. {why}", error="wrong_credential"
    )
