"""Presenting a chain: its links, and a proof by the last holder that it is the one who presents them now.

    {"links": ["eyJ...", ...], "key": {the holder's public JWK}, "proof": "eyJ..."}

A proof is a JWT signed with the holder's key. It names the place it is for, exactly what is asked, and the
links it goes with, lives for a minute at most and counts once: a chain that somebody has seen is of no use
to them.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec

from hopward.base64url import decode
from hopward.canonical import digest
from hopward.clock import Clock, Instant, from_seconds, to_seconds
from hopward.errors import TokenError
from hopward.jose import MAX_TOKEN, Expected, sign, verify
from hopward.jwk import SigningKey, VerificationKey, thumbprint
from hopward.link import Linked
from hopward.model import MOST_ACTORS, Value

TYPE = "hopward-proof+jwt"
"""The `typ` of a proof."""

LONGEST = 60
"""Seconds a proof lives."""

ONCE = "chain_proof"
"""What proofs are remembered as, so that each counts once."""

_SKEW = 5
_HOLDER = "holder"
_MEMBERS = {"iss", "sub", "aud", "iat", "exp", "jti", "links", "about"}
_JWK = {"kty", "crv", "x", "y", "alg", "use", "kid"}
_LONGEST_MEMBER = 128


class Presentation(Value, frozen=True):
    """A chain as it is presented: `key` is the public JWK of the last holder."""

    links: tuple[str, ...]
    key: dict[str, str]
    proof: str


class Holders:
    """The keys of the agents of one process, each made when it is first needed and never written anywhere."""

    def __init__(self) -> None:
        self._keys: dict[str, SigningKey] = {}
        self._lock = Lock()

    def key(self, agent: str) -> SigningKey:
        """The key an agent holds its hops with in this process."""
        with self._lock:
            if agent not in self._keys:
                self._keys[agent] = SigningKey.generate("EdDSA")
            return self._keys[agent]


def about(method: str, params: Mapping[str, Any]) -> str:
    """The digest of exactly what is asked: an MCP request, its `_meta` left out.

    Raises `ValueError` for params that JSON cannot carry exactly.
    """
    return digest({"method": method, "params": dict(params)})


def present(links: Sequence[str], key: SigningKey, audience: str, asked: str, clock: Clock) -> Presentation:
    """A chain for one request at one place; `asked` is what `about` says of it."""
    now, public = to_seconds(clock.now()), key.public_jwk()
    content = {
        "iss": _HOLDER,
        "sub": thumbprint(public),
        "aud": audience,
        "iat": now,
        "exp": now + LONGEST,
        "jti": secrets.token_hex(16),
        "links": digest(list(links)),
        "about": asked,
    }
    return Presentation(links=tuple(links), key=public, proof=sign(content, key, TYPE))


def proof_id(proof: str) -> str:
    """The id of a proof that `present` has made in this process: nothing of it is verified."""
    content: dict[str, Any] = msgspec.json.decode(decode(proof.split(".")[1]))
    return str(content["jti"])


def read(value: object) -> Presentation:
    """A presentation from plain JSON, its size bounded before anything is verified; raises `TokenError`."""
    try:
        found = msgspec.convert(value, Presentation)
    except (msgspec.ValidationError, TypeError, RecursionError):
        raise TokenError("A chain is presented as links, key and proof.", error="malformed") from None
    longest = max(map(len, (*found.links, found.proof)))
    if not 1 <= len(found.links) <= MOST_ACTORS or longest > MAX_TOKEN:
        raise TokenError("The presented chain is too long, or empty.", error="malformed")
    if not found.key.keys() <= _JWK or any(len(text) > _LONGEST_MEMBER for text in found.key.values()):
        raise TokenError("The presented key says more than a public JWK must.", error="malformed")
    return found


def check(
    presented: Presentation,
    linked: Linked,
    audience: str,
    asked: str,
    once: Callable[[str, Instant], bool],
    now: Instant,
) -> None:
    """That the last holder presents these links, here, for this, now, and for the first time.

    `once` says whether a proof's id is new, and remembers it until it expires. Raises `TokenError`: the
    errors of `hopward.jose`, `wrong_holder`, `wrong_request` and `replayed`.
    """
    key = VerificationKey.from_jwk(presented.key)
    if thumbprint(presented.key) != linked.holder or key.kid != linked.holder:
        raise TokenError("The chain is presented with a key that is not its holder's.", error="wrong_holder")
    expected = Expected(types=(TYPE,), issuer=_HOLDER, audience=audience, skew=_SKEW)
    content = verify(presented.proof, {key.kid: key}, expected, now).claims
    if content.keys() != _MEMBERS or content["sub"] != linked.holder:
        raise TokenError("A proof says less or more than it must.", error="bad_claim")
    if content["exp"] - content["iat"] > LONGEST:
        raise TokenError(f"A proof lives for at most {LONGEST} s.", error="bad_claim")
    if (content["links"], content["about"]) != (digest(list(presented.links)), asked):
        raise TokenError("The proof is for another chain or another request.", error="wrong_request")
    if not once(content["jti"], from_seconds(content["exp"])):
        raise TokenError("The proof has been used before.", error="replayed")
