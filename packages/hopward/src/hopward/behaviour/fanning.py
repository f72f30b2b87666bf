"""The detector of fan-out: how many hops of a task are open at once."""

from dataclasses import dataclass

from hopward.behaviour.detector import Event, EventKind, Signal, State, Watched
from hopward.clock import Instant
from hopward.thresholds import RiskSettings

MOST = 32
"""Open hops that are told apart; any more count as so many."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """Open hops, by when each ends by itself."""

    name: str = "fan_out"
    hears: frozenset[EventKind] = frozenset({"opened", "ended"})
    of: frozenset[Watched] = frozenset({"task"})

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """The ends of the hops that are open, soonest first."""
        del rules
        end_of = event.expires_at + event.behind
        ends = [end for end in state if end > event.at]
        if event.kind == "opened":
            return sorted([*ends, end_of])[-MOST:]
        if end_of in ends:
            ends.remove(end_of)
        return ends

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When as many are open as the threshold."""
        ends, least = [end for end in state if end > at], rules.thresholds.fan_out
        if len(ends) < least:
            return None
        wording = "{} hops open at once; from {} on it is a signal."
        return Signal(self.name, rules.weights.fan_out, wording, ends[len(ends) - least], (len(ends), least))


FAN_OUT = FanOut()
