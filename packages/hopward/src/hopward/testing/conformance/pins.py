"""Definitions of tools: what was listed is noted once, and only what was seen can be accepted."""
# ruff: noqa: S101 - a test suite asserts, wherever it is shipped

from collections.abc import Sequence
from typing import Any

import pytest

from hopward.errors import StateError
from hopward.pins import Changes, Definition, Page, Pin, Status, defined
from hopward.record import Draft
from hopward.testing.clock import NOON
from hopward.testing.conformance.opening import CompleteLedger, LedgerOpening
from hopward.testing.samples import a_chain


def a_definition(name: str = "read", **changes: Any) -> Definition:
    """A tool as a server would list it."""
    return defined({"name": name, "description": "Reads.", "inputSchema": {"type": "object"}, **changes})


def a_page(*definitions: Definition, server: str = "desk", cursor: str = "", following: str = "") -> Page:
    """A page of its listing."""
    return Page(server, definitions, cursor, following)


def told(changes: Changes) -> Sequence[Draft]:
    """One row for each thing that changes."""
    named = [*changes.pins, *changes.sightings]
    return [Draft(kind="pin", at=NOON, record={}, server=one.server, tool=one.tool) for one in named]


def an_acceptance(one: Definition, server: str = "desk") -> Pin:
    """What a person's yes to a definition is stored as."""
    return Pin(
        server=server,
        tool=one.name,
        digest=one.digest,
        definition=one.text,
        how="accepted",
        at=NOON,
        by="ana",
        why="read it",
    )


ROW = Draft(kind="pin", at=NOON, record={}, server="desk", tool="read")


class PinConformance(LedgerOpening):
    """What servers list, and what of it counts."""

    def see(self, ledger: CompleteLedger, page: Page, *, trusting: bool = True) -> None:
        """Have a page noted."""
        ledger.see(page, NOON, told, trusting=trusting)

    def status(self, ledger: CompleteLedger, tool: str = "read") -> Status:
        """How a tool of `desk` stands."""
        return ledger.pin_status("desk", tool, ledger.standing(a_chain()).epoch)

    def test_a_tool_nobody_has_seen_has_no_pin(self, ledger: CompleteLedger) -> None:
        assert self.status(ledger) == Status()
        assert (ledger.pins(), ledger.sightings()) == ((), ())

    def test_what_is_first_seen_is_pinned_with_its_row(self, ledger: CompleteLedger) -> None:
        one = a_definition()
        self.see(ledger, a_page(one))
        assert self.status(ledger) == Status("first-seen", one.digest)
        assert [(pin.tool, pin.definition) for pin in ledger.pins("desk")] == [("read", one.text)]
        assert [(row.kind, row.tool) for row in ledger.rows()] == [("pin", "read")]

    def test_a_listing_that_changes_nothing_writes_nothing(self, ledger: CompleteLedger) -> None:
        page = a_page(a_definition())
        self.see(ledger, page)
        before, epoch = ledger.head(), ledger.standing(a_chain()).epoch
        self.see(ledger, page)
        assert (ledger.head(), ledger.standing(a_chain()).epoch) == (before, epoch)

    def test_a_change_is_seen_at_once_and_begins_a_new_epoch(self, ledger: CompleteLedger) -> None:
        first, then = a_definition(), a_definition(description="Deletes.")
        self.see(ledger, a_page(first))
        epoch = ledger.standing(a_chain()).epoch
        assert self.status(ledger).sighted == ""
        self.see(ledger, a_page(then))
        assert ledger.standing(a_chain()).epoch > epoch
        assert self.status(ledger) == Status("first-seen", first.digest, "changed")
        assert [seen.definition for seen in ledger.sightings("desk")] == [then.text]

    def test_servers_are_kept_apart(self, ledger: CompleteLedger) -> None:
        self.see(ledger, a_page(a_definition()))
        self.see(ledger, a_page(a_definition(description="Other."), server="bank"))
        assert self.status(ledger).sighted == ""
        assert [pin.server for pin in ledger.pins()] == ["bank", "desk"]
        assert [pin.server for pin in ledger.pins("bank")] == ["bank"]

    def test_acceptance_replaces_what_was_pinned_and_settles_what_was_seen(
        self, ledger: CompleteLedger
    ) -> None:
        then = a_definition(description="Deletes.")
        self.see(ledger, a_page(a_definition()))
        self.see(ledger, a_page(then))
        ledger.accept([an_acceptance(then)], [ROW])
        assert self.status(ledger) == Status("accepted", then.digest)
        assert ledger.sightings() == ()
        assert (ledger.pins()[0].by, ledger.pins()[0].why) == ("ana", "read it")

    def test_what_was_never_seen_cannot_be_accepted_nor_anything_with_it(
        self, ledger: CompleteLedger
    ) -> None:
        seen, other = a_definition(), a_definition("other")
        self.see(ledger, a_page(seen, other))
        before = ledger.head()
        changed = an_acceptance(a_definition("other", description="Something else."))
        with pytest.raises(StateError):
            ledger.accept([an_acceptance(seen), changed], [ROW])
        assert {pin.how for pin in ledger.pins()} == {"first-seen"}
        assert ledger.head() == before

    def test_where_nothing_is_trusted_on_sight_all_waits(self, ledger: CompleteLedger) -> None:
        one = a_definition()
        self.see(ledger, a_page(one), trusting=False)
        assert self.status(ledger) == Status("none", "", "new")
        ledger.accept([an_acceptance(one)], [ROW])
        assert self.status(ledger) == Status("accepted", one.digest)
