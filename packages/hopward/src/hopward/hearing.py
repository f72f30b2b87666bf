"""Security events of others, heard: verified, acted on, recorded, in that they only ever take access away.

Where keys come from and how tokens arrive is somebody else's: nothing here touches the network. An event is
acted on before it is remembered as heard, so that one whose hearing breaks off is heard again; acting twice
changes nothing.
"""

import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from hopward.canonical import digest
from hopward.clock import DAY, SECOND, Clock, Instant
from hopward.containing import people
from hopward.device import Device
from hopward.errors import HopwardError, NotFoundError, StateError, TokenError
from hopward.foreign import Foreign, foreign_kid, verify_foreign
from hopward.keyfile import read as read_file
from hopward.keysets import KeySet
from hopward.ledger import SqliteLedger
from hopward.login import Login
from hopward.model import AgentState, QuarantineKind, RevocationKind
from hopward.pattern import folded
from hopward.record import Draft
from hopward.secevent import (
    TYPE,
    VERIFICATION,
    Effect,
    EventSource,
    Identifier,
    SecurityEvent,
    effect,
    read_event,
)
from hopward.settings import Settings

OLDEST = 30 * DAY
"""How old an event may be when it is heard: what has been heard is remembered for longer."""

_SKEW = 60
_STATES = 16
_KIND = "security_event"
_AGENT = "agent:"


class Installation(Protocol):
    """What an event may do: each of it takes access away, and none of it gives any."""

    def revoke(self, kind: RevocationKind, name: str, *, by: str, why: str) -> None: ...
    def quarantine(self, kind: QuarantineKind, name: str, *, by: str, why: str) -> object: ...
    def set_agent_state(self, name: str, state: AgentState, *, by: str, why: str) -> None: ...


class Browsers(Protocol):
    """The devices in which people answer."""

    def find(self) -> tuple[Device, ...]: ...
    def end(self, device_id: str, *, by: str = "", why: str = "") -> Device: ...


class Sessions(Protocol):
    """What people have let OAuth clients do."""

    def find(self, person: str = "") -> tuple[Login, ...]: ...
    def end(self, login: Login, *, by: str, why: str) -> None: ...


class Heard(NamedTuple):
    """What came of an event: the names it was about that are known here, and what was done, as sentences."""

    event: SecurityEvent
    again: bool
    names: tuple[str, ...]
    done: tuple[str, ...]


class Silence(NamedTuple):
    """A transmitter that has not been heard for longer than it may be silent."""

    source: str
    since: Instant
    refuses: bool


class Hearing:
    """Hears the transmitters of `[events.sources]`. Safe to share between threads."""

    def __init__(self, settings: Settings, ledger: SqliteLedger, clock: Clock) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._asked = {name: deque[str](maxlen=_STATES) for name in settings.events.sources}
        self._keys = {
            name: KeySet(source.algorithms, clock) for name, source in settings.events.sources.items()
        }

    def installed(self, installation: Installation, devices: Browsers, logins: Sessions) -> None:
        """Say what events act on; before that, nothing can be heard."""
        self._installation, self._devices, self._logins = installation, devices, logins

    def source(self, name: str) -> EventSource | None:
        """The transmitter of that name."""
        return self._settings.events.sources.get(name)

    def read_keys(self) -> None:
        """Read the files of keys; raises `ConfigError` or `TokenError` for one that cannot be used."""
        for name, source in self._settings.events.sources.items():
            if source.jwks_file:
                self._read(name, source)

    def begin_waiting(self) -> None:
        """From now on, whoever has never been heard is silent. Raises `LedgerError`."""
        for name, source in self._settings.events.sources.items():
            if source.silent_after and self._ledger.heard_at(name) is None:
                self._ledger.hear(name, self._clock.now())

    def keys_due(self, name: str, token: str) -> bool:
        """Whether the keys of a transmitter are to be fetched from its `jwks_uri` before a token is heard."""
        source = self.source(name)
        return source is not None and bool(source.jwks_uri) and self._keys[name].due(foreign_kid(token))

    def take_keys(self, name: str, body: bytes) -> None:
        """Use a fetched JWKS document; raises `TokenError`, and keeps the last one, where it is unusable."""
        self._keys[name].take(body)

    def no_keys(self, name: str) -> None:
        """They could not be fetched."""
        self._keys[name].failed()

    def ask(self, name: str) -> dict[str, str]:
        """What to ask a transmitter for a sign of life with: the members of the request (SSF 1.0 section
        8.1.4.2). Only an answer with such a `state` counts."""
        state = secrets.token_urlsafe(16)
        self._asked[name].append(state)
        return {"stream_id": self._settings.events.sources[name].stream_id, "state": state}

    def hear(self, name: str, token: str) -> Heard:
        """Act on one token of a transmitter, once. What is heard again, or is not understood, does nothing.

        Raises `NotFoundError` for an unknown transmitter, `TokenError` for a token that is not a security
        event of it for us, `LedgerError`: then it has not been heard.
        """
        source = self.source(name)
        if source is None:
            raise NotFoundError(f"There is no source of events {name!r}.")
        event = self._read_token(name, source, token)
        if event.type == VERIFICATION:
            self._check_asked(name, event)
        now, mark = self._clock.now(), f"{name} {event.id}"
        if event.issued_at <= now - OLDEST:
            raise TokenError("The event is too old to be heard.", error="expired")
        if self._ledger.seen(_KIND, mark):
            return Heard(event, again=True, names=(), done=())
        heard = self._acted(name, source, event)
        if event.type != VERIFICATION:
            self._ledger.record([_row(name, heard, now)])
        self._ledger.seen_once(_KIND, mark, now + OLDEST + 2 * _SKEW * SECOND)
        self._ledger.hear(name, now)
        return heard

    @staticmethod
    def refusal_of(error: HopwardError) -> tuple[str, str]:
        """The `err` and `description` that a transmitter is told (RFC 8935 section 2.4)."""
        return _REFUSALS.get(error.error, "invalid_request"), error.message

    def silences(self) -> Iterator[Silence]:
        """Whoever is silent for longer than `silent_after`. Raises `LedgerError`."""
        now = self._clock.now()
        for name, source in self._settings.events.sources.items():
            since = self._ledger.heard_at(name) if source.silent_after else None
            if since is not None and now - since >= source.silent_after * SECOND:
                yield Silence(name, since, source.when_silent == "refuse")

    def require_heard(self) -> None:
        """Raise `StateError` (`events_silent`) while nothing new may begin, since somebody is silent."""
        for one in self.silences():
            if one.refuses:
                told = f"No events have come from {one.source} for too long, so nothing new begins."
                advice = f"hopward doctor says since when; [events.sources.{one.source}] when_silent"
                raise StateError(told, error="events_silent", advice=advice)

    def _read_token(self, name: str, source: EventSource, token: str) -> SecurityEvent:
        if source.jwks_file and self._keys[name].due(foreign_kid(token)):
            self._read(name, source)
        expected = Foreign(
            algorithms=frozenset(source.algorithms),
            types=(TYPE,),
            issuer=source.issuer,
            audience=source.audience,
            required=("iss", "iat", "jti", "aud", "events"),
            skew=_SKEW,
        )
        return read_event(verify_foreign(token, self._keys[name].keys, expected, self._clock.now()))

    def _check_asked(self, name: str, event: SecurityEvent) -> None:
        state: object = event.payload.get("state")
        if state is not None and state not in self._asked[name]:
            raise TokenError("Nobody has asked for a verification with this state.", error="bad_claim")

    def _read(self, name: str, source: EventSource) -> None:
        self._keys[name].take(read_file(self._settings.root / source.jwks_file, public=True)[0])

    def _acted(self, name: str, source: EventSource, event: SecurityEvent) -> Heard:
        follows = effect(event)
        names = tuple(dict.fromkeys(self._names(source, event.identifiers)))
        if follows == "none":
            return Heard(event, again=False, names=names, done=())
        by, why = f"hopward:events:{name}", f"{name} says {event.type.rpartition('/')[2]}"
        done = [one for who in names for one in self._ended(who, follows, by, why)]
        return Heard(event, again=False, names=names, done=tuple(done))

    def _ended(self, who: str, follows: Effect, by: str, why: str) -> Iterator[str]:
        agent = who.removeprefix(_AGENT)
        if agent != who:
            self._installation.revoke("agent", agent, by=by, why=why)
            yield f"revoked agent {agent}"
            if follows == "block" and self._suspended(agent, by, why):
                yield f"suspended agent {agent}"
            return
        self._installation.revoke("subject", who, by=by, why=why)
        yield f"revoked subject {who}"
        if follows == "block":
            self._installation.quarantine("subject", who, by=by, why=why)
            yield f"quarantined subject {who}"
        for device in self._devices.find():
            if folded(device.person) == folded(who):
                self._devices.end(device.id, by=by, why=why)
                yield f"ended device {device.id}"
        for login in self._logins.find():
            if folded(login.person) == folded(who):
                self._logins.end(login, by=by, why=why)
                yield f"ended login {login.id}"

    def _suspended(self, agent: str, by: str, why: str) -> bool:
        try:
            self._installation.set_agent_state(agent, "suspended", by=by, why=why)
        except StateError:
            return False  # it is suspended, or retired, which is more
        return True

    def _names(self, source: EventSource, identifiers: Iterable[Identifier]) -> Iterator[str]:
        """Who is meant, by the tables first; by the same name only those who are known here, however they
        are spelled."""
        for one in identifiers:
            if one.format == "iss_sub" and one.issuer != source.issuer:
                continue
            table = {folded(key): names for key, names in getattr(source.subjects, one.format).items()}
            found = table.get(folded(one.value)) if one.format == "email" else None
            found = found or getattr(source.subjects, one.format).get(one.value)
            if found is not None:
                yield from found
            elif one.format in source.subjects.same:
                yield from (name for name in self._people() if folded(name) == folded(one.value))

    def _people(self) -> frozenset[str]:
        return self._ledger.subjects() | people(self._settings)


def _row(name: str, heard: Heard, at: Instant) -> Draft:
    event = heard.event
    record = {
        "event": "heard",
        "source": name,
        "id": event.id,
        "type": event.type,
        "subject": "" if event.subject is None else digest(dict(event.subject)),
        "effect": effect(event),
        "names": list(heard.names),
        "done": list(heard.done),
    }
    return Draft(kind="event", at=at, record=record)


_REFUSALS = {
    "bad_signature": "invalid_key",
    "unknown_key": "invalid_key",
    "wrong_algorithm": "invalid_key",
    "wrong_issuer": "invalid_issuer",
    "wrong_audience": "invalid_audience",
}
