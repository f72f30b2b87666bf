"""A value is fresh once per kind, until it expires."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from threading import Thread

from hopward.clock import SECOND
from hopward.testing.clock import NOON, FixedClock
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening


class SingleUseConformance(LedgerOpening):
    """Values used once."""

    def test_a_value_is_fresh_once(self, ledger: CompleteLedger) -> None:
        assert ledger.seen_once("jti", "value", NOON + SECOND)
        assert not ledger.seen_once("jti", "value", NOON + SECOND)
        assert not ledger.seen_once("jti", "value", NOON + 9 * SECOND)

    def test_a_value_has_been_seen_once_it_is_used_and_asking_uses_nothing(
        self, ledger: CompleteLedger
    ) -> None:
        assert not ledger.seen("jti", "value")
        assert ledger.seen_once("jti", "value", NOON + SECOND)
        assert ledger.seen("jti", "value")
        assert not ledger.seen("assertion", "value")
        assert not ledger.seen("jti", "other")

    def test_a_value_used_as_one_kind_is_fresh_as_another(self, ledger: CompleteLedger) -> None:
        assert ledger.seen_once("jti", "value", NOON + SECOND)
        assert ledger.seen_once("assertion", "value", NOON + SECOND)
        assert ledger.seen_once("jt", "ivalue", NOON + SECOND)

    def test_a_value_is_forgotten_only_when_it_has_expired(
        self, ledger: CompleteLedger, clock: FixedClock
    ) -> None:
        assert ledger.seen_once("jti", "value", NOON + SECOND)
        clock.set(NOON + SECOND - 1)
        assert not ledger.seen_once("jti", "value", NOON + SECOND)
        clock.set(NOON + SECOND)
        assert ledger.seen_once("jti", "value", NOON + 2 * SECOND)

    def test_a_clock_set_back_makes_no_value_fresh_again(
        self, ledger: CompleteLedger, clock: FixedClock
    ) -> None:
        assert ledger.seen_once("jti", "value", NOON + 60 * SECOND)
        clock.set(NOON + 3600 * SECOND)
        assert ledger.seen_once("jti", "other", NOON + 3660 * SECOND)
        clock.set(NOON)
        for kind, value in (("jti", "value"), ("jti", "other"), ("assertion", "value")):
            assert not ledger.seen_once(kind, value, NOON + 60 * SECOND)
        assert ledger.seen_once("jti", "value", NOON + 61 * SECOND)
        assert not ledger.seen_once("jti", "other", NOON + 3660 * SECOND)

    def test_a_value_that_has_expired_already_is_never_fresh(self, ledger: CompleteLedger) -> None:
        assert not ledger.seen_once("jti", "value", NOON)

    def test_of_many_threads_presenting_one_value_one_is_first(self, ledger: CompleteLedger) -> None:
        answers: list[bool] = []

        def present() -> None:
            answers.append(ledger.seen_once("jti", "value", NOON + SECOND))

        threads = [Thread(target=present) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [False] * 7 + [True]
