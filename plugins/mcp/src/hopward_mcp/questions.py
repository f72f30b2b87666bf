"""What a server asks of its client: each request is a decision of its own before it goes out.

In 2025-11-25 and older a server sends requests, and their outcome is the client's answer. In 2026-07-28 its
result names them (`inputRequests`), all or none of them go out with it, and the client answers in its next
call.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias, cast

import msgspec

from hopward import Chain, Decision, HopwardError, Outcome, ToolCall
from hopward_mcp.behalf import Behalf
from hopward_mcp.client_tasks import LIST, ClientTasks
from hopward_mcp.endings import WITHDRAWN, withdrawn_outcome
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    REFUSED,
    Body,
    Message,
    MessageError,
    MessageId,
    dump,
    error,
)
from hopward_mcp.methods import REQUEST_PREFIX, SERVER_REQUESTS, is_method, without_meta
from hopward_mcp.pending import Asked, Question, Requests
from hopward_mcp.replies import turned_down
from hopward_mcp.results import outcome, without_own_meta
from hopward_mcp.route import LATER, Deliver, Forward, Later, Route

_log = logging.getLogger(__name__)

_MOST_INPUTS = 64
"""Requests that one result may name."""
_REMEMBERED = 256
"""Requests given up by the server that are remembered: the client may answer them all the same."""

Inputs: TypeAlias = Callable[[Sequence[Decision | None]], None]
"""Called once with a decision for each request that a result names."""


class Questions:
    """Judges what the server asks in one session, and the client's answers."""

    def __init__(self, gate: Gate, requests: Requests, asked: Asked) -> None:
        self.behalf = Behalf(gate, requests)
        self.tasks = ClientTasks(gate)
        self._gate = gate
        self._asked = asked
        self._given_up: deque[MessageId] = deque(maxlen=_REMEMBERED)

    def ask(self, message: Message, key: int | None, deliver: Deliver) -> Route | Later:
        """Judge a request of the server; `key` is as in `Behalf.of`. Raises `MessageError`."""
        gate = self._gate
        own = next(gate.keys)
        question = Question(message, gate.now())
        question.task = self.tasks.asked(message)
        if question.task or message.method in SERVER_REQUESTS or self.tasks.may_list(message):
            self._asked.open(own, question)
            return self._forward(own, question)
        call = question_call(gate.server, message.method, message.params)
        if call is None:
            sentence = "The server may not send this request to the client."
            raise MessageError(METHOD_NOT_FOUND, "server_request", sentence, message.id)
        chain = self.behalf.of(message, key)
        question.call = call
        self._asked.open(own, question)
        gate.turn.authorize(call, chain, partial(self._decided, own, question, deliver))
        # At once: what the server sends next must not overtake what it asks, nor an answer come before it.
        gate.turn.flush()
        return LATER

    def answer(self, message: Message, deliver: Deliver) -> Route | Later:
        """Judge an answer of the client; raises `MessageError` for one that nobody asked for."""
        question = self._asked.get(message.id)
        if question is None:
            if message.id in self._given_up:
                self._given_up.remove(message.id)
                return None
            raise MessageError(REFUSED, "unasked_answer", "This answers no request of the server.")
        self._asked.close(message.id)
        body: Body = {**message.body, "id": question.message.id}
        if "result" in body:
            body["result"] = without_own_meta(body["result"])
            if question.message.method == LIST:
                body["result"] = self.tasks.listed(body["result"])
        reason = self._withdrawn(question.decision)
        if question.decision is not None and reason:
            # What the client has answered does not reach the server.
            ended = withdrawn_outcome(reason, self._duration(question))
            withheld = Forward(error(question.message.id, REFUSED, WITHDRAWN), message)
            settled = partial(_settled, question, withheld, deliver)
            self._gate.turn.settle(question.decision, ended, settled)
            return LATER
        route = Forward(dump(body), message)
        return self._concluded(question, body, route, deliver)

    def _withdrawn(self, decision: Decision | None) -> str:
        """Why what the client was asked on has ended, if it has."""
        if decision is None:
            return ""
        try:
            why = self._gate.guard.withdrawn(decision)
        except HopwardError as failure:
            return failure.error
        return "" if why is None else why[0]

    def _concluded(self, question: Question, body: Body, route: Forward, deliver: Deliver) -> Route | Later:
        """The answer, once what it tells of an outcome is recorded."""
        settle, task = self._gate.turn.settle, question.task
        settled = partial(_settled, question, route, deliver)
        if question.decision is not None and question.call is not None:
            ended = outcome(body, self._duration(question))
            tasked = "result" in body and "task" in question.message.params
            if tasked and self.tasks.keep(question.call, question.decision, body["result"]):
                ended = msgspec.structs.replace(ended, status="unknown", error="mcp_task_made")
            settle(question.decision, ended, settled)
            return LATER
        final = None if task is None else self._gate.mcp_tasks.end_of(task, question.message.method, body)
        if task is None or final is None:
            return route

        def over(durable: bool) -> None:
            if durable:
                self.tasks.end(task)
            settled(durable)

        settle(task.decision, final, over)
        return LATER

    def give_up(self, request_id: object) -> MessageId | None:
        """Our id of a request that the server gives up; None where it has asked nothing of that id."""
        key = self._asked.key(request_id)
        question = self._asked.close(key)
        if key is None or question is None:
            return None
        self._given_up.append(key)
        if question.decision is not None:
            ended = Outcome(status="cancelled", duration=self._duration(question))
            self._gate.turn.settle(question.decision, ended, _nobody)
        return key

    def inputs(self, chain: Chain, calls: Sequence[ToolCall], then: Inputs) -> None:
        """Decide each request that a result names."""
        decisions: list[Decision | None] = []

        def decided(decision: Decision | None) -> None:
            decisions.append(decision)
            if len(decisions) == len(calls):
                then(decisions)

        for call in calls:
            self._gate.turn.authorize(call, chain, decided)

    def _decided(self, own: int, question: Question, deliver: Deliver, decision: Decision | None) -> None:
        if decision is None or not decision.permitted:
            self._asked.close(own)
            deliver(turned_down(question.message, decision))
        else:
            question.decision = decision
            deliver(self._forward(own, question))

    def _forward(self, own: int, question: Question) -> Forward:
        message = question.message
        params = without_own_meta(message.params)
        body: Body = {**message.body, "id": own}
        if params is not message.params:
            body["params"] = params
        return Forward(self._gate.concealment.concealed(dump(body)), message, own)

    def _duration(self, question: Question) -> int:
        return int((self._gate.now() - question.started) * 1_000_000)


def question_call(server: str, method: str, params: Body) -> ToolCall | None:
    """What is authorized where a server asks its client for something; None for what is no method."""
    if not is_method(method):
        return None
    return ToolCall(server=server, tool=REQUEST_PREFIX + method, arguments=without_meta(params))


def named_inputs(server: str, result: Body) -> tuple[Body, list[ToolCall]] | None:
    """A result without our `_meta` keys in the requests it names, and what each is authorized as.

    None where the requests are not of a shape that everybody reads alike.
    """
    named = result.get("inputRequests")
    if named is None:
        return result, []
    if not isinstance(named, dict) or len(cast("Body", named)) > _MOST_INPUTS:
        return None
    calls: list[ToolCall] = []
    shown: Body = {}
    for name, entry in cast("Body", named).items():
        params = _params(entry)
        call = None if params is None else question_call(server, entry["method"], params)
        if params is None or call is None:
            return None
        calls.append(call)
        cleaned = without_own_meta(params)
        shown[name] = entry if cleaned is params else {**entry, "params": cleaned}
    return {**result, "inputRequests": shown}, calls


def _params(entry: object) -> Body | None:
    """The params of an entry of `inputRequests`, if nobody could read it as another."""
    if not isinstance(entry, dict):
        return None
    entry = cast("Body", entry)
    for key in entry:
        if key not in ("method", "params") and key.casefold() in ("method", "params"):
            return None
    method, params = entry.get("method"), entry.get("params", {})
    if not (isinstance(method, str) and isinstance(params, dict)):
        return None
    params = cast("Body", params)
    spelled = all(key == "_meta" or key.casefold() != "_meta" for key in params)
    return params if spelled and isinstance(params.get("_meta", {}), dict) else None


def _settled(question: Question, route: Route, deliver: Deliver, durable: bool) -> None:
    if durable or not isinstance(route, Forward):
        deliver(route)
        return
    sentence = "The client has answered, but its answer could not be recorded, so it is withheld."
    deliver(Forward(error(question.message.id, INTERNAL_ERROR, sentence), route.message))


def _nobody(_durable: bool) -> None:
    """Nobody waits for this outcome."""
