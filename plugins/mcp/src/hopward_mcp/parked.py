"""Calls at an older server, and those that wait there for input that their client has not brought yet.

In 2026-07-28 a server that needs input answers with what it asks for, and the client makes the call again
with the input. A server of an older era asks in the middle of the call instead, so the call stays with it,
parked, and the next round takes it up. A round names its call by a `requestState` of 256 random bits, which
counts once, for the same principal, the same request, and a limited time.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hopward import Chain, digest
from hopward_mcp.http_sessions import Principal
from hopward_mcp.jsonrpc import Body, Message, MessageId
from hopward_mcp.methods import STATE
from hopward_mcp.older_shapes import identity

LIMIT = 600.0
"""Seconds a call may wait for the next round: people answer, not programs."""

_MOST = 64
"""Calls of one connection that may wait for input."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An input that the server has asked for; `id` is the server's own, None where the call is to be made
    anew instead."""

    id: MessageId | None
    method: str
    params: Body


@dataclass(slots=True, eq=False)
class Call:
    """A request at the server. `key` is our id of the round that waits for its answer, None while it is
    parked; `at_server` the id the server knows it by, None while the server has not got it.

    `decision` is the id of the latest round's permit, `answer` what the server has answered while nobody
    waited. `token` is the progress token that the server was given, `asked_token` the latest round's.
    """

    method: str
    params: Body
    chain: Chain
    who: Principal
    key: int | None
    at_server: int | None = None
    capabilities: Body = field(default_factory=dict[str, object])
    level: str = ""
    decision: str = ""
    token: object = None
    asked_token: object = None
    inputs: dict[str, Wanted] = field(default_factory=dict[str, Wanted])
    names: int = 0
    asking: bool = False
    declined: bool = False
    answer: Message | None = None

    def want(self, wanted: Wanted) -> None:
        """Note an input that the server waits for."""
        self.names += 1
        self.inputs[str(self.names)] = wanted


@dataclass(slots=True)
class _Place:
    call: Call
    request: str
    until: float


class Parked:
    """The parked calls of one connection. `now` is event-loop time, `mark` says which process has them."""

    def __init__(self, now: Callable[[], float], mark: str = "") -> None:
        self._now = now
        self._mark = mark
        self._places: dict[str, _Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def full(self) -> bool:
        """Whether no other call may wait."""
        return len(self._places) >= _MOST

    def park(self, call: Call) -> str:
        """Have a call wait for its next round, which brings the `requestState` returned here."""
        state = f"{STATE}{self._mark}{secrets.token_urlsafe(32)}"
        self._places[state] = _Place(call, _request(call.method, call.params), self._now() + LIMIT)
        return state

    def take(self, state: object, who: Principal, method: str, params: Body) -> Call | None:
        """Take up the call that a round continues; None, and nothing changes, unless it is that call's."""
        place = self._places.get(state) if isinstance(state, str) else None
        if place is None or place.until < self._now():
            return None
        if place.call.who != who or place.request != _request(method, params):
            return None
        del self._places[str(state)]
        return place.call

    def drop(self, state: str) -> Call | None:
        """Take out the call of a state that nobody has been given."""
        place = self._places.pop(state, None)
        return None if place is None else place.call

    def calls(self) -> Iterator[Call]:
        """A snapshot, oldest first."""
        return iter([place.call for place in self._places.values()])

    def overdue(self, stands: Callable[[Chain], bool]) -> list[tuple[Call, str]]:
        """Take out the calls that may wait no longer, each with the reason."""
        ended: list[tuple[Call, str]] = []
        for state, place in list(self._places.items()):
            why = ""
            if place.until < self._now():
                why = f"no input has come within {LIMIT:.0f} s"
            elif not stands(place.call.chain):
                why = "what it stood on has ended"
            if why:
                del self._places[state]
                ended.append((place.call, why))
        return ended

    def clear(self) -> list[Call]:
        """Take out every call."""
        calls = list(self.calls())
        self._places.clear()
        return calls


def _request(method: str, params: Body) -> str:
    return digest({"method": method, "params": identity(params)})
