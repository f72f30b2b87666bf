"""Who the person at the other end of a request is.

This is the seam for another way to know people, such as OpenID Connect: the pages ask `People` and nothing
else. A person has a secret of their session, from which the tokens of its forms are made.
"""

import hashlib
import hmac
from collections.abc import Iterator
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from hopward import Guard

_LONGEST = 128
"""Characters of a secret; ours are 43."""

_LASTING = 30 * 24 * 3600
"""Seconds that a browser keeps the cookie; the guard knows how long it counts."""


class Person(NamedTuple):
    """Somebody who is known, by `device`, whose `secret` only their browser has."""

    name: str
    device: str
    label: str
    secret: str

    def form_token(self, purpose: str) -> str:
        """What a form of this session for this purpose holds; nobody else can make it."""
        return hmac.new(self.secret.encode(), f"form {purpose}".encode(), hashlib.sha256).hexdigest()

    def made(self, token: str, purpose: str) -> bool:
        """Whether a token came from such a form."""
        return hmac.compare_digest(token.encode(), self.form_token(purpose).encode())


class People(Protocol):
    """Knows a person by their request. Nothing that a request says without a secret counts."""

    def person(self, request: Request) -> Person | None:
        """Who this is; None for somebody unknown. Raises `LedgerError`."""
        ...


class PairedPeople:
    """People by the cookie of a paired device.

    The cookie is `Lax`: with `Strict`, a link in an e-mail or a chat would open the page as a stranger. What
    changes anything is a POST, which a `Lax` cookie does not come with from elsewhere, and which is checked
    besides. Over https it has the prefix `__Host-`, so that no other host of the domain can set or read it;
    on loopback over http there is no such cookie, and other servers of this machine could read it.
    """

    def __init__(self, guard: Guard, page: str) -> None:
        self._guard = guard
        self._secure = urlsplit(page).scheme == "https"
        self._name = "__Host-hopward" if self._secure else "hopward"

    def person(self, request: Request) -> Person | None:
        """Who this is; none with two cookies of the name, of which one is somebody else's doing."""
        found = [value for name, value in _cookies(request) if name == self._name]
        if len(found) != 1 or not 0 < len(found[0]) <= _LONGEST:
            return None
        device = self._guard.devices.known(found[0])
        return None if device is None else Person(device.person, device.id, device.label, found[0])

    def remember(self, response: Response, secret: str) -> None:
        """Give a browser the secret by which it is known."""
        response.set_cookie(
            self._name,
            secret,
            max_age=_LASTING,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def forget(self, response: Response) -> None:
        """Take it away from a browser."""
        response.delete_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="lax")


def _cookies(request: Request) -> Iterator[tuple[str, str]]:
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            yield name, value
