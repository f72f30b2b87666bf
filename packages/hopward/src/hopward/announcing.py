"""What others are told as security events: our revocations, quarantines and stopped agents (RFC 8417, CAEP).

The log is what is told, in its order; how far each receiver has been told, the ledger remembers. Each event
is told at least once, under an id that stays the same. What came of an event of somebody else is not told on:
two that tell each other would never come to an end.
"""

from collections.abc import Iterator
from heapq import merge
from typing import Any, NamedTuple

from hopward.clock import SECOND, Clock, from_iso, to_seconds
from hopward.containing import AUTOMATIC
from hopward.errors import NotFoundError
from hopward.issuer import Issuer
from hopward.ledger import RowFilter, SqliteLedger
from hopward.record import Draft, Row
from hopward.secevent import CAEP, EventReceiver
from hopward.settings import Settings

HEARD = f"{AUTOMATIC}events:"
"""What the name begins with of who did what an event of somebody else has led to."""

MOST_TRIES = 12
"""How often an event is sent before it is given up, and the next one is told."""

_KINDS = ("revocation", "containment", "agent")
_TOLD = {"revoked", "quarantined", "stopped", "suspended", "retired"}
_LONGEST_REASON = 500


class Announcement(NamedTuple):
    """One signed event for one receiver, as it is to be POSTed to `url`."""

    receiver: str
    url: str
    token: str
    row: Row


class Announcing:
    """Gives out what receivers are to be told. Safe to share between threads."""

    def __init__(self, settings: Settings, ledger: SqliteLedger, issuer: Issuer, clock: Clock) -> None:
        self._settings = settings
        self._ledger = ledger
        self._issuer = issuer
        self._clock = clock

    most_tries = MOST_TRIES

    @property
    def receivers(self) -> dict[str, EventReceiver]:
        """Whom to tell, by name."""
        return self._settings.events.receivers

    def next(self, receiver: str) -> Announcement | None:
        """What it is to be told next; nothing of what stood in the log when it was first asked for.

        Raises `LedgerError`.
        """
        told = self._ledger.told_up_to(_cursor(receiver))
        if told is None:
            self._ledger.set_told(_cursor(receiver), self._ledger.head()[0])
            return None
        row = next(self._waiting(told), None)
        if row is None:
            return None
        entry = self.receivers[receiver]
        return Announcement(receiver, entry.url, self._issuer.signed_event(self._claims(row, entry)), row)

    def told(self, announcement: Announcement) -> None:
        """It has arrived, and is never sent again."""
        self._ledger.set_told(_cursor(announcement.receiver), announcement.row.seq)

    def given_up(self, announcement: Announcement, why: str) -> None:
        """It could not be told; the log says so, and the next one is told."""
        record = {
            "event": "untold",
            "receiver": announcement.receiver,
            "row": announcement.row.seq,
            "why": why,
        }
        self._ledger.record([Draft(kind="event", at=self._clock.now(), record=record)])
        self.told(announcement)

    def behind(self, receiver: str) -> int:
        """How much it is still to be told."""
        told = self._ledger.told_up_to(_cursor(receiver))
        return 0 if told is None else sum(1 for _ in self._waiting(told))

    def _waiting(self, after: int) -> Iterator[Row]:
        """The rows that are told, the oldest first."""
        kinds = [self._ledger.rows(RowFilter(kind=kind, after=after, oldest_first=True)) for kind in _KINDS]
        for row in merge(*kinds, key=lambda row: row.seq):
            if row.record.get("event") in _TOLD and not str(row.record.get("by", "")).startswith(HEARD):
                yield row

    def _claims(self, row: Row, receiver: EventReceiver) -> dict[str, Any]:
        at, by = to_seconds(from_iso(row.at)), str(row.record.get("by", ""))
        mark = f"{row.seq}-{row.hash[:32]}"
        event = {
            "event_timestamp": at,
            "initiating_entity": "policy" if by.startswith(AUTOMATIC) else "admin",
            "reason_admin": {"en": str(row.record.get("why", ""))[:_LONGEST_REASON]},
        }
        return {
            "iss": self._issuer.issuer,
            "aud": receiver.audience,
            "iat": self._clock.now() // SECOND,
            "jti": mark,
            "txn": row.task or mark,
            "sub_id": self._subject(row),
            "events": {f"{CAEP}session-revoked": event},
        }

    def _subject(self, row: Row) -> dict[str, Any]:
        kind, name = ("agent", row.agent) if row.kind == "agent" else _named(row)
        if kind == "subject":
            return _person(name)
        if kind not in ("task", "hop"):
            return _opaque(f"{kind}:{name}")
        try:
            task = self._ledger.task(row.task)
            agent = self._ledger.hop(name).agent if kind == "hop" else task.agent
        except NotFoundError:
            return _opaque(name)
        parts = {
            "session": _opaque(name),
            "user": _person(task.subject),
            "application": _opaque(f"agent:{agent}"),
        }
        return {"format": "complex", **parts}


def _named(row: Row) -> tuple[str, str]:
    return str(row.record["kind"]), str(row.record["id"])


def _person(name: str) -> dict[str, Any]:
    """A subject, by address where its name is one (RFC 9493)."""
    local, at, domain = name.partition("@")
    is_address = local and at and "." in domain and "@" not in domain and not any(map(str.isspace, name))
    return {"format": "email", "email": name} if is_address else _opaque(name)


def _opaque(name: str) -> dict[str, Any]:
    return {"format": "opaque", "id": name}


def _cursor(receiver: str) -> str:
    return f"events:{receiver}"
