"""The key ring: private keys in a folder nobody else can read, and the public keys that verify.

    authority.json       the authority's signing keys: one active (private), the retired (public, until when)
    jwks.json            the public keys among them, for a proxy in another process (`hopward.published`)
    proxy.json           the proxy's own key, with which it authenticates at a remote authority
    proxy-public.json    its public part, for an authority that must not read the other
    agents/NAME.json     an agent's key, where one was made on this machine; NAME.previous.json the one before

Private files are mode 0600 in folders of mode 0700; every file is replaced whole. A running process notices a
rotation made by another at its next use of a key. Rotations take turns.
"""

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hopward import keyfile
from hopward.clock import SECOND, Clock, Instant, SystemClock, from_iso, iso
from hopward.errors import ConfigError, HopwardError
from hopward.jwk import Algorithm, SigningKey, VerificationKey
from hopward.keyfile import INIT, Stamp, check_folder, signing_key, verification_key
from hopward.strictjson import parse

AUTHORITY, PROXY = "authority.json", "proxy.json"
PUBLISHED = "jwks.json"
_PROXY_PUBLIC = "proxy-public.json"
_PUBLIC_MODE = 0o644
_AGENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


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
    stamp: Stamp


class KeyRing:
    """The keys of one installation. `KeyRing.open` loads them, `KeyRing.create` makes them."""

    def __init__(self, folder: Path, clock: Clock, proxy_key: VerificationKey) -> None:
        """Use `open` or `create`."""
        self._folder = folder
        self._clock = clock
        # Joined once: a path joined for every call takes longer than asking for its stamp.
        self._file = folder / AUTHORITY
        self._ring = _load_ring(self._file)
        self.proxy_key = proxy_key

    @classmethod
    def open(cls, folder: Path, *, clock: Clock | None = None, with_proxy: bool = True) -> "KeyRing":
        """The keys in a folder.

        Raises `ConfigError` if one is missing, unreadable or readable by anyone else: without its keys
        Hopward does not start. Not `with_proxy`, the proxy's private key may be another user's, who may enter
        the folder; its public part is enough.
        """
        check_folder(folder, private=with_proxy)
        public = folder / _PROXY_PUBLIC
        if with_proxy or not public.exists():
            return cls(folder, clock or SystemClock(), signing_key(folder / PROXY).verification())
        return cls(folder, clock or SystemClock(), verification_key(public))

    @classmethod
    def create(cls, folder: Path, algorithm: Algorithm, *, clock: Clock | None = None) -> "KeyRing":
        """Make a folder of new keys; raises `ConfigError` if there are keys already."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder)
        proxy = SigningKey.generate(algorithm)
        document = _document(SigningKey.generate(algorithm), ())
        keyfile.write(folder / AUTHORITY, document, new=True)
        keyfile.write(folder / PROXY, proxy.to_jwk(), new=True)
        keyfile.write(folder / _PROXY_PUBLIC, proxy.public_jwk(), mode=_PUBLIC_MODE)
        ring = cls.open(folder, clock=clock)
        ring.publish()
        return ring

    @property
    def proxy(self) -> SigningKey:
        """The proxy's own private key; raises `ConfigError` where this user may not read it."""
        return signing_key(self._folder / PROXY)

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
        return _public(ring.active, self._serving(ring))

    def publish(self) -> None:
        """Bring `jwks.json` up to date, for the proxies that verify with it; raises `ConfigError`."""
        with keyfile.alone(self._folder):
            self._publish(self.jwks())

    def rotate(self, *, keep: int) -> SigningKey:
        """Sign with a new key from now on. The old one verifies for `keep` seconds more, and is then dropped.

        `keep` must be at least the longest life of a token it signed; its private part is gone at once.
        """
        with keyfile.alone(self._folder):
            ring = self._fresh()
            old = ring.active
            until = self._clock.now() + keep * SECOND
            retired = (Retired(old.verification(), old.public_jwk(), until), *self._serving(ring))
            return self._replace(SigningKey.generate(old.algorithm), retired)

    def drop(self, kid: str) -> bool:
        """Neither publish nor accept a key of the authority any more; a new one signs if it was the one that
        did. False if there is no such key here.
        """
        with keyfile.alone(self._folder):
            ring = self._fresh()
            kept = [entry for entry in self._serving(ring) if entry.key.kid != kid]
            if kid == ring.active.kid:
                self._replace(SigningKey.generate(ring.active.algorithm), kept)
            elif len(kept) < len(ring.retired):
                self._replace(ring.active, kept)
            else:
                return False
            return True

    def create_agent_key(self, name: str, algorithm: Algorithm) -> SigningKey:
        """Make a key for an agent on this machine; raises `ConfigError` if it has one."""
        path = self._agent_path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        check_folder(path.parent)
        keyfile.write(path, SigningKey.generate(algorithm).to_jwk(), new=True)
        return self.agent_key(name)

    @contextmanager
    def agent_key_replaced(self, name: str, algorithm: Algorithm) -> Generator[SigningKey]:
        """A new key in place of an agent's, which is kept as `NAME.previous.json`; undone if anything fails.

        Raises `ConfigError` if it has none on this machine.
        """
        path = self._agent_path(name)
        old = self.agent_key(name)
        kept, new = path.with_name(f"{name}.previous.json"), SigningKey.generate(algorithm)
        keyfile.write(kept, old.to_jwk())
        keyfile.write(path, new.to_jwk())
        try:
            yield new
        except BaseException:
            keyfile.write(path, old.to_jwk())
            kept.unlink()
            raise

    def agent_key(self, name: str) -> SigningKey:
        """An agent's private key; raises `ConfigError` if there is none on this machine."""
        path = self._agent_path(name)
        check_folder(path.parent)
        return signing_key(path)

    def _agent_path(self, name: str) -> Path:
        if not _AGENT_NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name for an agent.",
                advice="Names are 1 to 63 letters, digits, - and _, and begin with a letter or digit.",
            )
        return self._folder / "agents" / f"{name}.json"

    def _serving(self, ring: _Ring) -> Iterable[Retired]:
        now = self._clock.now()
        return [entry for entry in ring.retired if entry.until > now]

    def _replace(self, active: SigningKey, retired: Iterable[Retired]) -> SigningKey:
        """Published first: no proxy may meet a token whose key it cannot know yet."""
        self._publish(_public(active, retired))
        keyfile.write(self._file, _document(active, retired))
        return self._fresh().active

    def _publish(self, document: dict[str, Any]) -> None:
        path = self._folder / PUBLISHED
        with suppress(ConfigError, ValueError):
            if parse(keyfile.read(path, public=True)[0]) == document:
                return
        try:
            keyfile.write(path, document, mode=_PUBLIC_MODE)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error

    def _fresh(self) -> _Ring:
        if keyfile.stamp(self._file) != self._ring.stamp:
            self._ring = _load_ring(self._file)
        return self._ring


def _load_ring(path: Path) -> _Ring:
    data, stamp = keyfile.read(path)
    try:
        document = cast("dict[str, Any]", parse(data))
        active = SigningKey.from_jwk(document["active"])
        retired = tuple(
            Retired(VerificationKey.from_jwk(entry["jwk"]), entry["jwk"], from_iso(entry["until"]))
            for entry in _entries(document)
        )
    except (ValueError, TypeError, KeyError, AttributeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold the authority's keys.", advice=INIT) from error
    return _Ring(active, retired, {active.kid: active.verification()}, stamp)


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(document["retired"], list):
        raise ValueError("the retired keys are not a list")
    return cast("list[dict[str, Any]]", document["retired"])


def _public(active: SigningKey, retired: Iterable[Retired]) -> dict[str, Any]:
    return {"keys": [active.public_jwk(), *(dict(entry.jwk) for entry in retired)]}


def _document(active: SigningKey, retired: Iterable[Retired]) -> dict[str, Any]:
    entries = [{"until": iso(entry.until), "jwk": dict(entry.jwk)} for entry in retired]
    return {"active": active.to_jwk(), "retired": entries}
