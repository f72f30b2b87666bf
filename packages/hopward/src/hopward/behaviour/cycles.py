"""The detector of loops: the same call again and again, or the same two, three or four in turn."""

from dataclasses import dataclass

from hopward.behaviour.detector import Event, EventKind, Signal, State, Watched
from hopward.clock import SECOND, Instant
from hopward.thresholds import RiskSettings

LONGEST = 4
"""Calls in one round of a loop that is found."""

_MOST = 1_000_000
_START: State = (0, [], [0] * LONGEST)


@dataclass(frozen=True, slots=True)
class Repetition:
    """How often the last calls of a task have come round again, told apart by their digests."""

    name: str = "repetition"
    hears: frozenset[EventKind] = frozenset({"attempt"})
    of: frozenset[Watched] = frozenset({"task"})

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """`(when, the last calls, newest first, how many in succession equalled the one N before)`."""
        _, last, runs = self._standing(state, event.at, rules)
        call = event.call
        again = [
            min(run + 1, _MOST) if len(last) > back and last[back] == call else 0
            for back, run in enumerate(runs)
        ]
        return (event.at, [call, *last[: LONGEST - 1]], again)

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When the same round was made as often as the threshold; the shortest round is told."""
        least = rules.thresholds.repetition
        if not state or max(state[2]) + 1 < least:
            return None
        when, _, runs = self._standing(state, at, rules)
        for length, run in enumerate(runs, 1):
            rounds = run // length + 1
            if run and rounds >= least:
                what = "The same call" if length == 1 else f"The same {length} calls in turn"
                wording = "{} {} times in succession; from {} on it is a signal."
                end = min(when, at) + rules.windows.repetition * SECOND
                return Signal(self.name, rules.weights.repetition, wording, end, (what, rounds, least))
        return None

    def _standing(self, state: State, at: Instant, rules: RiskSettings) -> State:
        over = not state or at - state[0] >= rules.windows.repetition * SECOND
        return _START if over else state


REPETITION = Repetition()
