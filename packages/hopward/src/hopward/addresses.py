"""Addresses in free text: what leads its reader somewhere. Links, hosts, e-mail addresses, accounts, numbers.

Found generously: what only looks like an address costs an approval, one that is missed may carry people off.
Nothing finds an address that is spelled so that only a person can put it together.
"""

import re
import unicodedata

_DOTS = str.maketrans({"\u3002": ".", "\uff61": ".", "\u2024": "."})
"""What a browser reads as the dot of a host (UTS 46), or people do."""

_APART = re.compile(r"\]\(|[\s<>|]+")
"""What no address contains; in Markdown and in chats it stands between a text and its link."""

_ADDRESS = re.compile(
    r"://|\b(?:mailto|tel|sms):"
    r"|\S@\S"
    r"|(?:[^\W_]|[\w-])\.(?:xn--[\w-]+|[^\W\d_]{2,})"
    r"|\d{1,3}(?:\.\d{1,3}){3}"
    r"|\d{9,}"
    r"|\b[A-Z]{2}\d{2}[A-Z\d]{11,30}\b",
    re.IGNORECASE,
)
_GROUPED = re.compile(
    r"\b[A-Z]{2}\d{2}(?: [A-Z\d]{4}){2,7}(?: [A-Z\d]{1,4})?\b|\+\d(?:[ ()/-]*\d){6,}", re.IGNORECASE
)
"""An IBAN (ISO 13616) or a telephone number (E.123) as people write it, with spaces."""


def addresses(text: str) -> list[str]:
    """Each address in a text, with all it is written together with; an IBAN in groups is one, joined."""
    plain = unicodedata.normalize("NFKC", text).translate(_DOTS)
    plain = "".join(each for each in plain if unicodedata.category(each) != "Cf")
    found = [re.sub(r"[ ()/-]", "", grouped) for grouped in _GROUPED.findall(plain)]
    found += [part for part in _APART.split(plain) if _ADDRESS.search(part)]
    return list(dict.fromkeys(found))
