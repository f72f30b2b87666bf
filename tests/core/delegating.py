"""A guard with three agents that may hand work to each other: `boss`, `worker`, `clerk`."""

from dataclasses import dataclass, field
from typing import Any

from hopward.cedar import CedarEngine
from hopward.chain import entered
from hopward.classification import Classifications
from hopward.clock import SECOND, Instant
from hopward.evaluation import Sources
from hopward.guard import Guard
from hopward.model import (
    Agent,
    Budget,
    Capability,
    Chain,
    Credential,
    Delegation,
    Narrowing,
    Task,
    Tool,
    ToolCall,
)
from hopward.pinning import Pins
from hopward.redaction import Redaction
from hopward.settings import LogSettings
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.ledger import MemoryLedger
from hopward.testing.samples import NOTE

READ = Tool(
    server="desk",
    name="read",
    action="read",
    sensitivity="internal",
    integrity="trusted",
    destination="desk",
)
PAY = Tool(
    server="desk",
    name="pay",
    action="pay",
    sensitivity="internal",
    integrity="trusted",
    destination="bank",
    arguments={"amount": "integer"},
)
POLICY = """
permit (principal, action in [Hopward::Action::"read", Hopward::Action::"pay"], resource);
permit (principal, action == Hopward::Action::"delegate", resource);
"""
READING = Capability(tools=("desk/read",), actions=("read",), sensitivity="internal", destinations=("desk",))
PAYING = Capability(tools=("desk/pay",), actions=("pay",), sensitivity="internal", destinations=("bank",))
BOTH = (READING, PAYING)
READ_CALL = ToolCall(server="desk", tool="read")
PAY_CALL = ToolCall(server="desk", tool="pay", arguments={"amount": 5})


def an_agent(name: str, **changes: Any) -> Agent:
    fields: dict[str, Any] = {"owner": "ops", "purpose": "work", "state": "active"}
    return Agent(**({"id": name, "ceiling": BOTH, "delegable": BOTH} | fields | changes))


def a_task(**changes: Any) -> Task:
    """A task of `boss`, who may read only, and hand on both reading and paying."""
    fields: dict[str, Any] = {
        "id": "task_1",
        "subject": "alice",
        "agent": "boss",
        "purpose": "settle the claim",
        "workflow": "claims",
        "capabilities": (READING,),
        "budget": Budget(calls=20, writes=10),
        "opened_at": NOON,
        "expires_at": NOON + 600 * SECOND,
        "state": "open",
        "delegable": BOTH,
        "depth": 2,
        "fan_out": 3,
    }
    return Task(**(fields | changes))


def asking(*capabilities: Capability, **changes: Any) -> Narrowing:
    """A wish for five calls and two writes within five minutes."""
    fields: dict[str, Any] = {
        "purpose": "pay the claim",
        "capabilities": capabilities or BOTH,
        "budget": Budget(calls=5, writes=2),
        "expires_in": 300,
    }
    return Narrowing(**(fields | changes))


class Exchange:
    """Plans whatever it is asked for, without keys."""

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        return Credential(
            id="jti",
            kind="token",
            audience="urn:desk",
            scope=call.name,
            subject=chain.subject,
            actors=chain.actors,
            task=task.id,
            issued_at=now,
            expires_at=now + 60 * SECOND,
            hops=chain.hops,
        )

    def mint(self, credential: Credential, decision: str, call: ToolCall) -> str:
        return decision


class Policies:
    def __init__(self, text: str) -> None:
        self.engine = CedarEngine({"test.cedar": text}, [READ, PAY])

    def current(self) -> CedarEngine:
        return self.engine


@dataclass
class Office:
    """The guard, its memory ledger and a clock that stands still."""

    policy: str = POLICY
    task: Task = field(default_factory=a_task)
    clock: FixedClock = field(default_factory=FixedClock)
    agents: tuple[str, ...] = ("boss", "worker", "clerk")

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.clock)
        self.policies = Policies(self.policy)
        sources = Sources(
            ledger=self.ledger,
            policies=self.policies,
            classifications=Classifications((READ, PAY)),
            exchanger=Exchange(),
            agents=frozenset(self.agents),
            redaction=Redaction(LogSettings()),
            pins=Pins(self.ledger, {}, (), self.clock),
        )
        self.guard = Guard(sources, self.clock)
        for name in self.agents:
            self.ledger.put_agent(an_agent(name), NOTE)
        self.ledger.put_task(self.task, NOTE)
        self.boss = entered(self.task)

    def change_agent(self, name: str, **changes: Any) -> None:
        self.ledger.put_agent(an_agent(name, **changes), NOTE)

    def hand(self, chain: Chain, to: str = "worker", **changes: Any) -> Delegation:
        return self.guard.delegate(chain, to, asking(**changes) if changes else asking())

    def handed(self, chain: Chain, to: str = "worker", **changes: Any) -> Chain:
        """The chain of a hop that must be permitted."""
        found = self.hand(chain, to, **changes)
        assert found.chain is not None, found.decision.verdict
        return found.chain

    def refused(self, chain: Chain, to: str = "worker", **changes: Any) -> str:
        """The reason why a hop is refused, which it must be."""
        found = self.hand(chain, to, **changes)
        assert found.chain is None
        assert not found.decision.permitted
        return found.decision.verdict.reason

    def reason(self, chain: Chain, call: ToolCall = READ_CALL) -> str:
        """`permitted`, or why a call is refused."""
        return self.guard.authorize(call, chain).verdict.reason

    def spent(self, account: str = "task_1") -> tuple[int, int]:
        used = self.ledger.usage(account)
        return used.calls, used.writes
