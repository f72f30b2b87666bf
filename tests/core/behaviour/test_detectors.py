"""Every detector of the registry passes the conformance suite, and does what is its own."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from hopward.behaviour import DETECTORS, Event, attempt, token
from hopward.behaviour.counting import CALLS, DENIALS, ERRORS, STREAK
from hopward.behaviour.cycles import LONGEST, REPETITION
from hopward.behaviour.fanning import FAN_OUT, MOST
from hopward.behaviour.history import DRIFT, HOUR, MOST_KNOWN, NEW_DESTINATIONS, NEW_TOOLS
from hopward.clock import SECOND
from hopward.testing.conformance.detectors import AT, DetectorConformance
from hopward.thresholds import RiskSettings

RULES = RiskSettings()
DAY = 86_400 * SECOND
READ = attempt(AT, "desk/read", "r", ("internal",))
PERMITTED = replace(READ, kind="permit", at=AT - DAY)
HISTORY = [PERMITTED] * RULES.history_calls


class TestCalls(DetectorConformance):
    detector = CALLS

    def evidence(self) -> Sequence[Event]:
        return [READ] * RULES.thresholds.calls


class TestDenials(DetectorConformance):
    detector = DENIALS

    def evidence(self) -> Sequence[Event]:
        return [Event("deny", AT)] * RULES.thresholds.denials


class TestStreak(DetectorConformance):
    detector = STREAK

    def evidence(self) -> Sequence[Event]:
        return [Event("permit", AT), *[Event("deny", AT)] * RULES.thresholds.streak]

    def test_a_permit_ends_the_streak(self) -> None:
        denied = [Event("deny", AT)] * (RULES.thresholds.streak - 1)
        assert self.signal(self.heard([*denied, Event("permit", AT), *denied])) is None


class TestErrors(DetectorConformance):
    detector = ERRORS

    def evidence(self) -> Sequence[Event]:
        return [Event("error", AT)] * RULES.thresholds.errors


class TestRepetition(DetectorConformance):
    detector = REPETITION

    def evidence(self) -> Sequence[Event]:
        return [READ] * RULES.thresholds.repetition

    @pytest.mark.parametrize("length", range(1, LONGEST + 1))
    def test_a_round_of_up_to_four_calls_is_found_and_told(self, length: int) -> None:
        calls = [attempt(AT, "desk/read", str(number)) for number in range(length)]
        rounds = calls * RULES.thresholds.repetition
        found = self.signal(self.heard(rounds))
        assert found is not None
        what = "The same call" if length == 1 else f"The same {length} calls in turn"
        assert found.sentence.startswith(f"{what} {RULES.thresholds.repetition} times")
        assert self.signal(self.heard(rounds[:-1])) is None

    def test_a_round_of_five_calls_is_not_found(self) -> None:
        calls = [attempt(AT, "desk/read", str(number)) for number in range(5)]
        assert self.signal(self.heard(calls * 50)) is None

    def test_another_call_ends_the_loop(self) -> None:
        again = [READ] * RULES.thresholds.repetition
        assert self.signal(self.heard([*again, attempt(AT, "desk/read", "another")])) is None

    def test_calls_that_all_differ_are_no_loop(self) -> None:
        calls = [attempt(AT, "desk/read", str(number)) for number in range(500)]
        assert self.signal(self.heard(calls)) is None


class TestNewTools(DetectorConformance):
    detector = NEW_TOOLS

    def evidence(self) -> Sequence[Event]:
        return [*HISTORY, attempt(AT, "desk/refund", "x")]

    def test_an_agent_without_a_history_has_no_new_tools(self) -> None:
        calls = [attempt(AT, f"desk/{number}", "x") for number in range(50)]
        assert self.signal(self.heard([*HISTORY[1:], *calls])) is None

    def test_a_refused_call_does_not_make_a_tool_known(self) -> None:
        refused = [attempt(AT - DAY, "desk/refund", "x"), Event("deny", AT - DAY, token("desk/refund"))]
        assert self.signal(self.heard([*HISTORY, *refused, attempt(AT, "desk/refund", "x")])) is not None

    def test_a_flood_of_names_does_not_push_out_what_is_used_most(self) -> None:
        flood = [Event("permit", AT - DAY, number) for number in range(10 * MOST_KNOWN)]
        assert self.signal(self.heard([*HISTORY, *flood, READ])) is None


class TestNewDestinations(DetectorConformance):
    detector = NEW_DESTINATIONS

    def evidence(self) -> Sequence[Event]:
        return [*HISTORY, attempt(AT, "desk/read", "x", ("internal", "https://evil.example"))]


class TestDrift(DetectorConformance):
    detector = DRIFT

    def evidence(self) -> Sequence[Event]:
        usual = [READ] * 10
        return [*HISTORY, *usual, *[attempt(AT, "desk/refund", "x")] * 10]

    def test_a_slow_drip_among_usual_calls_is_not_drift(self) -> None:
        drip = [*[READ] * 20, attempt(AT, "desk/refund", "x")]
        assert self.signal(self.heard([*HISTORY, *drip * 50])) is None


class TestUnusualHour(DetectorConformance):
    detector = HOUR

    def evidence(self) -> Sequence[Event]:
        days = [AT + 3_600 * SECOND - day * DAY for day in range(RULES.history_days + 1, 0, -1)]
        return [*(Event("permit", at) for at in days), replace(READ, at=AT)]

    def test_two_weeks_in_the_same_hour_make_no_other_hour_unusual_before_they_are_over(self) -> None:
        days = [AT + 3_600 * SECOND - day * DAY for day in range(RULES.history_days - 1, 0, -1)]
        assert self.signal(self.heard([*(Event("permit", at) for at in days), READ])) is None

    def test_the_usual_hour_is_no_signal(self) -> None:
        days = [AT - day * DAY for day in range(40, 0, -1)]
        assert self.signal(self.heard([*(Event("permit", at) for at in days), READ])) is None

    def test_no_call_makes_its_own_hour_usual(self) -> None:
        assert self.signal(self.heard([*self.evidence(), *[Event("permit", AT), READ] * 50])) is not None


class TestFanOut(DetectorConformance):
    detector = FAN_OUT

    def evidence(self) -> Sequence[Event]:
        return [Event("opened", AT, expires_at=AT + 600 * SECOND)] * RULES.thresholds.fan_out

    def test_a_hop_that_has_ended_is_open_no_more(self) -> None:
        ended = Event("ended", AT, expires_at=AT + 600 * SECOND)
        assert self.signal(self.heard([*self.evidence(), ended])) is None

    def test_an_end_that_nobody_knows_changes_nothing(self) -> None:
        assert self.signal(self.heard([*self.evidence(), Event("ended", AT, expires_at=AT + 1)])) is not None

    def test_more_hops_than_are_told_apart_count_as_that_many(self) -> None:
        found = self.signal(self.heard([*self.evidence()] * 10))
        assert found is not None
        assert found.sentence.startswith(f"{MOST} hops open")


def test_every_detector_of_the_registry_is_tested_here() -> None:
    tested = {one.detector.name for one in DetectorConformance.__subclasses__()}
    assert tested == {detector.name for detector in DETECTORS}
