"""A server of an older era, presented as one that speaks 2026-07-28.

It stands between the judge of a client's messages and the server's process, so that everything the client
sends has been judged as a message of 2026-07-28, every round of a call included, and everything the server
sends is judged as one. One connection is of one client over stdio, or of one principal over HTTP; whether the
server is an older one at all is asked first, and this stands aside if it is not.

    greeting        which era it speaks; `initialize`
    older_shapes    what differs between the messages of the two eras
    older_calls     the requests under way
    inputs          what the server asks its client for; parked has the calls that wait for it
    listening       subscriptions
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from functools import partial

from hopward import HopwardError
from hopward_mcp.endings import Failure
from hopward_mcp.gate import Gate
from hopward_mcp.greeting import Answer, Greeting
from hopward_mcp.http_sessions import principal
from hopward_mcp.inputs import Inputs, reached
from hopward_mcp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    REFUSED,
    Body,
    Message,
    MessageError,
    too_large,
)
from hopward_mcp.lines import Overlong
from hopward_mcp.listening import Listening
from hopward_mcp.methods import CAPABILITIES_KEY, LISTEN, LOG_LEVEL_KEY, STATEFUL, VERSION_KEY
from hopward_mcp.older_calls import Calls
from hopward_mcp.older_shapes import (
    ASKING,
    CLIENT_INFO_KEY,
    LEVELS,
    NEWER_VERSION,
    OLDER_VERSIONS,
    UNSUPPORTED_VERSION,
    URL_REQUIRED,
    capabilities,
    discovery,
    identity,
    newer_error,
    newer_result,
    offered,
    older_params,
)
from hopward_mcp.parked import Call
from hopward_mcp.pending import Pending, Requests
from hopward_mcp.seam import Seam, Up
from hopward_mcp.subscribing import credential

_log = logging.getLogger(__name__)

_MALFORMED = "The server's answer is malformed."
_GONE = frozenset({"notifications/initialized", "notifications/progress", "notifications/roots/list_changed"})
"""Notifications that a client of 2026-07-28 does not send."""
_MOST_WAITING = 2_048
"""Messages that may wait until the server has been met: more than requests can be under way."""
_SWEEP = 2.0
"""Seconds between looks at what nobody waits for any more."""


class OlderServer:
    """One connection. `stand_aside` is called once when the server turns out to speak 2026-07-28: it is then
    given what has been sent so far, and this is to be left out from then on. `met` is called when the era is
    known, with whether the server can be spoken to at all."""

    def __init__(
        self,
        gate: Gate,
        seam: Seam,
        *,
        stand_aside: Callable[[], None],
        met: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._gate = gate
        self._seam = seam
        self._stand_aside = stand_aside
        self._met = met
        self._greeting = Greeting(self, gate.call_timeout, self._is_modern, self._is_older)
        self._calls = Calls(gate, seam)
        self._inputs = Inputs(gate, seam, self._calls, self._resumed)
        self._asked: dict[int, Callable[[Answer], None]] = {}
        self._waiting: list[tuple[bytes, Mapping[str, str]]] | None = []
        self._initialized: Body | None = None
        self._listening = Listening(self, self._subscribe, {}, seam.notify)
        self._level = ""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether calls are parked here."""
        return bool(len(self._calls.parked))

    def begin(self, params: Body, pending: Pending, *, known_older: bool = False) -> None:
        """Meet the server, for a client whose first request has these params."""
        meta: Body = params.get("_meta", {})
        said = offered(capabilities(params), reached(self._gate, pending.chain))
        self._inputs.opener = principal(pending.chain)
        self._inputs.capabilities = said
        self._greeting.begin(said, meta.get(CLIENT_INFO_KEY), known_older=known_older)

    def end(self, why: str) -> None:
        """The server has gone, or is about to."""
        self._greeting.end()
        if self._timer is not None:
            self._timer.cancel()
        self._calls.end(why)

    # What it asks the server itself.

    def ask(
        self,
        method: str,
        params: Body,
        then: Callable[[Answer], None],
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Ask the server something of our own; `headers` are those of a credential."""
        key = next(self._gate.keys)
        self._asked[key] = then
        self._seam.send({"id": key, "method": method, "params": params}, headers)
        return key

    def tell(self, method: str, params: Body) -> None:
        """Tell the server something of our own."""
        self._seam.send({"method": method, "params": params})

    def forget(self, key: int) -> None:
        """Take no answer to a question of ours any more."""
        if self._asked.pop(key, None) is not None:
            self._calls.forget(key)

    def _subscribe(self, key: int, uri: str, then: Callable[[Answer], None]) -> None:
        """Subscribe for a listen that was permitted this MCP resource."""
        pending = self._seam.pending(key)
        if pending is None or pending.cancelled:
            self._soon(then)
        else:
            credential(self._gate, pending, uri, partial(self._credentialed, key, uri, then))

    def _credentialed(
        self, key: int, uri: str, then: Callable[[Answer], None], token: str | HopwardError
    ) -> None:
        pending = self._seam.pending(key)
        if isinstance(token, HopwardError):
            _log.error("a permitted subscription gets no credential: %s", token.message)
        if isinstance(token, HopwardError) or pending is None or pending.cancelled:
            self._soon(then)
            return
        courier, asked, headers = self._gate.courier, {"uri": uri}, None
        if token:
            self._gate.concealment.learn(token)
            permit = pending.permits[uri]
            statement = self._gate.statement(permit.decision, permit.call, token)
            asked = courier.call_params(asked, token, statement)
            headers = courier.call_headers(token, statement)
        self.ask("resources/subscribe", asked, then, headers)

    def _soon(self, then: Callable[[Answer], None]) -> None:
        """There is no answer. Not at once: many may wait for it, one after the other."""
        asyncio.get_running_loop().call_soon(then, None)

    # How it is met.

    def _is_modern(self) -> None:
        waiting, self._waiting = self._waiting or [], []
        self._stand_aside()
        self._met(True)
        for body, headers in waiting:
            self._seam.down(body, headers)

    def _is_older(self, initialized: Answer) -> None:
        waiting, self._waiting = self._waiting or [], None
        self._initialized = initialized
        if initialized is not None:
            self._inputs.info = initialized["serverInfo"]
            offers = initialized["capabilities"]
            self._listening = Listening(self, self._subscribe, offers, self._seam.notify)
        self._met(initialized is not None)
        for body, headers in waiting:
            self._pass(body, headers)

    # From the client's side.

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Take a judged message for the server."""
        if self._waiting is None:
            self._pass(body, headers)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append((body, headers))

    def _pass(self, raw: bytes, headers: Mapping[str, str]) -> None:
        body: Body = json.loads(raw)
        params: Body = body.get("params", {})
        method, key = body.get("method", ""), body.get("id")
        if not isinstance(key, int):
            if method == "notifications/cancelled":
                self._cancelled(params)
            elif method not in _GONE:
                self._seam.send({"method": method, "params": older_params(params)})
            return
        pending = self._seam.pending(key)
        if pending is None:
            return
        try:
            self._request(key, pending, body, headers)
        except MessageError as fault:
            self._seam.fail(key, fault.code, fault.sentence, fault.data)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a request could not be put into the server's era")
            self._seam.fail(key, INTERNAL_ERROR, "Hopward could not put this request into the server's era.")

    def _request(self, key: int, pending: Pending, body: Body, headers: Mapping[str, str]) -> None:
        method: str = body["method"]
        params: Body = body.get("params", {})
        meta: Body = params.get("_meta", {})
        _check(method, meta)
        if self._initialized is None:
            sentence = "The server speaks no protocol version that Hopward knows, or does not answer."
            raise MessageError(REFUSED, "version", sentence)
        if method == "server/discover":
            self._seam.answer(key, discovery(self._initialized))
        elif method == LISTEN:
            self._listening.listen(key, params)
            self._watch()
        elif method in ASKING and ("requestState" in params or "inputResponses" in params):
            self._inputs.brought(key, pending, body, headers)
        else:
            self._begin(key, pending, method, params, headers)

    def _begin(
        self, key: int, pending: Pending, method: str, params: Body, headers: Mapping[str, str]
    ) -> None:
        call = Call(method, identity(params), pending.chain, principal(pending.chain), key)
        self._calls.begin(key, call)
        self._note_wishes(call, params)
        self._watch()
        if method in ASKING and self._inputs.early(call):
            return
        self._send(call, params, headers)

    def _resumed(self, call: Call, params: Body, headers: Mapping[str, str]) -> None:
        """A later round of a call has brought its inputs."""
        self._note_wishes(call, params)
        if call.answer is not None:
            self._answered(call, call.answer)
        elif call.at_server is None:
            self._send(call, params, headers)

    def _note_wishes(self, call: Call, params: Body) -> None:
        """What a round says about itself."""
        meta: Body = params.get("_meta", {})
        call.capabilities = capabilities(params)
        call.asked_token = meta.get("progressToken")
        level = meta.get(LOG_LEVEL_KEY)
        call.level = level if isinstance(level, str) and level in LEVELS else ""
        self._set_level()

    def _send(self, call: Call, params: Body, headers: Mapping[str, str]) -> None:
        """Give a call to the server, under the id of the round that waits for it."""
        key = call.key
        if key is None:
            return
        call.token = call.asked_token
        self._calls.sent(call, key)
        self._seam.send({"id": key, "method": call.method, "params": older_params(params)}, headers)

    def _set_level(self) -> None:
        level = self._calls.level()
        offers = self._initialized is not None and "logging" in self._initialized["capabilities"]
        if level and level != self._level and offers:
            self._level = level
            self.ask("logging/setLevel", {"level": level}, _nothing)

    def _cancelled(self, params: Body) -> None:
        key = params.get("requestId")
        if not isinstance(key, int):
            return
        reason = params.get("reason")
        known = self._listening.close(key) or self._calls.cancel(key, str(reason or "The client gave up."))
        pending = self._seam.pending(key)
        if known and pending is not None and pending.cancelled:
            # Nobody gets this answer; the request is closed with it.
            self._seam.fail(key, REFUSED, "The request was cancelled.")

    # From the server.

    def hear(self, line: bytes | Overlong, on: int | None = None) -> None:
        """Take a message of the server; `on` is the request on whose stream it came, where streams tell."""
        try:
            if isinstance(line, Overlong):
                raise too_large(self._gate.max_bytes)
            message = self._gate.read_server(line)
        except MessageError as fault:
            self._malformed(fault, line.answered if isinstance(line, Overlong) else fault.id)
            return
        try:
            self._heard(message, line, on)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a message of the server could not be put into the client's era")
            self._malformed(
                MessageError(INTERNAL_ERROR, "internal_error", _MALFORMED, message.id), message.id
            )

    def _heard(self, message: Message, line: bytes | Overlong, on: int | None) -> None:
        if message.kind == "response":
            self._response(message, line)
        elif message.kind == "request":
            self._inputs.requested(message, self._calls.at_server(on))
        else:
            self._notified(message, line)

    def lost(self, key: int, failure: Failure) -> None:
        """A request at the server gets no answer, where its transport tells of each."""
        then = self._asked.pop(key, None)
        call = self._calls.at_server(key)
        if then is not None:
            then(None)
        elif call is not None and call.key is None:
            # The next round is told.
            fault: Body = {"error": {"code": failure.code, "message": failure.sentence}}
            call.answer = Message("response", key, "", {}, fault)
        elif call is not None and call.key is not None:
            key = call.key
            self._calls.close(call)
            self._seam.lost(key, failure)

    def _malformed(self, fault: MessageError, answered: object) -> None:
        self._seam.refuse(fault)
        call = self._calls.at_server(answered)
        if call is None:
            then = self._asked.pop(answered, None) if isinstance(answered, int) else None
            if then is not None:
                then(None)
            return
        key = call.key
        self._calls.close(call)
        if key is not None:
            self._seam.fail(key, REFUSED, _MALFORMED)

    def _response(self, message: Message, line: bytes | Overlong) -> None:
        then = self._asked.pop(message.id, None) if isinstance(message.id, int) else None
        call = self._calls.at_server(message.id)
        if then is not None:
            then(message.body)
        elif call is None:
            if not self._calls.forgotten(message.id):
                # The judge refuses it, and the log has it.
                self._seam.up(line, None)
        elif call.key is None:
            call.answer = message
        else:
            self._answered(call, message)

    def _answered(self, call: Call, message: Message) -> None:
        key, fault = call.key, message.body.get("error")
        if key is None:
            return
        if fault is not None:
            call.answer = None
            retry = fault.get("code") == URL_REQUIRED and call.method in ASKING
            if retry and self._inputs.url_required(call, fault):
                return
            self._calls.close(call)
            self._seam.pass_on({"id": key, "error": newer_error(fault)})
            return
        self._calls.close(call)
        info: Body = self._initialized["serverInfo"] if self._initialized is not None else {}
        self._seam.answer(key, newer_result(call.method, message.body["result"], info))

    def _notified(self, message: Message, line: bytes | Overlong) -> None:
        method, params = message.method, message.params
        if self._listening.heard(message):
            return
        if method == "notifications/cancelled":
            self._inputs.withdrawn(params.get("requestId"))
        elif method == "notifications/message":
            self._log(params)
        elif method == "notifications/progress":
            self._progress(params)
        elif method != "notifications/elicitation/complete":
            # The judge lets pass what may pass.
            self._seam.up(line, None)

    def _log(self, params: Body) -> None:
        """Log messages go only to who has asked for them."""
        wanted, level = self._calls.level(), params.get("level")
        if wanted and level in LEVELS and LEVELS.index(level) >= LEVELS.index(wanted):
            self._seam.notify("notifications/message", params)

    def _progress(self, params: Body) -> None:
        """The progress of a call goes to the round that waits for it, if that has asked for it."""
        token = params.get("progressToken")
        for call in self._calls.open():
            if call.token == token and call.token is not None and call.asked_token is not None:
                self._seam.notify("notifications/progress", {**params, "progressToken": call.asked_token})
                return

    # What nobody waits for.

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._calls.sweep()
        for key in self._listening.open():
            if self._seam.pending(key) is None:
                self._listening.close(key)
        if len(self._calls) or self._listening.open():
            self._watch()


def of_session(
    gate: Gate,
    requests: Requests,
    write: Callable[[bytes], None],
    up: Up,
    stand_aside: Callable[[], None],
) -> OlderServer:
    """The connection of one client's session; `write` takes messages for the server's process."""
    seam = Seam(
        down=lambda body, _: write(body),
        reply=write,
        up=up,
        pending=requests.get,
        refuse=lambda fault: gate.turn_away(fault, None),
        lost=_never,
    )
    return OlderServer(gate, seam, stand_aside=stand_aside)


def _never(_key: int, _failure: Failure) -> None:
    """A pipe loses no single request."""


def _check(method: str, meta: Body) -> None:
    """Check the envelope of a request; raises `MessageError`."""
    version = meta.get(VERSION_KEY)
    if not isinstance(version, str) or not isinstance(meta.get(CAPABILITIES_KEY), dict):
        sentence = f"Requests of {NEWER_VERSION} carry {VERSION_KEY} and {CAPABILITIES_KEY} in _meta."
        raise MessageError(INVALID_PARAMS, "meta", sentence)
    if version != NEWER_VERSION:
        data: Body = {"supported": [NEWER_VERSION, *OLDER_VERSIONS], "requested": version[:40]}
        raise MessageError(UNSUPPORTED_VERSION, "version", "This version is not supported.", data=data)
    if method in STATEFUL or method.startswith("tasks/"):
        sentence = f"This method is not of {NEWER_VERSION}, or not to be had from this server."
        raise MessageError(METHOD_NOT_FOUND, "unknown_method", sentence)


def _nothing(_answer: Answer) -> None:
    """Nothing hangs on this answer."""
