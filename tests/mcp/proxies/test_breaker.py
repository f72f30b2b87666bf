"""The circuit breaker: when it opens, who tries, and what closes it."""

from hopward_mcp.breaker import FAILURES, LONGEST_PAUSE, PAUSE, Breaker


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Seconds) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.enter()
        breaker.failed()
    return breaker


def test_failures_in_succession_open_the_circuit_and_a_success_between_does_not_count() -> None:
    clock = Seconds()
    breaker = Breaker(clock)
    for _ in range(FAILURES - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.enter()
    breaker.failed()
    assert not breaker.enter()
    assert breaker.seconds_left == PAUSE


def test_after_the_pause_one_call_alone_tries() -> None:
    clock = Seconds()
    breaker = opened(clock)
    clock.now += PAUSE
    assert [breaker.enter() for _ in range(5)] == [True, False, False, False, False]
    breaker.succeeded()
    assert [breaker.enter() for _ in range(5)] == [True] * 5


def test_a_try_that_fails_doubles_the_pause_up_to_a_longest() -> None:
    clock = Seconds()
    breaker = opened(clock)
    for pause in (2 * PAUSE, 4 * PAUSE, 8 * PAUSE, LONGEST_PAUSE, LONGEST_PAUSE):
        clock.now += breaker.seconds_left
        assert breaker.enter()
        breaker.failed()
        assert breaker.seconds_left == pause


def test_a_try_that_nobody_waits_for_leaves_the_next_one_to_somebody_else() -> None:
    clock = Seconds()
    breaker = opened(clock)
    clock.now += PAUSE
    assert breaker.enter()
    breaker.given_up()
    assert breaker.enter()


def test_calls_that_were_under_way_when_it_opened_do_not_make_the_pause_longer() -> None:
    clock = Seconds()
    breaker = opened(clock)
    clock.now += 1
    for _ in range(10):
        breaker.failed()
    assert breaker.seconds_left == PAUSE - 1


def test_a_try_that_is_given_up_because_its_time_ran_out_counts_as_one_that_failed() -> None:
    clock = Seconds()
    breaker = opened(clock)
    clock.now += PAUSE
    assert breaker.enter()
    breaker.given_up()
    breaker.failed()
    assert breaker.seconds_left == 2 * PAUSE
    assert not breaker.enter()
