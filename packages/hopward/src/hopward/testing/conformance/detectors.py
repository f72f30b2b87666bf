"""What any detector of behaviour must do, as a pytest class to subclass.

    class TestCalls(DetectorConformance):
        detector = CALLS

        def evidence(self) -> list[Event]:
            return [attempt(AT, "desk/read", "digest")] * 1200

`evidence` is the least that gives the signal; its last event may happen again and again.
"""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from collections.abc import Sequence

import msgspec
import pytest

from hopward.behaviour import Detector, Event, EventKind, Signal, State, token
from hopward.clock import SECOND, Instant
from hopward.testing.clock import NOON
from hopward.thresholds import RiskSettings

AT: Instant = NOON
_HOUR = 3_600 * SECOND
_DAY = 24 * _HOUR
_KINDS: tuple[EventKind, ...] = ("attempt", "permit", "deny", "error", "opened", "ended")
_STEPS = (
    0,
    1,
    SECOND,
    -SECOND,
    7 * SECOND,
    3_600 * SECOND,
    -3_600 * SECOND,
    _DAY,
    -_DAY,
    40 * _DAY,
    -39 * _DAY,
)
_MOST_BYTES = 1_200


class DetectorConformance:
    """Every detector passes it. `detector` and `evidence` are what a subclass must say."""

    detector: Detector
    rules: RiskSettings = RiskSettings()

    def evidence(self) -> Sequence[Event]:
        """The least that gives the signal, in order; the last event is at `AT`."""
        raise NotImplementedError

    def heard(self, events: Sequence[Event], state: State = ()) -> State:
        """The state after some events, of which it is given those it hears."""
        for event in events:
            if event.kind in self.detector.hears:
                state = self.detector.heard(state, event, self.rules)
        return state

    def signal(self, state: State, at: Instant = AT) -> Signal | None:
        """What the detector says of a state, once it was stored and read again."""
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(state))
        return self.detector.signal(stored, at, self.rules)

    @pytest.fixture
    def lit(self) -> State:
        """The state that the evidence leads to."""
        return self.heard(self.evidence())

    def test_nothing_seen_is_no_signal_at_any_time(self) -> None:
        assert self.signal(()) is None
        assert self.signal((), 0) is None

    def test_the_evidence_and_nothing_less_gives_the_signal(self, lit: State) -> None:
        assert self.signal(lit) is not None
        assert self.signal(self.heard(list(self.evidence())[:-1])) is None

    def test_the_signal_explains_itself_in_one_sentence_with_numbers(self, lit: State) -> None:
        signal = self.signal(lit)
        assert signal is not None
        assert signal.name == self.detector.name
        assert signal.weight == getattr(self.rules.weights, self.detector.name) > 0
        assert signal.sentence.isprintable()
        assert signal.sentence.endswith(".")
        assert any(character.isdigit() for character in signal.sentence)

    def test_the_same_events_give_the_same_state_and_signal(self, lit: State) -> None:
        again = self.heard(self.evidence())
        assert msgspec.msgpack.encode(again) == msgspec.msgpack.encode(lit)
        assert self.signal(again) == self.signal(lit)

    def test_a_state_is_not_changed_by_what_comes_after_it(self, lit: State) -> None:
        before = msgspec.msgpack.encode(lit)
        for kind in _KINDS:
            self.heard([Event(kind, AT, 1, (2, 3), 4, AT + SECOND)], lit)
        assert msgspec.msgpack.encode(lit) == before

    def test_more_evidence_never_takes_the_signal_away(self, lit: State) -> None:
        state, last = lit, self.evidence()[-1]
        for _ in range(100):
            state = self.heard([last], state)
            assert self.signal(state) is not None

    def test_the_signal_is_over_when_it_says_and_not_before(self, lit: State) -> None:
        signal = self.signal(lit)
        assert signal is not None
        assert AT < signal.until <= AT + _DAY
        assert self.signal(lit, signal.until - 1) is not None
        assert self.signal(lit, signal.until) is None

    def test_what_happened_days_ago_is_forgotten(self, lit: State) -> None:
        assert self.signal(lit, AT + 2 * _DAY) is None

    def test_a_clock_set_back_takes_no_signal_away(self, lit: State) -> None:
        assert self.signal(lit, AT - _DAY) is not None

    def test_no_event_and_no_step_of_the_clock_makes_it_raise(self, lit: State) -> None:
        for start in ((), lit):
            state, at = start, AT
            for number in range(7 * len(_STEPS) * len(_KINDS)):
                at += _STEPS[number % len(_STEPS)]
                kind = _KINDS[number % len(_KINDS)]
                event = Event(kind, at, number % 3, (number, number % 2), number % 5, at + number - 3)
                state = self.heard([event], state)
                for moment in (at, 0, at - 100 * _DAY, at + 100 * _DAY):
                    self.signal(state, moment)

    def test_the_size_of_its_state_is_bounded_whatever_has_happened(self, lit: State) -> None:
        state = lit
        names = [token(str(number)) for number in range(500)]
        for number in range(6_000):
            kind, name = _KINDS[number % len(_KINDS)], names[number % 500]
            at = AT + number * SECOND // 10
            state = self.heard([Event(kind, at, name, (name, number), name, at + _DAY)], state)
        assert len(msgspec.msgpack.encode(state)) <= _MOST_BYTES
