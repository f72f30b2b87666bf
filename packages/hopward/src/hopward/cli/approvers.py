"""Who approves how many of what is asked, and how fast: what `hopward approve --report` tells."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from hopward.approval import Approval
from hopward.clock import SECOND, Instant

_AT_A_GLANCE = 10 * SECOND
"""An answer that comes sooner than this after the question was hardly thought about."""


@dataclass(slots=True)
class Habit:
    """What one person has answered. `waited` is how long after each question, in microseconds."""

    yes: int = 0
    no: int = 0
    waited: list[Instant] = field(default_factory=list[Instant])

    @property
    def median_seconds(self) -> int:
        """How long after the question half of the answers had come."""
        return round(median(self.waited) / SECOND)

    @property
    def at_a_glance(self) -> int:
        """How many answers came within ten seconds."""
        return sum(one < _AT_A_GLANCE for one in self.waited)


def habits(approvals: Iterable[Approval]) -> dict[str, Habit]:
    """By person, what they have answered; those who answer most come first."""
    found: dict[str, Habit] = defaultdict(Habit)
    for approval in approvals:
        for answer in approval.answers:
            habit = found[answer.by]
            habit.yes, habit.no = habit.yes + answer.yes, habit.no + (not answer.yes)
            habit.waited.append(max(0, answer.at - approval.requested_at))
    return dict(sorted(found.items(), key=lambda one: (-len(one[1].waited), one[0])))
