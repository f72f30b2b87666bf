"""`subscriptions/listen` of 2026-07-28 before a server that knows only `resources/subscribe`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, cast

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


Subscribe: TypeAlias = Callable[[int, str, Callable[[Answer], None]], None]
"""Subscribes to an MCP resource for a listen, by our id of it, with the credential for just that; gets the
server's answer, or None where there is none."""


@dataclass(slots=True, eq=False)
class _Listener:
    kinds: frozenset[str]
    wanted: list[str]
    granted: list[str]
    waits_for: int
    acknowledged: bool = False


@dataclass(slots=True, eq=False)
class _Subscription:
    """One at the server: `stands` once it has been taken, and until it is given back. `holders` are the
    listens that have it, `waiting` those that wait for the server's answer; the first has asked for it."""

    stands: bool = False
    holders: set[int] = field(default_factory=set[int])
    waiting: list[int] = field(default_factory=list[int])


class Listening:
    """The open listens of one connection, by our id of the request.

    `capabilities` are the server's; `up` takes a notification for the client.
    """

    def __init__(
        self, asks: Asks, subscribe: Subscribe, capabilities: Body, up: Callable[[str, Body], None]
    ) -> None:
        self._asks = asks
        self._subscribe = subscribe
        self._capabilities = capabilities
        self._up = up
        self._open: dict[int, _Listener] = {}
        self._subscriptions: dict[str, _Subscription] = {}

    def listen(self, key: int, params: Body) -> None:
        """Open a listen; it is acknowledged once the server has answered every subscription of it."""
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
            self._want(key, uri)
        self._acknowledge(key, listener)

    def close(self, key: int) -> bool:
        """End a listen; whether there was one."""
        listener = self._open.pop(key, None)
        if listener is None:
            return False
        for uri in listener.wanted:
            subscription = self._subscriptions.get(uri)
            if subscription is not None and key in subscription.holders:
                subscription.holders.remove(key)
                self._give_back(uri, subscription)
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

    # One subscription: asked for by one listen, held by several.

    def _want(self, key: int, uri: str) -> None:
        subscription = self._subscriptions.get(uri)
        if subscription is None:
            subscription = self._subscriptions[uri] = _Subscription(waiting=[key])
            self._ask(uri, subscription)
        elif subscription.stands:
            subscription.holders.add(key)
            self._answered(key, uri, granted=True)
        else:
            subscription.waiting.append(key)

    def _ask(self, uri: str, subscription: _Subscription) -> None:
        """Ask for it with the credential of the first that waits."""
        self._subscribe(subscription.waiting[0], uri, partial(self._told, uri, subscription))

    def _told(self, uri: str, subscription: _Subscription, answer: Answer) -> None:
        if answer is not None and "result" in answer:
            subscription.stands = True
            waiting, subscription.waiting = subscription.waiting, []
            subscription.holders = {key for key in waiting if key in self._open}
            for key in waiting:
                self._answered(key, uri, granted=True)
            self._give_back(uri, subscription)
            return
        # What was refused to one is asked for anew with the credential of the next.
        self._answered(subscription.waiting.pop(0), uri, granted=False)
        self._next(uri, subscription)

    def _next(self, uri: str, subscription: _Subscription) -> None:
        subscription.waiting = [key for key in subscription.waiting if key in self._open]
        if subscription.waiting:
            self._ask(uri, subscription)
        else:
            del self._subscriptions[uri]

    def _give_back(self, uri: str, subscription: _Subscription) -> None:
        """Give a subscription back that nobody holds; who wants it meanwhile waits until that is done."""
        if not subscription.holders:
            subscription.stands = False
            given_back = partial(self._given_back, uri, subscription)
            self._asks.ask("resources/unsubscribe", {"uri": uri}, given_back)

    def _given_back(self, uri: str, subscription: _Subscription, _answer: Answer) -> None:
        self._next(uri, subscription)

    def _answered(self, key: int, uri: str, *, granted: bool) -> None:
        listener = self._open.get(key)
        if listener is None:
            return
        listener.waits_for -= 1
        if granted:
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
