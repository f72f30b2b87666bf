"""The calls that a period of the decision log tells of, sorted into what may be learned from and what not."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from hopward.clock import Instant
from hopward.model import Chain, ToolCall
from hopward.record import Facts, Row

REDACTED = "redacted"
TAINTED = "after_untrusted_content"
HANDED_ON = "handed_on"
GONE = "workflow_gone"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Wish:
    """Which calls are looked at: since when, and of which agent, workflow or server; empty means of any.

    With `tainted`, calls made after untrusted content count too.
    """

    since: Instant = 0
    agent: str = ""
    workflow: str = ""
    server: str = ""
    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that went on: permitted, or observed. `policies` are those that decided."""

    decision: str
    call: ToolCall
    chain: Chain
    workflow: str
    facts: Facts
    reason: str
    observed: bool
    policies: tuple[str, ...]

    @property
    def tainted(self) -> bool:
        """Whether the task had taken in untrusted content before."""
        return self.facts.taken_integrity == "untrusted"


@dataclass(slots=True)
class Period:
    """What may be learned from, oldest first, and by the reason what may not."""

    learned: list[Seen] = field(default_factory=list[Seen])
    aside: dict[str, list[Seen]] = field(default_factory=dict[str, list[Seen]])
    refused: dict[str, int] = field(default_factory=dict[str, int])


def period_of(rows: Iterable[Row], workflows: Mapping[str, Any], wish: Wish) -> Period:
    """Sort the decisions about calls among rows, oldest first, into what may be learned from and what not."""
    found = Period()
    for row in rows:
        seen = _seen(row) if "call" in row.record else None
        if seen is None or not _wished(seen, wish):
            continue
        if row.verdict != "permit" and not seen.observed:
            # What was refused, for whatever reason, nobody has done.
            found.refused[row.reason] = found.refused.get(row.reason, 0) + 1
            continue
        why = _unfit(seen, workflows, wish)
        if why:
            found.aside.setdefault(why, []).append(seen)
        else:
            found.learned.append(seen)
    return found


def _unfit(seen: Seen, workflows: Mapping[str, Any], wish: Wish) -> str:
    if seen.workflow not in workflows:
        return GONE
    if seen.chain.hops:
        return HANDED_ON
    if _is_redacted(seen.call.arguments):
        return REDACTED
    return TAINTED if seen.tainted and not wish.tainted else ""


def _wished(seen: Seen, wish: Wish) -> bool:
    return (
        wish.agent in ("", seen.chain.actor)
        and wish.workflow in ("", seen.workflow)
        and wish.server in ("", seen.call.server)
    )


def _seen(row: Row) -> Seen | None:
    """The call of a row, or None where it tells of none that could be decided."""
    record: Mapping[str, Any] = row.record
    told = record.get("facts")
    if told is None:
        return None
    chain = msgspec.convert(record["chain"], Chain)
    facts = Facts(
        subject=chain.subject,
        task=chain.task,
        purpose=told["purpose"],
        workflow=told["workflow"],
        actors=chain.actors,
        calls_left=told["calls_left"],
        writes_left=told["writes_left"],
        taken_sensitivity=told.get("taken_sensitivity", "public"),
        taken_integrity=told.get("taken_integrity", "trusted"),
        untrusted_servers=tuple(told.get("untrusted_servers", ())),
        above_ceiling=told.get("above_ceiling", False),
        destinations=tuple(told.get("destinations", ())),
        provenance=told.get("provenance", {}),
    )
    return Seen(
        decision=row.decision,
        call=ToolCall(server=row.server, tool=row.tool, arguments=record["call"]["arguments"]),
        chain=chain,
        workflow=facts.workflow,
        facts=facts,
        reason=row.reason,
        observed=record.get("observed") is True,
        policies=tuple(record["verdict"].get("policies", ())),
    )


def _is_redacted(arguments: Mapping[str, Any]) -> bool:
    """Whether the log keeps a digest in the place of arguments, or of one of them at any depth."""
    return set(arguments) == {"digest"} or any(_marks(arguments))


def _marks(value: Any) -> Iterator[bool]:
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        yield set(inner) == {"redacted"}
        for one in inner.values():
            yield from _marks(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _marks(one)
