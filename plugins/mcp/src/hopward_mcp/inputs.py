"""What an older server asks its client for in the middle of a call, as input of the call's next round.

Over stdio the server does not say for which call it asks. While one principal alone uses the connection that
is no question: it is the latest call whose client takes such a request, and the answer goes to the server's
request whichever call brings it. Once a second principal has used it, the server may ask for nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from hopward import Chain
from hopward_mcp.carried import reachable
from hopward_mcp.gate import Gate
from hopward_mcp.http_sessions import Principal, principal
from hopward_mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, REFUSED, Body, Message, MessageError, result
from hopward_mcp.methods import REQUEST_PREFIX
from hopward_mcp.older_calls import Calls
from hopward_mcp.older_shapes import CAPABILITY_MISSING, INPUTS, SERVER_INFO_KEY, able, input_request, urls
from hopward_mcp.parked import Call, Wanted
from hopward_mcp.pending import Pending
from hopward_mcp.results import without_own_meta
from hopward_mcp.seam import Seam

_MOST_EARLY = 16
"""Requests of the server that may wait for a call: it may ask for roots as soon as it is connected."""

Resume = Callable[[Call, Body, Mapping[str, str]], None]
"""Goes on with a call whose inputs are all there, given the params and headers of the round that brought
them."""


class Inputs:
    """Parks the calls of one connection and takes them up again."""

    def __init__(self, gate: Gate, seam: Seam, calls: Calls, resume: Resume) -> None:
        self.opener: Principal | None = None
        self.capabilities: Body = {}
        self.info: Body = {}
        self._gate = gate
        self._seam = seam
        self._calls = calls
        self._resume = resume
        self._early: list[Wanted] = []
        self._loop = asyncio.get_running_loop()

    # The server asks.

    def requested(self, message: Message, on: Call | None) -> None:
        """Take a request of the server; `on` is the call on whose stream it came, where streams tell."""
        if message.method == "ping":
            self._seam.reply(result(message.id, {}))
            return
        if message.method not in INPUTS:
            sentence = "The server may not send this request to a client of 2026-07-28."
            self._turn_away(message, METHOD_NOT_FOUND, "server_request", sentence)
            return
        wanted = Wanted(message.id, message.method, message.params)
        if on is None and self._calls.mixed:
            sentence = "Several principals use this connection, so it is not known who is asked."
            self._turn_away(message, REFUSED, "server_request", sentence)
            return
        calls = [on] if on is not None else self._calls.asking()
        takers = [call for call in calls if self._takes(call, wanted)]
        if takers:
            self._want(takers[-1], wanted)
        elif not calls and able(self.capabilities, wanted.method, wanted.params):
            self._keep(message, wanted)
        else:
            sentence = "No call is under way whose client takes this request, and whose task reaches it."
            self._turn_away(message, METHOD_NOT_FOUND, "server_request", sentence)

    def withdrawn(self, request_id: object) -> None:
        """The server does not want an input any more."""
        self._early = [one for one in self._early if one.id != request_id]
        for call in (*self._calls.open(), *self._calls.parked.calls()):
            call.inputs = {name: one for name, one in call.inputs.items() if one.id != request_id}

    def url_required(self, call: Call, fault: Body) -> bool:
        """A call has ended because its user has to open URLs first; whether the client is asked to."""
        named = urls(fault)
        if call.key is None or not named:
            return False
        if "elicitation/create" not in reached(self._gate, call.chain):
            return False
        if not able(call.capabilities, "elicitation/create", {"mode": "url"}):
            sentence = "The server has to send the user to a URL, which this client does not take."
            data: Body = {"requiredCapabilities": {"elicitation": {"url": {}}}}
            self._seam.fail(call.key, CAPABILITY_MISSING, sentence, data)
            self._calls.close(call)
            return True
        self._calls.unsent(call)
        for params in named:
            self._want(call, Wanted(None, "elicitation/create", params))
        return True

    def early(self, call: Call) -> bool:
        """Have a new call bring what the server has asked for already; whether it has to."""
        if call.who != self.opener or self._calls.mixed or not self._early:
            return False
        takes = [one for one in self._early if self._takes(call, one)]
        self._early = [one for one in self._early if one not in takes]
        for wanted in takes:
            self._want(call, wanted)
        return bool(takes)

    # The client brings.

    def brought(self, key: int, pending: Pending, body: Body, headers: Mapping[str, str]) -> None:
        """Take up the call that this round continues."""
        params: Body = body["params"]
        responses = params.get("inputResponses", {})
        if not _are_responses(responses):
            self._seam.fail(key, INVALID_PARAMS, "The inputResponses must be an object of results.")
            return
        state, who = params.get("requestState"), principal(pending.chain)
        call = self._calls.parked.take(state, who, body["method"], params)
        if call is None:
            sentence = "This requestState is not of this request, or counts no more: make the call anew."
            self._seam.fail(key, INVALID_PARAMS, sentence)
            return
        call.chain = pending.chain
        self._calls.begin(key, call)
        if call.answer is None:
            self._answer(call, responses)
        if call.declined:
            self._seam.fail(key, REFUSED, "The user did not open the URL that the server requires.")
            self._calls.close(call)
        elif call.inputs and call.answer is None:
            self._park(call)
        else:
            self._resume(call, params, headers)

    def _answer(self, call: Call, responses: dict[str, Body]) -> None:
        for name, wanted in list(call.inputs.items()):
            if name not in responses:
                continue
            del call.inputs[name]
            if wanted.id is None:
                call.declined = call.declined or responses[name].get("action") != "accept"
            else:
                self._seam.down(result(wanted.id, without_own_meta(responses[name])), {})

    def _want(self, call: Call, wanted: Wanted) -> None:
        call.want(wanted)
        if not call.asking:
            # What the server asks for in one breath is asked of the client in one round.
            call.asking = True
            self._loop.call_soon(self._park, call)

    def _park(self, call: Call) -> None:
        call.asking = False
        if call.key is None or not call.inputs or self._seam.pending(call.key) is None:
            return
        if self._calls.parked.full:
            self._do_without(call, call.key)
            return
        key = call.key
        self._calls.rest(call)
        asked = {name: input_request(one.method, one.params) for name, one in call.inputs.items()}
        state = self._calls.parked.park(call)
        required: Body = {"resultType": "input_required", "inputRequests": asked, "requestState": state}
        refused = partial(self._refused, state)
        self._seam.answer(key, {**required, "_meta": {SERVER_INFO_KEY: self.info}}, refused)

    def _refused(self, state: str) -> None:
        """The client is not asked: the call ends, and its client has been told so."""
        call = self._calls.parked.drop(state)
        if call is not None:
            self._calls.abandon(call, "what the server asks for is not permitted")

    def _takes(self, call: Call, wanted: Wanted) -> bool:
        """Whether a call's client takes a request that its task reaches; a decision comes later."""
        if not able(call.capabilities, wanted.method, wanted.params):
            return False
        return wanted.method in reached(self._gate, call.chain)

    def _do_without(self, call: Call, key: int) -> None:
        """Let the server go on without the inputs, if it has the call."""
        sentence = "Too many calls wait for input."
        self._calls.refuse_inputs(call, sentence)
        if call.at_server is None:
            self._seam.fail(key, REFUSED, sentence)
            self._calls.close(call)

    def _keep(self, message: Message, wanted: Wanted) -> None:
        if len(self._early) >= _MOST_EARLY:
            self._turn_away(message, REFUSED, "too_many", "Too many requests wait for the client.")
        else:
            self._early.append(wanted)

    def _turn_away(self, message: Message, code: int, reason: str, sentence: str) -> None:
        self._seam.turn_away(MessageError(code, reason, sentence, message.id))


def reached(gate: Gate, chain: Chain) -> frozenset[str]:
    """What a server may ask of a chain's client, as far as the chain reaches."""
    names = reachable(gate.guard, chain, gate.server, [REQUEST_PREFIX + method for method in INPUTS])
    return frozenset(name.removeprefix(REQUEST_PREFIX) for name in names)


def _are_responses(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(one, dict) for one in cast("dict[str, Any]", value).values())
