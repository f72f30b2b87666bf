"""What the guard asks of others, one small protocol each: policy, the decision log, the exchange."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hopward.approval import EVERY, Approval, Which
from hopward.behaviour import States
from hopward.canonical import JSON
from hopward.clock import Instant
from hopward.model import Agent, Chain, Credential, Hop, QuarantineKind, Task, Tool, ToolCall, Verdict
from hopward.pins import Changes, Page, Pin, Sighting, Status
from hopward.record import Draft, Facts, Receipt, Spent, Standing


class Engine(Protocol):
    """The policy engine in force: immutable, so a reload never changes a decision under way."""

    @property
    def policy_set(self) -> str:
        """Digest of policies and schema."""
        ...

    def evaluate(self, call: ToolCall, tool: Tool, agent: Agent, facts: Facts) -> Verdict:
        """Permit, deny or step-up, with the policies that decided."""
        ...

    def evaluate_hop(self, hop: Hop, delegator: Agent, receiver: Agent, facts: Facts) -> Verdict:
        """The same about handing on what the hop would carry."""
        ...

    def approvers(self, policies: Sequence[str]) -> tuple[str, ...]:
        """The groups whose approval lifts these policies, sorted."""
        ...

    def could_permit(self, tool: Tool) -> bool:
        """False only if no call of this tool can be permitted, whatever the facts."""
        ...


class Policies(Protocol):
    """Where the engine in force comes from; `current` may reload."""

    def current(self) -> Engine:
        """The engine to decide with now."""
        ...


class Ledger(Protocol):
    """The decision log and what stands in it."""

    def standing(self, chain: Chain) -> Standing:
        """Everything known about a chain, as of now, in every process on the machine."""
        ...

    def record(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Append drafts in one durable transaction; raises `LedgerError` when it cannot."""
        ...

    def hop(self, hop_id: str) -> Hop:
        """The hop as stored; raises `NotFoundError`."""
        ...

    def fan_out_reached(self, hop: Hop) -> bool:
        """Whether the delegator of a hop that would be opened has as many open as it may have."""
        ...

    def approval(self, approval_id: str) -> Approval:
        """The approval as stored; raises `NotFoundError`."""
        ...

    def approvals(self, which: Which = EVERY) -> list[Approval]:
        """Approvals as stored, the latest first. A row that cannot be read is left out."""
        ...

    def answer(self, before: Approval, after: Approval, draft: Draft) -> Receipt:
        """Change an approval and append its row; raises `StateError` if it is not as it was `before`."""
        ...

    def latest_approval(self, binding: str) -> Approval | None:
        """The approval with this binding that was asked for last."""
        ...

    def grants(self, alike: str) -> list[Approval]:
        """Approved ones that hold for several such calls (`Approval.alike`), the oldest first."""
        ...

    def was_consumed(self, binding: str, alike: str = "") -> bool:
        """Whether a call with this binding has ever used an approval: its own, or one for several such."""
        ...

    def stood(self, task_id: str, values: frozenset[str]) -> frozenset[str]:
        """Which of some digests (`hopward.provenance`) are of values that stood in the task's results."""
        ...

    def behaviour(self, agent: str, task_id: str) -> States:
        """What detectors remember of an agent and of a task."""
        ...

    def pin_status(self, server: str, tool: str, epoch: int) -> Status:
        """How a tool's definition stands, as of that epoch or later."""
        ...

    def see(
        self, page: Page, at: Instant, rows: Callable[[Changes], Sequence[Draft]], *, trusting: bool
    ) -> None:
        """Note what a page of a `tools/list` changes, and the rows that tell of it, in one transaction."""
        ...

    def accept(self, pins: Sequence[Pin], rows: Sequence[Draft]) -> None:
        """Store accepted definitions with their rows; raises `StateError` for one that has changed since."""
        ...

    def pins(self, server: str = "") -> tuple[Pin, ...]:
        """The pinned definitions, all or of one server."""
        ...

    def sightings(self, server: str = "") -> tuple[Sighting, ...]:
        """The definitions that wait for somebody to accept them, likewise."""
        ...

    def spent(self, accounts: Sequence[str], places: Sequence[str]) -> Spent:
        """What tasks and hops have used beside calls and writes, and which of these places reached."""
        ...

    def complete_hop(self, hop_id: str, draft: Draft) -> Receipt:
        """End a hop and append its row; raises `NotFoundError`, and `StateError` if it has ended before."""
        ...


class Quarantines(Protocol):
    """Who keeps something from acting until a person releases it."""

    def quarantine(
        self, kind: QuarantineKind, name: str, *, by: str, why: str, evidence: Mapping[str, JSON] | None
    ) -> object:
        """Quarantine it, with the evidence in the log; raises `HopwardError`."""
        ...


class Exchanger(Protocol):
    """Plans and mints the credential of one call (RFC 8693)."""

    def plan(self, call: ToolCall, chain: Chain, task: Task, now: Instant) -> Credential:
        """What would be minted; raises `ExchangeRefusedError` where an exchange would be refused."""
        ...

    def mint(self, credential: Credential, decision: str, call: ToolCall) -> str:
        """The token itself; empty where an API key is brokered instead."""
        ...
