"""How much of the event loop a server that sends without end may take."""

import pytest

from hopward_mcp.pace import SHARE, UNSEEN, Pace


class Clock:
    """Seconds that only a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def worked(pace: Pace, clock: Clock, seconds: float) -> float:
    """Work for so long, and say for how long there should be none."""
    clock.now += seconds
    return pace.charge(seconds)


def test_what_comes_now_and_then_never_waits() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(1_000):
        assert worked(pace, clock, UNSEEN) == 0
        clock.now += UNSEEN / SHARE


@pytest.mark.parametrize("each", [UNSEEN, 0.0005, 0.02])
def test_what_comes_without_end_gets_its_share_of_the_time_and_no_more(each: float) -> None:
    clock = Clock()
    pace, busy = Pace(clock), 0.0
    while clock.now < 100:
        busy += each
        clock.now += worked(pace, clock, each)
    assert busy / clock.now == pytest.approx(SHARE, rel=0.1)


def test_however_long_nothing_has_come_a_burst_is_short() -> None:
    clock = Clock()
    pace, count = Pace(clock), 1
    clock.now += 3_600
    while not worked(pace, clock, UNSEEN):
        count += 1
    assert count * UNSEEN < 0.002
