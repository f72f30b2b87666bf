"""Detectors that count: calls, refusals, failures."""

from dataclasses import dataclass

from hopward.behaviour.detector import Event, EventKind, Signal, State, Watched
from hopward.behaviour.windows import added, reaches, total, until
from hopward.clock import SECOND, Instant
from hopward.thresholds import RiskSettings

_BOTH: frozenset[Watched] = frozenset({"agent", "task"})
_LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often one kind of event happened within a window. `what` is what there are so many of."""

    name: str
    what: str
    hears: frozenset[EventKind]
    of: frozenset[Watched] = _BOTH

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """One more."""
        return added(state, event.at, getattr(rules.windows, self.name))

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When there are as many as the threshold."""
        least = getattr(rules.thresholds, self.name)
        if not reaches(state, least):
            return None
        window = getattr(rules.windows, self.name)
        count = total(state, at, window)
        if count < least:
            return None
        end = until(state, at, window, least)
        wording = "{} {} within {} s; from {} on it is a signal."
        values = (count, self.what, window, least)
        return Signal(self.name, getattr(rules.weights, self.name), wording, end, values)


@dataclass(frozen=True, slots=True)
class Streak:
    """Refusals in succession: any permit ends it, and so does a window without another one."""

    name: str = "streak"
    hears: frozenset[EventKind] = frozenset({"permit", "deny"})
    of: frozenset[Watched] = _BOTH

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """`(when the last one was, how many)`."""
        if event.kind == "permit":
            return ()
        return (event.at, min(self._length(state, event.at, rules) + 1, _LONGEST))

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When it is as long as the threshold."""
        length, least = self._length(state, at, rules), rules.thresholds.streak
        if length < least:
            return None
        wording = "{} calls in succession refused, none permitted; from {} on it is a signal."
        end = min(state[0], at) + rules.windows.streak * SECOND
        return Signal(self.name, rules.weights.streak, wording, end, (length, least))

    def _length(self, state: State, at: Instant, rules: RiskSettings) -> int:
        return state[1] if state and at - state[0] < rules.windows.streak * SECOND else 0


CALLS = Frequency("calls", "calls", frozenset({"attempt"}))
DENIALS = Frequency("denials", "calls refused", frozenset({"deny"}))
ERRORS = Frequency("errors", "calls failed", frozenset({"error"}))
STREAK = Streak()
