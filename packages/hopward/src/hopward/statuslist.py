"""Token status lists (draft-ietf-oauth-status-list-20): what became of a token, as one of many bits.

    listed = StatusList.read(token, uri, issuer, jwks, now)
    listed.check(claims)     # raises TokenError unless the token is VALID

Pure: who has the network, fetches the list from the `uri` in the token's `status` claim, anew after `ttl`.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from hopward.clock import SECOND, Instant, from_seconds
from hopward.errors import TokenError
from hopward.foreign import Foreign, foreign_keys, verify_foreign

TYPE = "statuslist+jwt"
"""The `typ` of a status list token (section 5.1)."""

VALID, INVALID, SUSPENDED = 0, 1, 2
"""Statuses (section 7.1)."""

SIZE = 131_072
"""Tokens that one list of ours has room for."""

BITS = 2
"""Of a status of ours: one more than `VALID` and `INVALID` need."""

LARGEST = 1_048_576
"""Bytes of a list, decompressed; one that holds more is refused before it is unpacked."""

Bits: TypeAlias = Literal[1, 2, 4, 8]
_ALGORITHMS = ("ES256", "EdDSA")


def encoded(statuses: Mapping[int, int], size: int = SIZE, bits: Bits = BITS) -> str:
    """The `lst` of a list with these statuses by index, all others `VALID` (section 4.1)."""
    data, each = bytearray(size * bits // 8), 8 // bits
    for index, status in statuses.items():
        data[index // each] |= status << (index % each * bits)
    return urlsafe_b64encode(zlib.compress(bytes(data), 9)).decode().rstrip("=")


def decoded(lst: str) -> bytes:
    """The bytes of a `lst`; raises `TokenError` for what is none, or holds more than `LARGEST` bytes."""
    try:
        packed = urlsafe_b64decode(lst + "=" * (-len(lst) % 4))
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, LARGEST + 1)
    except (ValueError, zlib.error) as error:
        raise TokenError("The status list cannot be unpacked.", error="malformed") from error
    if len(data) > LARGEST or not unpacking.eof or unpacking.unused_data:
        raise TokenError("The status list is too large, or cut off.", error="malformed")
    return data


def reference(claims: Mapping[str, Any]) -> tuple[int, str] | None:
    """The index and the list of a token's `status` claim (section 6), None where it has none.

    Raises `TokenError` for one that cannot be understood: then nobody can say what became of the token.
    """
    if "status" not in claims:
        return None
    match claims["status"]:
        case {"status_list": {"idx": int(index), "uri": str(uri)}} if (
            type(index) is int and index >= 0 and uri
        ):
            return index, uri
        case _:
            raise TokenError("The token's status claim cannot be understood.", error="bad_claim")


@dataclass(frozen=True, slots=True)
class StatusList:
    """A list that is genuine and current. `until` is when another one is to be fetched."""

    uri: str
    bits: Bits
    data: bytes
    until: Instant

    @classmethod
    def read(cls, token: str, uri: str, issuer: str, jwks: Mapping[str, Any], now: Instant) -> "StatusList":
        """The list in a status list token of an issuer, fetched from `uri`; raises `TokenError`."""
        expected = Foreign(
            algorithms=frozenset(_ALGORITHMS),
            types=(TYPE,),
            issuer=issuer,
            audience=None,
            required=("iss", "sub", "iat", "exp", "status_list"),
        )
        claims = verify_foreign(token, foreign_keys(jwks, _ALGORITHMS), expected, now)
        if claims["sub"] != uri:
            raise TokenError("The status list is another one.", error="wrong_audience")
        bits, lst = _content(claims["status_list"])
        ends = from_seconds(claims["exp"])
        ttl: object = claims.get("ttl")
        if type(ttl) is int and ttl > 0:
            ends = min(ends, now + ttl * SECOND)
        return cls(uri, bits, decoded(lst), ends)

    def status(self, index: int) -> int:
        """The status of an index; raises `TokenError` where it is out of bounds (section 8.3)."""
        each = 8 // self.bits
        if not 0 <= index < len(self.data) * each:
            raise TokenError("The token's index is not in the status list.", error="bad_claim")
        return (self.data[index // each] >> (index % each * self.bits)) & ((1 << self.bits) - 1)

    def check(self, claims: Mapping[str, Any], now: Instant) -> None:
        """Raise `TokenError` unless a token with these claims, verified before, is `VALID` in this list."""
        found = reference(claims)
        if found is None or found[1] != self.uri:
            raise TokenError("The token is in another status list, or in none.", error="bad_claim")
        if now >= self.until:
            raise TokenError("The status list is too old; fetch it again.", error="expired")
        status = self.status(found[0])
        if status == SUSPENDED:
            raise TokenError("The token is suspended, says the status list.", error="token_suspended")
        if status != VALID:
            raise TokenError("The token is revoked, says the status list.", error="token_revoked")


def _content(value: object) -> tuple[Bits, str]:
    content = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    bits, lst = content.get("bits"), content.get("lst")
    if type(bits) is not int or bits not in (1, 2, 4, 8) or not isinstance(lst, str):
        raise TokenError("The status list cannot be understood.", error="malformed")
    return bits, lst
