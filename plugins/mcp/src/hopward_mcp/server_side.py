"""What a server sends: answers only to what was forwarded, requests and notifications only as allowed.

Half of the proxy's per-message boundary: whatever fails while a message is judged withholds that message,
and the proxy keeps serving.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import msgspec

from hopward import Decision, HopwardError, Outcome, ToolCall
from hopward_mcp.carried import reachable
from hopward_mcp.endings import MALFORMED, NOT_FORWARDED, Endings, Failure, failed, settled
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    REFUSED,
    Body,
    Message,
    MessageError,
    dump,
    error,
)
from hopward_mcp.mcp_tasks import is_task_id, made_id, makes_task
from hopward_mcp.methods import LISTINGS, REQUEST_PREFIX, SUBSCRIPTION_KEY, TASK_NOTIFICATIONS
from hopward_mcp.observing import marked
from hopward_mcp.pending import Pending, Requests
from hopward_mcp.questions import Questions, named_inputs
from hopward_mcp.replies import REFUSED_KEY
from hopward_mcp.results import (
    filtered,
    outcome,
    with_subscription,
    without_own_meta,
)
from hopward_mcp.route import LATER, Deliver, Forward, Later, Reply, Route
from hopward_mcp.subscribing import ACKNOWLEDGED, acknowledged, taken

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
        self.shared = shared
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
        if message.method in TASK_NOTIFICATIONS:
            return self._of_task(message, key, deliver)
        if message.method == ACKNOWLEDGED:
            return self._acknowledged(message, deliver)
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
            failure = _UNREADABLE if found is None else self._unkept(pending, body["result"])
            if found is None or failure is not None:
                self._endings.fail(key, failure or _UNREADABLE, deliver)
                return LATER
            body["result"], inputs = marked(found[0], pending.decision), found[1]
        whole = dump(body)
        shown = self._concealed(whole)
        if shown is not whole:
            body = self._gate.read_server(shown).body
        self._requests.close(key)
        if self.on_answer is not None and pending.answered is None:
            self.on_answer(pending, message)
        release = self._release(pending, body, Forward(shown, message), deliver)
        if inputs:
            self._questions.inputs(pending.chain, inputs, partial(self._asks, pending, release, deliver))
        else:
            release()
        return LATER

    def _release(self, pending: Pending, body: Body, route: Forward, deliver: Deliver) -> Callable[[], None]:
        """What records the outcome that an answer tells of, and then delivers it."""
        endings, tasks, task = self._endings, self._gate.mcp_tasks, pending.mcp_task
        if task is not None and pending.decision is None:
            final = tasks.end_of(task, pending.message.method, body)
            if final is not None:
                return partial(tasks.conclude, task, final, partial(settled, pending, route, deliver))
        decided = pending.decision is not None or pending.permits
        ended = outcome(body, endings.duration(pending)) if decided else _UNRECORDED
        if ended.status == "ok" and pending.decision is not None and pending.call is not None:
            kept = self._gate.guard.values(pending.decision, pending.call, body["result"])
            ended = msgspec.structs.replace(ended, values=kept)
        if "result" in body and makes_task(pending.message, body["result"]):
            ended = msgspec.structs.replace(ended, status="unknown", error="mcp_task_made")
        return partial(endings.release, pending, ended, route, deliver)

    def _unkept(self, pending: Pending, result: Body) -> Failure | None:
        """Why a result cannot be shown that is about an MCP task; of one that it makes, note whose it is."""
        tasks, message = self._gate.mcp_tasks, pending.message
        if message.method == "tasks/result":
            # It may have been waited for until long after the request was judged.
            open_to = tasks.reachable(pending.chain, [message.params.get("taskId")])
            return None if open_to else _NO_SUCH_TASK
        if pending.decision is None or not makes_task(message, result):
            return None
        made = made_id(result)
        if not (isinstance(made, str) and is_task_id(made)):
            return MALFORMED
        try:
            return None if tasks.keep(pending, made) else _UNKEPT
        except HopwardError as error:
            _log.error("%s", error.message)
            return _UNKEPT

    def _asks(
        self,
        pending: Pending,
        release: Callable[[], None],
        deliver: Deliver,
        decisions: Sequence[Decision | None],
    ) -> None:
        """A result goes out with the requests it names, all of them permitted, or not at all."""
        if self._all_permitted(decisions):
            release()
        else:
            refused = next(one for one in decisions if one is None or not one.permitted)
            self._endings.end(pending, _asks_too_much(refused), deliver)

    def _all_permitted(self, decisions: Sequence[Decision | None]) -> bool:
        """Whether all was permitted; the outcome of what was is recorded."""
        permitted = [one for one in decisions if one is not None and one.permitted]
        all_of_it = len(permitted) == len(decisions)
        for one in permitted:
            self._gate.turn.settle(one, _ASKED if all_of_it else NOT_FORWARDED, _nobody)
        return all_of_it

    def _result(self, pending: Pending, result: Body) -> Body:
        method, gate = pending.message.method, self._gate
        result = with_subscription(without_own_meta(result), self._client_id)
        if method == "tools/list":
            self._define(pending, result)
        if method in LISTINGS:
            return filtered(method, result, partial(reachable, gate.guard, pending.chain, gate.server))
        if method == "initialize":
            self._requests.version = str(result.get("protocolVersion", ""))
        return gate.mcp_tasks.listed(result, pending.chain) if method == "tasks/list" else result

    def _define(self, pending: Pending, result: Body) -> None:
        """Have the guard compare what the server says of its tools with what counts."""
        cursor, following = pending.message.params.get("cursor"), result.get("nextCursor")
        self._gate.guard.pins.listed(
            self._gate.server,
            result["tools"] if isinstance(result.get("tools"), list) else [],
            cursor if isinstance(cursor, str) else "",
            following if isinstance(following, str) else "",
        )

    def _notification(self, message: Message, own_meta: Body | None = None) -> Route:
        if message.method not in self._gate.server_notifications:
            raise MessageError(METHOD_NOT_FOUND, "unknown_notification", "A notification was not allowed.")
        params = with_subscription(message.params, self._client_id)
        if message.method == "notifications/cancelled":
            own = self._given_up(params.get("requestId"))
            if own is None:
                return None
            params = {**params, "requestId": own}
        elif self.shared and message.method == "notifications/progress":
            params = {**params, "progressToken": self._progress_token(params.get("progressToken"))}
        body = _with_params(message.body, message, params)
        if own_meta:
            told: Body = body["params"]
            body = {**body, "params": {**told, "_meta": {**told["_meta"], **own_meta}}}
        return Forward(self._concealed(dump(body)), message)

    def _acknowledged(self, message: Message, deliver: Deliver) -> Route | Later:
        """A listen stands: what has become of each MCP resource that it was permitted is recorded first."""
        key = cast("Body", message.params.get("_meta", {})).get(SUBSCRIPTION_KEY)
        pending = self._requests.get(key)
        refused = {REFUSED_KEY: pending.refused} if pending is not None and pending.refused else {}
        route = self._notification(message, refused)
        if pending is None or pending.cancelled or not pending.permits:
            return route

        def settled(durable: bool) -> None:
            if durable:
                deliver(route)
            else:
                self._endings.fail(key, _UNRECORDED_LISTEN, deliver)

        ended = partial(acknowledged, taken(message.params), self._endings.duration(pending))
        self._endings.conclude(pending, ended, settled)
        # At once: what the server tells next must not overtake this.
        self._gate.turn.flush()
        return LATER

    def _of_task(self, message: Message, key: int | None, deliver: Deliver) -> Route | Later:
        """How an MCP task stands: for whose it is, with what it asks decided, and its end recorded."""
        tasks = self._gate.mcp_tasks
        meta: Body = message.params.get("_meta", {})
        listener = self._requests.get(meta.get(SUBSCRIPTION_KEY))
        chains = [listener.chain] if listener is not None else self._questions.behalf.chains(key)
        task_id = message.params.get("taskId")
        owner = next((chain for chain in chains if tasks.reachable(chain, [task_id])), None)
        if owner is None:
            raise MessageError(REFUSED, "mcp_task_unknown", "A notification is of a task of nobody here.")
        found = named_inputs(self._gate.server, with_subscription(message.params, self._client_id))
        if found is None:
            raise MessageError(REFUSED, "server_request", "A notification can be read in two ways.")
        params, inputs = found
        body = _with_params(message.body, message, params)
        route = Forward(self._concealed(dump(body)), message)
        (task,) = tasks.reachable(owner, [task_id]).values()
        final = tasks.end_of(task, message.method, {"result": params})
        if final is not None:
            tasks.conclude(task, final, lambda durable: deliver(route if durable else None))
        elif inputs:
            self._questions.inputs(owner, inputs, partial(self._told, route, deliver))
        else:
            return route
        return LATER

    def _told(self, route: Forward, deliver: Deliver, decisions: Sequence[Decision | None]) -> None:
        """A notification goes out with the requests it names, all of them permitted, or not at all."""
        deliver(route if self._all_permitted(decisions) else None)

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
_UNKEPT = Failure(
    REFUSED,
    "The call was executed, but whose task has become of it could not be noted, so it is withheld.",
    Outcome(status="unknown", error="mcp_task_unrecorded"),
)
_UNRECORDED_LISTEN = failed(
    "The server has subscribed, but that could not be recorded, so nothing of it is shown.", "unrecorded"
)
_NO_SUCH_TASK = Failure(
    INVALID_PARAMS, "There is no such task.", Outcome(status="error", error="mcp_task_unknown")
)
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
