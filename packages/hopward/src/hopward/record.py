"""What passes between the guard, the policy engine and the decision log: plain inner values, no behaviour.

Those made for every call are a `msgspec.Struct`, which takes a tenth of the time of a frozen dataclass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from hopward.approval import Approval, Taken
from hopward.behaviour import LOW, UNSEEN, Risk, States, Watch
from hopward.clock import Instant
from hopward.model import (
    Agent,
    Containment,
    Hop,
    Integrity,
    Label,
    Pinning,
    Provenance,
    Revocation,
    Sensitivity,
    Task,
    Usage,
)
from hopward.money import BOUNDLESS

RowKind: TypeAlias = Literal[
    "decision",
    "credential",
    "outcome",
    "approval",
    "task",
    "hop",
    "agent",
    "revocation",
    "containment",
    "pin",
    "policy",
    "key",
    "refusal",
    "device",
    "login",
    "event",
]
"""What a row of the decision log tells. `refusal` is a caller or message turned away before any decision."""


Refusal: TypeAlias = tuple[str, str]
"""A machine reason and a sentence for people."""

UNREAD = -1
"""The number of no row."""


class Facts(msgspec.Struct, frozen=True):
    """What is true at this moment, as policy sees it in `context` beside the arguments."""

    subject: str
    task: str
    purpose: str
    workflow: str
    actors: tuple[str, ...]
    calls_left: int
    writes_left: int
    purposes: tuple[str, ...] = ()
    """Of each hop, in order: `purposes[0]` is what the first delegator handed work on for."""
    bound: bool = False
    """Whether whoever presented the chain has proved to hold a key."""
    taken_sensitivity: Sensitivity = "public"
    """The highest label of anything the task has taken in, whichever agent of it did."""
    taken_integrity: Integrity = "trusted"
    untrusted_servers: tuple[str, ...] = ()
    """Where untrusted content was taken in from."""
    above_ceiling: bool = False
    """Whether the task has taken in what the tool called may not receive."""
    destinations: tuple[str, ...] = ()
    """Where the effect of the call goes; none where it cannot be told."""
    provenance: Mapping[str, Provenance] = {}
    """Of each argument of the call that names something."""
    risk: Risk = LOW
    """How the agent has been behaving, this call included."""
    pin: Pinning = "none"
    """What the tool's definition stands on."""
    pin_digest: str = ""
    """Of the definition that counts."""
    step: str = ""
    """Of the task's path: the one that the call or hop takes. Empty for a task without steps."""
    currency: str = ""
    """What the call spends, if anything: `amount` and `money_left` are of it (`hopward.money`)."""
    amount: int = 0
    money_left: int = 0
    bytes_out: int | None = None
    """The size of the arguments; None where nothing bounds it."""
    bytes_left: int = BOUNDLESS
    new_destinations: int | None = None
    """How many of `destinations` are new; None where nothing bounds them."""
    destinations_left: int = BOUNDLESS

    carried_untrusted: int = 0
    """Addresses in the free text of the call that are untrusted."""

    @property
    def taken(self) -> Taken:
        """All that the task has taken in, in one."""
        return Taken(self.taken_sensitivity, self.taken_integrity, self.untrusted_servers)


class StandingHop(msgspec.Struct, frozen=True):
    """A hop of a chain as it stands now, and how much of its budget it has reserved."""

    hop: Hop
    usage: Usage


class Standing(msgspec.Struct, frozen=True):
    """What the ledger knows about a chain. `epoch` changes when any task, agent, revocation or
    quarantine does.

    `hops` are those the chain names, in its order; one that does not exist is left out. `labels` are those of
    the whole task, of what has gone out perhaps only a few, and `moved` is how often one of the others has
    risen. `containments` are those of what the chain names, all of tools and servers, and the stop of
    everything. `taken` is how often each step of the task's path has been taken. `behaviour` is what
    detectors remember of the acting agent and the task. `head` is the number of the last row when this was
    read.
    """

    epoch: int
    task: Task | None
    usage: Usage
    agents: Mapping[str, Agent]
    revocations: tuple[Revocation, ...]
    hops: tuple[StandingHop, ...] = ()
    labels: tuple[Label, ...] = ()
    moved: int = 0
    containments: tuple[Containment, ...] = ()
    behaviour: States = UNSEEN
    taken: Mapping[str, int] = {}
    head: int = UNREAD


class Taking(msgspec.Struct, frozen=True):
    """A step of a task's path that is taken with a permit: at most `times`, and not after any of `unless`."""

    step: str
    times: int
    unless: tuple[str, ...]


class Take(msgspec.Struct, frozen=True):
    """What is taken out of one account beside calls and writes: a currency's money, or `bytes_out`."""

    account: str
    of: str
    amount: int


class Reservation(msgspec.Struct, frozen=True):
    """A share of budgets, taken in the same transaction as the permit: all of it, or nothing.

    `accounts` are the ids of the task and hops whose calls and writes it counts against. `reaching` are those
    that count destinations, of which `places` are the call's.
    """

    accounts: tuple[str, ...]
    calls: int
    writes: int
    takes: tuple[Take, ...] = ()
    reaching: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    @property
    def more(self) -> bool:
        """Whether it counts against more than calls and writes."""
        return bool(self.takes or self.reaching)

    @property
    def known(self) -> tuple[str, ...]:
        """Every account that it counts against for more than calls and writes."""
        return tuple(dict.fromkeys((*(one.account for one in self.takes), *self.reaching)))


class Spent(msgspec.Struct, frozen=True):
    """What accounts have used beside calls and writes.

    `counted` is how much, and how much there may be at most, of what an account has an allowance of;
    `reached` is which of the places asked about it has reached.
    """

    counted: Mapping[tuple[str, str], tuple[int, int]]
    reached: Mapping[str, frozenset[str]]


class Lack(msgspec.Struct, frozen=True):
    """What there is too little of: a currency, `bytes_out` or `destinations`; money as in `hopward.money`."""

    of: str
    asked: int
    left: int
    most: int


class Asking(msgspec.Struct, frozen=True):
    """A pending approval that comes to be with the row of its step-up.

    At most `most_pending` of a task and agent wait at a time, and `most_of_subject` in all open tasks of a
    subject; at most `most` of a task, whichever of its agents asks, are asked for since `since`.
    """

    approval: Approval
    most_pending: int
    most: int
    since: Instant
    most_of_subject: int


class Draft(msgspec.Struct, frozen=True):
    """One row to append.

    The text fields are indexed columns and part of the hashed envelope. With `epoch` set, the row is
    refused as `stale` when standing changed since it was read, when one of `hops` is no longer open, or
    when the step it `takes` may not be taken any more; with `reserve` set, it is refused as `budget_calls`,
    `budget_writes` or `budget_other` when a budget cannot take it. `opens` is a hop that comes to be with
    this row; the row is refused as `fan_out` where its delegator has as many open as it may have.
    `consumes` is an approval that is used with this row, which is refused as `unapproved` where it is no
    longer approved at `at`, or used up; `binding` is what it remembers of the call that
    uses it. `asks` is one that comes to be with this row, which is refused as `asked` where one with the
    same binding stands, as `approvals` where there are too many. `follow` rows are written
    right after this one, in the same transaction, only if this one was written. With `moved` set, the row
    is refused as `stale` when a label of its task has risen since. `labels` are raised to at least what
    they say. `values` are remembered as having stood in a trusted result of the task. `settles` says what
    becomes of what the permit of `decision` has reserved beside calls and writes. `watch` is what detectors
    hear of; the row is refused as `stale` where it holds for a risk that has changed. `plain` says that the
    record `is_plain` (`hopward.canonical`), which saves time. So does `head`, the last row when what `watch`
    and `takes` stand on was read: while it is the last one still, nothing of that has changed.
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
    hops: tuple[str, ...] = ()
    reserve: Reservation | None = None
    opens: Hop | None = None
    consumes: str = ""
    binding: str = ""
    asks: Asking | None = None
    follow: tuple["Draft", ...] = ()
    moved: int | None = None
    labels: tuple[Label, ...] = ()
    values: tuple[str, ...] = ()
    watch: Watch | None = None
    takes: Taking | None = None
    settles: "Settling" = ""
    plain: bool = False
    head: int = UNREAD


Settling: TypeAlias = Literal["", "spent", "given_back"]
"""What becomes of what a permit has reserved, once: it stays taken, or is there again."""

Refused: TypeAlias = Literal[
    "",
    "stale",
    "budget_calls",
    "budget_writes",
    "budget_other",
    "fan_out",
    "unapproved",
    "asked",
    "approvals",
]
"""Why a draft was not written; empty if it was."""


class Receipt(msgspec.Struct, frozen=True):
    """Where a draft now stands in the log, or why it was not written; `lack` is with `budget_other`."""

    seq: int
    hash: str
    refused: Refused = ""
    lack: Lack | None = None


class Waiting(msgspec.Struct, frozen=True):
    """A row that somebody outside is still to hear of: how often it was tried, when again, why it failed."""

    seq: int
    attempts: int
    due_at: Instant
    why: str


class Outbox(msgspec.Struct, frozen=True):
    """The rows that somebody outside is still to hear of.

    `begun` is whether anybody has ever asked for one; `behind` is how many rows nobody has looked at since,
    and `oldest` the first of them, 0 for none.
    """

    begun: bool
    waiting: tuple[Waiting, ...]
    behind: int
    oldest: int


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
