"""Addresses in free text: what leads its reader somewhere. Links, hosts, e-mail addresses, accounts, numbers.

Found generously: what only looks like an address costs an approval, one that is missed may carry people off.
Nothing finds an address that is spelled so that only a person can put it together.
"""

import re
import unicodedata
from functools import cache

from hopward.expression import Options, Program, compile_expression

_DOTS: dict[int, str | None] = {0x3002: ".", 0xFF61: ".", 0x2024: "."}
"""What a browser reads as the dot of a host (UTS 46), or people do."""

_APART = re.compile(r"\]\(|[\s<>|]+")
"""What no address contains; in Markdown and in chats it stands between a text and its link."""

_ADDRESS = (
    r"://|\b(?:mailto|tel|sms):"
    r"|\S@\S"
    r"|[\pL\pN_-]\.(?:xn--[\pL\pN_-]+|\pL{2,})"
    r"|\p{Nd}{1,3}(?:\.\p{Nd}{1,3}){3}"
    r"|\p{Nd}{9,}"
    r"|\b[A-Z]{2}\p{Nd}{2}[A-Z\p{Nd}]{11,30}\b"
    r"|\bbc1[A-Z\p{Nd}]{11,}\b|\b[13][A-Z\p{Nd}]{25,34}\b"
)
_GROUPED = (
    r"\b[A-Z]{2}\p{Nd}{2}(?:[ .-][A-Z\p{Nd}]{4}){2,7}(?:[ .-][A-Z\p{Nd}]{1,4})?\b"
    r"|(?:\+|\b00)\p{Nd}?(?:[ ()./-]*\p{Nd}){6,}"
    r"|\b\p{Nd}{4}(?:[ .-]\p{Nd}{4}){3}\b"
)
"""An IBAN (ISO 13616), a telephone number (E.123, or with 00 for its plus), the number of a card: as people
write them, in groups."""
_ANY = f"{_ADDRESS}|{_GROUPED}"


@cache
def _compiled(pattern: str) -> Program:
    """Compiled when it is first needed: most programs that start here never look into a text."""
    options = Options()
    options.case_sensitive = False
    return compile_expression(pattern, options)


_TELLING = frozenset(".@:")
_SHORTEST_NUMBER = 9
"""Every address has one of the telling characters in it, or is at least as long as a number that is one."""


def addresses(text: str) -> list[str]:
    """Each address in a text, with all it is written together with; an IBAN in groups is one, joined."""
    plain = text if text.isascii() else _plain(text)
    if not _compiled(_ANY).search(plain):
        return []
    address, grouped = _compiled(_ADDRESS), _compiled(_GROUPED)
    found: list[str] = []
    if grouped.search(plain):
        found += [re.sub(r"[ ()./-]", "", one) for one in grouped.findall(plain)]
    if address.search(plain):
        parts = dict.fromkeys(_APART.split(plain))
        found += [part for part in parts if _may_be(part) and address.search(part)]
    return list(dict.fromkeys(found))


def _plain(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    used = set(plain)
    hidden = {ord(each): None for each in used if unicodedata.category(each) == "Cf"}
    return plain.translate(_DOTS | hidden) if hidden or not used.isdisjoint(map(chr, _DOTS)) else plain


def _may_be(part: str) -> bool:
    return len(part) >= _SHORTEST_NUMBER or not _TELLING.isdisjoint(part)
