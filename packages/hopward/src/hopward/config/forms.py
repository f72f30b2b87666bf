"""The written forms that values in `hopward.toml` must have. Each function says what is wrong, or nothing."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from hopward.pattern import check as check_pattern
from hopward.places import check as check_place

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Names of servers, agents and workflows: they become path segments, scopes and file names."""

TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
METHOD_NAME = re.compile(r"(?=.{1,128}\Z)[A-Za-z][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_PLACEHOLDER = re.compile(
    r"\b(?i:change[-_]?me|your[-_](?:\w+[-_])*(?:key|token|secret|password)(?:[-_]here)?)\b"
    r"|<[A-Z][A-Z _-]*>"
)
SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
"""One name in a scope (RFC 6749 section 3.3)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_URI_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\"<>\\^`{|}]|[^\x00-\x7f]")


def is_placeholder(value: str) -> bool:
    """Whether a text still stands for something the operator was meant to fill in."""
    return _PLACEHOLDER.search(value) is not None


def has_control(value: str) -> bool:
    """Whether a text holds a newline, NUL or another control character."""
    return _CONTROL.search(value) is not None


def wrong_path(path: str) -> str:
    """What is wrong with a file or folder as it is written, or empty."""
    if has_control(path):
        return "holds a newline or another control character"
    return f"looks like an option; write ./{path}" if path.startswith("-") else ""


def wrong_name(name: str) -> str:
    """What is wrong with the name of a server, agent or workflow, or empty."""
    if NAME.fullmatch(name):
        return ""
    return "a name is 1 to 63 letters, digits, - and _ (ASCII), and starts with a letter or digit"


def wrong_pattern(pattern: str) -> str:
    """What is wrong with an exact-or-prefix pattern, or empty."""
    return check_pattern(pattern) or ("holds a control character" if has_control(pattern) else "")


def wrong_place(place: str) -> str:
    """What is wrong with a pattern of destinations, or empty."""
    return check_place(place) or ("holds a control character" if has_control(place) else "")


def wrong_uri(uri: str) -> str:
    """What is wrong with a resource indicator (RFC 8707 section 2: absolute, no fragment), or empty."""
    parts = _split(uri)
    if parts is None or not uri.startswith(f"{parts.scheme}:"):
        return "must be an absolute URI such as https://mcp.example.com/support or urn:example:support"
    if "#" in uri:
        return "a resource indicator has no fragment (#...)"
    if parts.scheme in ("http", "https") and not parts.hostname:
        return "an http or https URI names a host"
    if not (parts.netloc or parts.path):
        return "must be an absolute URI such as https://mcp.example.com/support or urn:example:support"
    return _user_in(parts)


def wrong_endpoint(url: str) -> str:
    """What is wrong with the URL of something we talk to or are reached at, or empty.

    It is https, or http on this machine's loopback address: anything else shows tokens to the network.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an https:// URL (http:// only on a loopback address)"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "http:// is allowed on a loopback address only; use https://"
    if "#" in url:
        return "a URL here has no fragment (#...)"
    return _user_in(parts)


def wrong_issuer(url: str) -> str:
    """What is wrong with the issuer of somebody else: an endpoint without query."""
    return wrong_endpoint(url) or ("has no query (?...)" if "?" in url else "")


def wrong_base(url: str) -> str:
    """What is wrong with an issuer or public URL of ours: likewise, and without a final slash."""
    return wrong_issuer(url) or ("leave out the / at the end" if url.endswith("/") else "")


def wrong_listen(address: str) -> str:
    """What is wrong with a `HOST:PORT` to listen at, or empty."""
    host, port = listen_parts(address)
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        return "must be HOST:PORT, such as 127.0.0.1:8701 or [::1]:8701"
    return ""


def listen_parts(address: str) -> tuple[str, str]:
    """Host (without brackets) and port text of `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return ("", "") if ":" in host or has_control(address) or " " in address else (host, port)


def wrong_origin(origin: str) -> str:
    """What is wrong with an HTTP origin (RFC 6454 section 7), or empty."""
    parts = _split(origin)
    if parts is None or parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
        return "must be SCHEME://HOST or SCHEME://HOST:PORT, without path; * is not an origin"
    return "" if parts.hostname and "@" not in parts.netloc and "*" not in origin else "must name one host"


def wrong_host(host: str) -> str:
    """What is wrong with a `HOST` or `HOST:PORT` of the HTTP Host header, or empty."""
    parts = _split(f"//{host}")
    if parts is None or parts.netloc != host or not parts.hostname or "@" in host or "*" in host:
        return "must be HOST or HOST:PORT; * is not a host"
    return ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by definition: `localhost`, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def alike(uri: str) -> str:
    """A resource indicator without what makes no difference to a careless reader."""
    return uri.rstrip("/").lower()


def under(uri: str, base: str) -> bool:
    """Whether a URI is `base` or lies below it, in whatever spelling of scheme, host and default port."""
    inner, outer = _split(uri), _split(base)
    if inner is None or outer is None or _origin(inner) != _origin(outer):
        return False
    inside, above = inner.path.rstrip("/"), outer.path.rstrip("/")
    return inside == above or inside.startswith(above + "/")


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    default = {"http": 80, "https": 443}.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or default


def _user_in(parts: SplitResult) -> str:
    return "holds no user name or password" if "@" in parts.netloc else ""


def _split(uri: str) -> SplitResult | None:
    if _URI_FORBIDDEN.search(uri):
        return None
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts
