"""`subscriptions/listen` of 2026-07-28 before a server that knows only `resources/subscribe`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from hopward_mcp.greeting import Answer, Asks
from hopward_mcp.jsonrpc import Body, Message
from hopward_mcp.methods import SUBSCRIPTION_KEY

_CHANGES = {
    "notifications/tools/list_changed": ("toolsListChanged", "tools"),
    "notifications/prompts/list_changed": ("promptsListChanged", "prompts"),
    "notifications/resources/list_changed": ("resourcesListChanged", "resources"),
}
"""By notification: the member of a listen filter, and of the server's capabilities, that it belongs to."""

_UPDATED = "notifications/resources/updated"


@dataclass(slots=True, eq=False)
class _Listener:
    kinds: frozenset[str]
    wanted: list[str]
    granted: list[str]
    waits_for: int
    acknowledged: bool = False


class Listening:
    """The open listens of one connection, by our id of the request.

    `capabilities` are the server's; `up` takes a notification for the client.
    """

    def __init__(self, asks: Asks, capabilities: Body, up: Callable[[str, Body], None]) -> None:
        self._asks = asks
        self._capabilities = capabilities
        self._up = up
        self._open: dict[int, _Listener] = {}
        self._subscribed: Counter[str] = Counter()

    def listen(self, key: int, params: Body) -> None:
        """Open a listen; it is acknowledged once the server has taken every subscription it takes."""
        asked = params.get("notifications")
        asked = cast("Body", asked) if isinstance(asked, dict) else {}
        kinds = frozenset(
            kind for kind, source in _CHANGES.values() if asked.get(kind) is True and self._changes(source)
        )
        uris: list[Any] = asked.get("resourceSubscriptions") or []
        wanted = list(dict.fromkeys(uris)) if self._has("resources", "subscribe") else []
        listener = _Listener(kinds, wanted, [], len(wanted))
        self._open[key] = listener
        for uri in wanted:
            self._subscribed[uri] += 1
            if self._subscribed[uri] == 1:
                self._asks.ask("resources/subscribe", {"uri": uri}, partial(self._answered, key, uri))
            else:
                self._answered(key, uri, {"result": {}})
        self._acknowledge(key, listener)

    def close(self, key: int) -> bool:
        """End a listen; whether there was one."""
        listener = self._open.pop(key, None)
        if listener is None:
            return False
        for uri in listener.wanted:
            self._subscribed[uri] -= 1
            if not self._subscribed[uri]:
                del self._subscribed[uri]
                self._asks.ask("resources/unsubscribe", {"uri": uri}, _nothing)
        return True

    def open(self) -> list[int]:
        """Our ids of the open ones."""
        return list(self._open)

    def heard(self, message: Message) -> bool:
        """Pass a notification on to the listens that want it; whether it is one of theirs."""
        kind, _ = _CHANGES.get(message.method, ("", ""))
        if not kind and message.method != _UPDATED:
            return False
        for key, listener in list(self._open.items()):
            wanted = kind in listener.kinds if kind else message.params.get("uri") in listener.granted
            if wanted and listener.acknowledged:
                self._tell(key, message.method, message.params)
        return True

    def _answered(self, key: int, uri: str, answer: Answer) -> None:
        listener = self._open.get(key)
        if listener is None:
            return
        listener.waits_for -= 1
        if answer is not None and "result" in answer:
            listener.granted.append(uri)
        self._acknowledge(key, listener)

    def _acknowledge(self, key: int, listener: _Listener) -> None:
        if listener.waits_for or listener.acknowledged or key not in self._open:
            return
        listener.acknowledged = True
        granted: Body = dict.fromkeys(sorted(listener.kinds), True)
        if listener.granted:
            granted["resourceSubscriptions"] = listener.granted
        self._tell(key, "notifications/subscriptions/acknowledged", {"notifications": granted})

    def _tell(self, key: int, method: str, params: Body) -> None:
        self._up(method, {**params, "_meta": {**params.get("_meta", {}), SUBSCRIPTION_KEY: key}})

    def _changes(self, source: str) -> bool:
        return self._has(source, "listChanged")

    def _has(self, source: str, ability: str) -> bool:
        said = self._capabilities.get(source)
        return isinstance(said, dict) and cast("Body", said).get(ability) is True


def _nothing(_answer: Answer) -> None:
    """Nothing hangs on this answer."""
