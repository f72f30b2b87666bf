"""What the guard is asked and told about definitions of tools: what was listed, accepted, may be called."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from hopward.claims import is_agent
from hopward.clock import Clock, Instant
from hopward.errors import NotFoundError, StateError
from hopward.flags import flags
from hopward.model import Tool
from hopward.pattern import folded
from hopward.pins import Changes, Page, Pin, Sighting, Status, changed_meanwhile, defined, refusal
from hopward.ports import Ledger
from hopward.record import Draft, Refusal
from hopward.settings import ServerSettings

_UNPINNED = "unsafe-unpinned"


Where: TypeAlias = Literal["pinned", "seen"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A definition that a person may accept, canonical JSON, with what should be looked at in it.

    `state` is `accepted` or `first-seen` of what is pinned; `changed`, `new` or `doubled` of what was seen.
    """

    digest: str
    definition: str
    state: str
    flags: tuple[str, ...]


class Pins:
    """The definitions of all servers' tools, by what `pins` of each `[servers.NAME]` says.

    Only of tools that a server describes: those of a program, and what else is called by a prefix
    (`resource:URI`), have no pins.
    """

    def __init__(
        self,
        ledger: Ledger,
        servers: Mapping[str, ServerSettings],
        tools: Iterable[Tool],
        clock: Clock,
        agents: Iterable[str] = (),
    ) -> None:
        self._ledger = ledger
        self._agents = frozenset(map(folded, agents))
        self._modes = {name: one.pins for name, one in servers.items() if not one.in_process}
        self._classified = frozenset((tool.server, tool.name) for tool in tools)
        self._clock = clock

    def status(self, server: str, tool: str, epoch: int) -> Status:
        """How a tool stands, as of that epoch or later; raises `LedgerError`."""
        if not self._pinned(server, tool):
            return Status()
        return self._ledger.pin_status(server, tool, epoch)

    def refusal(self, server: str, tool: str, status: Status) -> Refusal | None:
        """Why a tool that stands so may not be called, or None."""
        if not self._pinned(server, tool):
            return None
        return refusal(server, tool, status, only_accepted=self._modes[server] == "accepted")

    def listed(
        self, server: str, items: Sequence[Any], cursor: str = "", following: str = ""
    ) -> dict[str, str]:
        """Take note of a page of a server's `tools/list`, and tell the digests of its tools by their names.

        `items` are its tools as they came, `cursor` is what was asked with, `following` the `nextCursor` of
        the answer.

        What is changed or new by it is refused from now on, in every process. Where nothing is, nothing is
        written. Raises `LedgerError` where it cannot be noted: then nothing of the page may be shown.
        """
        mode = self._modes.get(server, _UNPINNED)
        if mode == _UNPINNED:
            return {}
        tools = [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
        definitions = tuple(defined(tool) for tool in tools if isinstance(tool.get("name"), str))
        now = self._clock.now()
        page = Page(server, definitions, cursor, following)
        self._ledger.see(page, now, partial(self._rows, server, now), trusting=mode == "first-seen")
        return {one.name: one.digest for one in definitions}

    def accept(self, server: str, shown: Mapping[str, str], *, by: str, why: str) -> tuple[Pin, ...]:
        """Accept the definitions that a person was shown: digests, by the names of tools.

        Raises `NotFoundError` for a tool that nothing was ever seen of, `StateError` where one has changed
        since it was shown, or `by` is an agent's name; then none is accepted.
        """
        if is_agent(by) or folded(by.strip()).removeprefix("local:") in self._agents:
            told = f"{by!r} is the name of an agent; only a person accepts what a server says of its tools."
            raise StateError(told, advice="Name the person who has looked: --by NAME.")
        now, known, pins = self._clock.now(), self.candidates(server), list[Pin]()
        for tool, digest in shown.items():
            if tool not in known:
                raise NotFoundError(f"No definition of {server}/{tool} has been seen.")
            fitting = (one.definition for one in known[tool].values() if one.digest == digest)
            text = next(fitting, None)
            if text is None:
                raise changed_meanwhile(server, tool)
            kept = {"server": server, "tool": tool, "digest": digest, "definition": text}
            pins.append(Pin(**kept, how="accepted", at=now, by=by, why=why))
        self._ledger.accept(pins, [self._accepted(pin) for pin in pins])
        return tuple(pins)

    def candidates(self, server: str) -> dict[str, dict[Where, Candidate]]:
        """What can be accepted of each tool of a server: what is `pinned`, and what was `seen` beside it."""
        known = self._known()
        found: dict[str, dict[Where, Candidate]] = {}
        for pin in self._ledger.pins(server):
            found[pin.tool] = {"pinned": _candidate(pin, pin.how, known)}
        for seen in self._ledger.sightings(server):
            found.setdefault(seen.tool, {})["seen"] = _candidate(seen, seen.why, known)
        return dict(sorted(found.items()))

    def _known(self) -> frozenset[tuple[str, str]]:
        seen = ((one.server, one.tool) for one in (*self._ledger.pins(), *self._ledger.sightings()))
        return self._classified.union(seen)

    def _pinned(self, server: str, tool: str) -> bool:
        return self._modes.get(server, _UNPINNED) != _UNPINNED and ":" not in tool

    def _rows(self, server: str, at: Instant, changes: Changes) -> list[Draft]:
        appeared = ((one.server, one.tool) for one in (*changes.pins, *changes.sightings))
        known = self._known().union(appeared)
        rows: list[Draft] = []
        if changes.pins:
            told = [
                {
                    "tool": pin.tool,
                    "digest": pin.digest,
                    "flags": list(flags(server, pin.tool, pin.definition, known)),
                }
                for pin in changes.pins
            ]
            record: dict[str, Any] = {"event": "first-seen", "tools": told}
            rows.append(Draft(kind="pin", at=at, record=record, server=server))
        for seen in changes.sightings:
            found = list(flags(server, seen.tool, seen.definition, known))
            record = {"event": "quarantined", "why": seen.why, "digest": seen.digest, "flags": found}
            rows.append(Draft(kind="pin", at=at, record=record, server=server, tool=seen.tool))
        return rows

    def _accepted(self, pin: Pin) -> Draft:
        record: dict[str, Any] = {"event": "accepted", "digest": pin.digest, "by": pin.by, "why": pin.why}
        record["flags"] = list(flags(pin.server, pin.tool, pin.definition, self._known()))
        return Draft(kind="pin", at=pin.at, record=record, server=pin.server, tool=pin.tool)


def _candidate(one: Pin | Sighting, state: str, known: frozenset[tuple[str, str]]) -> Candidate:
    found = flags(one.server, one.tool, one.definition, known)
    return Candidate(one.digest, one.definition, state, found)
