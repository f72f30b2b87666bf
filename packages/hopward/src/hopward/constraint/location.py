"""POSIX paths, URIs and URLs read so strictly that no other reader can see another place in them.

A text that any common parser, decoder or normaliser could take for a different path or host is not read
at all. What the file system or DNS makes of a place (links, mounts, rebinding) cannot be seen from its name.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"ftp": 21, "http": 80, "https": 443, "ws": 80, "wss": 443}
"""The schemes with a host that RFC 3986 and the WHATWG URL standard read alike, and their ports."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_AUTHORITY = re.compile(rf"(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_UNSAFE_IN_PATH = re.compile(r"[\\%\x00-\x1f\x7f]")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_URI_SEGMENT = re.compile(r"[/?#]")
_DECODED = 3
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_path(text: str) -> bool:
    """True for an absolute POSIX path that names one place however it is decoded.

    Refused: relative paths, empty segments (`//`), segments that are `.`, `..` or blank, also with white
    space around them; backslashes, control characters and any `%` (percent-encoding); invisible characters;
    and names that Unicode compatibility normalisation (NFKC) would turn into one of those. One trailing
    slash is allowed.
    """
    if not _is_plain_path(text):
        return False
    if text.isascii():
        return True
    if any(unicodedata.category(character) in _INVISIBLE for character in text):
        return False
    folded = unicodedata.normalize("NFKC", text)
    return folded.count("/") == text.count("/") and _is_plain_path(folded)


def _is_plain_path(text: str) -> bool:
    if text == "/":
        return True
    if text[:1] != "/" or _UNSAFE_IN_PATH.search(text):
        return False
    return not any(segment.strip() in {"", ".", ".."} for segment in text[1:].removesuffix("/").split("/"))


def is_straight(uri: str) -> bool:
    """True for a URI that names the same place however often it is decoded and normalised: it starts with
    what it seems to start with.

    Refused: segments that are `.` or `..`, also with `;` and parameters behind them, percent-encoded (to any
    of three depths) or in Unicode compatibility forms; backslashes; control, invisible and undecodable
    characters.
    """
    plain = uri
    for _ in range(_DECODED):
        plain = unquote(plain)
    plain = unicodedata.normalize("NFKC", plain)
    if unquote(plain) != plain or "\\" in plain or "\ufffd" in plain:
        return False
    if any(unicodedata.category(character) in _INVISIBLE for character in plain):
        return False
    return not any(segment.partition(";")[0].strip() in {".", ".."} for segment in _URI_SEGMENT.split(plain))


def is_root(text: str) -> bool:
    """True for a path in the one spelling a root has: no trailing slash, except for `/` itself."""
    return is_path(text) and (text == "/" or text[-1] != "/")


def path_within(path: str, root: str) -> bool:
    """True if a path (`is_path`) is the root (`is_root`) or lies below it."""
    return root == "/" or path == root or path.startswith(root + "/")


@dataclass(frozen=True, slots=True)
class Host:
    """A host and its port; `port` is None for the default port of the scheme.

    With `wildcard`, every host below `name` at any depth, and not `name` itself.
    """

    name: str
    port: int | None = None
    wildcard: bool = False


def host_within(child: Host, parent: Host) -> bool:
    """True if every host and port of the child is one of the parent's."""
    if child.port != parent.port:
        return False
    if parent.wildcard and child.name.endswith("." + parent.name):
        return True
    return child == parent


def read_url(text: str) -> tuple[str, Host] | None:
    """The scheme and host of a URL with an authority, or None.

    None for anything but RFC 3986 characters (so no white space, backslash, control or non-ASCII character),
    user information, IPv6 literals, percent-encoding or an underscore in the host, a trailing dot, an empty
    or zero-padded port, and unknown schemes.
    """
    if not _URL_CHARACTERS.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    scheme = parts.scheme
    if scheme not in DEFAULT_PORTS:
        return None
    found = _read_authority(parts.netloc.lower())
    if found is None:
        return None
    name, port = found
    return scheme, Host(name, None if port == DEFAULT_PORTS[scheme] else port)


def read_host(entry: str) -> Host | None:
    """An allowed host: `HOST`, `*.HOST`, either with `:PORT`; in lower case. None for anything else.

    A name whose last label is a number is read as IPv4, as browsers do, and must be four plain decimals.
    """
    wildcard = entry.startswith("*.")
    found = _read_authority(entry[2:] if wildcard else entry)
    if found is None:
        return None
    name, port = found
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]) and (wildcard or not _is_ipv4(name)):
        return None
    return Host(name, port, wildcard)


def write_host(host: Host) -> str:
    """The entry that `read_host` reads as this host."""
    port = "" if host.port is None else f":{host.port}"
    return f"{'*.' if host.wildcard else ''}{host.name}{port}"


def _read_authority(text: str) -> tuple[str, int | None] | None:
    found = _AUTHORITY.fullmatch(text)
    if found is None or len(found["host"]) > 253:
        return None
    port = None if found["port"] is None else int(found["port"])
    return None if port is not None and port > 65535 else (found["host"], port)


def _is_ipv4(name: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(name)) == name
    except ValueError:
        return False
