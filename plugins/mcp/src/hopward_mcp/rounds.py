"""Calls that take several rounds: a server of 2026-07-28 wants something of a client that knows no rounds.

The server answers `input_required` (2026-07-28, basic/utilities/mrtr); the client is asked as servers of its
era ask, and once it has answered everything, the call is made again with the answers and the server's state,
which nobody else has seen. To the judge each round is a call of its own.
"""

import asyncio
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from hopward_mcp.endings import GONE, MALFORMED, Failure, untold
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import (
    INVALID_REQUEST,
    REFUSED,
    TIMED_OUT,
    Body,
    Message,
    MessageError,
    MessageId,
    dump,
    error,
)
from hopward_mcp.older_form import Envelope, notification, older_error, older_params, older_result
from hopward_mcp.older_shapes import ASKING
from hopward_mcp.results import without_own_meta
from hopward_mcp.way import Way

_MOST = 1_024
"""Calls that one client may have under way."""
_MOST_ROUNDS: Final = 10
_MOST_ASKED: Final = 64
"""Rounds of one call, and requests to the client in one round."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.25
"""Seconds before a round for which the server wants nothing but to be asked again."""

_REFUSED = untold("The client did not do what the server asked it for.")
_STRAY = MessageError(REFUSED, "unasked_answer", "This answers no request of the server.")


@dataclass(slots=True)
class Call:
    """A request of the client from its arrival to its answer.

    `asked` is what the client still has to answer, by our ids, with the server's keys; `consented` the
    elicitations of a URL that it has agreed to. `timer` runs between two rounds only. `attended` is whether
    the client can still be asked.
    """

    message: Message
    way: Way
    round: int = 0
    asked: dict[MessageId, str] = field(default_factory=dict[MessageId, str])
    answers: dict[str, Body] = field(default_factory=dict[str, Body])
    state: str | None = None
    pause: float = _FIRST_PAUSE
    timer: asyncio.TimerHandle | None = None
    elicitations: dict[MessageId, str] = field(default_factory=dict[MessageId, str])
    consented: list[str] = field(default_factory=list[str])
    attended: bool = True


class Rounds:
    """The requests of one older client that are under way, however many rounds they take."""

    def __init__(self, gate: Gate, envelope: Envelope) -> None:
        self._gate = gate
        self._envelope = envelope
        self._calls: dict[MessageId, Call] = {}
        self._asked: dict[MessageId, Call] = {}
        self._loop = asyncio.get_running_loop()

    def begin(self, message: Message, way: Way) -> None:
        """Make a request of the client's; raises `MessageError` for an id that is in use."""
        if message.id is None or message.id in self._calls:
            raise MessageError(INVALID_REQUEST, "id_in_use", "Another request with this id is under way.")
        if len(self._calls) >= _MOST:
            raise MessageError(REFUSED, "too_many", "Too many requests are under way.", message.id)
        self._calls[message.id] = Call(message, way)
        way.ask(self._envelope.around(message))

    def came(self, body: Body) -> None:
        """A round has been answered: the next one begins, or the client gets its answer."""
        call = self._calls.get(body["id"])
        if call is None:
            return
        result: Body | None = body.get("result")
        if result is None:
            self._end(call, dump({**body, "error": older_error(call.message, body["error"])}))
            return
        kind = result.get("resultType", "complete")
        if kind == "complete":
            self._complete(call, body, result)
        elif kind == "input_required" and call.message.method in ASKING:
            self._next(call, result)
        else:
            sentence = "The server answered in a form that the client's protocol version does not know."
            self._refuse(call, MessageError(REFUSED, "unknown_form", sentence))

    def unanswered(self, message_id: MessageId, failure: Failure) -> None:
        """A round will not be answered any more."""
        call = self._calls.get(message_id)
        if call is not None:
            self._fail(call, failure)

    def answered(self, message: Message) -> None:
        """The client has answered one thing it was asked; raises `MessageError` if it was not."""
        call = self._asked.pop(message.id, None) if message.id is not None else None
        if call is None:
            raise _STRAY
        key = call.asked.pop(cast("MessageId", message.id))
        elicitation = call.elicitations.pop(cast("MessageId", message.id), "")
        result: Body | None = message.body.get("result")
        if result is None:
            self._fail(call, _REFUSED)
            return
        if elicitation and result.get("action") == "accept":
            call.consented.append(elicitation)
        call.answers[key] = without_own_meta(result)
        if not call.asked:
            self._again(call)

    def cancel(self, cancelled: Message) -> None:
        """The client gives up a request (`notifications/cancelled`): it gets no answer."""
        message_id = cancelled.params.get("requestId")
        call = self._calls.get(message_id) if isinstance(message_id, int | str) else None
        if call is None:
            return
        waiting = call.timer is not None
        self._withdraw(call, "The request was cancelled.")
        self._close(call)
        if not waiting:
            call.way.give_up(cancelled)
        call.way.answer(None)

    def unattended(self, message_id: MessageId) -> None:
        """The client cannot be asked about a request any more. A round under way still ends by itself."""
        call = self._calls.get(message_id)
        if call is not None:
            call.attended = False
            if call.timer is not None:
                self._fail(call, GONE)

    def leave(self) -> None:
        """The client cannot be asked anything any more."""
        for message_id in list(self._calls):
            self.unattended(message_id)

    def close(self) -> None:
        """Give up everything: nobody gets an answer."""
        for call in list(self._calls.values()):
            self.cancel(notification("notifications/cancelled", {"requestId": call.message.id}))

    def _next(self, call: Call, wanted: Body) -> None:
        """Begin what has to happen before the next round."""
        # That it is an object of requests which the server may send, the judge has seen.
        asked: Body = wanted.get("inputRequests") or {}
        state = wanted.get("requestState")
        call.round += 1
        if not isinstance(state, str | None) or not (asked or state is not None):
            self._fail(call, MALFORMED)
        elif call.round > _MOST_ROUNDS or len(asked) > _MOST_ASKED:
            sentence = "The server asked for too much before it answered."
            self._refuse(call, MessageError(REFUSED, "too_many_rounds", sentence))
        elif not call.attended:
            self._fail(call, GONE)
        else:
            call.state, call.answers = state, {}
            self._ask(call, asked)

    def _ask(self, call: Call, asked: Body) -> None:
        if not asked:
            call.timer = self._loop.call_later(call.pause, self._again, call)
            call.pause = min(call.pause * 2, _LONGEST_PAUSE)
            return
        for entry in asked.values():
            method, params = entry["method"], entry.get("params", {})
            if not isinstance(params, dict):
                self._fail(call, MALFORMED)
                return
            if not self._envelope.supports(method, cast("Body", params)):
                sentence = f"The server asked for {str(method)[:40]}, which the client does not offer."
                self._refuse(call, MessageError(REFUSED, "not_offered", sentence))
                return
        limit = self._gate.call_timeout
        call.timer = self._loop.call_later(limit, partial(self._fail, call, _late(limit)))
        call.pause = _FIRST_PAUSE
        for key, entry in asked.items():
            self._ask_one(call, key, entry["method"], entry.get("params", {}))

    def _ask_one(self, call: Call, key: str, method: str, params: Body) -> None:
        message_id = next(self._gate.keys)
        call.asked[message_id] = key
        self._asked[message_id] = call
        params = older_params(without_own_meta(params))
        if params.get("mode") == "url":
            # 2025-11-25 wants a name for it, by which to say that it is over.
            call.elicitations[message_id] = secrets.token_urlsafe(16)
            params = {**params, "elicitationId": call.elicitations[message_id]}
        call.way.tell(dump({"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}))

    def _again(self, call: Call) -> None:
        """The next round: the same request, with what the server wanted."""
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        more: Body = {}
        if call.answers:
            more["inputResponses"] = call.answers
        if call.state is not None:
            more["requestState"] = call.state
        call.way.ask(self._envelope.around(call.message, **more))

    def _complete(self, call: Call, body: Body, result: Body) -> None:
        for elicitation in call.consented:
            over = notification("notifications/elicitation/complete", {"elicitationId": elicitation})
            call.way.tell(dump(over.body))
        self._end(call, dump({**body, "result": older_result(call.message.method, result)}))

    def _refuse(self, call: Call, fault: MessageError) -> None:
        """End a call because of what the server wants; its rounds stand in the log with their outcomes."""
        self._gate.note(fault.reason, fault.sentence, call.way.chain)
        self._fail(call, untold(fault.sentence))

    def _fail(self, call: Call, failure: Failure) -> None:
        self._withdraw(call, failure.sentence)
        self._end(call, error(call.message.id, failure.code, failure.sentence, failure.data))

    def _end(self, call: Call, body: bytes) -> None:
        self._close(call)
        call.way.answer(body)

    def _withdraw(self, call: Call, why: str) -> None:
        """What the client has not answered yet it need not answer any more."""
        for message_id in call.asked:
            params: dict[str, Any] = {"requestId": message_id, "reason": why}
            call.way.tell(dump(notification("notifications/cancelled", params).body))

    def _close(self, call: Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        for message_id in call.asked:
            self._asked.pop(message_id, None)
        call.asked.clear()
        self._calls.pop(cast("MessageId", call.message.id), None)


def _late(limit: int) -> Failure:
    return untold(f"The client did not answer the server within {limit} s.", TIMED_OUT)
