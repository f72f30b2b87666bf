"""Devices in which people answer, and rows that somebody outside is to hear of."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from typing import Any

import pytest
from msgspec.structs import replace

from hopward.clock import SECOND
from hopward.device import Device
from hopward.errors import NotFoundError, StateError
from hopward.record import Waiting
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import NOTE, a_chain, a_draft

_LATER = NOON + 60 * SECOND
_MUCH_LATER = NOON + 3600 * SECOND


def _device(identity: str = "dev_1", **changes: Any) -> Device:
    fields: dict[str, Any] = {
        "id": identity,
        "person": "lena",
        "secret": f"digest of {identity}",
        "offered_by": "local:root",
        "offered_at": NOON,
        "expires_at": _LATER,
    }
    return Device(**(fields | changes))


class DeviceConformance(LedgerOpening):
    """A device is stored, changed and forgotten together with its row."""

    def test_a_device_is_found_by_the_digest_of_its_secret(self, ledger: CompleteLedger) -> None:
        ledger.put_device(_device("dev_1"), NOTE)
        ledger.put_device(_device("dev_2"), NOTE)
        assert ledger.device("digest of dev_2") == _device("dev_2")
        assert ledger.device("digest of dev_3") is None
        assert ledger.devices() == (_device("dev_1"), _device("dev_2"))
        assert ledger.head()[0] == 2

    def test_a_device_whose_time_is_over_is_forgotten_when_another_comes_to_be(
        self, ledger: CompleteLedger
    ) -> None:
        ledger.put_device(_device("dev_1"), NOTE)
        ledger.put_device(_device("dev_2", offered_at=_LATER, expires_at=_LATER + SECOND), NOTE)
        assert [one.id for one in ledger.devices()] == ["dev_2"]

    def test_a_device_is_changed_only_from_what_it_was(self, ledger: CompleteLedger) -> None:
        before = _device()
        after = replace(_device(paired_at=NOON), secret=_device("more").secret)
        ledger.put_device(before, NOTE)
        ledger.change_device(before, after, NOTE)
        assert (ledger.device("digest of more"), ledger.device(before.secret)) == (after, None)
        with pytest.raises(StateError):
            ledger.change_device(before, after, NOTE)
        assert ledger.head()[0] == 2

    def test_a_change_without_a_row_writes_none(self, ledger: CompleteLedger) -> None:
        ledger.put_device(_device(), NOTE)
        ledger.change_device(_device(), _device(used_at=NOON))
        assert (ledger.head()[0], ledger.devices()) == (1, (_device(used_at=NOON),))

    def test_a_device_that_is_not_there_is_neither_changed_nor_removed(self, ledger: CompleteLedger) -> None:
        with pytest.raises(NotFoundError):
            ledger.change_device(_device(), _device(), NOTE)
        with pytest.raises(NotFoundError):
            ledger.remove_device("dev_1", NOTE)
        assert ledger.head()[0] == 0

    def test_a_removed_device_has_no_secret_any_more(self, ledger: CompleteLedger) -> None:
        ledger.put_device(_device(), NOTE)
        ledger.remove_device("dev_1", NOTE)
        assert (ledger.devices(), ledger.device("digest of dev_1"), ledger.head()[0]) == ((), None, 2)

    def test_devices_leave_standing_as_it_is(self, ledger: CompleteLedger) -> None:
        before = ledger.standing(a_chain()).epoch
        ledger.put_device(_device(), NOTE)
        ledger.remove_device("dev_1", NOTE)
        assert ledger.standing(a_chain()).epoch == before


class OutboxConformance(LedgerOpening):
    """Every row about an approval is given out until somebody says that it has been told."""

    def _begun(self, ledger: CompleteLedger, rows: int = 0) -> None:
        assert ledger.take_waiting(NOON, _LATER) is None
        ledger.record([a_draft(kind="approval") for _ in range(rows)])

    def test_what_stood_before_anybody_asked_is_left_out(self, ledger: CompleteLedger) -> None:
        ledger.record([a_draft(kind="approval")])
        before = ledger.outbox()
        assert (before.begun, before.behind, before.oldest) == (False, 1, 1)
        self._begun(ledger, rows=1)
        after = ledger.outbox()
        assert (after.begun, after.behind, after.oldest) == (True, 1, 2)
        taken = ledger.take_waiting(NOON, _LATER)
        assert taken == Waiting(2, 1, _LATER, "")

    def test_rows_about_anything_else_are_not_given_out(self, ledger: CompleteLedger) -> None:
        self._begun(ledger)
        ledger.record([a_draft(), NOTE])
        assert ledger.take_waiting(NOON, _LATER) is None

    def test_rows_are_given_out_in_order_each_to_one_who_asks(self, ledger: CompleteLedger) -> None:
        self._begun(ledger, rows=2)
        taken = [ledger.take_waiting(NOON, _LATER) for _ in range(3)]
        assert [one.seq if one else 0 for one in taken] == [1, 2, 0]

    def test_a_row_that_nobody_has_told_in_time_is_given_out_again(self, ledger: CompleteLedger) -> None:
        """Whoever had it may have ended before or after telling it."""
        self._begun(ledger, rows=1)
        ledger.take_waiting(NOON, _LATER)
        assert ledger.take_waiting(_LATER - 1, _LATER) is None
        assert ledger.take_waiting(_LATER, _LATER + SECOND) == Waiting(1, 2, _LATER + SECOND, "")

    def test_a_row_that_was_told_is_never_given_out_again(self, ledger: CompleteLedger) -> None:
        self._begun(ledger, rows=1)
        taken = ledger.take_waiting(NOON, _LATER)
        assert taken is not None
        ledger.end_waiting(taken)
        assert ledger.take_waiting(_LATER, _LATER) is None
        assert (ledger.outbox().waiting, ledger.head()[0]) == ((), 1)

    def test_a_row_that_could_not_be_told_is_due_again_when_it_is_said(self, ledger: CompleteLedger) -> None:
        self._begun(ledger, rows=1)
        taken = ledger.take_waiting(NOON, _LATER)
        assert taken is not None
        ledger.put_off_waiting(taken, _LATER + SECOND, "it answered 500")
        assert ledger.outbox().waiting == (Waiting(1, 1, _LATER + SECOND, "it answered 500"),)
        assert ledger.take_waiting(_LATER, _LATER) is None
        assert ledger.take_waiting(_LATER + SECOND, _MUCH_LATER) == Waiting(
            1, 2, _MUCH_LATER, "it answered 500"
        )

    def test_who_was_too_slow_puts_nothing_off_that_another_has_taken(self, ledger: CompleteLedger) -> None:
        self._begun(ledger, rows=1)
        slow = ledger.take_waiting(NOON, _LATER)
        ledger.take_waiting(_LATER, _LATER + SECOND)
        assert slow is not None
        ledger.put_off_waiting(slow, NOON, "late")
        assert ledger.outbox().waiting == (Waiting(1, 2, _LATER + SECOND, ""),)

    def test_what_is_given_up_leaves_the_row_that_says_so(self, ledger: CompleteLedger) -> None:
        self._begun(ledger, rows=1)
        taken = ledger.take_waiting(NOON, _LATER)
        assert taken is not None
        ledger.end_waiting(taken, NOTE)
        assert (ledger.outbox().waiting, ledger.head()[0]) == ((), 2)
