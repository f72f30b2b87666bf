"""Where an OAuth client may have people sent back to: the addresses it may register, and may ask for.

Compared as texts, character by character (RFC 9700 section 2.1). One thing may differ: the port of a loopback
address, which a native application gets from its system when it needs one (RFC 8252 section 7.3).
"""

import re
from collections.abc import Iterable

LONGEST = 2_000
"""Characters of a redirect URI."""

_PRINTED = re.compile(r"[\x21\x24-\x3B\x3D\x3F-\x5B\x5D\x5F\x61-\x7A\x7E]+")
"""What an address is written with (RFC 3986), and nothing that has to be encoded, or begins a fragment."""

_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::([0-9]{1,5}))?((?:[/?].*)?)")
_WEB = re.compile(r"https://(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+(?::[0-9]{1,5})?(?:[/?].*)?")
_OWN = re.compile(r"([a-z][a-z0-9+.-]*):/.*")
_NO_SCHEME_OF_AN_APPLICATION = frozenset(
    {"about", "blob", "chrome", "data", "file", "filesystem", "ftp", "http", "https", "intent", "javascript"}
    | {"jar", "mailto", "resource", "sms", "tel", "vbscript", "view-source", "ws", "wss"}
)


def wrong_redirect(uri: str) -> str:
    """What is wrong with a redirect URI that a client wants to register, or empty.

    It is https, or http on a loopback address, or has a scheme of the application's own (RFC 8252 section 7).
    """
    if len(uri) > LONGEST or not _PRINTED.fullmatch(uri):
        return "is no address, or has a fragment (#...)"
    if _LOOPBACK.fullmatch(uri) or _WEB.fullmatch(uri):
        return ""
    own = _OWN.fullmatch(uri)
    if own and own[1] not in _NO_SCHEME_OF_AN_APPLICATION:
        return ""
    return "must be https://, http:// on a loopback address, or a scheme of the application's own"


def redirect_fits(asked: str, registered: Iterable[str]) -> bool:
    """Whether a client may have people sent back there: an address of its own, on loopback at any port."""
    if wrong_redirect(asked):
        return False
    bare = _without_port(asked)
    return any(asked == one or (bare and bare == _without_port(one)) for one in registered)


def return_source(uri: str) -> str:
    """The source (CSP 3 section 2.3.1) that a page has to allow its form to be led to, for this address."""
    scheme, _, rest = uri.partition("://")
    if scheme not in ("http", "https"):
        return f"{uri.partition(':')[0]}:"
    host = re.split(r"[/?]", rest, maxsplit=1)[0]
    # No host source is an IPv6 address.
    return f"{scheme}:" if host.startswith("[") else f"{scheme}://{host}"


def _without_port(uri: str) -> str:
    """A loopback address without its port; empty for any other."""
    found = _LOOPBACK.fullmatch(uri)
    return f"{found[1]}{found[3]}" if found and int(found[2] or 80) <= 65_535 else ""
