"""Base64url without padding (RFC 7515 section 2), with one spelling per value."""

import base64
import re

_TEXT = re.compile(r"[A-Za-z0-9_-]+")


def encode(data: bytes) -> str:
    """The base64url text of some bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of a non-empty base64url text.

    Raises `ValueError` for other characters, padding, an impossible length and leftover bits.
    """
    if not _TEXT.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(data) != text:
        raise ValueError("leftover bits in base64url")
    return data
