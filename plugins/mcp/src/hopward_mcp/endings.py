"""How a client's request ends: its outcome is recorded, and only then its answer is released.

A request also ends without an answer of the server: cancelled, timed out, or lost with the server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from hopward import Outcome
from hopward_mcp import replies
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import INTERNAL_ERROR, REFUSED, TIMED_OUT, Body, dump, error
from hopward_mcp.methods import ENDLESS
from hopward_mcp.pending import Asked, Pending, Requests
from hopward_mcp.route import Deliver, Forward, Route
from hopward_mcp.turn import Settled


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request gets no answer from its server, and the outcome of a call that ends so.

    `told` is what its client is answered, where that is not a JSON-RPC error of the rest.
    """

    code: int
    sentence: str
    ended: Outcome
    data: Body | None = None
    told: bytes = b""


MALFORMED = Failure(
    REFUSED, "The server's answer is malformed.", Outcome(status="error", error="malformed_answer")
)


def oversized(max_bytes: int) -> Failure:
    """The server's answer is larger than it may be."""
    sentence = f"The server's answer is larger than {max_bytes} bytes (proxy.max_message_bytes)."
    return Failure(REFUSED, sentence, Outcome(status="error", error="answer_too_large"))


TOO_LATE = "The answer took too long."
LEFT = "The client has gone."
WITHDRAWN = "What this call was permitted on has ended."
FALLEN = "What this stream stood on has ended."

_UNRECORDED = Outcome(status="error", error="outcome_unrecorded")
NOT_FORWARDED = Outcome(status="cancelled", error="not_forwarded", forwarded=False)
"""Of a permitted call that was given up before it could go out: what it has reserved is given back."""
_UNTOLD = Outcome(status="cancelled", error="not_forwarded")

GONE = Failure(REFUSED, LEFT, Outcome(status="cancelled", error="client_gone"))


def given_up(key: int, reason: str) -> bytes:
    """What tells the server that nobody waits for its answer to a request any more."""
    params = {"requestId": key, "reason": reason}
    return dump({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


STOPPED = Failure(
    REFUSED, "Hopward was stopped before the server answered.", Outcome(status="unknown", error="stopped")
)


def timed_out(seconds: int) -> Failure:
    """The server did not answer in time."""
    sentence = f"The server did not answer within {seconds} s."
    return Failure(TIMED_OUT, sentence, Outcome(status="unknown", error="timed_out"))


def lost(sentence: str) -> Failure:
    """The server cannot answer any more; whether it acted is not known."""
    return Failure(REFUSED, sentence, Outcome(status="unknown", error="server_lost"))


def failed(sentence: str, reason: str) -> Failure:
    """The server, or the way to it, turned the request down."""
    return Failure(REFUSED, sentence, Outcome(status="error", error=reason))


def withdrawn(pending: Pending, why: tuple[str, str]) -> Failure:
    """What a call under way stands on has ended, was revoked or quarantined."""
    reason, sentence = why
    told = replies.withdrawn(pending.message, pending.decision, sentence)
    return Failure(REFUSED, sentence, withdrawn_outcome(reason), told=told)


def withdrawn_outcome(reason: str, duration: int = 0) -> Outcome:
    """Of a call, or a request of the server, that was cancelled because it would not be permitted now."""
    return Outcome(status="cancelled", error=f"withdrawn {reason}", duration=duration)


def untold(sentence: str, code: int = REFUSED) -> Failure:
    """Of a request that is in no log, or stands there as what it was: this is for the client alone."""
    return Failure(code, sentence, _UNTOLD)


class Endings:
    """Ends the requests of one session."""

    def __init__(self, gate: Gate, requests: Requests, asked: Asked) -> None:
        self._gate = gate
        self._requests = requests
        self._asked = asked

    def release(self, pending: Pending, ended: Outcome, route: Route, deliver: Deliver) -> None:
        """Record the outcome of a permitted call, then deliver its answer; withhold it if that failed."""
        deliver = pending.answered or deliver
        then = partial(_ended, pending, ended, route, deliver)
        if pending.permits:
            self.conclude(pending, lambda _: ended, then)
        elif pending.decision is None:
            _trace(pending, ended)
            deliver(route)
        else:
            self._gate.turn.settle(pending.decision, ended, then)

    def record(self, pending: Pending, ended: Outcome) -> None:
        """Record the outcome of a permitted call that nobody waits for."""
        _trace(pending, ended)
        self.conclude(pending, lambda _: ended, _nobody)
        if pending.decision is not None:
            self._gate.turn.settle(pending.decision, ended, _nobody)

    def conclude(self, pending: Pending, ended: Callable[[str], Outcome], then: Settled) -> None:
        """Record the outcome of each permit of a `subscriptions/listen`, by its URI; `then` is called with
        whether all of them are durable, if there are any."""
        permits, pending.permits = pending.permits, {}
        durable: list[bool] = []

        def settled(one: bool) -> None:
            durable.append(one)
            if len(durable) == len(permits):
                then(all(durable))

        for uri, permit in permits.items():
            self._gate.turn.settle(permit.decision, ended(uri), settled)

    def fail(self, key: object, failure: Failure, deliver: Deliver) -> None:
        """Answer a request in the server's place: a `Forward`, or None for one that is not under way."""
        pending = self._requests.close(key)
        if pending is None or pending.cancelled:
            deliver(None)
            return
        # Should its decision still come, the call is not forwarded any more.
        pending.cancelled = True
        self.end(pending, failure, deliver)

    def end(self, pending: Pending, failure: Failure, deliver: Deliver) -> None:
        """The same for a request that has been taken out."""
        ended = failure.ended if pending.forwarded else NOT_FORWARDED
        ended = msgspec.structs.replace(ended, duration=self.duration(pending))
        told = failure.told or error(pending.message.id, failure.code, failure.sentence, failure.data)
        route = Forward(told, pending.message)
        self.release(pending, ended, route, deliver)

    def fail_all(self, failure: Failure, deliver: Deliver) -> None:
        """Answer everything under way in the server's place; nor will the client answer what it was asked."""
        for key, _ in self._requests.items():
            self.fail(key, failure, deliver)
        for question in self._asked.close_all():
            if question.decision is not None:
                self._gate.turn.settle(question.decision, failure.ended, _nobody)

    def expire(self, deliver: Deliver, give_up: Callable[[int, Pending], None]) -> float | None:
        """Fail what has waited longer than the time limit; when to look again, in event-loop time.

        `give_up` is called with each, and its key, for the server to be told.
        """
        limit = self._gate.call_timeout
        for key, pending in self._requests.items():
            if pending.waits or (pending.message.method in ENDLESS and not pending.cancelled):
                continue
            if pending.started + limit > self._gate.now():
                return pending.started + limit
            if not pending.cancelled:
                give_up(key, pending)
            self.fail(key, timed_out(limit), deliver)
        return None

    def duration(self, pending: Pending) -> int:
        """Microseconds since the request arrived."""
        return int((self._gate.now() - pending.started) * 1_000_000)


def _trace(pending: Pending, ended: Outcome) -> None:
    if pending.trace is not None:
        pending.trace.ended(ended)


def _ended(pending: Pending, ended: Outcome, route: Route, deliver: Deliver, durable: bool) -> None:
    _trace(pending, ended if durable else _UNRECORDED)
    settled(pending, route, deliver, durable)


def settled(pending: Pending, route: Route, deliver: Deliver, durable: bool) -> None:
    """Deliver an answer if its outcome is durable, and withhold it otherwise."""
    if durable:
        deliver(route)
        return
    sentence = "The call was executed, but its outcome could not be recorded, so its result is withheld."
    deliver(Forward(error(pending.message.id, INTERNAL_ERROR, sentence), pending.message))


def _nobody(_durable: bool) -> None:
    """Nobody waits for this outcome."""
