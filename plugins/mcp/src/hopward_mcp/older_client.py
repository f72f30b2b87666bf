"""The era bridge: a client of the era of sessions (2024-11-05 to 2025-11-25) before a server of 2026-07-28.

It stands between the client and the judge, so that the judge and the server see nothing but 2026-07-28. What
the server no longer knows is answered here: `initialize` from its `server/discover`, `ping`, log levels,
subscriptions.
"""

import json
import logging
from typing import Final, cast

from hopward_mcp.endings import MALFORMED, Failure, lost
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    TIMED_OUT,
    Body,
    Message,
    MessageError,
    MessageId,
    dump,
    result,
)
from hopward_mcp.older_form import (
    Envelope,
    initialized,
    notification,
    older_params,
    request,
    speaks_modern,
)
from hopward_mcp.older_shapes import LEVELS
from hopward_mcp.rounds import Rounds
from hopward_mcp.subscription import Subscription
from hopward_mcp.way import Way

_log = logging.getLogger(__name__)

_ONLY_MODERN = frozenset({"server/discover", "subscriptions/listen"})
_UNHEARD = frozenset(
    {"notifications/initialized", "notifications/progress", "notifications/roots/list_changed"}
)
"""What a client of its era may tell, and a server of 2026-07-28 does not know."""
_HEARD = frozenset(
    {
        "notifications/resources/updated",
        "notifications/resources/list_changed",
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
    }
)
"""What a server of 2026-07-28 tells only on a stream that was opened for it."""
_UNCARRIED: Final = lost("Hopward could not bring back the answer.")


def worth_asking(refused: Body) -> bool:
    """Whether a server that has answered `initialize` like this may speak 2026-07-28 alone."""
    fault = refused.get("error")
    return isinstance(fault, dict) and cast("Body", fault).get("code") != TIMED_OUT


def discovery(opening: Message) -> Message:
    """The `server/discover` in place of an `initialize`, under the same id."""
    return Envelope(opening.params).around(request(cast("MessageId", opening.id), "server/discover", {}))


def offer(answer: Body) -> Body | None:
    """What a server has answered to `discovery`; None if it does not speak 2026-07-28."""
    discovered: Body = answer.get("result", {})
    return discovered if speaks_modern(discovered) else None


class OlderClient:
    """One session of an older client, made of what the server has answered to `discovery`.

    `way` is the session's own, for what answers nothing; `welcome` the answer to the client's `initialize`.
    """

    def __init__(self, gate: Gate, opening: Message, discovered: Body, way: Way) -> None:
        self._gate = gate
        self._envelope = Envelope(opening.params)
        self._rounds = Rounds(gate, self._envelope)
        welcome = initialized(discovered, self._envelope.version, gate.server)
        self._subscription = Subscription(gate, self._envelope, way, welcome["capabilities"])
        self.welcome = result(opening.id, welcome)

    # From the client.

    def from_client(self, message: Message, way: Way) -> None:
        """Take one message of the client; its answer, if it is owed one, goes back the same way."""
        try:
            if message.kind == "request":
                self._request(message, way)
            elif message.kind == "response":
                self._rounds.answered(message)
            elif message.method == "notifications/cancelled":
                self._rounds.cancel(message)
            elif message.method not in _UNHEARD:
                way.ask(message)
        except MessageError as fault:
            reply = self._gate.turn_away(fault, way.chain)
            if message.kind == "request":
                way.answer(reply.body)
        except Exception:  # noqa: BLE001 - per-message boundary
            _log.exception("a message of an older client could not be carried over")
            sentence = "Hopward could not handle this message."
            fault = MessageError(INTERNAL_ERROR, "internal_error", sentence, message.id)
            reply = self._gate.turn_away(fault, way.chain)
            if message.kind == "request":
                way.answer(reply.body)

    def attend(self) -> None:
        """The client is ready to hear what answers nothing."""
        self._subscription.attend()

    def unattended(self, message_id: MessageId) -> None:
        """The client cannot be asked about this request of its any more."""
        self._rounds.unattended(message_id)

    def give_up(self, message_id: MessageId) -> None:
        """Nobody waits for the answer to this request any more."""
        self._rounds.cancel(notification("notifications/cancelled", {"requestId": message_id}))

    def leave(self) -> None:
        """The client says nothing any more: what waits for it ends; the rest may still be answered."""
        self._rounds.leave()
        self._subscription.close()

    def close(self) -> None:
        """The session has ended: everything under way is given up."""
        self._rounds.close()
        self._subscription.close()

    def _request(self, message: Message, way: Way) -> None:
        if message.method == "initialize":
            sentence = "This session has been initialized."
            raise MessageError(INVALID_REQUEST, "initialized", sentence, message.id)
        if message.method in _ONLY_MODERN or message.method.startswith("tasks/"):
            sentence = "This method does not cross from one protocol era to the other."
            raise MessageError(METHOD_NOT_FOUND, "unknown_method", sentence, message.id)
        if message.method == "ping":
            way.answer(result(message.id, {}))
        elif message.method == "logging/setLevel":
            self._set_level(message, way)
        elif message.method in ("resources/subscribe", "resources/unsubscribe"):
            self._subscription.subscribe(message, way)
        else:
            self._rounds.begin(message, way)

    def _set_level(self, message: Message, way: Way) -> None:
        level = message.params.get("level")
        if level not in LEVELS:
            raise MessageError(INVALID_PARAMS, "level", "There is no such log level.", message.id)
        self._envelope.level = cast("str", level)
        way.answer(result(message.id, {}))

    # From the judge.

    def from_server(self, raw: bytes, way: Way) -> bool:
        """Take one message that the judge lets through to the client; `way` is that of what it belongs to.

        Returns whether it answers something.
        """
        body = cast("Body", json.loads(raw))
        try:
            self._came(body, way)
        except Exception:  # noqa: BLE001 - per-message boundary: what it answers has failed
            _log.exception("a message for an older client could not be carried over")
            self.unanswered(body.get("id"), MALFORMED)
        return "method" not in body

    def unanswered(self, message_id: object, failure: Failure = _UNCARRIED) -> None:
        """What was asked will not be answered any more; nothing if it has been."""
        if self._subscription.is_own(message_id):
            self._subscription.ended(cast("str", message_id), {})
        elif isinstance(message_id, int | str):
            self._rounds.unanswered(message_id, failure)

    def _came(self, body: Body, way: Way) -> None:
        if "method" not in body:
            if self._subscription.is_own(body["id"]):
                self._subscription.ended(body["id"], body)
            else:
                self._rounds.came(body)
        elif "id" in body:
            way.ask(_refusal(body["id"]))
        else:
            self._told(body, way)

    def _told(self, body: Body, way: Way) -> None:
        params: Body = body.get("params", {})
        if body["method"] == "notifications/subscriptions/acknowledged":
            self._subscription.acknowledged(params)
        elif body["method"] == "notifications/cancelled" and self._subscription.is_own(
            params.get("requestId")
        ):
            self._subscription.ended(params["requestId"], {})
        elif body["method"] not in _HEARD or self._subscription.is_heard(params):
            way.tell(dump({**body, "params": older_params(params)} if params else body))


def _refusal(message_id: MessageId) -> Message:
    """The answer to a request of the server: in 2026-07-28 it has none."""
    fault = {"code": METHOD_NOT_FOUND, "message": "A server of 2026-07-28 sends no requests."}
    body: Body = {"jsonrpc": "2.0", "id": message_id, "error": fault}
    return Message("response", message_id, "", {}, body)
