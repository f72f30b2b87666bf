"""What must be true of a token of an external authorization server before it is used for anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from hopward.authorization_servers import AuthorizationServerSettings
from hopward.clock import SECOND, Instant, from_seconds, to_seconds
from hopward.errors import ExchangeRefusedError, TokenError
from hopward.external.forms import Answer
from hopward.external.legs import Leg
from hopward.foreign import Foreign, ForeignKey, audiences, verify_foreign
from hopward.jose import Claims
from hopward.model import MOST_ACTORS

_SKEW = 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an exchanged token must say: for which leg, in whose name, for what, and who has acted.

    `acted` are the `sub` of every actor that `act` has to name, the latest first.
    """

    leg: Leg
    subject: str
    scope: tuple[str, ...]
    acted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the tokens of one server with the keys it has published, at one instant."""

    server: AuthorizationServerSettings
    keys: Mapping[str, tuple[ForeignKey, ...]]
    now: Instant

    def subject(self, token: str, leg: Leg, subject: str) -> Claims:
        """The claims of a person's token: theirs, addressed to the client that is to exchange it, of no key.

        Raises `ExchangeRefusedError`: `subject_token_unusable`, `wrong_subject`.
        """
        try:
            claims = self._verified(token, leg.client.addressed)
        except TokenError as error:
            told = f"The person's token cannot be exchanged. {error.message}"
            raise ExchangeRefusedError(told, error="subject_token_unusable") from error
        if claims.get(self.server.subject_claim) != subject:
            told = "The token kept for this task is that of another person."
            raise ExchangeRefusedError(told, error="wrong_subject")
        if "cnf" in claims:
            told = "The person's token is bound to a key that is not ours."
            raise ExchangeRefusedError(told, error="subject_token_unusable")
        if not isinstance(claims.get(self.server.same_claim), str):
            told = f"The person's token has no {self.server.same_claim}."
            raise ExchangeRefusedError(told, error="subject_token_unusable")
        if "may_act" in claims and self.server.actor != "token":
            # Left out, the actor token would let a server forget who may act (RFC 8693 section 4.4).
            told = 'The person\'s token says who may act, which takes actor = "token" to prove.'
            raise ExchangeRefusedError(told, error="subject_token_unusable")
        return claims

    def actor(self, token: str, leg: Leg) -> str:
        """The `sub` of a client's own token; raises `ExchangeRefusedError` where it is another client's."""
        try:
            claims = self._verified(token, None)
        except TokenError as error:
            raise _wrong(error.message) from error
        if _client(claims) != leg.client.client_id:
            raise _wrong("It is not the token of the client that asked.")
        return cast("str", claims["sub"])

    def exchanged(self, answer: Answer, before: str, wanted: Wanted) -> tuple[Claims, Instant]:
        """The claims of an exchanged token and when it ends; raises `ExchangeRefusedError`
        (`wrong_credential`) unless it is exactly what was asked for. `before` is what it was exchanged from.
        """
        if answer.token == before:
            raise _wrong("It is the token that was to be exchanged.")
        try:
            claims = self._verified(answer.token, wanted.leg.target)
            only = audiences(claims) == (wanted.leg.target,)
            acted = actors_of(claims)
        except TokenError as error:
            raise _wrong(error.message) from error
        ends = self._ends(claims, answer)
        nested = self.server.chain == "nested" or bool(acted)
        said = {
            "audience": only,
            "subject": claims.get(self.server.same_claim) == wanted.subject,
            "scope": _scope(claims, answer) <= set(wanted.scope),
            "client": _client(claims) in ("", wanted.leg.client.client_id),
            "chain of actors": acted == wanted.acted if nested else True,
            "lifetime": self.now < ends <= self.now + (self.server.longest_seconds + _SKEW) * SECOND,
            "binding to a key": "cnf" not in claims,
        }
        for what, same in said.items():
            if not same:
                raise _wrong(f"Its {what} is not what was asked for.")
        return claims, ends

    def _ends(self, claims: Claims, answer: Answer) -> Instant:
        """The later of what token and answer say is compared with what is allowed, the earlier is
        believed."""
        expires = from_seconds(claims["exp"])
        if answer.expires_in is None:
            return expires
        told = from_seconds(to_seconds(self.now) + answer.expires_in)
        longest = self.now + (self.server.longest_seconds + _SKEW) * SECOND
        return min(expires, told) if max(expires, told) <= longest else max(expires, told)

    def _verified(self, token: str, audience: str | None) -> Claims:
        server = self.server
        expected = Foreign(
            algorithms=frozenset(server.algorithms),
            types=server.token_types,
            issuer=server.issuer,
            audience=audience,
            skew=_SKEW,
        )
        return verify_foreign(token, self.keys, expected, self.now)


def actors_of(claims: Claims) -> tuple[str, ...]:
    """The `sub` of every actor in `act` (RFC 8693 section 4.1), the latest first; raises `TokenError`."""
    found: list[str] = []
    level: object = claims.get("act")
    while level is not None:
        entry = cast("dict[str, Any]", level) if isinstance(level, dict) else {}
        subject: object = entry.get("sub")
        if not isinstance(subject, str) or not subject or len(found) > MOST_ACTORS:
            raise TokenError("The token's act does not name actors.", error="bad_claim")
        found.append(subject)
        level = entry.get("act")
    return tuple(found)


def _client(claims: Claims) -> str:
    """The client a token was issued to (RFC 9068 section 2.2; `azp` in OpenID Connect), empty if not said."""
    value: object = claims.get("client_id", claims.get("azp", claims.get("appid", "")))
    return value if isinstance(value, str) else "?"


def _scope(claims: Claims, answer: Answer) -> set[str]:
    """All scope that token or answer claim: `scope`, or `scp`."""
    found = set(answer.scope or ())
    for name in ("scope", "scp"):
        value: object = claims.get(name, "")
        words = cast("list[object]", value) if isinstance(value, list) else str(value).split()
        found |= {str(word) for word in words}
    return found


def _wrong(why: str) -> ExchangeRefusedError:
    told = f"The authorization server has answered with a token that cannot be used. {why}"
    return ExchangeRefusedError(told, error="wrong_credential")
