"""An installation with a guard: three agents that hand work to each other over OAuth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hopward.cedar import CedarEngine
from hopward.classification import Classifications
from hopward.evaluation import Sources
from hopward.guard import Guard
from hopward.issuer import Book, Delegator, Issued
from hopward.model import Budget, Capability, Chain, Narrowing, Task, Tool
from hopward.pinning import Pins
from hopward.redaction import Redaction
from hopward.settings import LogSettings
from hopward.testing.installation import DESK, Installation, an_installation
from hopward.wire import ExchangeForm

AGENTS = ("helper", "other", "third")
READ = Tool(
    server="desk",
    name="read",
    action="read",
    sensitivity="internal",
    integrity="trusted",
    destination="desk",
)
REFUND = msgspec.structs.replace(READ, name="refund", action="pay")
POLICY = """
permit (principal, action in [Hopward::Action::"read", Hopward::Action::"pay"], resource);
permit (principal, action == Hopward::Action::"delegate", resource);
"""
READING = Capability(tools=("desk/read",), actions=("read",), sensitivity="internal", destinations=("desk",))


def work(**changes: Any) -> Narrowing:
    """Five reading calls within five minutes, which may be handed on once more."""
    fields: dict[str, Any] = {
        "purpose": "read ticket 7",
        "capabilities": (READING,),
        "budget": Budget(calls=5, writes=0),
        "expires_in": 300,
        "delegable": (READING,),
        "depth": 1,
        "fan_out": 2,
    }
    return Narrowing(**(fields | changes))


class Policies:
    def __init__(self) -> None:
        self.engine = CedarEngine({"test.cedar": POLICY}, [READ, REFUND])

    def current(self) -> CedarEngine:
        return self.engine


@dataclass(slots=True)
class Office:
    """The installation, and the guard over its log and its issuer."""

    place: Installation
    guard: Guard

    def task_token(self, task: Task) -> str:
        return self.place.issuer.task_token(task, self.place.ledger).token

    def agent_token(self, agent: str) -> str:
        return self.place.issuer.agent_token(agent, self.place.ledger).token

    def hand(
        self,
        agent: str,
        to: str,
        subject: str,
        asked: Narrowing | None = None,
        *,
        book: Book | None = None,
        guard: Delegator | None = None,
    ) -> Issued:
        """What `agent` gets at the authority for handing work on to another one."""
        place = self.place
        form = ExchangeForm(
            subject_token=subject,
            actor_token=self.agent_token(agent),
            target=f"agent:{to}",
            delegation=asked or work(),
        )
        client = place.issuer.clients[agent]
        return place.issuer.hand_on(form, client, book or place.ledger, guard or self.guard)

    def enter(self, agent: str, subject: str, target: str = DESK, **changes: Any) -> Issued:
        """The exchange of an agent's task or hop token for an endpoint."""
        form = ExchangeForm(
            subject_token=subject, actor_token=self.agent_token(agent), target=target, **changes
        )
        return self.place.issuer.exchange(form, self.place.issuer.clients[agent], self.place.ledger)

    def chain(self, token: str) -> Chain:
        return self.place.issuer.verify(token).chain


def an_office(root: Path) -> Office:
    """A new one in an empty folder."""
    place = an_installation(root, AGENTS, "EdDSA")
    sources = Sources(
        ledger=place.ledger,
        policies=Policies(),
        classifications=Classifications((READ, REFUND)),
        exchanger=place.issuer,
        agents=frozenset(AGENTS),
        redaction=Redaction(LogSettings()),
        pins=Pins(place.ledger, {}, (), place.clock),
    )
    return Office(place, Guard(sources, place.clock))
