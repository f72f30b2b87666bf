"""Logins at the OpenID provider of `[people]`, but for the network: whoever serves the pages has that.

logins = guard.provider_logins(os.environ)
logins.party.discovered(body)                       # and logins.party.keys.take(body), when due
begun = logins.begin(browser, back)                 # the browser goes to begun.url
returned = logins.returned(browser, parameters)     # and posts returned.asked
entered = logins.enter(returned, label, status, body)

for device in logins.due():                         # again and again
    logins.answered(device, status, body)           # to logins.question(device)
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hopward.clock import SECOND, Clock, Instant
from hopward.errors import StateError, TokenError
from hopward.foreign import foreign_kid
from hopward.idtoken import Known
from hopward.jwk import SigningKey
from hopward.relying_party import Asked, Begun, RelyingParty, client_secret
from hopward.sessions import FOLDER, Installation, Session, Sessions
from hopward.settings import Settings

CALLBACK = "/login/callback"
"""Below `[approvals] page`: where the provider sends browsers back to."""

LOGGED_OUT = "/logged-out"
"""Likewise after they have logged out there."""

TO_LOG_IN = 600 * SECOND
"""How long somebody may take at the provider."""

_MOST_BEGUN = 4_096
_MOST_SEEN = 65_536


@dataclass(frozen=True, slots=True)
class _Pending:
    begun: Begun
    browser: bytes
    back: str
    until: Instant


class Returned(NamedTuple):
    """A browser that has come back from the provider with a code: what to ask for it."""

    asked: Asked
    begun: Begun
    back: str


class Entered(NamedTuple):
    """Somebody who has logged in: the secret that only their browser gets, and where they were going."""

    secret: str
    person: str
    back: str


class ProviderLogins:
    """The logins of one installation at its provider. To be used by one thread of one process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        installation: Installation,
        signing: Callable[[], SigningKey],
        environment: Mapping[str, str],
    ) -> None:
        """Raises `ConfigError` without the client secret, or where what is kept is not private; `StateError`
        where people log in nowhere."""
        if settings.people is None:
            raise StateError("People do not log in here: hopward.toml has no [people].")
        self.settings = settings.people
        self._clock = clock
        secret = client_secret(self.settings, environment)
        page = settings.approvals.page
        self.party = RelyingParty(self.settings, clock, f"{page}{CALLBACK}", secret, signing)
        self._after_logout = f"{page}{LOGGED_OUT}"
        self._sessions = Sessions(settings.state / FOLDER, self.settings, clock, installation)
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._seen: OrderedDict[str, Instant] = OrderedDict()

    def begin(self, browser: str, back: str) -> Begun:
        """Send a browser, which alone has the secret `browser`, to the provider; `back` is kept for later.

        Raises `TokenError` while the provider is not known. Of too many that are under way, the oldest are
        forgotten.
        """
        begun = self.party.begin()
        until = self._clock.now() + TO_LOG_IN
        self._pending[begun.state] = _Pending(begun, _digest(browser), back, until)
        while len(self._pending) > _MOST_BEGUN:
            self._pending.popitem(last=False)
        return begun

    def returned(self, browser: str, parameters: list[tuple[str, str]]) -> Returned:
        """What to ask for the code in an authorization response, which counts once.

        Raises `TokenError` for one that this browser has not been sent for, or that says no.
        """
        states = [value for name, value in parameters if name == "state"]
        pending = self._pending.get(states[0]) if len(states) == 1 else None
        if pending is None or not hmac.compare_digest(pending.browser, _digest(browser)):
            raise TokenError("This browser has not been sent to log in.", error="malformed")
        del self._pending[pending.begun.state]
        if pending.until <= self._clock.now():
            raise TokenError("The login has taken too long.", error="expired")
        asked = self.party.code_request(pending.begun, parameters)
        return Returned(asked, pending.begun, pending.back)

    def enter(self, returned: Returned, label: str, status: int, body: bytes) -> Entered:
        """Log somebody in by the answer for their code.

        Raises `TokenError` unless it is certain who they are, `StateError` where they have nothing to do
        here, `LedgerError`.
        """
        login = self.party.logged_in(returned.begun, status, body)
        tokens = (login.refresh_token, login.id_token)
        secret, session = self._sessions.begin(login.known, label, returned.begun.nonce, tokens)
        return Entered(secret, session.person, returned.back)

    def standing(self, device: str) -> bool:
        """Whether the login of a device has lately been found to stand. Raises `LedgerError`."""
        return self._sessions.standing(device) is not None

    def due(self) -> list[str]:
        """The devices of the logins that the provider is to be asked about now. Raises `LedgerError`.

        What is over has been ended then.
        """
        asked: list[str] = []
        for session in self._sessions.due():
            if self._sessions.is_over(session):
                self._sessions.end(session, "over")
            else:
                asked.append(session.device)
        return asked

    def question(self, device: str) -> Asked | None:
        """What to ask about a login; None where there is none any more."""
        session = self._sessions.get(device)
        return self.party.refresh_request(session.refresh_token) if session else None

    def answered(self, device: str, status: int, body: bytes) -> None:
        """Believe the answer: the login goes on, or it ends, and with it the person's authority.

        An answer that says neither is none (`unanswered`). Raises `LedgerError`.
        """
        session = self._sessions.get(device)
        if session is None:
            return
        try:
            login = self.party.refreshed(_known(session), session.nonce, status, body)
        except TokenError as error:
            if error.error == "login_refused":
                self._sessions.end(session, "refused")
            else:
                self._sessions.unanswered(session)
            return
        self._sessions.stands(session, login.refresh_token, login.id_token)

    def unanswered(self, device: str) -> None:
        """The provider could not be asked about a login. It counts no longer than it would have anyway."""
        session = self._sessions.get(device)
        if session is not None:
            self._sessions.unanswered(session)

    def log_out(self, device: str) -> str:
        """End a login; where the browser logs out at the provider too, or empty. Raises `LedgerError`."""
        session = self._sessions.get(device)
        if session is None:
            return ""
        self._sessions.end(session, "logged out")
        try:
            return self.party.logout_url(session.id_token, self._after_logout)
        except TokenError:
            return ""

    def kid(self, token: str) -> str:
        """The key that a logout token names, before anything of it is known to be true."""
        return foreign_kid(token)

    def logged_out(self, token: str) -> int:
        """End the logins that a logout token names; how many. Raises `TokenError` and `LedgerError`.

        A token counts once.
        """
        logout, now = self.party.logged_out(token), self._clock.now()
        while self._seen and (len(self._seen) >= _MOST_SEEN or next(iter(self._seen.values())) <= now):
            self._seen.popitem(last=False)
        if logout.jti in self._seen:
            raise TokenError("The logout token has been used.", error="replayed")
        self._seen[logout.jti] = logout.expires_at * SECOND
        meant = self._sessions.meant(logout)
        for session in meant:
            self._sessions.end(session, "logged out")
        return len(meant)


def _known(session: Session) -> Known:
    return Known(session.person, session.sub, session.sid)


def _digest(browser: str) -> bytes:
    return hashlib.sha256(browser.encode("utf-8", "replace")).digest()
