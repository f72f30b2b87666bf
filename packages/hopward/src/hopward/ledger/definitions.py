"""Pins, sightings and first looks (`hopward.pins`) as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

from hopward.errors import LedgerCorruptError
from hopward.ledger import tables
from hopward.pins import Book, Changes, Look, Pin, Sighting, Status, changed_meanwhile

_pins = msgspec.json.Decoder(Pin)
_sightings = msgspec.json.Decoder(Sighting)
_looks = msgspec.json.Decoder(Look)

_STATUS = """SELECT pins.how, pins.digest, sightings.why
    FROM (SELECT ? AS server, ? AS tool) AS asked
    LEFT JOIN pins ON pins.server = asked.server AND pins.tool = asked.tool
    LEFT JOIN sightings ON sightings.server = asked.server AND sightings.tool = asked.tool"""
_PIN = "INSERT OR REPLACE INTO pins (server, tool, digest, how, body) VALUES (?, ?, ?, ?, ?)"
_SIGHT = "INSERT OR REPLACE INTO sightings (server, tool, digest, why, body) VALUES (?, ?, ?, ?, ?)"
_KNOWN = """SELECT digest FROM pins WHERE server = :server AND tool = :tool
    UNION SELECT digest FROM sightings WHERE server = :server AND tool = :tool"""
_LOOK = "INSERT OR REPLACE INTO looks (server, body) VALUES (?, ?)"


def status(connection: sqlite3.Connection, server: str, tool: str) -> Status:
    """How one tool stands."""
    return _status(*connection.execute(_STATUS, (server, tool)).fetchone())


def book(connection: sqlite3.Connection, server: str) -> Book:
    """What is known of a server's tools. `pinned` reads over the same connection."""
    look = connection.execute("SELECT body FROM looks WHERE server = ?", (server,)).fetchone()
    pins = connection.execute("SELECT tool, how, digest FROM pins WHERE server = ?", (server,))
    pinned = {tool: (how, digest) for tool, how, digest in pins}
    seen = connection.execute("SELECT tool, why, digest FROM sightings WHERE server = ?", (server,))
    sighted = {tool: (why, digest) for tool, why, digest in seen}
    return Book(
        look=Look() if look is None else tables.decoded(_looks, look[0]),
        statuses={
            tool: _status(*pinned.get(tool, ("none", "")), sighted.get(tool, ("", ""))[0])
            for tool in {*pinned, *sighted}
        },
        sighted={tool: digest for tool, (_, digest) in sighted.items()},
        pinned=lambda tool: list_pins(connection, server, tool)[0].definition,
    )


def _status(how: str | None, digest: str | None, why: str | None) -> Status:
    found = {"how": how or "none", "digest": digest or "", "sighted": why or ""}
    try:
        return msgspec.convert(found, Status)
    except msgspec.ValidationError as error:
        raise LedgerCorruptError(f"A pin stored in the decision log cannot be read: {error}.") from error


def change(connection: sqlite3.Connection, server: str, changes: Changes) -> None:
    """Store what a listing changes."""
    for pin in changes.pins:
        _put_pin(connection, pin)
    for one in changes.sightings:
        connection.execute(_SIGHT, (one.server, one.tool, one.digest, one.why, tables.body(one)))
    if changes.look is not None:
        connection.execute(_LOOK, (server, tables.body(changes.look)))


def accept(connection: sqlite3.Connection, pins: Iterable[Pin]) -> None:
    """Store accepted definitions; what was seen beside them is settled by that.

    Raises `StateError` for one that is neither pinned nor the last that was seen: it has changed since it was
    shown.
    """
    for pin in pins:
        known = connection.execute(_KNOWN, {"server": pin.server, "tool": pin.tool})
        if (pin.digest,) not in known.fetchall():
            raise changed_meanwhile(pin.server, pin.tool)
        _put_pin(connection, pin)
        connection.execute("DELETE FROM sightings WHERE server = ? AND tool = ?", (pin.server, pin.tool))


def _put_pin(connection: sqlite3.Connection, pin: Pin) -> None:
    connection.execute(_PIN, (pin.server, pin.tool, pin.digest, pin.how, tables.body(pin)))


def list_pins(connection: sqlite3.Connection, server: str = "", tool: str = "") -> tuple[Pin, ...]:
    """Every pin, of one server, or of one tool of it, by server and tool."""
    query = f"SELECT body FROM pins {_asked(server, tool)} ORDER BY server, tool"  # noqa: S608 - constants
    rows = connection.execute(query, {"server": server, "tool": tool})
    return tuple(tables.decoded(_pins, row[0]) for row in rows)


def list_sightings(connection: sqlite3.Connection, server: str = "", tool: str = "") -> tuple[Sighting, ...]:
    """Likewise every sighting."""
    query = f"SELECT body FROM sightings {_asked(server, tool)} ORDER BY server, tool"  # noqa: S608 - constants
    rows = connection.execute(query, {"server": server, "tool": tool})
    return tuple(tables.decoded(_sightings, row[0]) for row in rows)


def _asked(server: str, tool: str) -> str:
    if not server:
        return ""
    return "WHERE server = :server AND tool = :tool" if tool else "WHERE server = :server"
