"""The part of `MemoryLedger` that keeps the definitions of tools."""

from collections.abc import Callable, Sequence
from threading import RLock

from hopward.clock import Instant
from hopward.ledger.chain import Entry, entry
from hopward.pins import (
    Book,
    Changes,
    Look,
    Page,
    Pin,
    Sighting,
    Status,
    changed_meanwhile,
    judged,
)
from hopward.record import Draft, Receipt


class MemoryPins:
    """What counts of each tool, and what has been seen beside it, in dictionaries."""

    _lock: RLock
    _epoch: int
    _append: Callable[[Entry], Receipt]

    def __init__(self) -> None:
        super().__init__()
        self._pins: dict[tuple[str, str], Pin] = {}
        self._sightings: dict[tuple[str, str], Sighting] = {}
        self.looks: dict[str, Look] = {}

    def pin_status(self, server: str, tool: str, epoch: int) -> Status:
        """As `SqliteLedger.pin_status`."""
        with self._lock:
            pin, seen = self._pins.get((server, tool)), self._sightings.get((server, tool))
        stands = ("none", "") if pin is None else (pin.how, pin.digest)
        return Status(*stands, sighted=seen.why if seen else "")

    def see(
        self, page: Page, at: Instant, rows: Callable[[Changes], Sequence[Draft]], *, trusting: bool
    ) -> None:
        """As `SqliteLedger.see`."""
        with self._lock:
            changes = judged(self._book(page.server), page, at, trusting=trusting)
            if not changes:
                return
            for one in [entry(draft) for draft in rows(changes)]:
                self._append(one)
            self._pins.update({(pin.server, pin.tool): pin for pin in changes.pins})
            self._sightings.update({(seen.server, seen.tool): seen for seen in changes.sightings})
            if changes.look is not None:
                self.looks[page.server] = changes.look
            self._epoch += 1

    def accept(self, pins: Sequence[Pin], rows: Sequence[Draft]) -> None:
        """As `SqliteLedger.accept`."""
        entries = [entry(draft) for draft in rows]
        with self._lock:
            for pin in pins:
                known = [one.get((pin.server, pin.tool)) for one in (self._pins, self._sightings)]
                if pin.digest not in [one.digest for one in known if one is not None]:
                    raise changed_meanwhile(pin.server, pin.tool)
            for pin in pins:
                self._pins[pin.server, pin.tool] = pin
                self._sightings.pop((pin.server, pin.tool), None)
            for one in entries:
                self._append(one)
            self._epoch += 1

    def pins(self, server: str = "") -> tuple[Pin, ...]:
        """As `SqliteLedger.pins`."""
        return tuple(self._pins[key] for key in sorted(self._pins) if server in ("", key[0]))

    def sightings(self, server: str = "") -> tuple[Sighting, ...]:
        """As `SqliteLedger.sightings`."""
        return tuple(self._sightings[key] for key in sorted(self._sightings) if server in ("", key[0]))

    def _book(self, server: str) -> Book:
        names = {tool for at, tool in (*self._pins, *self._sightings) if at == server}
        return Book(
            look=self.looks.get(server, Look()),
            statuses={tool: self.pin_status(server, tool, 0) for tool in names},
            sighted={tool: seen.digest for (at, tool), seen in self._sightings.items() if at == server},
            pinned=lambda tool: self._pins[server, tool].definition,
        )
