"""DPoP (RFC 9449): a proof that whoever makes a request holds the key that its token is bound to.

    DPoP: eyJ...   header {typ: dpop+jwt, alg, jwk}, claims {jti, htm, htu, iat, ath?, nonce?}

A proof is for one request: its method, its URL without query and fragment, the token it goes with, the
present minute. It counts once, in every process that shares the store of what has been seen. `Proofs.check`
makes every check of section 4.3 but the number of headers, which only who reads them can know.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from hopward.base64url import encode
from hopward.claims import token_hash
from hopward.clock import SECOND, Clock, Instant, from_seconds, to_seconds
from hopward.errors import TokenError
from hopward.jose import Claims, sign_self_keyed, verify_self_keyed
from hopward.jwk import SigningKey
from hopward.model import Value

TYPE = "dpop+jwt"
"""The `typ` of a proof."""

ALGORITHMS = ("ES256", "EdDSA")
"""What proofs are signed with: `dpop_signing_alg_values_supported`."""

MAX_PROOF = 4_096
"""Longest proof read, in characters."""

ONCE = "dpop_proof"
"""What proofs are remembered as, so that each counts once."""

OLDEST, NEWEST = 60, 10
"""Seconds by which the `iat` of a proof may be behind our clock, and ahead of it."""

NONCE_SECONDS = 300
"""For how long a nonce is given out; it is accepted for as long again."""

_LONGEST_ID = 256
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PORTS = {"http": 80, "https": 443}


class DpopProof(Value, frozen=True):
    """The content of the one `DPoP` header of a request. `url` is what the request is for, as configured:
    never what its `Host` said."""

    jwt: str
    method: str
    url: str


class Nonces:
    """Nonces of a server (section 8): made from the time and a secret, so all its processes take each
    other's."""

    def __init__(self, secret: Callable[[], bytes], clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def current(self) -> str:
        """The nonce given out now."""
        return self._of(self._step())

    def accepts(self, nonce: object) -> bool:
        """Whether it is the nonce given out now, or the one before it."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        step = self._step()
        return any(hmac.compare_digest(nonce, self._of(one)) for one in (step, step - 1))

    def _step(self) -> int:
        return to_seconds(self._clock.now()) // NONCE_SECONDS

    def _of(self, step: int) -> str:
        return encode(hmac.digest(self._secret(), str(step).encode("ascii"), "sha256")[:18])


class Proofs:
    """Checks proofs. `once(kind, value, expires_at)` is true the first time only; with `nonces`, a proof
    has to carry one of them."""

    def __init__(
        self, once: Callable[[str, str, Instant], bool], clock: Clock, nonces: Nonces | None = None
    ) -> None:
        self._once = once
        self._clock = clock
        self._nonces = nonces

    @property
    def nonce(self) -> str:
        """The nonce to give out; empty where none is wanted."""
        return self._nonces.current() if self._nonces else ""

    def check(self, proof: DpopProof, token: str = "") -> str:
        """The thumbprint (RFC 7638) of the key that is proved to be held by who makes this very request.

        With a `token`, the proof must be for it. Raises `TokenError`: `use_dpop_nonce` where all is well but
        the nonce, else `invalid_dpop_proof`.
        """
        if len(proof.jwt) > MAX_PROOF:
            raise _invalid("The proof is too long.")
        try:
            claims, key = verify_self_keyed(proof.jwt, TYPE)
        except TokenError as error:
            raise _invalid(error.message) from error
        made = _check_claims(claims, proof, self._clock.now())
        if token and claims.get("ath") != token_hash(token):
            raise _invalid("The proof is for another token.")
        if self._nonces and not self._nonces.accepts(claims.get("nonce")):
            raise TokenError("The proof carries no nonce that is given out now.", error="use_dpop_nonce")
        holder = key.thumbprint
        seen = hashlib.sha256(f"{holder} {claims['jti']}".encode()).hexdigest()
        if not self._once(ONCE, seen, from_seconds(made + OLDEST + 1)):
            raise _invalid("The proof has been used before.")
        return holder


def prove(key: SigningKey, method: str, url: str, clock: Clock, *, token: str = "", nonce: str = "") -> str:
    """A fresh proof for one request; raises `ValueError` for a URL that is none."""
    claims: Claims = {
        "jti": secrets.token_hex(16),
        "htm": method,
        "htu": normal(url),
        "iat": to_seconds(clock.now()),
    }
    if token:
        claims["ath"] = token_hash(token)
    if nonce:
        claims["nonce"] = nonce
    return sign_self_keyed(claims, key, TYPE)


@lru_cache(maxsize=256)
def normal(url: str) -> str:
    """A URL as it is compared: without query and fragment, and with case, default port, empty path and
    needless escapes made alike (RFC 3986 sections 6.2.2 and 6.2.3). Raises `ValueError`."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    if not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise ValueError("no plain URL")
    if parts.scheme not in _PORTS or not host or "@" in parts.netloc:
        raise ValueError("no http or https URL of a host alone")
    place = f"[{host}]" if ":" in host else host
    if port not in (None, _PORTS[parts.scheme]):
        place += f":{port}"
    return f"{parts.scheme}://{place}{_ESCAPE.sub(_unescaped, parts.path or '/')}"


def _unescaped(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if _UNRESERVED.fullmatch(character) else found[0].upper()


def _check_claims(claims: dict[str, Any], proof: DpopProof, now: Instant) -> int:
    """When the proof was made, in seconds."""
    if not isinstance(claims.get("jti"), str) or not 0 < len(claims["jti"]) <= _LONGEST_ID:
        raise _invalid("The proof has no usable jti.")
    if claims.get("htm") != proof.method:
        raise _invalid("The proof is for another method.")
    if _normal_or_none(claims.get("htu")) != normal(proof.url):
        raise _invalid("The proof is for another URL.")
    made = claims.get("iat")
    if type(made) is not int or not -NEWEST * SECOND <= now - made * SECOND <= OLDEST * SECOND:
        raise _invalid("The proof was not made within the last minute.")
    return made


def _normal_or_none(url: object) -> str | None:
    try:
        return normal(url) if isinstance(url, str) else None
    except ValueError:
        return None


def _invalid(sentence: str) -> TokenError:
    return TokenError(sentence, error="invalid_dpop_proof")
