"""What a server sends: answers only to what was forwarded, requests and notifications only as allowed.

Half of the proxy's per-message boundary: whatever fails while a message is judged withholds that message,
and the proxy keeps serving.
"""

import logging
from functools import partial

from hopward import Outcome
from hopward_mcp.carried import reachable
from hopward_mcp.endings import MALFORMED, Endings, Failure, failed
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import METHOD_NOT_FOUND, REFUSED, Body, Message, MessageError, dump
from hopward_mcp.methods import LISTINGS, SERVER_NOTIFICATIONS
from hopward_mcp.pending import Asked, Pending, Requests
from hopward_mcp.results import (
    filtered,
    outcome,
    unasked_inputs,
    with_subscription,
    without_own_meta,
    without_tasks,
)
from hopward_mcp.route import LATER, Deliver, Forward, Later, Route

_log = logging.getLogger(__name__)


class ServerSide:
    """Judges the server's messages of one session."""

    def __init__(
        self, gate: Gate, requests: Requests, asked: Asked, endings: Endings, *, shared: bool = False
    ) -> None:
        self._gate = gate
        self._requests = requests
        self._asked = asked
        self._endings = endings
        self._shared = shared
        self._concealed = gate.concealment.concealed

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
            route = self._route(message, deliver, answered)
        except MessageError as fault:
            self._gate.turn_away(fault, None)
            deliver(None)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a message of the server could not be judged")
            self._endings.fail(answered, MALFORMED, deliver)
        else:
            if not isinstance(route, Later):
                deliver(route)

    def _route(self, message: Message, deliver: Deliver, answered: object) -> Route | Later:
        if message.kind == "response":
            return self._response(message, deliver, answered)
        if message.kind == "request":
            return self._request(message)
        return self._notification(message)

    def _response(self, message: Message, deliver: Deliver, key: object) -> Route | Later:
        pending = self._requests.get(key)
        if pending is None or not pending.forwarded:
            raise MessageError(REFUSED, "unasked_answer", "The server answers no forwarded request.")
        if pending.cancelled:
            self._requests.close(key)
            return None
        body: Body = {**message.body, "id": pending.message.id}
        if "result" in body:
            result = self._result(pending, message.body["result"])
            asked = unasked_inputs(result, self._gate.server_requests)
            if asked:
                self._endings.fail(key, _asks_too_much(asked), deliver)
                return LATER
            body["result"] = result
        whole = dump(body)
        shown = self._concealed(whole)
        if shown is not whole:
            body = self._gate.read_server(shown).body
        ended = outcome(body, self._endings.duration(pending)) if pending.decision else _UNRECORDED
        self._requests.close(key)
        self._endings.release(pending, ended, Forward(shown, message), deliver)
        return LATER

    def _result(self, pending: Pending, result: Body) -> Body:
        method, gate = pending.message.method, self._gate
        result = with_subscription(without_own_meta(result), self._client_id)
        if method in LISTINGS:
            return filtered(method, result, partial(reachable, gate.guard, pending.chain, gate.server))
        return without_tasks(result) if method in ("initialize", "server/discover") else result

    def _request(self, message: Message) -> Route:
        if message.method not in self._gate.server_requests:
            sentence = "The server may not send this request to the client."
            return self._gate.turn_away(
                MessageError(METHOD_NOT_FOUND, "server_request", sentence, message.id), None
            )
        key = next(self._gate.keys)
        self._asked.open(key, message)
        body = _with_params({**message.body, "id": key}, message, message.params)
        return Forward(self._concealed(dump(body)), message, key)

    def _notification(self, message: Message) -> Route:
        if message.method not in SERVER_NOTIFICATIONS:
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
        asked = self._asked.key(request_id)
        return self._client_id(request_id) if asked is None else asked


_UNRECORDED = Outcome(status="ok")
"""Of a request that needed no decision: never written."""


def _asks_too_much(methods: list[str]) -> Failure:
    sentence = f"The server asked the client for {', '.join(methods)[:200]}, which it may not."
    return failed(sentence, "server_request")


def _with_params(body: Body, message: Message, params: Body) -> Body:
    """A body with these params, without our own `_meta` keys."""
    params = without_own_meta(params)
    return body if params is message.params else {**body, "params": params}
