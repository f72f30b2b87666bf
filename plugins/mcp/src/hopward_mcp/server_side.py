"""What a server sends: answers only to what was forwarded, requests and notifications only as allowed.

Half of the proxy's per-message boundary: whatever fails while a message is judged withholds that message,
and the proxy keeps serving.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from hopward import Decision, Outcome, ToolCall
from hopward_mcp.carried import reachable
from hopward_mcp.endings import MALFORMED, NOT_FORWARDED, Endings, Failure, failed
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    REFUSED,
    Body,
    Message,
    MessageError,
    dump,
    error,
)
from hopward_mcp.methods import LISTINGS, REQUEST_PREFIX
from hopward_mcp.pending import Pending, Requests
from hopward_mcp.questions import Questions, named_inputs
from hopward_mcp.results import (
    filtered,
    outcome,
    with_subscription,
    without_own_meta,
    without_tasks,
)
from hopward_mcp.route import LATER, Deliver, Forward, Later, Reply, Route

_log = logging.getLogger(__name__)


class ServerSide:
    """Judges the server's messages of one session."""

    def __init__(
        self, gate: Gate, requests: Requests, questions: Questions, endings: Endings, *, shared: bool = False
    ) -> None:
        self._gate = gate
        self._requests = requests
        self._questions = questions
        self._endings = endings
        self._shared = shared
        self._concealed = gate.concealment.concealed
        self.on_answer: Callable[[Pending, Message], None] | None = None

    def judge(self, raw: bytes, deliver: Deliver, key: int | None = None) -> None:
        """Judge one message; `key` is the request whose stream it came on, where the transport knows it.

        A `Forward` goes to the client, a `Reply` back to the server.
        """
        try:
            message = self._gate.read_server(raw)
        except MessageError as fault:
            self._gate.turn_away(fault, None)
            self._endings.fail(fault.id if key is None else key, MALFORMED, deliver)
            return
        self.judge_read(message, deliver, key)

    def judge_read(self, message: Message, deliver: Deliver, key: int | None = None) -> None:
        """Judge one message that has been read, where it had to be read to know whose it is."""
        answered: object = key
        if message.kind == "response" and message.id is not None:
            answered = message.id
        try:
            route = self._route(message, deliver, answered, key)
        except MessageError as fault:
            reply = self._gate.turn_away(fault, None)
            deliver(reply if message.kind == "request" else None)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a message of the server could not be judged")
            if message.kind == "request":
                told = "Hopward could not handle this message."
                deliver(Reply(error(message.id, INTERNAL_ERROR, told), INTERNAL_ERROR))
            else:
                self._endings.fail(answered, MALFORMED, deliver)
        else:
            if not isinstance(route, Later):
                deliver(route)

    def _route(self, message: Message, deliver: Deliver, answered: object, key: int | None) -> Route | Later:
        if message.kind == "response":
            return self._response(message, deliver, answered)
        if message.kind == "request":
            return self._questions.ask(message, key, deliver)
        return self._notification(message)

    def _response(self, message: Message, deliver: Deliver, key: object) -> Route | Later:
        pending = self._requests.get(key)
        if pending is None or not pending.forwarded:
            raise MessageError(REFUSED, "unasked_answer", "The server answers no forwarded request.")
        if pending.cancelled:
            self._requests.close(key)
            return None
        body: Body = {**message.body, "id": pending.message.id}
        inputs: list[ToolCall] = []
        if "result" in body:
            body["result"] = self._result(pending, message.body["result"])
            found = named_inputs(self._gate.server, body["result"])
            if found is None:
                self._endings.fail(key, _UNREADABLE, deliver)
                return LATER
            body["result"], inputs = found
        whole = dump(body)
        shown = self._concealed(whole)
        if shown is not whole:
            body = self._gate.read_server(shown).body
        ended = outcome(body, self._endings.duration(pending)) if pending.decision else _UNRECORDED
        self._requests.close(key)
        if self.on_answer is not None and pending.answered is None:
            self.on_answer(pending, message)
        release = partial(self._endings.release, pending, ended, Forward(shown, message), deliver)
        if inputs:
            self._questions.inputs(pending.chain, inputs, partial(self._asks, pending, release, deliver))
        else:
            release()
        return LATER

    def _asks(
        self,
        pending: Pending,
        release: Callable[[], None],
        deliver: Deliver,
        decisions: Sequence[Decision | None],
    ) -> None:
        """A result goes out with the requests it names, all of them permitted, or not at all."""
        refused = [one for one in decisions if one is None or not one.permitted]
        ended = NOT_FORWARDED if refused else _ASKED
        for one in decisions:
            if one is not None and one.permitted:
                self._gate.turn.settle(one, ended, _nobody)
        if refused:
            self._endings.end(pending, _asks_too_much(refused[0]), deliver)
        else:
            release()

    def _result(self, pending: Pending, result: Body) -> Body:
        method, gate = pending.message.method, self._gate
        result = with_subscription(without_own_meta(result), self._client_id)
        if method in LISTINGS:
            return filtered(method, result, partial(reachable, gate.guard, pending.chain, gate.server))
        return without_tasks(result) if method in ("initialize", "server/discover") else result

    def _notification(self, message: Message) -> Route:
        if message.method not in self._gate.server_notifications:
            raise MessageError(METHOD_NOT_FOUND, "unknown_notification", "A notification was not allowed.")
        params = with_subscription(message.params, self._client_id)
        if message.method == "notifications/cancelled":
            own = self._given_up(params.get("requestId"))
            if own is None:
                return None
            params = {**params, "requestId": own}
        elif self._shared and message.method == "notifications/progress":
            params = {**params, "progressToken": self._progress_token(params.get("progressToken"))}
        body = _with_params(message.body, message, params)
        return Forward(self._concealed(dump(body)), message)

    def _client_id(self, key: object) -> object | None:
        pending = self._requests.get(key)
        return None if pending is None else pending.message.id

    def _progress_token(self, key: object) -> object:
        """The token under which the client has asked for the progress of its request."""
        pending = self._requests.get(key)
        asked: Body = pending.message.params.get("_meta", {}) if pending is not None else {}
        if "progressToken" not in asked:
            raise MessageError(REFUSED, "unasked_answer", "Nobody asked for this progress.")
        return asked["progressToken"]

    def _given_up(self, request_id: object) -> object | None:
        """The id under which the client knows what the server gives up: the server's request or its own."""
        asked = self._questions.give_up(request_id)
        return self._client_id(request_id) if asked is None else asked


_UNRECORDED = Outcome(status="ok")
"""Of a request that needed no decision: never written."""


_ASKED = Outcome(status="ok")
"""Of a request that a result names: it goes to the client with it, which answers in its next call."""
_UNREADABLE = failed("The server asked the client in a form that can be read in two ways.", "server_request")


def _asks_too_much(refused: Decision | None) -> Failure:
    """The answer to a call whose result asks the client for something that is not permitted."""
    if refused is None:
        return failed(
            "The server asked the client for something on which no decision was reached.", "server_request"
        )
    verdict, asked = refused.verdict, refused.tool.removeprefix(REQUEST_PREFIX)
    sentence = f"The server asked the client for {asked}. {verdict.sentence} Decision {refused.id}."
    data = {"decision": refused.id, "verdict": verdict.name, "reason": verdict.reason}
    return replace(failed(sentence, "server_request"), data=data)


def _nobody(_durable: bool) -> None:
    """Its call waits for both outcomes."""


def _with_params(body: Body, message: Message, params: Body) -> Body:
    """A body with these params, without our own `_meta` keys."""
    params = without_own_meta(params)
    return body if params is message.params else {**body, "params": params}
