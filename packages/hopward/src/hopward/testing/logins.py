"""The part of `MemoryLedger` that keeps logins."""

from collections.abc import Callable
from threading import RLock

from hopward.errors import NotFoundError, StateError
from hopward.ledger.chain import Entry, entry
from hopward.login import Login
from hopward.record import Draft, Receipt


class MemoryLogins:
    """Logins, and the secrets that lead to them, in dictionaries."""

    _lock: RLock
    _append: Callable[[Entry], Receipt]

    def __init__(self) -> None:
        super().__init__()
        self._logins: dict[str, Login] = {}
        self._secrets: dict[str, str] = {}

    def put_login(self, login: Login, draft: Draft) -> None:
        """As `SqliteLedger.put_login`."""
        with self._lock:
            kept = {one.id: one for one in self._logins.values() if one.expires_at > login.granted_at}
            self._logins = kept | {login.id: login}
            self._secrets[login.secret] = login.id
            self._append(entry(draft))

    def change_login(self, before: Login, after: Login, draft: Draft | None = None) -> None:
        """As `SqliteLedger.change_login`."""
        with self._lock:
            if before.id not in self._logins:
                raise NotFoundError(f"There is no login {before.id}.")
            if self._logins[before.id] != before:
                raise StateError(f"Login {before.id} has changed meanwhile.")
            self._logins[after.id] = after
            self._secrets.setdefault(after.secret, after.id)
            if draft is not None:
                self._append(entry(draft))

    def login(self, secret: str) -> Login | None:
        """As `SqliteLedger.login`."""
        return self._logins.get(self._secrets.get(secret, ""))

    def logins(self) -> tuple[Login, ...]:
        """As `SqliteLedger.logins`."""
        return tuple(sorted(self._logins.values(), key=lambda one: (one.granted_at, one.id)))
