"""One exchange under way, from the subject token to the token for the server called: what is known so far.

subject token --leg--> token for the next actor --leg--> ... --leg--> token for the server
"""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from hopward.authorization_servers import AuthorizationServerSettings
from hopward.clock import Instant
from hopward.errors import ExchangeRefusedError
from hopward.external.forms import Answer, Asked
from hopward.external.issued import Judge, Wanted, actors_of
from hopward.external.legs import Leg
from hopward.jose import Claims

Next: TypeAlias = Literal["subject", "actor", "exchange", "judge-actor", "judge-exchanged", "done"]
"""What has to happen next: a token is looked at, or one is asked for."""


@dataclass(frozen=True, slots=True)
class Walk:
    """`subject` is whose tokens these are, `token` the one to exchange next, `acted` who has acted so far,
    the latest first; `actor` and `actor_token` of the present leg; `answer` is one that nobody has looked at
    yet.
    """

    settings: AuthorizationServerSettings
    person: str
    scope: tuple[str, ...]
    legs: tuple[Leg, ...]
    token: str = field(repr=False)
    next: Next = "subject"
    at: int = 0
    subject: str = ""
    acted: tuple[str, ...] = ()
    actor: str = ""
    actor_token: str = field(default="", repr=False)
    answer: Answer | None = field(default=None, repr=False)
    ends: Instant = 0
    id: str = ""

    @property
    def leg(self) -> Leg:
        """The exchange that is being made."""
        return self.legs[self.at]

    @property
    def asked(self) -> Asked:
        """What is asked for on this leg."""
        return Asked(self.token, self.leg.target, self.scope, self.actor_token)

    @property
    def looked_at(self) -> str:
        """The token that is to be looked at next, empty where none is."""
        if self.next == "subject":
            return self.token
        return self.answer.token if self.answer is not None and self.next.startswith("judge") else ""

    def judged(self, judge: Judge) -> "Walk":
        """One step on, the token to be looked at being in order; raises `ExchangeRefusedError`."""
        if self.next == "subject":
            claims = judge.subject(self.token, self.leg, self.person)
            same = claims[self.settings.same_claim]
            return self._on_leg(replace(self, subject=same, acted=actors_of(claims)))
        if self.answer is None:
            raise ExchangeRefusedError("Nothing was answered.", error="server_error")
        if self.next == "judge-actor":
            actor = judge.actor(self.answer.token, self.leg)
            return replace(self, actor=actor, actor_token=self.answer.token, answer=None, next="exchange")
        acted = (self.actor or self.leg.client.client_id, *self.acted)
        wanted = Wanted(self.leg, self.subject, self.scope, acted)
        claims, ends = judge.exchanged(self.answer, self.token, wanted)
        return self._arrived(self.answer.token, claims, ends, acted)

    def with_answer(self, answer: Answer) -> "Walk":
        """The answer to what was asked, to be looked at."""
        return replace(self, answer=answer, next="judge-actor" if self.next == "actor" else "judge-exchanged")

    def _arrived(self, token: str, claims: Claims, ends: Instant, acted: tuple[str, ...]) -> "Walk":
        went = replace(self, token=token, acted=acted, answer=None, actor="", actor_token="", ends=ends)
        if self.at + 1 == len(self.legs):
            return replace(went, next="done", id=str(claims.get("jti", "")))
        return self._on_leg(replace(went, at=self.at + 1))

    def _on_leg(self, walk: "Walk") -> "Walk":
        return replace(walk, next="actor" if self.settings.actor == "token" else "exchange")
