"""One spelling per JSON value, and digests over it.

The canonical form follows RFC 8785 (JCS) in what matters here: UTF-8, no insignificant white space, object
keys sorted, no non-finite numbers. It differs in two points, on purpose: keys sort by code point rather than
by UTF-16 unit, and numbers keep the shortest spelling Python gives them (an integer of any size stays exact).
"""

import hashlib
import json
from typing import Any, TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"
"""A parsed JSON value."""

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def canonical(value: Any) -> bytes:
    """The canonical UTF-8 bytes of a JSON value.

    Raises `ValueError` for NaN, infinities and lone surrogates, `TypeError` for what JSON cannot carry.
    """
    return _encode(value).encode("utf-8")


def digest(value: Any) -> str:
    """`sha-256:` and 64 hexadecimal digits over `canonical(value)`."""
    return "sha-256:" + hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """`sha-256:` and 64 hexadecimal digits over raw bytes."""
    return "sha-256:" + hashlib.sha256(data).hexdigest()
