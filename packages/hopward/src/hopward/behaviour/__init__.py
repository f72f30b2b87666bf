"""How agents behave: detectors that watch calls as they happen, and the level of risk they add up to.

Each keeps a small state of an agent or a task; the states are rows beside the decision log, changed in the
transaction of the row that tells what happened. What a call costs does not depend on how many came before.
"""

from hopward.behaviour.detector import Detector, Event, EventKind, Signal, State, Watched, attempt, token
from hopward.behaviour.reaction import (
    REACTIONS,
    SUSPENDED,
    evidence,
    reaction,
    refusal,
    stepped_up,
    suspension,
)
from hopward.behaviour.risk import (
    DETECTORS,
    LEVELS,
    LOW,
    UNSEEN,
    Level,
    Risk,
    States,
    Watch,
    Watching,
    changed,
    is_stale,
    lower_at,
    risk,
    sentences,
)

__all__ = [
    "DETECTORS",
    "LEVELS",
    "LOW",
    "REACTIONS",
    "SUSPENDED",
    "UNSEEN",
    "Detector",
    "Event",
    "EventKind",
    "Level",
    "Watching",
    "Risk",
    "Signal",
    "State",
    "States",
    "Watch",
    "Watched",
    "attempt",
    "changed",
    "evidence",
    "is_stale",
    "lower_at",
    "reaction",
    "refusal",
    "risk",
    "sentences",
    "stepped_up",
    "suspension",
    "token",
]
