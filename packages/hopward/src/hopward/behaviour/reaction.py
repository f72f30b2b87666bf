"""What follows from a level of risk by itself, where `[risk]` says so."""

from typing import Any, Literal

from msgspec.structs import replace

from hopward.behaviour.risk import LEVELS, Risk, level_of, lower_at, sentences
from hopward.clock import SECOND, Instant
from hopward.model import Verdict
from hopward.thresholds import Reaction, RiskSettings

APPROVAL = "approval_required"
SUSPENDED = "suspended_by_risk"

REACTIONS = frozenset({"throttled", SUSPENDED, APPROVAL, "approvals_exhausted", "approvers_unknown"})
"""Reasons of refusals that say nothing about the caller: what follows from the risk must not raise it."""


def reaction(found: Risk, rules: RiskSettings) -> Reaction:
    """What follows from this risk: the action of its level, or of the next lower one that has any."""
    for level in reversed(LEVELS[1 : LEVELS.index(found.level) + 1]):
        action: Reaction = getattr(rules.actions, level)
        if action != "none":
            return action
    return "none"


def refusal(found: Risk, rules: RiskSettings, at: Instant) -> tuple[str, str] | None:
    """The refusal of whatever an agent asks for that is throttled or suspended, or None."""
    match reaction(found, rules):
        case "throttle":
            return _throttled(found, rules, at)
        case "suspend-task" | "suspend-agent" as action:
            what = action.removeprefix("suspend-")
            told = f"{_because(found)} The {what} is quarantined until a person releases it."
            return ("suspended_by_risk", told)
        case _:
            return None


def suspension(found: Risk, rules: RiskSettings) -> Literal["agent", "task"] | None:
    """What is to be quarantined because of the risk, if anything."""
    match reaction(found, rules):
        case "suspend-task":
            return "task"
        case "suspend-agent":
            return "agent"
        case _:
            return None


def evidence(found: Risk) -> dict[str, Any]:
    """The risk as it stands in the log."""
    return {"risk": found.level, "risk_points": found.points, "signals": sentences(found.signals)}


def _throttled(found: Risk, rules: RiskSettings, at: Instant) -> tuple[str, str]:
    """When to ask again is when the action would no longer be taken, if nothing more happens."""
    seconds = max(1, -(-(released_at(found, rules) - at) // SECOND))
    told = f"{_because(found)} Try again in {seconds} s, and do not repeat the call before."
    return ("throttled", told)


def stepped_up(verdict: Verdict, found: Risk, rules: RiskSettings) -> Verdict:
    """The verdict of the policies; what they permit needs approval where the risk says so."""
    if verdict.name != "permit" or reaction(found, rules) != "step-up":
        return verdict
    sentence = f"Needs approval by {rules.approvers} first. {_because(found)}"
    return replace(verdict, name="step-up", reason=APPROVAL, sentence=sentence)


def released_at(found: Risk, rules: RiskSettings) -> Instant:
    """When nothing follows from the risk any more as it does now, if nothing more happens."""
    action, left = reaction(found, rules), found
    while left.signals and reaction(left, rules) == action:
        first = min(left.signals, key=lambda one: one.until)
        rest = tuple(one for one in left.signals if one is not first)
        points = left.points - first.weight
        left = Risk(level_of(points, rules), points, rest)
        if reaction(left, rules) != action:
            return first.until
    return lower_at(found, rules)


def _because(found: Risk) -> str:
    told = " ".join(f"{signal.name}: {signal.sentence}" for signal in found.signals)
    return f"The agent's behaviour is of {found.level} risk ({found.points} points). {told}"
