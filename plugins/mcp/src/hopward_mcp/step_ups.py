"""Calls that a person has to approve, where their client can reach one: asked, waited for, made again.

In 2026-07-28 the call is answered with what we want to know, and comes again with the answer. In older eras
the client is asked while the call is under way. Either way nothing has been forwarded, and what is done with
an answer is the same: a yes, or a no, is given to the approvals of the guard, where it counts or does not;
then the call is authorized again like any call. Nothing here permits anything.
"""

import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias, cast

import msgspec

from hopward import Decision, HopwardError
from hopward_mcp.elicitation import KEY, METHOD, NOTHING, Elicitation, Said, elicitation, read
from hopward_mcp.endings import NOT_FORWARDED
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Body, Message, MessageId, dump
from hopward_mcp.methods import is_modern
from hopward_mcp.older_shapes import ASKING, capabilities
from hopward_mcp.pending import Pending, Requests
from hopward_mcp.replies import input_required
from hopward_mcp.route import LATER, Deliver, Later, Reply, Route
from hopward_mcp.seal import LIMIT, Round, call_of
from hopward_mcp.waiting import Wait

_log = logging.getLogger(__name__)

_REMEMBERED = 256
"""Questions taken back that are remembered: the client may answer them all the same."""
_MOST_BEFORE = 32_768
"""Bytes of what a call has brought for the server that a state of ours carries."""
_BROUGHT = ("inputResponses", "requestState")

Again: TypeAlias = Callable[[], None]
"""Has a call authorized again, or for the first time."""


class _Asked(msgspec.Struct, eq=False):
    """A question to an older client. `id` is ours, `url_id` names its URL; `wait` is the call's."""

    id: MessageId
    key: int
    pending: Pending
    question: Elicitation
    url_id: str
    deliver: Deliver
    again: Again
    answered: bool = False
    wait: Wait | None = None


class StepUps:
    """Those of one session. `capabilities` are what an older client has said it can do."""

    def __init__(self, gate: Gate, requests: Requests) -> None:
        self.capabilities: Body = {}
        self._gate = gate
        self._requests = requests
        self._waits: dict[int, Wait] = {}
        self._asked: dict[MessageId, _Asked] = {}
        self._taken_back: deque[MessageId] = deque(maxlen=_REMEMBERED)

    # The call comes again, in 2026-07-28.

    def taken_up(self, pending: Pending) -> tuple[Round, object] | None:
        """What was asked on exactly this call before, and the answer that it brings, None if it brings none.

        What is of ours in the request, and not the server's, is taken out of it, whatever it is worth.
        """
        message, gate = pending.message, self._gate
        state = message.params.get("requestState")
        if message.method not in ASKING or not gate.seal.is_own(state):
            return None
        responses = message.params.get("inputResponses")
        last = gate.seal.opened(cast("str", state))
        pending.message = _with_params(message, {})
        if last is None or last.until < gate.now():
            return None
        if last.call != call_of(pending.message, pending.chain, gate.server):
            return None
        pending.message = _with_params(message, last.before)
        return last, cast("Body", responses).get(KEY) if isinstance(responses, dict) else None

    def go_on(self, key: int, last: tuple[Round, object], again: Again, deliver: Deliver) -> None:
        """Do as the answer says, and have the call authorized, when its person has been at the page."""
        asked, answer = last
        pending = self._requests.get(key)
        if pending is None:
            return
        if answer is None:
            again()
            return
        pending.asked = True
        said = read(asked.mode, answer)
        if said.went:
            self._wait(key, pending, asked.approval, again, deliver)
        else:
            self._say(asked.approval, pending, said)
            again()

    # A step-up has been decided.

    def ask(self, key: int, decision: Decision, again: Again, deliver: Deliver) -> Reply | Later | None:
        """Ask the client's person about a call, if that can be done: the answer in 2026-07-28, or `LATER`."""
        pending = self._requests.get(key)
        if pending is None or pending.asked or pending.answered is not None or self._gate.waiting.ended:
            return None
        message = pending.message
        if message.method not in ASKING or "task" in message.params:
            return None
        modern = is_modern(message)
        said = capabilities(message.params) if modern else self.capabilities
        try:
            question = elicitation(self._gate.guard, decision, said, own=pending.from_subject)
        except HopwardError as error:
            _log.error("a person could not be asked: %s", error.message)
            return None
        heard = modern or (pending.caller is not None and pending.caller.hears)
        if question is None or not heard or not self._gate.waiting.may_ask(question.approval):
            return None
        if modern:
            return self._required(pending, decision, question)
        pending.asked = True
        self._ask(_Asked(next(self._gate.keys), key, pending, question, "", deliver, again))
        return LATER

    def _required(self, pending: Pending, decision: Decision, question: Elicitation) -> Reply | None:
        gate, message = self._gate, pending.message
        before = {name: message.params[name] for name in _BROUGHT if name in message.params}
        if len(dump(before)) > _MOST_BEFORE:
            return None
        state = gate.seal.sealed(
            Round(
                approval=question.approval,
                decision=decision.id,
                mode=question.mode,
                call=call_of(message, pending.chain, gate.server),
                until=gate.now() + LIMIT,
                before=before,
            )
        )
        asked: Body = {KEY: {"method": METHOD, "params": question.params()}}
        return Reply(input_required(message, decision, asked, state))

    def _ask(self, asked: _Asked) -> None:
        if asked.question.mode == "url":
            asked.url_id = secrets.token_urlsafe(16)
        self._asked[asked.id] = asked
        params = asked.question.params(asked.url_id)
        self._tell(asked.pending, {"id": asked.id, "method": METHOD, "params": params})
        asked.wait = self._wait(
            asked.key,
            asked.pending,
            asked.question.approval,
            partial(self._again, asked),
            partial(self._nobody, asked),
        )
        # What a person may take to answer a request of a server.
        asked.wait.until = self._gate.now() + self._gate.call_timeout

    # The client answers, in older eras.

    def heard(self, message: Message) -> bool:
        """Take an answer of the client, if it is one to a question of ours."""
        asked = self._asked.pop(message.id, None) if message.id is not None else None
        if asked is None:
            if message.id in self._taken_back:
                self._taken_back.remove(message.id)
                return True
            return False
        asked.answered = True
        wait = asked.wait
        if wait is None or not wait.is_open():
            return True
        said = read(asked.question.mode, message.body.get("result"))
        if said.went:
            wait.until = self._gate.now() + self._gate.guard.settings.approvals.wait
            self._look(wait)
        else:
            self._say(asked.question.approval, asked.pending, said)
            self._gate.waiting.conclude(wait)
        return True

    def give_up(self, key: int) -> bool:
        """Nobody waits for a call any more; whether it was one that waits for a person."""
        wait = self._waits.get(key)
        if wait is None:
            return False
        self._gate.waiting.drop(wait)
        return True

    # While it waits.

    def _wait(self, key: int, pending: Pending, approval: str, again: Again, deliver: Deliver) -> Wait:
        seconds = self._gate.guard.settings.approvals.wait
        wait = Wait(
            approval=approval,
            until=self._gate.now() + seconds,
            is_open=lambda: self._requests.get(key) is pending and not pending.cancelled,
            over=partial(self._over, key, pending, again),
            dropped=partial(self._dropped, key, deliver),
        )
        pending.waits = True
        self._waits[key] = wait
        if pending.caller is not None:
            pending.caller.waits()
        if pending.trace is not None:
            pending.trace.waits(approval)
        self._gate.waiting.begin(wait)
        self._look(wait)
        return wait

    def _look(self, wait: Wait) -> None:
        """Somebody may have answered already."""
        try:
            pends = self._gate.waiting.pends(wait.approval)
        except HopwardError:
            pends = False
        if not pends:
            self._gate.waiting.conclude(wait)

    def _over(self, key: int, pending: Pending, again: Again) -> None:
        self._waits.pop(key, None)
        pending.waits = False
        self._requests.renew(key, self._gate.now())
        again()

    def _dropped(self, key: int, deliver: Deliver) -> None:
        self._waits.pop(key, None)
        pending = self._requests.close(key)
        if pending is not None and pending.trace is not None:
            pending.trace.ended(NOT_FORWARDED)
        deliver(None)

    def _again(self, asked: _Asked) -> None:
        self._take_back(asked, "It has been decided without this answer.")
        if asked.url_id and asked.answered:
            done = {"method": "notifications/elicitation/complete"}
            self._tell(asked.pending, {**done, "params": {"elicitationId": asked.url_id}})
        asked.again()

    def _nobody(self, asked: _Asked, _route: Route) -> None:
        self._take_back(asked, "The call was given up.")
        asked.deliver(None)

    def _take_back(self, asked: _Asked, reason: str) -> None:
        """The client need not answer any more, if it has not."""
        if self._asked.pop(asked.id, None) is not None:
            self._taken_back.append(asked.id)
            params = {"requestId": asked.id, "reason": reason}
            self._tell(asked.pending, {"method": "notifications/cancelled", "params": params})

    def _tell(self, pending: Pending, body: Body) -> None:
        if pending.caller is not None:
            pending.caller.tell(dump({"jsonrpc": "2.0", **body}))

    def _say(self, approval: str, pending: Pending, said: Said) -> None:
        """Give a person's word to the approvals, where it counts or does not.

        The client of an agent that was handed the work, or that brings chains of others, is not that of the
        subject: what it says is nobody's word.
        """
        if said == NOTHING or not pending.from_subject:
            return
        approvals, subject = self._gate.guard.approvals, pending.chain.subject
        try:
            if said.yes:
                approvals.approve(approval, by=subject, why=said.why)
            else:
                approvals.reject(approval, by=subject, why=said.why)
        except HopwardError as error:
            _log.warning("what was said of approval %s does not count: %s", approval, error.message)


def _with_params(message: Message, brought: Body) -> Message:
    """A request that brings this from an earlier round, and nothing else."""
    kept = {name: value for name, value in message.params.items() if name not in _BROUGHT}
    params = {**kept, **brought}
    return replace(message, params=params, body={**message.body, "params": params})
