"""Browsers in which people answer, as rows beside the log.

Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3

import msgspec

from hopward.device import Device
from hopward.errors import NotFoundError, StateError
from hopward.ledger.tables import body, decoded

_devices = msgspec.json.Decoder(Device)


def put(connection: sqlite3.Connection, device: Device) -> None:
    """Store a new device, and forget those whose time is over by then."""
    connection.execute("DELETE FROM devices WHERE expires_at <= ?", (device.offered_at,))
    query = "INSERT INTO devices (id, secret, expires_at, body) VALUES (?, ?, ?, ?)"
    connection.execute(query, (device.id, device.secret, device.expires_at, body(device)))


def change(connection: sqlite3.Connection, before: Device, after: Device) -> None:
    """Change a device from what it was when it was read; raises `StateError` if it has changed since."""
    if _get(connection, before.id) != before:
        raise StateError(f"Device {before.id} has changed meanwhile.")
    query = "UPDATE devices SET secret = ?, expires_at = ?, body = ? WHERE id = ?"
    connection.execute(query, (after.secret, after.expires_at, body(after), after.id))


def remove(connection: sqlite3.Connection, device_id: str) -> None:
    """Forget a device; raises `NotFoundError`."""
    _get(connection, device_id)
    connection.execute("DELETE FROM devices WHERE id = ?", (device_id,))


def with_secret(connection: sqlite3.Connection, secret: str) -> Device | None:
    """The device whose secret has this digest."""
    row = connection.execute("SELECT body FROM devices WHERE secret = ?", (secret,)).fetchone()
    return None if row is None else decoded(_devices, row[0])


def every(connection: sqlite3.Connection) -> tuple[Device, ...]:
    """All of them, the oldest first."""
    found = [decoded(_devices, row[0]) for row in connection.execute("SELECT body FROM devices")]
    return tuple(sorted(found, key=lambda one: (one.offered_at, one.id)))


def _get(connection: sqlite3.Connection, device_id: str) -> Device:
    row = connection.execute("SELECT body FROM devices WHERE id = ?", (device_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no device {device_id}.")
    return decoded(_devices, row[0])
