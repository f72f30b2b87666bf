"""Detectors that hold an agent against its own history: new tools, new destinations, drift, the hour.

Only permitted calls become history. An agent without enough of it has nothing that could be unusual.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hopward.behaviour.detector import Event, EventKind, Signal, State, Watched
from hopward.behaviour.windows import added, reaches, total, until
from hopward.clock import SECOND, Instant
from hopward.thresholds import RiskSettings

_AGENT: frozenset[Watched] = frozenset({"agent"})
_CALL: frozenset[EventKind] = frozenset({"attempt", "permit"})

MOST_KNOWN = 64
"""Names of one kind that are remembered of an agent; then the one used least makes room."""

_FULL = 4_096
"""Calls after which all counts are halved, so that what was long ago weighs less."""

_HOUR = 3_600 * SECOND
_LEAST_RECENT = 10
_FULL_DAYS = 64


def _known(known: dict[int, int], names: Iterable[int]) -> dict[int, int]:
    """What is known, with these names used once more. A new one takes the place of the one used least."""
    counts = known.copy()
    for used in names:
        counts[used] = counts.get(used, 0) + 1
        if len(counts) > MOST_KNOWN:
            del counts[min((one for one in counts if one != used), key=lambda one: counts[one])]
    return counts


def _aged(calls: int, counts: dict[int, int]) -> tuple[int, dict[int, int]]:
    if calls < _FULL:
        return calls, counts
    return calls // 2, {name: max(count // 2, 1) for name, count in counts.items()}


@dataclass(frozen=True, slots=True)
class Novelty:
    """Calls of what the agent has never been permitted to use before, once it has a history."""

    name: str
    what: str
    of: frozenset[Watched] = _AGENT
    hears: frozenset[EventKind] = _CALL

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """`(calls permitted so far, what is known and how often used, the counter of what was new)`."""
        calls, known, news = state or _EMPTY
        names = (event.tool,) if self.name == "new_tools" else event.places
        if event.kind == "permit":
            return (*_aged(calls + 1, _known(known, names)), news)
        if calls < rules.history_calls or known.keys() >= frozenset(names):
            return state
        return (calls, known, added(news, event.at, getattr(rules.windows, self.name)))

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When there were as many as the threshold within the window."""
        if not state or not state[2]:
            return None
        least = getattr(rules.thresholds, self.name)
        if not reaches(state[2], least):
            return None
        window = getattr(rules.windows, self.name)
        count = total(state[2], at, window)
        if count < least:
            return None
        wording = "{} calls within {} s {}, after {} calls; from {} on it is a signal."
        values, end = (count, window, self.what, state[0], least), until(state[2], at, window, least)
        return Signal(self.name, getattr(rules.weights, self.name), wording, end, values)


@dataclass(frozen=True, slots=True)
class Drift:
    """How much of what an agent does lately lies outside what it usually does."""

    name: str = "drift"
    of: frozenset[Watched] = _AGENT
    hears: frozenset[EventKind] = _CALL

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """`(calls permitted so far, tools and how often each, lately, lately outside)`."""
        calls, tools, lately, outside = state or _NOWHERE
        if event.kind == "permit":
            return (*_aged(calls + 1, _known(tools, (event.tool,))), lately, outside)
        if calls < rules.history_calls:
            return state
        window = rules.windows.drift
        if tools.get(event.tool, 0) * 100 < calls * rules.usual_percent:
            outside = added(outside, event.at, window)
        return (calls, tools, added(lately, event.at, window), outside)

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When the share of calls outside is as large as the threshold."""
        if not state or not state[3] or not reaches(state[3], _LEAST_RECENT):
            return None
        window, least = rules.windows.drift, rules.thresholds.drift
        calls, outside = total(state[2], at, window), total(state[3], at, window)
        if outside < _LEAST_RECENT or outside * 100 < least * calls:
            return None
        wording = "{} of {} calls within {} s to tools it seldom or never calls; from {} % on it is a signal."
        values, end = (outside, calls, window, least), until(state[3], at, window, _LEAST_RECENT)
        return Signal(self.name, rules.weights.drift, wording, end, values)


@dataclass(frozen=True, slots=True)
class UnusualHour:
    """Activity in an hour of the day, UTC, in which the agent was hardly ever active on the days before."""

    name: str = "hour"
    of: frozenset[Watched] = _AGENT
    hears: frozenset[EventKind] = _CALL

    def heard(self, state: State, event: Event, rules: RiskSettings) -> State:
        """`(when the hour of the last attempt ends, that hour of the day, the last hour with a permit, since
        1970, days of history, on how many of them there was one in each hour)`.

        An hour becomes history once it is over, so that no call makes its own hour usual.
        """
        del rules
        clock = event.at - event.behind
        now = clock // _HOUR
        until, hour, latest, days, hours = state or (0, 0, now, 1, [0] * 24)
        if event.kind == "attempt":
            return (event.at + _HOUR - clock % _HOUR, now % 24, latest, days, hours)
        if now > latest:
            days, hours = _lived(days + (now // 24 > latest // 24), hours, latest % 24)
        return (until, hour, now, days, hours)

    def signal(self, state: State, at: Instant, rules: RiskSettings) -> Signal | None:
        """When the hour was worked in on fewer days than the threshold, in percent."""
        if not state or at >= state[0]:
            return None
        until, hour, _, days, hours = state
        worked, days = hours[hour], days - 1
        if days < rules.history_days or worked * 100 >= days * rules.thresholds.hour:
            return None
        wording = "Active at {:02d}:00 UTC, as on {} of {} days before; below {} % it is a signal."
        values = (hour, worked, days, rules.thresholds.hour)
        return Signal(self.name, rules.weights.hour, wording, until, values)


def _lived(days: int, hours: list[int], hour: int) -> tuple[int, list[int]]:
    """The history of hours with one more; what was long ago weighs less."""
    lived = [count + (number == hour) for number, count in enumerate(hours)]
    return (days, lived) if days < _FULL_DAYS else (days // 2, [count // 2 for count in lived])


_EMPTY: tuple[int, dict[int, int], Any] = (0, {}, ())
_NOWHERE: tuple[int, dict[int, int], Any, Any] = (0, {}, (), ())

NEW_TOOLS = Novelty("new_tools", "of tools it had never used")
NEW_DESTINATIONS = Novelty("new_destinations", "to destinations it had never used")
DRIFT = Drift()
HOUR = UnusualHour()
