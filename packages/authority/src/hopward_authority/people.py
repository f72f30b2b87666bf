"""Who the person at the other end of a request is.

This is the seam for another way to know people, such as OpenID Connect: the pages ask `People` and nothing
else. A person has a secret of their session, from which the tokens of its forms are made.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from hopward import Guard

TO_LOG_IN = 600
"""Seconds that somebody may take at an OpenID provider."""

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
        secret = _only(request, self._name)
        device = self._guard.devices.known(secret) if secret else None
        return None if device is None else Person(device.person, device.id, device.label, secret)

    def remember(self, response: Response, secret: str) -> None:
        """Give a browser the secret by which it is known."""
        self._set(response, self._name, secret, _LASTING)

    def forget(self, response: Response) -> None:
        """Take it away from a browser."""
        response.delete_cookie(self._name, path="/", secure=self._secure, httponly=True, samesite="lax")

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )


class ProviderPeople(PairedPeople):
    """People who have logged in at an OpenID provider, by a cookie as a paired device has one.

    Somebody is known only while the provider has lately said that their login stands. A browser that is sent
    to the provider has a second cookie, which a response from there has to come with.
    """

    def __init__(self, guard: Guard, page: str, standing: Callable[[str], bool]) -> None:
        """`standing` tells of a device whether its login stands."""
        super().__init__(guard, page)
        self._standing = standing
        self._browser = f"{self._name}-login"

    def person(self, request: Request) -> Person | None:
        """Who this is, as long as their login stands."""
        found = super().person(request)
        return found if found is not None and self._standing(found.device) else None

    def device(self, request: Request) -> str:
        """The device of this browser, whether its login stands or not; empty where there is none."""
        found = super().person(request)
        return "" if found is None else found.device

    def browser(self, request: Request) -> str:
        """By what a browser is known that has been sent to the provider; empty where it has not."""
        return _only(request, self._browser)

    def remember_browser(self, response: Response, secret: str) -> None:
        """Know a browser again when it comes back from the provider."""
        self._set(response, self._browser, secret, TO_LOG_IN)


def _only(request: Request, wanted: str) -> str:
    """The one cookie of a name; empty where there are several, or it is too long."""
    found = [value for name, value in _cookies(request) if name == wanted]
    return found[0] if len(found) == 1 and len(found[0]) <= _LONGEST else ""


def _cookies(request: Request) -> Iterator[tuple[str, str]]:
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            yield name, value
