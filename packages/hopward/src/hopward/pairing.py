"""Browsers in which people answer: paired with a one-time code, known by a secret in a cookie afterwards.

Whoever may write the state folder gives somebody a code; they type it into the page. The code never stands in
an address, so that no log, history or preview of a link has it. Of codes and secrets only digests are stored,
and a person who is in no group of approvers any more, and may not log in, has no device. Who a person is,
this does not know better than whoever handed them the code.
"""

import hashlib
import secrets
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from hmac import compare_digest
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from hopward.clock import DAY, SECOND, Clock, Instant, SystemClock
from hopward.device import Device
from hopward.errors import NotFoundError, StateError
from hopward.ledger import SqliteLedger
from hopward.osuser import os_user
from hopward.pattern import matches_any
from hopward.policy import nearest
from hopward.record import Draft, Receipt
from hopward.settings import Settings

OFFERED = 600 * SECOND
"""How long a code may be used."""

LASTING = 30 * DAY
"""How long a device is paired at most."""

IDLE = 7 * DAY
"""After how long without use it is not paired any more."""

_HOUR = 3600 * SECOND
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Base 32 without the letters that could be taken for others: twelve of them are 60 bits."""
_MEANT = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None})
_LENGTH, _PART = 12, 4
_LONGEST_LABEL = 40


class DeviceLedger(Protocol):
    """Where devices are stored, with the rows that tell of them."""

    def put_device(self, device: Device, draft: Draft) -> None: ...
    def change_device(self, before: Device, after: Device, draft: Draft | None = None) -> None: ...
    def remove_device(self, device_id: str, draft: Draft) -> None: ...
    def device(self, secret: str) -> Device | None: ...
    def record(self, drafts: Sequence[Draft]) -> list[Receipt]: ...
    def devices(self) -> tuple[Device, ...]: ...


class Offer(NamedTuple):
    """A code to type into the page, and the device that would come to be by it."""

    code: str
    device: Device


class Devices:
    """Pairs devices, knows people by them, and ends them. Safe to share between threads."""

    def __init__(self, ledger: DeviceLedger, settings: Settings, clock: Clock) -> None:
        self._ledger = ledger
        groups = settings.approvals.groups.values()
        self._people = frozenset(one for group in groups for one in group.members)
        self._login = tuple(one for workflow in settings.workflows.values() for one in workflow.login)
        self._issuer = settings.people.issuer if settings.people else ""
        self._clock = clock

    @classmethod
    @contextmanager
    def opened(cls, settings: Settings) -> Generator["Devices"]:
        """Those of an installation, without policies or keys: an incident may be about them.

        Raises `LedgerError`.
        """
        clock = SystemClock()
        ledger = SqliteLedger.open(settings.log_file, durability=settings.log.durability, clock=clock)
        with closing(ledger):
            yield cls(ledger, settings, clock)

    def offer(self, person: str, *, by: str = "") -> Offer:
        """A code with which `person` can pair a device, once and within ten minutes.

        `by` is who hands it out: the user who runs this process, unless it is given. Raises `NotFoundError`
        for somebody who is in no group of approvers, and may not log in with a client, `StateError` where
        people log in at a provider instead.
        """
        if self._issuer:
            told = f"People log in at {self._issuer}, so no browser is paired."
            raise StateError(told, advice="Without [people] in hopward.toml, they are.")
        if not self._may_have_one(person):
            known = sorted({*self._people, *self._login})
            told = f"{person!r} is in no group of approvers{nearest(person, known) or '.'}"
            raise NotFoundError(told, advice=f"Who may approve or log in: {', '.join(known) or 'nobody'}.")
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
        now, by = self._clock.now(), by or os_user()
        device = Device(
            id="dev_" + secrets.token_hex(8),
            person=person,
            secret=_digest("code", code),
            offered_by=by,
            offered_at=now,
            expires_at=now + OFFERED,
        )
        self._ledger.put_device(device, _row("offered", device, by, now))
        return Offer("-".join(code[at : at + _PART] for at in range(0, _LENGTH, _PART)), device)

    def pair(self, code: str, label: str = "") -> tuple[str, Device]:
        """The secret by which this device is known from now on, which is told only here, and the device.

        Raises `StateError` for a code that is not one, has been used or is too old: which, is not told.
        """
        typed = _digest("code", "".join(code.split()).upper().translate(_MEANT))
        offered, now = self._ledger.device(typed), self._clock.now()
        if (
            offered is None
            or offered.paired_at
            or offered.expires_at <= now
            or not compare_digest(offered.secret, typed)
            or not self._may_have_one(offered.person)
            or self._issuer
        ):
            raise _no_code()
        secret = secrets.token_urlsafe(32)
        paired = replace(
            offered,
            secret=_digest("secret", secret),
            expires_at=now + LASTING,
            label=_label(label),
            paired_at=now,
            used_at=now,
        )
        try:
            self._ledger.change_device(offered, paired, _row("paired", paired, paired.person, now))
        except (NotFoundError, StateError) as error:
            raise _no_code() from error
        return secret, paired

    def log_in(self, person: str, label: str, ends_at: Instant) -> tuple[str, Device]:
        """The secret by which the browser of somebody is known who has logged in, and its device.

        Raises `StateError` for somebody who has nothing to do here, or where nobody logs in.
        """
        if not self._issuer or not self._may_have_one(person):
            told = f"{person} is logged in, but is in no group of approvers here, and may open no task."
            raise StateError(told, error="not_a_person", advice="Whoever runs Hopward names who may.")
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        device = Device(
            id="dev_" + secrets.token_hex(8),
            person=person,
            secret=_digest("secret", secret),
            offered_by=self._issuer,
            offered_at=now,
            expires_at=ends_at,
            label=_label(label),
            paired_at=now,
            used_at=now,
            issuer=self._issuer,
        )
        self._ledger.put_device(device, _row("logged in", device, self._issuer, now))
        return secret, device

    def known(self, secret: str) -> Device | None:
        """The device that has this secret, if it is still one of somebody who may approve anything."""
        digest = _digest("secret", secret)
        device, now = self._ledger.device(digest), self._clock.now()
        if device is None or not compare_digest(device.secret, digest) or not self._counts(device, now):
            return None
        if now < device.used_at + _HOUR:
            return device
        used = replace(device, used_at=now)
        try:
            self._ledger.change_device(device, used)
        except NotFoundError:
            return None
        except StateError:
            return device  # another request has noted the same
        return used

    def find(self) -> tuple[Device, ...]:
        """Every device that is paired, or has a code that may be used; the oldest first."""
        now = self._clock.now()
        return tuple(one for one in self._ledger.devices() if self._counts(one, now))

    def end(self, device_id: str, *, by: str = "", why: str = "") -> Device:
        """End a device, or take back its code, at once; `by` as in `offer`. Raises `NotFoundError`."""
        every = self._ledger.devices()
        device = next((one for one in every if one.id == device_id), None)
        if device is None:
            told = f"There is no device {device_id!r}{nearest(device_id, [one.id for one in every]) or '.'}"
            raise NotFoundError(told, advice="hopward authority devices lists them.")
        self._ledger.remove_device(device.id, _row("ended", device, by or os_user(), self._clock.now(), why))
        return device

    def answering(self, device_id: str, person: str, approval_id: str, said: str) -> None:
        """Record that an approval is about to be answered on a device: what a lost one has said can be told.

        Whether the answer counts, the rows of the approval say. Raises `LedgerError`.
        """
        record = {"event": "answering", "device": device_id, "person": person, "by": person}
        record |= {"approval": approval_id, "said": said}
        self._ledger.record([Draft(kind="device", at=self._clock.now(), record=record)])

    def _may_have_one(self, person: str) -> bool:
        return person in self._people or matches_any(self._login, person)

    def _counts(self, device: Device, now: Instant) -> bool:
        idle = device.paired_at and device.used_at + IDLE <= now
        ours = device.issuer == self._issuer and self._may_have_one(device.person)
        return ours and device.expires_at > now and not idle


def _digest(kind: str, secret: str) -> str:
    """Of different form for codes and for secrets, so that neither is ever taken for the other."""
    return hashlib.sha256(f"hopward device {kind}:{secret}".encode("utf-8", "replace")).hexdigest()


def _label(text: str) -> str:
    """What a person calls their device, as far as it can be shown on one line."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_LONGEST_LABEL]


def _no_code() -> StateError:
    told = "This code is not one, has been used, or is more than ten minutes old."
    return StateError(told, error="no_code", advice="Ask for a new one: hopward authority pair NAME")


def _row(event: str, device: Device, by: str, at: Instant, why: str = "") -> Draft:
    record = {"event": event, "device": device.id, "person": device.person, "by": by}
    if event == "paired" or event == "logged in":
        record["label"] = device.label
    if why:
        record["why"] = why
    return Draft(kind="device", at=at, record=record)
