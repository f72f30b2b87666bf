"""Values in words for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeGuard

from hopward import money
from hopward.clock import SECOND, Instant, iso
from hopward.model import Agent, Budget, Containment, Hop, Revocation, Step, Usage
from hopward.money import BOUNDLESS
from hopward.steps import does

_LAST = 253_402_300_800 * SECOND
"""The first instant of the year 10000, which has no text."""


def is_instant(value: object) -> TypeGuard[Instant]:
    """Whether a value read from the log can be shown as a time."""
    return type(value) is int and 0 <= value < _LAST


def moment(instant: Instant) -> str:
    """An instant to the second, UTC."""
    return short(iso(instant))


def short(text: str) -> str:
    """The time of a log row, cut to the second."""
    return text[:19].replace("T", " ") + "Z"


def last_revoked(revocations: Iterable[Revocation]) -> Instant | None:
    """When something was revoked last, if it was."""
    return max((revocation.at for revocation in revocations), default=None)


def standing_line(agent: Agent, revocations: Iterable[Revocation]) -> str:
    """What keeps an agent from acting, whatever the policies say; empty if nothing does."""
    told = "" if agent.state == "active" else f"{agent.state}: every call is refused"
    revoked = last_revoked(revocations)
    if revoked is None:
        return told
    ended = f"revoked {moment(revoked)}: calls in tasks opened until then are refused"
    return f"{told}; {ended}" if told else ended


def contained_line(one: Containment | None) -> str:
    """Since when, by whom and why something is contained; empty where it is not."""
    return "" if one is None else f"since {moment(one.at)} by {one.by}: {one.why}"


def hop_state(hop: Hop, revocations: Iterable[Revocation], now: Instant) -> str:
    """Completed, revoked, expired or open: the hop itself, whatever it comes from."""
    if hop.state != "open":
        return hop.state
    if last_revoked(revocations) is not None:
        return "revoked"
    return "expired" if hop.expires_at <= now else "open"


def hop_usage(hop: Hop, used: Usage) -> str:
    """How much of its budget a hop has used."""
    spent = f"{used.calls} of {hop.budget.calls} calls, {used.writes} of {hop.budget.writes} writes"
    spent += "".join(
        f", {line}" if name == "money" else f", {line} {name}"
        for name, line in allowance_lines(hop.budget, used)
    )
    return spent + (", shared" if hop.shared else "")


def step_line(step: Step, taken: Mapping[str, int]) -> str:
    """One step of a task's path: what it is, how often it has been taken, and what must come before."""
    done = f"{step.name} {taken.get(step.name, 0)} of {step.times}, {does(step)}"
    after = f", after {' or '.join(step.after)}" if step.after else ""
    unless = f", unless {' or '.join(step.unless)}" if step.unless else ""
    approval = f", with approval by {step.approval}" if step.approval else ""
    return done + after + unless + approval


def allowance_lines(budget: Budget, used: Usage) -> Iterator[tuple[str, str]]:
    """How much of what is counted beside calls and writes has been used; nothing of what nothing bounds."""
    for currency in budget.money:
        spent, most = used.money.get(currency, "0"), budget.money[currency]
        yield "money", f"{_amount(spent, currency)} of {_amount(most, currency)} {currency}"
    if budget.bytes_out != BOUNDLESS:
        yield "bytes out", f"{used.bytes_out} of {budget.bytes_out}"
    if budget.destinations != BOUNDLESS:
        yield "destinations", f"{used.destinations} of {budget.destinations}"


def _amount(text: str, currency: str) -> str:
    return money.write(money.read(text, currency) or 0, currency)
