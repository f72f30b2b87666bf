"""What an older client hears without asking, from a server of 2026-07-28: one `subscriptions/listen`.

It holds the client's `resources/subscribe`, and the lists whose changes the server announces. When that set
changes, another stream is opened, and the one before is left only once the new one stands; an event between
the two comes twice rather than never. A stream that ends is opened again, after a pause that grows, and the
client is told that everything may have changed.
"""

import asyncio
import itertools
import secrets
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

from hopward_mcp.carried import CHAIN_KEY
from hopward_mcp.endings import Failure, timed_out, untold
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import INVALID_PARAMS, REFUSED, Body, Message, MessageError, dump, error, result
from hopward_mcp.methods import SUBSCRIPTION_KEY, is_uri
from hopward_mcp.older_form import Envelope, notification, request
from hopward_mcp.replies import REFUSED_KEY
from hopward_mcp.way import Way

_LISTS: Final = {
    "tools": "toolsListChanged",
    "prompts": "promptsListChanged",
    "resources": "resourcesListChanged",
}
_MOST: Final = 1_024
"""MCP resources that one client may have subscribed to, and changes of that set that may wait."""
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_MOST_FAILURES = 10
"""Seconds before a stream is opened again, and how often in a row without having brought anything."""

_UNHEARD = untold("The server does not tell of changes of this.")
_TRY_LATER = untold("The server does not tell of changes at the moment.")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of the set that is listened for: which URI comes or goes, none where only the stream is to be
    opened, `again` if it was broken off, and the request that asks for it."""

    added: str = ""
    removed: str = ""
    asked: Message | None = None
    way: Way | None = None
    again: bool = False

    def of(self, uris: tuple[str, ...]) -> tuple[str, ...]:
        """The set after it."""
        kept = tuple(uri for uri in uris if uri not in (self.added, self.removed))
        return (*kept, self.added) if self.added else kept


class Subscription:
    """The stream of one client's session. `way` is how the session asks for itself."""

    def __init__(self, gate: Gate, envelope: Envelope, way: Way, capabilities: Body) -> None:
        self._gate = gate
        self._envelope = envelope
        self._way = way
        self._offered = _offered(capabilities)
        self._lists: Body = {}
        self._uris: tuple[str, ...] = ()
        self._prefix = f"listen-{secrets.token_hex(8)}-"
        self._numbers = itertools.count(1)
        self._current = ""
        self._opening = ""
        self._changes: deque[_Change] = deque()
        self._failures = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def attend(self) -> None:
        """The client hears now: listen for changes of the server's lists, if it tells of any."""
        # Without a chain of the session's own, each request has to carry one, and this carries none.
        if self._way.chain.actors and not self._lists and self._offered:
            self._lists = self._offered
            self._change(_Change())

    def subscribe(self, asked: Message, way: Way) -> None:
        """`resources/subscribe` and `resources/unsubscribe`; raises `MessageError`."""
        uri = asked.params.get("uri")
        if not is_uri(uri):
            sentence = "The URI must be absolute, without dot segments."
            raise MessageError(INVALID_PARAMS, "uri", sentence, asked.id)
        if CHAIN_KEY in asked.params.get("_meta", {}):
            # It is signed for this request, and the stream is another: whose would it be?
            sentence = "A request that carries its chain cannot subscribe before this server."
            raise MessageError(REFUSED, "chain_missing", sentence, asked.id)
        if len(self._uris) + len(self._changes) >= _MOST:
            raise MessageError(REFUSED, "too_many", "Too many subscriptions are held.", asked.id)
        comes = asked.method == "resources/subscribe"
        added, removed = (cast("str", uri), "") if comes else ("", cast("str", uri))
        self._change(_Change(added, removed, asked, way))

    def is_own(self, message_id: object) -> bool:
        """Whether a request is the stream, or was."""
        return isinstance(message_id, str) and message_id.startswith(self._prefix)

    def is_heard(self, params: Body) -> bool:
        """Whether an event is one that the client hears: of a stream that is not over, as far as it says."""
        told = cast("Body", params.get("_meta", {})).get(SUBSCRIPTION_KEY)
        if told is not None and told not in (self._current, self._opening):
            return False
        self._failures = 0
        return True

    def acknowledged(self, params: Body) -> None:
        """A stream stands, for as much of what it asked for as the server has said."""
        told = cast("Body", params.get("_meta", {})).get(SUBSCRIPTION_KEY)
        if not self._opening or told != self._opening:
            return
        change = self._changes[0]
        kept = params.get("notifications")
        uris = cast("Body", kept).get("resourceSubscriptions") if isinstance(kept, dict) else None
        if change.added and not (isinstance(uris, list) and change.added in uris):
            self._failed(_unheard(params, change.added))
            return
        before, self._current = self._current, self._opening
        self._uris = change.of(self._uris)
        self._give_up(before)
        self._settled(change)
        if change.again:
            self._tell_all()

    def ended(self, message_id: str, told: Body) -> None:
        """A stream is over: its request has been answered, with a result or an error."""
        if message_id == self._opening:
            self._opening = ""
            self._failed(_refused(told))
        elif message_id == self._current:
            self._current = ""
            self._again()

    def close(self) -> None:
        """Listen no more, and answer nothing."""
        self._closed = True
        self._stop_timer()
        self._changes.clear()
        for message_id in (self._opening, self._current):
            self._give_up(message_id)
        self._opening = self._current = ""

    def _change(self, change: _Change) -> None:
        self._changes.append(change)
        if len(self._changes) == 1:
            self._begin()

    def _begin(self) -> None:
        """Open the stream that the first change wants, or none if it wants nothing."""
        if self._closed:
            return
        self._stop_timer()
        change = self._changes[0]
        uris = change.of(self._uris)
        wanted = {**self._lists, "resourceSubscriptions": list(uris)} if uris else self._lists
        if change.removed and uris == self._uris:
            self._settled(change)
            return
        if not wanted:
            before, self._current, self._uris = self._current, "", ()
            self._give_up(before)
            self._settled(change)
            return
        self._opening = f"{self._prefix}{next(self._numbers)}"
        limit = self._gate.call_timeout
        self._timer = self._loop.call_later(limit, partial(self._failed, timed_out(limit)))
        asked = request(self._opening, "subscriptions/listen", {"notifications": wanted})
        self._way.ask(self._envelope.around(asked))

    def _settled(self, change: _Change) -> None:
        if change.asked is not None and change.way is not None:
            change.way.answer(result(change.asked.id, {}))
        self._over()

    def _failed(self, failure: Failure) -> None:
        """The stream that was being opened will not stand; the one before still does."""
        change = self._changes[0]
        self._give_up(self._opening)
        if change.asked is not None and change.way is not None:
            change.way.answer(error(change.asked.id, failure.code, failure.sentence, failure.data))
        self._over()

    def _over(self) -> None:
        """The first change is done, one way or the other."""
        self._opening = ""
        self._stop_timer()
        self._changes.popleft()
        if self._changes:
            self._begin()
        elif not self._current:
            self._again()

    def _again(self) -> None:
        """Open the stream again after a pause, if it is wanted."""
        idle = not (self._changes or self._closed) and self._timer is None
        if not idle or not (self._lists or self._uris) or self._failures >= _MOST_FAILURES:
            return
        pause = min(_FIRST_PAUSE * 2**self._failures, _LONGEST_PAUSE)
        self._failures += 1
        self._timer = self._loop.call_later(pause, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        if not self._changes and self._gate.stands(self._way.chain):
            self._change(_Change(again=True))

    def _tell_all(self) -> None:
        """What has changed while no stream stood, nobody has told."""
        for name, flag in _LISTS.items():
            if flag in self._lists:
                self._way.tell(dump(notification(f"notifications/{name}/list_changed", {}).body))
        for uri in self._uris:
            self._way.tell(dump(notification("notifications/resources/updated", {"uri": uri}).body))

    def _give_up(self, message_id: str) -> None:
        if message_id:
            params: Body = {"requestId": message_id, "reason": "Something else is listened for."}
            self._way.give_up(notification("notifications/cancelled", params))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _offered(capabilities: Body) -> Body:
    """The lists whose changes the server announces, as a stream asks for them."""
    said = {name: capabilities.get(name) for name in _LISTS}
    return {
        _LISTS[name]: True
        for name, one in said.items()
        if isinstance(one, dict) and cast("Body", one).get("listChanged") is True
    }


def _unheard(acknowledged: Body, uri: str) -> Failure:
    """Why a stream does not bring the changes of an MCP resource: it was refused, or the server has none."""
    refused = cast("Body", acknowledged.get("_meta", {})).get(REFUSED_KEY, {})
    if uri not in refused:
        return _UNHEARD
    decision, reason = refused[uri]["id"], refused[uri]["reason"]
    sentence = f"Subscribing to this was not permitted ({reason}). Decision {decision}."
    data = {"decision": decision, "verdict": refused[uri]["verdict"], "reason": reason}
    return Failure(REFUSED, sentence, _UNHEARD.ended, data)


def _refused(told: Body) -> Failure:
    """Why a stream was not opened, as the server or the judge has said."""
    fault = told.get("error")
    if not isinstance(fault, dict):
        return _TRY_LATER
    fault = cast("Body", fault)
    return Failure(fault.get("code", REFUSED), fault.get("message", ""), _TRY_LATER.ended, fault.get("data"))
