"""Callers whose tokens are bound to a key, and who prove every request."""

from dataclasses import dataclass
from typing import Any

from hopward.clock import SystemClock
from hopward.dpop import prove
from hopward.jwk import SigningKey
from hopward.wire import ExchangeForm

from .fronting import Answered, Fronted, modern_call

KEY, OTHER = SigningKey.generate("ES256"), SigningKey.generate("EdDSA")
CLOCK = SystemClock()


@dataclass(slots=True)
class Bound:
    """A caller with a token that is bound to its key."""

    fronted: Fronted
    token: str
    key: SigningKey = KEY
    nonce: str = ""

    def url(self, server: str = "desk") -> str:
        return f"{self.fronted.base}/{server}/mcp"

    def headers(self, **changes: Any) -> dict[str, str]:
        """What a request has to have; `changes` are of the proof, `scheme` and `dpop` of the headers."""
        made = {
            "key": self.key,
            "method": "POST",
            "url": self.url(),
            "token": self.token,
            "nonce": self.nonce,
        }
        scheme, dpop = changes.pop("scheme", "DPoP"), changes.pop("dpop", None)
        made |= changes
        shown = prove(made.pop("key"), made.pop("method"), made.pop("url"), CLOCK, **made)
        told = {"Authorization": f"{scheme} {self.token}", "DPoP": shown if dpop is None else dpop}
        return {name: value for name, value in told.items() if value}

    async def call(self, headers: dict[str, str] | None = None, tool: str = "echo") -> Answered:
        message, repeated = modern_call(tool, {"x": 1})
        shown = self.headers() if headers is None else headers
        if "Authorization" not in shown:
            shown["Authorization"] = ""
        return await self.fronted.post("", message, repeated | shown)


def bound(fronted: Fronted, key: SigningKey | None = KEY, server: str = "desk") -> Bound:
    """A caller with a token for a new task, bound to the key if there is one."""
    guard, thumbprint = fronted.guard, f"jkt:{key.kid}" if key else ""
    issuer, ledger = guard.issuer, guard.ledger
    form = ExchangeForm(
        subject_token=issuer.task_token(guard.open_task("tickets", "alice"), ledger).token,
        actor_token=issuer.agent_token("assistant", ledger, thumbprint).token,
        target=f"{fronted.base}/{server}/mcp",
    )
    token = issuer.exchange(form, issuer.clients["assistant"], ledger, thumbprint).token
    return Bound(fronted, token, key or KEY)
