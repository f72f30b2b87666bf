"""Who approves how many of what is asked, and how fast: what `hopward approve --report` tells."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from hopward.approval import Approval
from hopward.clock import SECOND, Instant

_AT_A_GLANCE = 10 * SECOND
"""An answer that comes sooner than this after the question was hardly thought about."""

_ENOUGH = 5
"""From how many answers on they are a habit."""


@dataclass(slots=True)
class Habit:
    """What one person has answered. `waited` is how long after each question, in microseconds.

    `grants` counts those of the `yes` that were to several calls, `together` the answers given along with
    another one because they asked the same; `calls` is what was approved how often.
    """

    yes: int = 0
    no: int = 0
    grants: int = 0
    together: int = 0
    waited: list[Instant] = field(default_factory=list[Instant])
    calls: Counter[str] = field(default_factory=Counter[str])

    @property
    def percent_yes(self) -> int:
        """How many of a hundred answers were a yes."""
        return round(100 * self.yes / max(1, self.yes + self.no))

    @property
    def most_approved(self) -> str:
        """What they have approved most often; empty where they have approved nothing."""
        return min(self.calls, key=lambda name: (-self.calls[name], name), default="")

    @property
    def rubber_stamp(self) -> bool:
        """Whether they say yes to everything, and to at least half of it faster than anybody reads."""
        often = self.yes >= _ENOUGH
        return often and not self.no and 2 * self.at_a_glance >= self.yes

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
            habit.grants += answer.yes and answer.times > 1
            habit.together += bool(answer.same_as)
            if answer.yes:
                habit.calls[approval.name] += 1
            habit.waited.append(max(0, answer.at - approval.requested_at))
    return dict(sorted(found.items(), key=lambda one: (-len(one[1].waited), one[0])))
