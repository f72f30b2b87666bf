"""Sessions over HTTP (2025-11-25 and older): ids of our own, bound to the principal that opened them."""

import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from hopward import Chain
from hopward_mcp.endings import lost
from hopward_mcp.route import to_nobody
from hopward_mcp.session import Session

_MOST = 10_000
_IDLE = 1_800.0
"""Seconds after which an unused session is forgotten."""

Principal: TypeAlias = tuple[str, tuple[str, ...], str, str]
"""Subject, actors, task and key: who may use a session. A refreshed token is the same principal, another key
is not."""


def principal(chain: Chain) -> Principal:
    """The principal a chain speaks for."""
    return (chain.subject, chain.actors, chain.task, chain.bound)


@dataclass(slots=True)
class HttpSession:
    """A caller's session: our `id`, the server's `upstream_id`, what is under way. `used` is loop time,
    `open` counts the requests and streams in it that go on, `on_close` is called when it has been
    forgotten."""

    id: str
    upstream_id: str
    principal: Principal
    session: Session
    used: float
    open: int = 0
    on_close: Callable[[], None] = field(default=lambda: None)


class HttpSessions:
    """The sessions at one server. `now` is event-loop time, `idle` the seconds a session is kept unused.

    Their ids begin with `mark`, which tells who has them.
    """

    def __init__(self, now: Callable[[], float], idle: float = _IDLE, mark: str = "") -> None:
        self._now = now
        self.idle = idle
        self._mark = mark
        self._sessions: dict[str, HttpSession] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, upstream_id: str, chain: Chain, session: Session) -> HttpSession:
        """A new session with an id of 256 random bits; the longest unused one gives way when there are too
        many."""
        now = self._now()
        for held in list(self._sessions.values()):
            if now - held.used <= self.idle:
                break
            (self.touch if held.open else self.close)(held)
        if len(self._sessions) >= _MOST:
            self.close(next(iter(self._sessions.values())))
        held = HttpSession(
            self._mark + secrets.token_urlsafe(32), upstream_id, principal(chain), session, now
        )
        self._sessions[held.id] = held
        return held

    def find(self, session_id: str, chain: Chain) -> HttpSession | None:
        """The session, if it exists and this principal opened it."""
        held = self._sessions.get(session_id)
        if held is None or held.principal != principal(chain):
            return None
        self.touch(held)
        return held

    def touch(self, held: HttpSession) -> None:
        """Note that a session is in use."""
        held.used = self._now()
        # Kept in order of use: the longest unused first.
        self._sessions[held.id] = self._sessions.pop(held.id)

    @contextmanager
    def in_use(self, held: HttpSession) -> Generator[None]:
        """A request or stream of a session goes on: it is not idle meanwhile."""
        held.open += 1
        try:
            yield
        finally:
            held.open -= 1
            if held.id in self._sessions:
                self.touch(held)

    def close(self, held: HttpSession) -> None:
        """Forget a session; what is under way in it is recorded as lost."""
        if self._sessions.pop(held.id, None) is not None:
            held.session.endings.fail_all(lost("The session has ended."), to_nobody)
            held.on_close()

    def close_all(self) -> None:
        """Forget every session."""
        for held in list(self._sessions.values()):
            self.close(held)
