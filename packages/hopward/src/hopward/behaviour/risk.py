"""The detectors there are, what they remember of an agent and a task, and the risk they add up to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from hopward.behaviour.counting import CALLS, DENIALS, ERRORS, STREAK
from hopward.behaviour.cycles import REPETITION
from hopward.behaviour.detector import Detector, Event, EventKind, Signal, State, Watched
from hopward.behaviour.fanning import FAN_OUT
from hopward.behaviour.history import DRIFT, HOUR, NEW_DESTINATIONS, NEW_TOOLS
from hopward.clock import SECOND, Instant
from hopward.errors import LedgerCorruptError
from hopward.thresholds import RiskSettings

Level: TypeAlias = Literal["low", "elevated", "high", "critical"]

LEVELS: tuple[Level, ...] = ("low", "elevated", "high", "critical")

DETECTORS: Final[tuple[Detector, ...]] = (
    CALLS,
    DENIALS,
    STREAK,
    ERRORS,
    REPETITION,
    NEW_TOOLS,
    NEW_DESTINATIONS,
    DRIFT,
    HOUR,
    FAN_OUT,
)
"""Every detector, in the order in which their signals are told."""

_WATCHED: tuple[Watched, ...] = ("agent", "task")
_KINDS: tuple[EventKind, ...] = ("attempt", "permit", "deny", "error", "opened", "ended")

_Heard: TypeAlias = Callable[[State, Event, RiskSettings], State]
_Told: TypeAlias = Callable[[State, Instant, RiskSettings], Signal | None]

# Methods by name, taken up once: every call of an agent goes through all of them, some several times.
_HEARING: Mapping[EventKind, tuple[tuple[tuple[str, _Heard], ...], ...]] = {
    kind: tuple(
        tuple((it.name, it.heard) for it in DETECTORS if one in it.of and kind in it.hears)
        for one in _WATCHED
    )
    for kind in _KINDS
}
_TELLING: Mapping[Watched, Mapping[str, _Told]] = {
    one: {it.name: it.signal for it in DETECTORS if one in it.of} for one in _WATCHED
}

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, Any])

States: TypeAlias = tuple[bytes, bytes]
"""What is remembered of an agent and of a task, as it is kept; empty for one that was never seen."""

UNSEEN: States = (b"", b"")

_Memory: TypeAlias = tuple[dict[str, State], dict[str, State]]
_Times: TypeAlias = tuple[Sequence[int], Sequence[int]]
"""As `_time` tells them, of the agent and of the task."""


class Risk(msgspec.Struct, frozen=True):
    """The level of an agent in a task at a time, and the signals whose points add up to it."""

    level: Level = "low"
    points: int = 0
    signals: tuple[Signal, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the signals are called."""
        return tuple(signal.name for signal in self.signals)


LOW: Risk = Risk()


def risk(states: States, at: Instant, rules: RiskSettings) -> Risk:
    """The risk of an agent in a task. Raises `LedgerCorruptError` for what no detector has written."""
    agent, task = memory = _remembered(states)
    return _risk(memory, (_time(agent, at), _time(task, at)), rules)


def events_of(attempt: Event, *, permitted: bool | None, expires_at: Instant = 0) -> tuple[Event, ...]:
    """What has happened once a call or hop was decided; None where it counts neither as one nor the other.

    `expires_at` is the end of the hop that was opened.
    """
    if permitted is None:
        return (attempt,)
    decided = msgspec.structs.replace(attempt, kind="permit" if permitted else "deny")
    if not permitted or not expires_at:
        return (attempt, decided)
    return (attempt, decided, Event("opened", attempt.at, expires_at=expires_at))


class Watch(msgspec.Struct, frozen=True):
    """What a row tells the detectors, in the transaction that writes it.

    `seen` is what they remembered when it was decided, and `then` what they remember after the events if they
    still do. `expected` is the risk a permit was decided on, which must be the same still. `agent` is empty
    where the events are about the task alone.
    """

    agent: str
    task: str
    events: tuple[Event, ...]
    rules: RiskSettings
    seen: States = UNSEEN
    then: States | None = None
    expected: Risk | None = None


class Watching:
    """What is seen of an agent in a task at the moment it asks for something, the asking included."""

    __slots__ = ("_agent", "_attempt", "_memory", "_rules", "_seen", "_task", "risk")

    def __init__(self, who: tuple[str, str], seen: States, attempt: Event, rules: RiskSettings) -> None:
        """`who` is the agent and the task. Raises `LedgerCorruptError`."""
        self._agent, self._task = who
        self._seen = seen
        self._attempt = attempt
        self._rules = rules
        self._memory = _after(_remembered(seen), attempt, rules)
        self.risk = _risk(self._memory, _times(self._memory), rules)

    def watch(self, *, permitted: bool | None, expires_at: Instant = 0) -> Watch:
        """What the row of its decision tells the detectors."""
        events = events_of(self._attempt, permitted=permitted, expires_at=expires_at)
        memory = self._memory
        for event in events[1:]:
            memory = _after(memory, event, self._rules)
        return Watch(
            agent=self._agent,
            task=self._task,
            events=events,
            rules=self._rules,
            seen=self._seen,
            then=(_kept(memory[0]), _kept(memory[1])),
            expected=self.risk if permitted else None,
        )


def is_stale(watch: Watch, states: States) -> bool:
    """Whether what was decided was decided on another risk than it would be now. Raises as `risk` does."""
    if watch.expected is None or states == watch.seen:
        return False
    attempt, *_ = watch.events
    memory = _after(_remembered(states), attempt, watch.rules)
    now = _risk(memory, _times(memory), watch.rules)
    return (now.points, now.names) != (watch.expected.points, watch.expected.names)


def changed(watch: Watch, states: States) -> States:
    """What is remembered once the events have happened. Raises as `risk` does."""
    if watch.then is not None and states == watch.seen:
        return watch.then
    memory = _remembered(states)
    for event in watch.events:
        memory = _after(memory, event, watch.rules)
    return (_kept(memory[0]), _kept(memory[1]))


# What was written last is read next, so it need not be read from bytes again. Nobody changes a state.
_WRITTEN: dict[bytes, dict[str, State]] = {}
_MOST_WRITTEN = 256


def _kept(known: dict[str, State]) -> bytes:
    state = _encode(known)
    if len(_WRITTEN) >= _MOST_WRITTEN:
        _WRITTEN.clear()
    _WRITTEN[state] = known
    return state


def _remembered(states: States) -> _Memory:
    agent, task = states
    try:
        return _WRITTEN.get(agent) or _read(agent), _WRITTEN.get(task) or _read(task)
    except msgspec.DecodeError as error:
        raise LedgerCorruptError(f"What is remembered of an agent cannot be read: {error}.") from error


def _read(state: bytes) -> dict[str, State]:
    return _decoder.decode(state) if state else {}


_OWN = ""
"""The key under which the time of the last event stands, and how much the clock is behind it."""

_SLACK = 10 * SECOND
"""How much later than one after it an event may be: processes do not write in the order they ask."""


def _time(known: Mapping[str, State], at: Instant) -> tuple[Instant, int]:
    """The time as detectors see it, which never goes back, and how much the clock is behind it.

    A clock that was set back must make nothing be forgotten early, nor remembered until it has caught up.
    """
    last, behind = known.get(_OWN, (0, 0))
    own = at + behind
    if own >= last:
        return own, behind
    return last, behind + last - own if last - own > _SLACK else behind


def _times(memory: _Memory) -> _Times:
    """The times as of the last event that both have heard."""
    return memory[0][_OWN], memory[1][_OWN]


def _after(memory: _Memory, event: Event, rules: RiskSettings) -> _Memory:
    of_agent, of_task = _HEARING[event.kind]
    return _heard(of_agent, memory[0], event, rules), _heard(of_task, memory[1], event, rules)


def _heard(
    hearing: tuple[tuple[str, _Heard], ...], known: dict[str, State], event: Event, rules: RiskSettings
) -> dict[str, State]:
    moved = known.copy()
    moved[_OWN] = own, behind = _time(known, event.at)
    if behind or own != event.at:
        event = msgspec.structs.replace(event, at=own, behind=behind)
    for name, heard in hearing:
        moved[name] = heard(known.get(name, ()), event, rules)
    return moved


def _risk(memory: _Memory, times: _Times, rules: RiskSettings) -> Risk:
    found: dict[str, Signal] = {}
    for of, known, (own, behind) in zip(_WATCHED, memory, times, strict=True):
        telling = _TELLING[of]
        for name, state in known.items():
            told = telling.get(name)
            signal = told(state, own, rules) if told and state else None
            if signal is None or not signal.weight:
                continue
            if behind:
                signal = msgspec.structs.replace(signal, until=signal.until - behind)
            other = found.get(signal.name)
            if other is None or signal.until > other.until:
                found[signal.name] = signal
    if not found:
        return LOW
    signals = tuple(found[detector.name] for detector in DETECTORS if detector.name in found)
    points = sum(signal.weight for signal in signals)
    return Risk(level_of(points, rules), points, signals)


def level_of(points: int, rules: RiskSettings) -> Level:
    """The level that so many points are."""
    if points < rules.elevated:
        return "low"
    if points < rules.high:
        return "elevated"
    return "high" if points < rules.critical else "critical"


def lower_at(found: Risk, rules: RiskSettings) -> Instant:
    """When the level falls if nothing more happens; 0 where it is low."""
    points = found.points
    for signal in sorted(found.signals, key=lambda one: one.until):
        points -= signal.weight
        if level_of(points, rules) != found.level:
            return signal.until
    return 0


def sentences(signals: Sequence[Signal]) -> dict[str, str]:
    """What each signal has to say, by its name."""
    return {signal.name: signal.sentence for signal in signals}
