"""What passes between the guard, the policy engine and the decision log: plain inner values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hopward.clock import Instant
from hopward.model import Agent, Revocation, Task, Usage

RowKind: TypeAlias = Literal[
    "decision", "credential", "outcome", "task", "agent", "revocation", "policy", "key", "refusal"
]
"""What a row of the decision log tells. `refusal` is a caller or message turned away before any decision."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true at this moment, as policy sees it in `context` beside the arguments."""

    subject: str
    task: str
    purpose: str
    workflow: str
    actors: tuple[str, ...]
    calls_left: int
    writes_left: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger knows about a chain. `epoch` changes when any task, agent or revocation does."""

    epoch: int
    task: Task | None
    usage: Usage
    agents: Mapping[str, Agent]
    revocations: tuple[Revocation, ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A share of a task's budget, taken in the same transaction as the permit."""

    task: str
    calls: int
    writes: int


@dataclass(frozen=True, slots=True)
class Draft:
    """One row to append.

    The text fields are indexed columns and part of the hashed envelope. With `epoch` set, the row is
    refused as `stale` when standing changed since it was read; with `reserve` set, it is refused as
    `budget_calls` or `budget_writes` when the task's budget cannot take it. `follow` rows are written
    right after this one, in the same transaction, only if this one was written.
    """

    kind: RowKind
    at: Instant
    record: dict[str, Any]
    task: str = ""
    agent: str = ""
    server: str = ""
    tool: str = ""
    verdict: str = ""
    reason: str = ""
    decision: str = ""
    epoch: int | None = None
    reserve: Reservation | None = None
    follow: tuple["Draft", ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a draft now stands in the log, or why it was not written."""

    seq: int
    hash: str
    refused: Literal["", "stale", "budget_calls", "budget_writes"] = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the decision log as stored."""

    seq: int
    kind: str
    at: str
    task: str
    agent: str
    server: str
    tool: str
    verdict: str
    reason: str
    decision: str
    record: dict[str, Any]
    hash: str
