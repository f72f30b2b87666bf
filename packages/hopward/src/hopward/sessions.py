"""Logins of people at an OpenID provider: what keeps each of them up, and what falls with it.

A login is a device (`hopward.device`) of the person, which the decision log tells of, and a file beside the
log with what the log must not hold: the refresh token with which the provider is asked whether the login
still stands. Where it does not, the person's authority falls with it.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import msgspec
from msgspec.structs import replace

from hopward import keyfile
from hopward.clock import SECOND, Clock, Instant
from hopward.device import Device
from hopward.errors import ConfigError, NotFoundError, StateError
from hopward.idtoken import Known, LoggedOut
from hopward.login import Login
from hopward.model import Chain, RevocationKind, Task, TaskState, Value, plain
from hopward.people import PeopleSettings
from hopward.record import Standing
from hopward.revocation import of_person, why_revoked

FOLDER = "sessions"
"""Where they are kept, in the state folder."""

AGAIN = 5 * SECOND
"""How long after a question that the provider has not answered it is asked again."""

Why: TypeAlias = Literal["logged out", "over", "refused"]
"""The person or the provider has ended the login; its time is over; the provider does not vouch for it."""

_BY = "hopward:people"
_WHYS: dict[Why, str] = {
    "logged out": "The last login of the subject has ended: they are logged out.",
    "over": "The last login of the subject has ended: its time is over.",
    "refused": "The provider does not vouch for this person any more.",
}
_MOST_TASKS = 1_000_000


class Session(Value, frozen=True):
    """One login: the `device` it is known by, and what the provider was told and said at it.

    `sub` and `sid` are the provider's names of the person and of their session. From `began_at` until
    `ends_at` it may last; it was last found to stand at `checked_at`, and is asked about again at `due_at`.
    """

    device: str
    person: str
    sub: str
    sid: str
    nonce: str
    refresh_token: str
    id_token: str
    began_at: Instant
    checked_at: Instant
    due_at: Instant
    ends_at: Instant


class LoginDevices(Protocol):
    """Where the devices of logins are; `hopward.pairing.Devices` has them."""

    def log_in(self, person: str, label: str, ends_at: Instant) -> tuple[str, Device]: ...
    def end(self, device_id: str, *, by: str = "", why: str = "") -> Device: ...
    def find(self) -> tuple[Device, ...]: ...


class LoginTasks(Protocol):
    """Where tasks and revocations are; the ledger has them."""

    def standing(self, chain: Chain) -> Standing: ...
    def tasks(self, state: TaskState | None = None, limit: int = 100) -> list[Task]: ...
    def logins(self) -> tuple[Login, ...]: ...


class ClientLogins(Protocol):
    """Ends what people have let OAuth clients do; `hopward.logins.Logins` does."""

    def end(self, login: Login, *, by: str, why: str) -> None: ...


class Installation(Protocol):
    """What stands on logins; `hopward.wiring.Guard` is one."""

    @property
    def devices(self) -> LoginDevices: ...
    @property
    def ledger(self) -> LoginTasks: ...
    @property
    def logins(self) -> ClientLogins: ...
    def revoke(self, kind: RevocationKind, name: str, *, by: str, why: str) -> None: ...


class Sessions:
    """The logins of one installation, kept in a folder of its user. One process at a time keeps them up."""

    def __init__(
        self, folder: Path, settings: PeopleSettings, clock: Clock, installation: Installation
    ) -> None:
        """Raises `ConfigError` where the folder is not private."""
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._installation = installation
        folder.mkdir(mode=0o700, exist_ok=True)
        keyfile.check_folder(folder)

    def begin(self, known: Known, label: str, nonce: str, tokens: tuple[str, str]) -> tuple[str, Session]:
        """Log somebody in; the secret by which their browser is known, which is told only here.

        `tokens` are the refresh token and the ID token. Raises `StateError` for somebody who has nothing to
        do here, and `LedgerError`.
        """
        now = self._clock.now()
        ends_at = now + self._settings.session_seconds * SECOND
        secret, device = self._installation.devices.log_in(known.name, label, ends_at)
        session = Session(
            device=device.id,
            person=device.person,
            sub=known.sub,
            sid=known.sid,
            nonce=nonce,
            refresh_token=tokens[0],
            id_token=tokens[1],
            began_at=now,
            checked_at=now,
            due_at=now + self._settings.check_seconds * SECOND,
            ends_at=ends_at,
        )
        self._put(session)
        return secret, session

    def standing(self, device: str) -> Session | None:
        """The login of a device, if it has been found to stand lately, within two checks, and the person has
        not been revoked since. Raises `LedgerError`."""
        session, now = self.get(device), self._clock.now()
        if session is None or session.ends_at <= now or self._revoked(session):
            return None
        age = now - session.checked_at
        return session if 0 <= age < 2 * self._settings.check_seconds * SECOND else None

    def get(self, device: str) -> Session | None:
        """The login of a device, whether it stands or not."""
        return self._get(self._path(device))

    def every(self) -> Iterator[Session]:
        """All of them."""
        for path in sorted(self._folder.glob("dev_*.json")):
            session = self._get(path)
            if session is not None:
                yield session

    def due(self) -> list[Session]:
        """Those to ask the provider about now, or to end: their time is over."""
        now = self._clock.now()
        return [one for one in self.every() if one.due_at <= now or one.ends_at <= now]

    def is_over(self, session: Session) -> bool:
        """Whether its time is over, its device has been ended, or the person has been revoked as a subject.

        Raises `LedgerError`.
        """
        if session.ends_at <= self._clock.now() or self._revoked(session):
            return True
        return all(one.id != session.device for one in self._installation.devices.find())

    def stands(self, session: Session, refresh_token: str, id_token: str) -> None:
        """The provider has said that a login stands; a token that it has replaced is empty here if it has
        not."""
        now = self._clock.now()
        if self.get(session.device) is None:
            return  # it has ended while the provider was asked
        self._put(
            replace(
                session,
                refresh_token=refresh_token or session.refresh_token,
                id_token=id_token or session.id_token,
                checked_at=now,
                due_at=now + self._settings.check_seconds * SECOND,
            )
        )

    def unanswered(self, session: Session) -> None:
        """The provider could not be asked: it soon is again, and meanwhile the login counts no longer than
        before."""
        if self.get(session.device) is not None:
            self._put(replace(session, due_at=self._clock.now() + AGAIN))

    def meant(self, logout: LoggedOut) -> list[Session]:
        """The logins that a logout token is about."""
        return [
            one
            for one in self.every()
            if (not logout.sub or one.sub == logout.sub) and (not logout.sid or one.sid == logout.sid)
        ]

    def end(self, session: Session, why: Why) -> None:
        """End a login, and with it what stands on it. Raises `LedgerError`.

        Whom the provider does not vouch for any more loses what they have opened and approved until now, and
        every other login. After any other end, the open tasks of somebody who has no login left end.
        """
        refused, person = why == "refused", session.person
        if refused:
            told = f"{self._settings.issuer} does not vouch for this person any more."
            self._installation.revoke("subject", person, by=_BY, why=told)
        for one in [each for each in self.every() if each.person == person] if refused else [session]:
            with suppress(NotFoundError):
                self._installation.devices.end(one.device, by=_BY, why=_WHYS[why])
            self._path(one.device).unlink(missing_ok=True)
        if not refused and not any(one.person == person for one in self.every()):
            self._end_work(person, why)

    def _revoked(self, session: Session) -> bool:
        person = of_person(session.person, session.began_at, session.ends_at)
        return why_revoked(self._installation.ledger.standing(person).revocations, person) is not None

    def _end_work(self, person: str, why: Why) -> None:
        """End what a person has let clients do, with codes that are not redeemed yet, and their tasks."""
        for login in self._installation.ledger.logins():
            if login.person == person and not login.ended_at:
                self._installation.logins.end(login, by=_BY, why=_WHYS[why])
        for task in self._installation.ledger.tasks("open", limit=_MOST_TASKS):
            if task.subject == person:
                with suppress(StateError):
                    self._installation.revoke("task", task.id, by=_BY, why=_WHYS[why])

    def _path(self, device: str) -> Path:
        return self._folder / f"{device}.json"

    def _put(self, session: Session) -> None:
        keyfile.write(self._path(session.device), plain(session))

    def _get(self, path: Path) -> Session | None:
        """None for a login that is gone; one that cannot be read counts as little."""
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(keyfile.read(path)[0], type=Session)
        except (ConfigError, msgspec.DecodeError):
            return None
