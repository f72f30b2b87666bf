"""The parts of `MemoryLedger` that keep devices, and what is to be told outside."""

from collections.abc import Callable
from threading import RLock

from hopward.clock import Instant
from hopward.device import Device
from hopward.errors import NotFoundError, StateError
from hopward.ledger.chain import KIND, Columns, Entry, entry
from hopward.record import Draft, Outbox, Receipt, Waiting


class MemoryDevices:
    """Devices, and an outbox, in dictionaries."""

    _lock: RLock
    _rows: list[tuple[Columns, str]]
    _append: Callable[[Entry], Receipt]

    def __init__(self) -> None:
        super().__init__()
        self._devices: dict[str, Device] = {}
        self._outbox: dict[int, Waiting] = {}
        self._cursor: int | None = None

    def put_device(self, device: Device, draft: Draft) -> None:
        """As `SqliteLedger.put_device`."""

        def apply() -> None:
            kept = {one.id: one for one in self._devices.values() if one.expires_at > device.offered_at}
            self._devices = kept | {device.id: device}

        self._beside(draft, apply)

    def change_device(self, before: Device, after: Device, draft: Draft | None = None) -> None:
        """As `SqliteLedger.change_device`."""

        def apply() -> None:
            self._require(before.id)
            if self._devices[before.id] != before:
                raise StateError(f"Device {before.id} has changed meanwhile.")
            self._devices[after.id] = after

        self._beside(draft, apply)

    def remove_device(self, device_id: str, draft: Draft) -> None:
        """As `SqliteLedger.remove_device`."""

        def apply() -> None:
            self._require(device_id)
            del self._devices[device_id]

        self._beside(draft, apply)

    def device(self, secret: str) -> Device | None:
        """As `SqliteLedger.device`."""
        return next((one for one in self._devices.values() if one.secret == secret), None)

    def devices(self) -> tuple[Device, ...]:
        """As `SqliteLedger.devices`."""
        return tuple(sorted(self._devices.values(), key=lambda one: (one.offered_at, one.id)))

    def take_waiting(self, at: Instant, until: Instant) -> Waiting | None:
        """As `SqliteLedger.take_waiting`."""
        with self._lock:
            for seq in self._behind():
                self._outbox[seq] = Waiting(seq, 0, at, "")
            self._cursor = len(self._rows)
            due = [one for one in self._outbox.values() if one.due_at <= at]
            if not due:
                return None
            first = min(due, key=lambda one: (one.due_at, one.seq))
            taken = Waiting(first.seq, first.attempts + 1, until, first.why)
            self._outbox[first.seq] = taken
            return taken

    def end_waiting(self, taken: Waiting, draft: Draft | None = None) -> None:
        """As `SqliteLedger.end_waiting`."""

        def apply() -> None:
            self._outbox.pop(taken.seq, None)

        self._beside(draft, apply)

    def put_off_waiting(self, taken: Waiting, due_at: Instant, why: str) -> None:
        """As `SqliteLedger.put_off_waiting`."""
        with self._lock:
            known = self._outbox.get(taken.seq)
            if known is not None and known.attempts == taken.attempts:
                self._outbox[taken.seq] = Waiting(taken.seq, taken.attempts, due_at, why)

    def outbox(self) -> Outbox:
        """As `SqliteLedger.outbox`."""
        waiting = tuple(self._outbox[seq] for seq in sorted(self._outbox))
        behind = self._approvals_after(self._cursor or 0)
        return Outbox(self._cursor is not None, waiting, len(behind), min(behind, default=0))

    def _behind(self) -> list[int]:
        return [] if self._cursor is None else self._approvals_after(self._cursor)

    def _approvals_after(self, cursor: int) -> list[int]:
        numbered = enumerate(self._rows, 1)
        return [seq for seq, (columns, _) in numbered if seq > cursor and columns[KIND] == "approval"]

    def _beside(self, draft: Draft | None, apply: Callable[[], None]) -> None:
        row = None if draft is None else entry(draft)
        with self._lock:
            apply()
            if row is not None:
                self._append(row)

    def _require(self, device_id: str) -> None:
        if device_id not in self._devices:
            raise NotFoundError(f"There is no device {device_id}.")
