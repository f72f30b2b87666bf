"""Where a call's effect goes: what hopward.toml says of the tool, with the values of the call's arguments.

    destination = "mail"                     always that
    destination = "account:{recipient}"      a place for each account
    destination = "account:{recipient|own}"  where the argument is absent: account:own
    destination = "host:{url}"               the host of a URL, of a mail address, or the host itself
    destination = "host:{to}"                for a list: the hosts of all that are in it

A value that could be read in two ways leads nowhere, so the call is refused: control characters, a host with
user information, an encoding or another script, an address in a form that readers disagree on. A host that is
not public is a `private:` destination, which no capability covers that does not say so.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from hopward.canonical import JSON
from hopward.constraint.location import DEFAULT_PORTS, Host, read_host, read_url, write_host
from hopward.harmless import is_unseen
from hopward.model import Tool
from hopward.places import HOST, PRIVATE

_TEMPLATE = re.compile(
    r"(?P<before>[^{}]*)\{(?P<argument>[^{}|]+)(?:\|(?P<absent>[^{}|]*))?\}(?P<after>[^{}]*)"
)
_MOST: Final = 256
"""Characters of a value that a destination is made of."""
_MANY: Final = 64
"""Destinations of one call."""
_MAIL = re.compile(r"[A-Za-z0-9.!$%&'*+=^_`{|}~-]{1,64}@(?P<host>[^@]+)")
"""A mail address whose local part (RFC 5322 section 3.2.3) ends no host in a URL: no `/`, `?` and `#`."""
_LOCAL = frozenset(
    {
        *("alt", "arpa", "internal", "invalid", "local", "localhost", "onion", "test"),
        *("corp", "home", "intranet", "lan", "localdomain", "mail", "private", "svc"),
    }
)
"""Last labels of names that the public DNS leads to nothing of others': the special-use domain names (IANA,
RFC 6761; without those for documentation), `.internal` (ICANN), and what networks call themselves (RFC 6762,
appendix G; `.mail`, which ICANN delegates to nobody; `.svc` of Kubernetes)."""

_METADATA = frozenset({"metadata.goog", "metadata.tencentyun.com"})
"""Names below public domains that lead to the metadata, and the credentials, of the machine that asks."""

_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")))
"""What the IANA IPv4 special-purpose address registry has beside what `ipaddress` knows: protocol
assignments, among which clouds keep metadata, and the former 6to4 relays."""


@lru_cache(maxsize=1024)
def _parts(template: str) -> re.Match[str] | None:
    return _TEMPLATE.fullmatch(template)


def argument_of(template: str) -> str:
    """The argument a destination is made of; empty where it is always the same."""
    found = _parts(template)
    return found["argument"] if found else ""


def check(template: str) -> str | None:
    """What is wrong with a destination as it is written, or None."""
    if "{" in template or "}" in template:
        found = _TEMPLATE.fullmatch(template)
        if found is None:
            return "has braces for one argument: {NAME}, or {NAME|what it is without}"
        if template.startswith(PRIVATE):
            return "begins with private:, which is said of hosts that are found to be so; write host:"
        if template.startswith(HOST) and (found["before"] != HOST or found["after"]):
            return "has more around the argument than host:"
    return None


def may_lead(template: str, place: str) -> bool:
    """False only if no destination of a template is one that a pattern (`hopward.places`) stands for."""
    begins, known = template.partition("{")[0], place.partition("*")[0]
    if begins == HOST and known.startswith(PRIVATE):
        return True
    return begins.startswith(known) or known.startswith(begins)


def destinations(tool: Tool, arguments: Mapping[str, JSON]) -> tuple[str, ...]:
    """Every destination of one call; none where its arguments do not tell it without doubt."""
    if "{" not in tool.destination:
        return (tool.destination,)
    found = _parts(tool.destination)
    if found is None:
        return (tool.destination,)
    name = found["argument"]
    if name not in arguments:
        without = found["absent"]
        return () if without is None else (found["before"] + without + found["after"],)
    value = arguments[name]
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= _MANY:
        return ()
    places = [_place(found["before"], one, found["after"]) for one in values]
    if any(not place for place in places):
        return ()
    return tuple(dict.fromkeys(places))


def _place(before: str, value: JSON, after: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > _MOST or _is_hidden(value):
        return ""
    if before == HOST:
        return _host_place(value)
    # What is told apart only by case, or by which of two equal characters it has, is one place.
    return before + unicodedata.normalize("NFKC", value).strip() + after


def _host_place(value: str) -> str:
    host = _host(value)
    if host is None:
        return ""
    return (HOST if _is_public(host.name) else PRIVATE) + write_host(host)


def _host(value: str) -> Host | None:
    """The host of a URL, of a mail address, or of a text that begins with a host; None for all else."""
    scheme, colon, _ = value.partition("://")
    if colon:
        found = read_url(value)
        return _checked(found[1]) if found and scheme.lower() in DEFAULT_PORTS else None
    mail = _MAIL.fullmatch(value)
    if mail is not None:
        return _checked(read_host(mail["host"].lower()))
    found = read_url(f"https://{value}")
    return None if found is None else _checked(found[1])


def _checked(host: Host | None) -> Host | None:
    """A host in the one spelling it has: what could be read as a number must be four plain decimals."""
    return None if host is None or host.wildcard else read_host(write_host(host))


def _is_public(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return "." in name and name.rpartition(".")[2] not in _LOCAL and name not in _METADATA
    return address.is_global and not address.is_multicast and not any(address in one for one in _SPECIAL)


def _is_hidden(value: str) -> bool:
    if value.isascii():
        return not value.isprintable()
    return any(map(is_unseen, value))
