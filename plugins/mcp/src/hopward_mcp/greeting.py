"""How a server is met that may speak only an older era: it is asked, and greeted in the era it speaks."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, cast

from hopward import __version__
from hopward_mcp.jsonrpc import Body
from hopward_mcp.methods import CAPABILITIES_KEY, VERSION_KEY
from hopward_mcp.older_shapes import (
    CLIENT_INFO_KEY,
    NEWER_VERSION,
    OLDER_VERSIONS,
    UNSUPPORTED_VERSION,
)

_SILENT = 5.0
"""Seconds after which a server that does not answer `server/discover` is taken for an older one."""

_OWN: Body = {"name": "hopward", "version": __version__}
DISCOVER: Body = {"_meta": {VERSION_KEY: NEWER_VERSION, CAPABILITIES_KEY: {}, CLIENT_INFO_KEY: _OWN}}

Answer: TypeAlias = Body | None
"""The body of a response, None when it could not be read."""


def speaks_newer(answer: Body) -> bool:
    """Whether an answer to `server/discover` says that the server speaks 2026-07-28, be it in refusing it."""
    told = answer.get("result", {}).get("supportedVersions")
    if answer.get("error", {}).get("code") == UNSUPPORTED_VERSION:
        data = answer["error"].get("data")
        told = cast("Body", data).get("supported") if isinstance(data, dict) else None
    return isinstance(told, list) and NEWER_VERSION in cast("list[Any]", told)


class Asks(Protocol):
    """Asks the server something of our own."""

    def ask(self, method: str, params: Body, then: Callable[[Answer], None]) -> int:
        """Send a request; `then` gets its answer, unless the server goes. Returns its id."""
        ...

    def tell(self, method: str, params: Body) -> None:
        """Send a notification."""
        ...

    def forget(self, key: int) -> None:
        """Take no answer to this request any more."""
        ...


class Greeting:
    """Meets one server. `modern` is called when it speaks 2026-07-28, `older` with the result of `initialize`
    when it does not, None in its place when it cannot be spoken to at all."""

    def __init__(
        self, asks: Asks, seconds: float, modern: Callable[[], None], older: Callable[[Answer], None]
    ) -> None:
        self._asks = asks
        self._seconds = seconds
        self._modern = modern
        self._older = older
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._introduction: Body = {}
        self._discovery = self._greeted = 0

    def begin(self, capabilities: Body, client: object, *, known_older: bool) -> None:
        """Ask for the era unless it is known. `capabilities` and `client` are for `initialize`."""
        info: Body = cast("Body", client) if isinstance(client, dict) else _OWN
        self._introduction = {"capabilities": capabilities, "clientInfo": info}
        if known_older:
            self._initialize()
            return
        self._discovery = self._asks.ask("server/discover", DISCOVER, self._discovered)
        self._timer = self._loop.call_later(min(_SILENT, self._seconds / 2), self._initialize)

    def end(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _discovered(self, answer: Answer) -> None:
        if speaks_newer(answer or {}):
            # It may have been greeted meanwhile, where it was only slow to start.
            self.end()
            self._asks.forget(self._greeted)
            self._modern()
        elif not self._greeted:
            self.end()
            self._initialize()

    def _initialize(self) -> None:
        asked = {"protocolVersion": OLDER_VERSIONS[-1], **self._introduction}
        self._greeted = self._asks.ask("initialize", asked, self._initialized)
        self._timer = self._loop.call_later(self._seconds, self._unmet)

    def _unmet(self) -> None:
        self._asks.forget(self._greeted)
        self._asks.forget(self._discovery)
        self._older(None)

    def _initialized(self, answer: Answer) -> None:
        self.end()
        self._asks.forget(self._discovery)
        result: Body = {} if answer is None else answer.get("result", {})
        sound = (
            result.get("protocolVersion") in OLDER_VERSIONS
            and isinstance(result.get("capabilities"), dict)
            and isinstance(result.get("serverInfo"), dict)
        )
        if sound:
            self._asks.tell("notifications/initialized", {})
        self._older(result if sound else None)
