"""The key ring: private keys in a folder nobody else can read, and the public keys that verify.

    authority.json      the authority's signing keys: one active (private), the retired (public, until when)
    proxy.json          the proxy's own key, with which it authenticates at a remote authority
    agents/NAME.json    an agent's key, where one was made on this machine

Every file is mode 0600 in folders of mode 0700, replaced whole. A running process notices a rotation made by
another at its next use of a key. Of two rotations at the very same moment the later one stands; what the
other key had signed by then is refused.
"""

import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hopward.clock import SECOND, Clock, Instant, SystemClock, from_iso, iso
from hopward.errors import ConfigError, HopwardError
from hopward.jwk import Algorithm, SigningKey, VerificationKey
from hopward.strictjson import parse

_AGENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_INIT = "hopward init makes the keys."
_LARGEST_FILE = 1_048_576


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that signs no more, and verifies until everything it signed has expired."""

    key: VerificationKey
    jwk: Mapping[str, Any]
    until: Instant


@dataclass(frozen=True, slots=True)
class _Ring:
    active: SigningKey
    retired: tuple[Retired, ...]
    keys: dict[str, VerificationKey]
    stamp: tuple[int, int, int]


class KeyRing:
    """The keys of one installation. `KeyRing.open` loads them, `KeyRing.create` makes them."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Use `open` or `create`."""
        self._folder = folder
        self._clock = clock
        self._ring = _load_ring(folder / "authority.json")
        self.proxy = _load_key(folder / "proxy.json")

    @classmethod
    def open(cls, folder: Path, *, clock: Clock | None = None) -> "KeyRing":
        """The keys in a folder.

        Raises `ConfigError` if one is missing, unreadable or readable by anyone else: without its keys
        Hopward does not start.
        """
        _check_folder(folder)
        return cls(folder, clock or SystemClock())

    @classmethod
    def create(cls, folder: Path, algorithm: Algorithm, *, clock: Clock | None = None) -> "KeyRing":
        """Make a folder of new keys; raises `ConfigError` if there are keys already."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        _write(folder / "authority.json", _document(SigningKey.generate(algorithm), ()), new=True)
        _write(folder / "proxy.json", SigningKey.generate(algorithm).to_jwk(), new=True)
        return cls.open(folder, clock=clock)

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        return self._fresh().active

    def verification_keys(self) -> dict[str, VerificationKey]:
        """By `kid`, every key whose tokens may still be good."""
        ring = self._fresh()
        return {**ring.keys, **{entry.key.kid: entry.key for entry in self._serving(ring)}}

    def jwks(self) -> dict[str, Any]:
        """The JWKS document (RFC 7517 section 5): public keys only."""
        ring = self._fresh()
        retired = [dict(entry.jwk) for entry in self._serving(ring)]
        return {"keys": [ring.active.public_jwk(), *retired]}

    def rotate(self, *, keep: int) -> SigningKey:
        """Sign with a new key from now on. The old one verifies for `keep` seconds more, and is then dropped.

        `keep` must be at least the longest life of a token it signed; its private part is gone at once.
        """
        ring = self._fresh()
        old = ring.active
        until = self._clock.now() + keep * SECOND
        retired = (Retired(old.verification(), old.public_jwk(), until), *self._serving(ring))
        new = SigningKey.generate(old.algorithm)
        _write(self._folder / "authority.json", _document(new, retired))
        return self._fresh().active

    def drop(self, kid: str) -> bool:
        """Neither publish nor accept a key of the authority any more; a new one signs if it was the one that
        did. False if there is no such key here.
        """
        ring = self._fresh()
        kept = [entry for entry in self._serving(ring) if entry.key.kid != kid]
        if kid == ring.active.kid:
            _write(
                self._folder / "authority.json", _document(SigningKey.generate(ring.active.algorithm), kept)
            )
        elif len(kept) < len(ring.retired):
            _write(self._folder / "authority.json", _document(ring.active, kept))
        else:
            return False
        self._fresh()
        return True

    def create_agent_key(self, name: str, algorithm: Algorithm) -> SigningKey:
        """Make a key for an agent on this machine; raises `ConfigError` if it has one."""
        path = self._agent_path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _check_folder(path.parent)
        _write(path, SigningKey.generate(algorithm).to_jwk(), new=True)
        return self.agent_key(name)

    def agent_key(self, name: str) -> SigningKey:
        """An agent's private key; raises `ConfigError` if there is none on this machine."""
        path = self._agent_path(name)
        _check_folder(path.parent)
        return _load_key(path)

    def _agent_path(self, name: str) -> Path:
        if not _AGENT_NAME.fullmatch(name):
            raise ConfigError(f"The agent name {name!r} cannot name a key file.")
        return self._folder / "agents" / f"{name}.json"

    def _serving(self, ring: _Ring) -> Iterable[Retired]:
        now = self._clock.now()
        return [entry for entry in ring.retired if entry.until > now]

    def _fresh(self) -> _Ring:
        path = self._folder / "authority.json"
        try:
            stamp = _stamp(os.stat(path, follow_symlinks=False))
        except OSError as error:
            raise ConfigError(f"The keys in {path} are gone.", advice=_INIT) from error
        if stamp != self._ring.stamp:
            self._ring = _load_ring(path)
        return self._ring


def _load_ring(path: Path) -> _Ring:
    data, stamp = _read(path)
    try:
        document = cast("dict[str, Any]", parse(data))
        active = SigningKey.from_jwk(document["active"])
        retired = tuple(
            Retired(VerificationKey.from_jwk(entry["jwk"]), entry["jwk"], from_iso(entry["until"]))
            for entry in _entries(document)
        )
    except (ValueError, TypeError, KeyError, AttributeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold the authority's keys.", advice=_INIT) from error
    return _Ring(active, retired, {active.kid: active.verification()}, stamp)


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(document["retired"], list):
        raise ValueError("the retired keys are not a list")
    return cast("list[dict[str, Any]]", document["retired"])


def _load_key(path: Path) -> SigningKey:
    data, _ = _read(path)
    try:
        return SigningKey.from_jwk(parse(data))
    except (ValueError, AttributeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold a private key.", advice=_INIT) from error


def _document(active: SigningKey, retired: Iterable[Retired]) -> dict[str, Any]:
    entries = [{"until": iso(entry.until), "jwk": dict(entry.jwk)} for entry in retired]
    return {"active": active.to_jwk(), "retired": entries}


def _check_folder(folder: Path) -> None:
    try:
        found = os.stat(folder, follow_symlinks=False)
    except OSError as error:
        raise ConfigError(f"There is no key folder {folder}.", advice=_INIT) from error
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder.", advice=_INIT)
    _check_private(folder, found)


def _check_private(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to another user.", advice=f"chown it, or move {path} away.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigError(f"{path} can be read or changed by others.", advice=f"chmod go= {path}")


def _read(path: Path) -> tuple[bytes, tuple[int, int, int]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"There is no key in {path}: {error.strerror}.", advice=_INIT) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is not a file.", advice=_INIT)
        _check_private(path, found)
        return os.read(descriptor, _LARGEST_FILE), _stamp(found)
    finally:
        os.close(descriptor)


def _write(path: Path, document: Mapping[str, Any], *, new: bool = False) -> None:
    """Put a file in place whole, durable and private; with `new`, never over an existing one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        if new:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    except FileExistsError as error:
        raise ConfigError(
            f"There is a key in {path} already.", advice="Move it away to make a new one."
        ) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return (found.st_mtime_ns, found.st_ino, found.st_size)
