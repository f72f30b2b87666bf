"""Logins of people with OAuth clients, as rows beside the log.

Every secret that a login has ever had leads to it, so that one that is used again is known for what it is.
Every function works inside the transaction of its caller and lets `sqlite3.Error` pass.
"""

import sqlite3

import msgspec

from hopward.errors import NotFoundError, StateError
from hopward.ledger.tables import body, decoded
from hopward.login import Login

_logins = msgspec.json.Decoder(Login)

_FORGET = "DELETE FROM login_secrets WHERE login IN (SELECT id FROM logins WHERE expires_at <= ?)"
_KNOW = "INSERT INTO login_secrets (secret, login) VALUES (?, ?) ON CONFLICT (secret) DO NOTHING"
_FIND = """SELECT logins.body FROM login_secrets JOIN logins ON logins.id = login_secrets.login
    WHERE login_secrets.secret = ?"""


def put(connection: sqlite3.Connection, login: Login) -> None:
    """Store a new login, and forget those whose time is over by then."""
    connection.execute(_FORGET, (login.granted_at,))
    connection.execute("DELETE FROM logins WHERE expires_at <= ?", (login.granted_at,))
    query = "INSERT INTO logins (id, expires_at, body) VALUES (?, ?, ?)"
    connection.execute(query, (login.id, login.expires_at, body(login)))
    connection.execute(_KNOW, (login.secret, login.id))


def change(connection: sqlite3.Connection, before: Login, after: Login) -> None:
    """Change a login from what it was when it was read.

    Raises `NotFoundError`, and `StateError` if it has changed since.
    """
    row = connection.execute("SELECT body FROM logins WHERE id = ?", (before.id,)).fetchone()
    if row is None:
        raise NotFoundError(f"There is no login {before.id}.")
    if decoded(_logins, row[0]) != before:
        raise StateError(f"Login {before.id} has changed meanwhile.")
    query = "UPDATE logins SET expires_at = ?, body = ? WHERE id = ?"
    connection.execute(query, (after.expires_at, body(after), after.id))
    connection.execute(_KNOW, (after.secret, after.id))


def with_secret(connection: sqlite3.Connection, secret: str) -> Login | None:
    """The login that has, or has had, a secret with this digest."""
    row = connection.execute(_FIND, (secret,)).fetchone()
    return None if row is None else decoded(_logins, row[0])


def every(connection: sqlite3.Connection) -> tuple[Login, ...]:
    """All of them, the oldest first."""
    found = [decoded(_logins, row[0]) for row in connection.execute("SELECT body FROM logins")]
    return tuple(sorted(found, key=lambda one: (one.granted_at, one.id)))
