"""`[risk]` of `hopward.toml` as values: how agents are watched, and what follows."""

from typing import Literal, TypeAlias

from hopward.model import Value


class RiskThresholds(Value, frozen=True):
    """`[risk.thresholds]`: from how many on each detector gives its signal, within its window.

    `drift` is the percentage of recent calls to tools outside what the agent usually calls, `hour` the
    percentage of its days of history on which the agent was active in the present hour, below which it is
    unusual.
    """

    calls: int = 1_200
    denials: int = 12
    streak: int = 8
    errors: int = 12
    repetition: int = 10
    new_tools: int = 1
    new_destinations: int = 1
    drift: int = 50
    hour: int = 5
    fan_out: int = 8


class RiskWindows(Value, frozen=True):
    """`[risk.windows]`: for how many seconds what a detector has seen counts."""

    calls: int = 60
    denials: int = 60
    streak: int = 600
    errors: int = 60
    repetition: int = 300
    new_tools: int = 600
    new_destinations: int = 600
    drift: int = 3_600


class RiskWeights(Value, frozen=True):
    """`[risk.weights]`: how many points the signal of each detector is; 0 turns it off."""

    calls: int = 10
    denials: int = 20
    streak: int = 15
    errors: int = 10
    repetition: int = 10
    new_tools: int = 10
    new_destinations: int = 10
    drift: int = 20
    hour: int = 10
    fan_out: int = 10


Reaction: TypeAlias = Literal["none", "throttle", "step-up", "suspend-task", "suspend-agent"]
"""What happens by itself at a level of risk."""


class RiskActions(Value, frozen=True):
    """`actions`: what happens by itself to calls and hops at each level of risk; nothing, unless it is said.

    `throttle` refuses until the risk is lower, `step-up` asks for approval of each. `suspend-task` and
    `suspend-agent` quarantine the task, or the agent that acts, until a person releases it.
    """

    elevated: Reaction = "none"
    high: Reaction = "none"
    critical: Reaction = "none"


class RiskSettings(Value, frozen=True):
    """`[risk]`: how agents are watched, and what follows. The points of all signals add up to a level.

    An agent has a history after `history_calls` permitted calls, one of hours after `history_days` days. What
    makes up less than `usual_percent` of its calls is not usual. `approvers` is the group that a `step-up`
    asks.
    """

    elevated: int = 25
    high: int = 45
    critical: int = 70
    history_calls: int = 200
    history_days: int = 14
    usual_percent: int = 1
    thresholds: RiskThresholds = RiskThresholds()
    windows: RiskWindows = RiskWindows()
    weights: RiskWeights = RiskWeights()
    actions: RiskActions = RiskActions()
    approvers: str = ""
