"""What a client sends: each request authorized, filtered or forwarded as the method table says.

Half of the proxy's per-message boundary: whatever fails while a message is judged refuses that message and
tells no details, and the proxy keeps serving.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from hopward import Chain, Decision, HopwardError, Outcome, ToolCall
from hopward_mcp.caller import Caller
from hopward_mcp.carried import carried, require
from hopward_mcp.endings import GONE, NOT_FORWARDED, Endings
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
from hopward_mcp.mcp_tasks import added_call
from hopward_mcp.methods import OLDER_ONLY, TASK_NOTIFICATIONS, Treatment, is_modern, references, target
from hopward_mcp.older_shapes import announced
from hopward_mcp.pending import Pending, Permit, Requests
from hopward_mcp.questions import Questions
from hopward_mcp.replies import no_credential, refusal, why_refused
from hopward_mcp.results import with_progress, without_own_meta
from hopward_mcp.route import LATER, Deliver, Forward, Later, Reply, Route, to_nobody
from hopward_mcp.step_ups import StepUps
from hopward_mcp.subscribing import narrowed, subscribed, uri_of
from hopward_mcp.tracing import NO_CONTEXT, with_context

_log = logging.getLogger(__name__)

_INTERNAL = "Hopward could not handle this message."


class ClientSide:
    """Judges the client's messages of one session."""

    def __init__(
        self, gate: Gate, requests: Requests, questions: Questions, endings: Endings, *, shared: bool = False
    ) -> None:
        self._gate = gate
        self._requests = requests
        self._questions = questions
        self._endings = endings
        self._step_ups = StepUps(gate, requests)
        self.shared = shared

    def judge(
        self,
        message: Message,
        chain: Chain,
        deliver: Deliver,
        subject_token: str = "",
        caller: Caller | None = None,
    ) -> None:
        """Judge one message; `deliver` gets where it goes, a `Reply` only if it is owed an answer.

        `subject_token` is the access token that presented the chain, if one did; `caller` can be told
        something before the answer.
        """
        pending = Pending(message, chain, self._gate.now(), subject_token, caller=caller)
        self._questions.behalf.caller = chain
        try:
            route = self._route(message, pending, deliver)
        except MessageError as fault:
            route = self._turned_away(pending, fault)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a message of the client could not be judged")
            fault = MessageError(INTERNAL_ERROR, "internal_error", _INTERNAL, message.id)
            route = self._turned_away(pending, fault)
        if not isinstance(route, Later):
            deliver(route)

    def repeat(self, message: Message, chain: Chain, deliver: Deliver, answered: Deliver) -> None:
        """Judge a request anew that has been judged before, for a new process of the server.

        `answered` gets the server's answer, or what stands in its place.
        """
        pending = Pending(message, chain, self._gate.now(), answered=answered)
        try:
            route = self._request(message, pending, partial(_onward_or_answered, deliver, answered))
        except MessageError as fault:
            route = self._gate.turn_away(fault, chain)
        if not isinstance(route, Later):
            _onward_or_answered(deliver, answered, route)

    def leave(self, message: Message) -> None:
        """Nobody waits any more for the answer to a request that waits, or has waited, for a person."""
        key = self._requests.key(message.id)
        if key is not None and not self._step_ups.give_up(key):
            self._endings.fail(key, GONE, to_nobody)

    def _turned_away(self, pending: Pending, fault: MessageError) -> Route:
        reply = self._gate.turn_away(fault, pending.chain)
        if pending.trace is not None:
            pending.trace.refused(fault.reason)
        return reply if pending.message.kind == "request" else None

    def _route(self, message: Message, pending: Pending, deliver: Deliver) -> Route | Later:
        if message.kind == "request":
            gate, own = self._gate, pending.chain
            if gate.tracing is not None and _is_decided(gate.treatment(message.method), message):
                url = gate.guard.settings.servers[gate.server].url
                pending.trace = gate.tracing.begin(gate.server, url, message, self._requests.version)
            pending.chain = carried(gate.guard, gate.server, message, own)
            if pending.chain is not own:
                # The session's token says nothing of the agents that a carried chain names.
                pending.subject_token, pending.carried = "", True
                if message.method == "ping" and is_modern(message):
                    # How a program asks whether this is the proxy: that its chain is accepted is in the log.
                    told = error(message.id, METHOD_NOT_FOUND, "Protocol version 2026-07-28 has no ping.")
                    return Reply(told, METHOD_NOT_FOUND)
            return self._request(message, pending, deliver)
        if message.kind == "response":
            return None if self._step_ups.heard(message) else self._questions.answer(message, deliver)
        if message.method not in self._gate.client_notifications:
            raise MessageError(METHOD_NOT_FOUND, "unknown_notification", "This notification is not allowed.")
        if message.method == "notifications/cancelled":
            return self._cancel(message)
        if message.method in TASK_NOTIFICATIONS and not self._questions.tasks.is_of_one(message):
            raise MessageError(REFUSED, "mcp_task_unknown", "A notification is of no task of the client.")
        return Forward(dump(_cleaned(message.body, message.params)), message)

    def _request(self, message: Message, pending: Pending, deliver: Deliver) -> Route | Later:
        gate, chain = self._gate, pending.chain
        treatment = gate.treatment(message.method)
        if message.method == "initialize":
            self._step_ups.capabilities = announced(message.params)
        if treatment is None or (message.method in OLDER_ONLY and is_modern(message)):
            raise MessageError(METHOD_NOT_FOUND, "unknown_method", "This method is not allowed.", message.id)
        if treatment in ("authorize", "visible", "subscribe", "mcp_task"):
            require(message, chain)
        calls: list[ToolCall] = []
        if treatment == "visible":
            self._check_visible(message, chain)
        elif treatment == "subscribe":
            gate.mcp_tasks.check_listened(message, chain)
            calls = subscribed(gate.server, message)
        elif treatment == "mcp_task":
            pending.mcp_task = gate.mcp_tasks.asked(message, chain)
        last = self._step_ups.taken_up(pending)
        call = self._call(pending.message, pending, treatment)
        key = next(gate.keys)
        self._requests.open(key, pending)
        if calls:
            then = partial(self._subscribing, key, pending, calls, deliver)
            self._questions.inputs(chain, calls, then)
            return LATER
        if call is None:
            return self._forward(key, pending)
        pending.call = call
        again = partial(self._authorize, key, pending, call, deliver)
        if last is None:
            again()
        else:
            self._step_ups.go_on(key, last, again, deliver)
        return LATER

    def _authorize(self, key: int, pending: Pending, call: ToolCall, deliver: Deliver) -> None:
        then = partial(self._decided, key, pending, call, deliver)
        self._gate.turn.authorize(call, pending.chain, then)

    def _check_visible(self, message: Message, chain: Chain) -> None:
        names = references(message)
        if not self._gate.guard.visible(chain, self._gate.server, names).issuperset(names):
            raise MessageError(REFUSED, "not_visible", "The task does not reach this.", message.id)

    def _call(self, message: Message, pending: Pending, treatment: Treatment) -> ToolCall | None:
        """What a request is authorized as; None where it needs no decision."""
        if message.method == "tasks/update" and pending.mcp_task is not None:
            return added_call(message, pending.mcp_task)
        if treatment != "authorize":
            return None
        name, arguments = target(message)
        return ToolCall(server=self._gate.server, tool=name, arguments=arguments)

    def _decided(
        self, key: int, pending: Pending, call: ToolCall, deliver: Deliver, decision: Decision | None
    ) -> None:
        self._onward(
            key, pending, deliver, partial(self._decided_route, key, pending, call, deliver, decision)
        )

    def _subscribing(
        self,
        key: int,
        pending: Pending,
        calls: Sequence[ToolCall],
        deliver: Deliver,
        decisions: Sequence[Decision | None],
    ) -> None:
        decided = list(zip(calls, decisions, strict=True))
        self._onward(key, pending, deliver, partial(self._subscribing_route, key, pending, decided))

    def _subscribing_route(
        self, key: int, pending: Pending, decided: Sequence[tuple[ToolCall, Decision | None]]
    ) -> Route:
        permits = {uri_of(call): Permit(call, one) for call, one in decided if one and one.permitted}
        pending.permits = permits
        pending.refused = {
            uri: why_refused(one) for call, one in decided if (uri := uri_of(call)) not in permits
        }
        if pending.cancelled:
            return self._given_up(key, pending)
        left = narrowed(pending.message, permits)
        if left is None:
            self._requests.close(key)
            refused = decided[0][1]
            return Reply(refusal(pending.message, refused), decision=refused)
        pending.message = left
        return self._forward(key, pending)

    def _credentialed(self, key: int, pending: Pending, deliver: Deliver, token: str | HopwardError) -> None:
        self._onward(key, pending, deliver, partial(self._credentialed_route, key, pending, token))

    def _onward(
        self, key: int, pending: Pending, deliver: Deliver, onward: Callable[[], Route | Later]
    ) -> None:
        try:
            route = onward()
        except HopwardError as failure:
            _log.error("a permitted call gets no credential: %s", failure.message)
            reply = Reply(no_credential(pending.message, pending.decision, failure.error))
            route = self._not_forwarded(key, pending, reply, f"no_credential {failure.error}")
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a permitted call could not be forwarded")
            told = error(pending.message.id, INTERNAL_ERROR, _INTERNAL)
            route = self._not_forwarded(key, pending, Reply(told, INTERNAL_ERROR), "not_forwarded")
        if not isinstance(route, Later):
            deliver(route)

    def _not_forwarded(self, key: int, pending: Pending, reply: Reply, why: str) -> Reply:
        self._requests.close(key)
        self._endings.record(pending, Outcome(status="error", error=why, forwarded=pending.forwarded))
        return reply

    def _decided_route(
        self, key: int, pending: Pending, call: ToolCall, deliver: Deliver, decision: Decision | None
    ) -> Route | Later:
        asked: Route | Later = None
        if decision is not None and decision.approval and not (decision.permitted or pending.cancelled):
            again = partial(self._authorize, key, pending, call, deliver)
            asked = self._step_ups.ask(key, decision, again, deliver)
            if isinstance(asked, Later):
                return asked
        if pending.trace is not None:
            pending.trace.decided(decision)
        if decision is None or not decision.permitted:
            self._requests.close(key)
            refused = asked or Reply(refusal(pending.message, decision), decision=decision)
            return None if pending.cancelled else refused
        pending.decision = decision
        if pending.cancelled:
            return self._given_up(key, pending)
        gate = self._gate
        if not gate.courier.per_call:
            return self._forward(key, pending)
        if gate.authority is not None:
            asking = gate.asking(decision, call, pending.subject_token)
            gate.authority.ask(asking, partial(self._credentialed, key, pending, deliver))
            return LATER
        pending.token = gate.guard.mint(decision, call)
        return self._forward(key, pending)

    def _credentialed_route(self, key: int, pending: Pending, token: str | HopwardError) -> Route:
        if self._requests.get(key) is not pending:
            # It has ended meanwhile, and that was its outcome.
            return None
        if pending.cancelled:
            return self._given_up(key, pending)
        if isinstance(token, HopwardError):
            raise token
        pending.token = token
        return self._forward(key, pending)

    def _given_up(self, key: int, pending: Pending) -> None:
        self._requests.close(key)
        self._endings.record(pending, NOT_FORWARDED)

    def _forward(self, key: int, pending: Pending) -> Forward:
        message, courier, token = pending.message, self._gate.courier, pending.token
        body = _cleaned({**message.body, "id": key}, message.params)
        if self.shared:
            body = with_progress(body, key)
        pending.forwarded = True
        context = pending.trace.forwarded(key) if pending.trace is not None else NO_CONTEXT
        body = with_context(body, context)
        if not token:
            return Forward(dump(body), message, key, context=context)
        self._gate.concealment.learn(token)
        statement = self._gate.statement(pending.decision, pending.call, token)
        given = body.get("params", {})
        params = courier.call_params(given, token, statement)
        if params is not given:
            body["params"] = params
        return Forward(dump(body), message, key, courier.call_headers(token, statement), context)

    def _cancel(self, message: Message) -> Route:
        key = self._requests.key(message.params.get("requestId"))
        pending = self._requests.get(key)
        if pending is None or pending.cancelled:
            return None
        pending.cancelled = True
        if key is not None and self._step_ups.give_up(key):
            return None
        if not pending.forwarded:
            return None
        ended = Outcome(status="cancelled", duration=self._endings.duration(pending))
        self._endings.record(pending, ended)
        params = {**message.params, "requestId": key}
        return Forward(dump(_cleaned({**message.body, "params": params}, params)), message)


def _is_decided(treatment: Treatment | None, message: Message) -> bool:
    """Whether a request is one that a decision is made on."""
    return treatment == "authorize" or message.method == "tasks/update"


def _onward_or_answered(deliver: Deliver, answered: Deliver, route: Route) -> None:
    (deliver if isinstance(route, Forward) else answered)(route)


def _cleaned(body: Body, params: Body) -> Body:
    """A body whose params carry none of our own `_meta` keys."""
    cleaned = without_own_meta(params)
    return body if cleaned is params else {**body, "params": cleaned}
