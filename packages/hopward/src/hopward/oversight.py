"""Who answers for each agent, until when somebody has looked at it, and whether it is used at all.

What `hopward.toml` says, and what the decision log tells: a review is a row of it (`Registry.review_agent`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from hopward.clock import DAY, Instant, from_iso
from hopward.ledger import RowFilter, SqliteLedger
from hopward.model import Agent, AgentState, Containment
from hopward.pattern import folded
from hopward.record import Row
from hopward.settings import Settings

UNUSED_AFTER = 30 * DAY
"""How long an agent may be without a decision or a token before it is reported."""

REVIEWED = "reviewed"
"""The `event` of the row of a review."""

Lack: TypeAlias = Literal["ownerless", "overdue", "unreviewed", "unused"]

_USES = ("decision", "credential")


class Lacking(NamedTuple):
    """What an agent lacks, as a code and as a sentence."""

    lack: Lack
    sentence: str


@dataclass(frozen=True, slots=True)
class Oversight:
    """One agent as people oversee it. `since` is when it was registered, `used_at` when it last did anything.

    `due_at` is when it must have been looked at again, None where nothing says so. `owner_gone` says why its
    owner cannot answer for it at the moment; empty if they can.
    """

    agent: Agent
    since: Instant
    reviewed_at: Instant | None
    reviewed_by: str
    due_at: Instant | None
    used_at: Instant | None
    owner_gone: str

    def lacking(self, now: Instant) -> Iterator[Lacking]:
        """What it lacks by now; a retired agent lacks nothing."""
        name = self.agent.id
        if self.agent.state == "retired":
            return
        if self.owner_gone:
            yield Lacking("ownerless", f"Agent {name} is ownerless: {self.owner_gone}")
        if self.due_at is None:
            yield Lacking("unreviewed", f"Nothing says when agent {name} is reviewed.")
        elif self.due_at <= now:
            days = (now - self.due_at) // DAY
            yield Lacking("overdue", f"The review of agent {name} is overdue for {_days(days)}.")
        idle = (now - max(self.since, self.used_at or 0)) // DAY
        if idle * DAY >= UNUSED_AFTER:
            told = f"has not been used for {_days(idle)}" if self.used_at else "has never been used"
            yield Lacking("unused", f"Agent {name} {told}.")


def overseen(settings: Settings, log: SqliteLedger, now: Instant) -> list[Oversight]:
    """Every configured agent, by name; one that nothing was started with yet counts as registered now.

    Raises `LedgerError`.
    """
    told = list(log.rows(RowFilter(kind="agent", oldest_first=True)))
    contained = log.containments()
    states: dict[str, AgentState] = {agent.id: agent.state for agent in log.agents()}
    found: list[Oversight] = []
    for name, entry in sorted(settings.agents.items()):
        rows = [row for row in told if row.agent == name]
        agent = entry.registered(name, states.get(name, "active"))
        known = _Known(agent, entry.review_days, from_iso(rows[0].at) if rows else now)
        found.append(_one(known, rows, contained, log.rows))
    return found


class _Known(NamedTuple):
    agent: Agent
    review_days: int
    since: Instant


def _one(
    known: _Known,
    told: list[Row],
    contained: Iterable[Containment],
    rows: Callable[[RowFilter], Iterator[Row]],
) -> Oversight:
    agent, since = known.agent, known.since
    review = next((row for row in reversed(told) if row.record.get("event") == REVIEWED), None)
    reviewed_at = from_iso(review.at) if review else None
    dues = [from_iso(str(review.record["until"]))] if review else []
    if known.review_days:
        dues.append((reviewed_at or since) + known.review_days * DAY)
    uses = [row.at for kind in _USES for row in rows(RowFilter(kind=kind, agent=agent.id, limit=1))]
    return Oversight(
        agent=agent,
        since=since,
        reviewed_at=reviewed_at,
        reviewed_by=str(review.record["by"]) if review else "",
        due_at=min(dues, default=None),
        used_at=from_iso(max(uses)) if uses else None,
        owner_gone=_owner_gone(agent.owner, contained),
    )


def _owner_gone(owner: str, contained: Iterable[Containment]) -> str:
    """A quarantine of the owner as a subject stands: nobody who may not act answers for what acts."""
    for one in contained:
        if one.kind == "subject" and folded(one.id) == folded(owner):
            return f"its owner {owner} is quarantined."
    return ""


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
