"""The keys of a proxy whose authority is another process: its own key, and the authority's public keys.

Both stand in the key folder (`hopward.keys`): `proxy.json`, and `jwks.json`, which the authority keeps up to
date. The folder and `jwks.json` may be another user's, the authority's: whoever can change them is the
authority to this proxy. The signing key is neither there nor needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hopward import keyfile
from hopward.clock import Clock
from hopward.errors import ConfigError, HopwardError, StateError
from hopward.jwk import SigningKey, VerificationKey, key_set
from hopward.keyfile import Stamp
from hopward.keys import PROXY, PUBLISHED, KeyRing
from hopward.strictjson import parse

_PUBLISH = "hopward authority serve writes it."


@dataclass(frozen=True, slots=True)
class _Read:
    document: dict[str, Any]
    keys: Mapping[str, VerificationKey]
    stamp: Stamp


class PublishedKeys:
    """Verifies with what the authority has published; a change of the file is noticed at the next use."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Raises `ConfigError` if no keys are published, or if others could change what is."""
        keyfile.check_folder(folder, own=False, private=False)
        self._folder = folder
        self._clock = clock
        self._read = _load(folder / PUBLISHED)

    @property
    def proxy(self) -> SigningKey:
        """The proxy's own key; raises `ConfigError` where this user may not read it."""
        return keyfile.signing_key(self._folder / PROXY)

    @property
    def proxy_key(self) -> VerificationKey:
        """The public part of the proxy's own key."""
        return self.proxy.verification()

    @property
    def signing(self) -> SigningKey:
        """Raises `StateError`: signing is what the authority does."""
        raise StateError("Only the authority signs, and it is another process.")

    def verification_keys(self) -> Mapping[str, VerificationKey]:
        """By `kid`, every key whose tokens may still be good."""
        return self._fresh().keys

    def jwks(self) -> dict[str, Any]:
        """The JWKS document."""
        return self._fresh().document

    def rotate(self, *, keep: int) -> SigningKey:
        """Raises `StateError`, as `signing` does."""
        return self.signing

    def drop(self, kid: str) -> bool:
        """As `KeyRing.drop`, for a user who can read the authority's keys; `ConfigError` for any other."""
        if kid not in self._fresh().keys:
            return False
        return KeyRing.open(self._folder, clock=self._clock, with_proxy=False).drop(kid)

    def _fresh(self) -> _Read:
        path = self._folder / PUBLISHED
        if keyfile.stamp(path) != self._read.stamp:
            self._read = _load(path)
        return self._read


def _load(path: Path) -> _Read:
    try:
        data, stamp = keyfile.read(path, public=True)
    except ConfigError as error:
        raise ConfigError(error.message, advice=error.advice if path.exists() else _PUBLISH) from error
    try:
        document = cast("dict[str, Any]", parse(data))
        keys = key_set(document)
    except (ValueError, AttributeError, HopwardError) as error:
        raise ConfigError(f"{path} does not hold public keys.", advice=_PUBLISH) from error
    if not keys:
        raise ConfigError(f"{path} holds no key that can be used.", advice=_PUBLISH)
    return _Read(document, keys, stamp)
