"""The server's process of a stdio session, started again when it ends by itself.

A new process of the older era is told again what the first was told (recollection), so that the client's
session goes on; each subscription is authorized anew, and no call is ever repeated. Nothing is restored for a
chain that has fallen. A server that serves nothing between its ends is started after growing pauses only, and
not for ever.
"""

import asyncio
import logging
import math
from functools import partial
from typing import Protocol, cast

from hopward import Chain, ConfigError
from hopward_mcp.carried import NOBODY
from hopward_mcp.child import Child, Command
from hopward_mcp.jsonrpc import REFUSED, Body, MessageError, MessageId, dump
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.recollection import Recollection, Told
from hopward_mcp.restarts import LONGEST_PAUSE, pause
from hopward_mcp.route import Forward, Route
from hopward_mcp.session import Session

_log = logging.getLogger(__name__)


class Side(Protocol):
    """What the rest of the session does about the process."""

    def line(self, line: bytes | Overlong) -> None:
        """The process has written a line."""
        ...

    def gone(self, how: str) -> None:
        """The process has ended; whatever is under way in it is lost."""
        ...

    def full(self, full: bool) -> None:
        """Whether the process takes nothing more for now."""
        ...

    def send(self, route: Route) -> None:
        """Send on a message to the process."""
        ...

    def tell(self, body: bytes) -> None:
        """Tell the client something of ours."""
        ...


class _Life:
    """One process, from its start: `over` says how it has ended, `served` whether it has answered the client
    anything but `initialize`."""

    def __init__(self, upkeep: "Upkeep", max_bytes: int, began: float) -> None:
        self.child = Child(partial(upkeep.data, self), partial(upkeep.gone, self), partial(upkeep.full, self))
        self.lines = Lines(max_bytes)
        self.began = began
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.served = False


class Upkeep:
    """Keeps a process of the server running. `up` is whether it may be sent what the client says."""

    def __init__(self, session: Session, chain: Chain, recollection: Recollection, side: Side) -> None:
        self.up = False
        self._session = session
        self._gate = session.gate
        self._chain = chain
        self._told = recollection
        self._side = side
        self._most = self._gate.guard.settings.proxy.restarts
        self._failures = 0
        self._until = 0.0
        self._held = False
        self._leaving = False
        self._life: _Life | None = None

    async def start(self, command: Command) -> None:
        """Start the first process; raises `ConfigError` if that cannot be done."""
        await self._begin(command)
        self.up = True

    async def keep(self, command: Command) -> str:
        """Start a new process whenever one has ended, until that makes no sense; how the last has ended."""
        while True:
            life = cast("_Life", self._life)
            how = await life.over
            if self._leaving or not self._told.answered:
                return how
            await life.child.end(patient=False)
            self._count(life)
            if self._failures > self._most:
                again = f", after it was started again {self._most} times without serving anything"
                return how + again if self._most else how
            wait = pause(self._failures)
            when = f"in {wait:.0f} s" if wait else "now"
            _log.warning("hopward: the server %s; it is started again %s", how, when)
            self._until = self._gate.now() + wait
            await asyncio.sleep(wait)
            if self._chain is not NOBODY and not self._gate.stands(self._chain):
                return f"{how}, and what it would be started again for has ended"
            why = await self._again(command)
            if why:
                return why

    def write(self, body: bytes) -> None:
        """Send one message to the process; dropped when there is none."""
        if self._life is not None:
            self._life.child.write(body + b"\n")

    def refusal(self, message_id: MessageId | None) -> MessageError:
        """Why nothing can be asked of the server now."""
        wait = math.ceil(self._until - self._gate.now())
        when = f"is started again in {wait} s" if wait > 0 else "is being started again"
        sentence = f"The server has ended and {when}. The request was not forwarded; try it again then."
        return MessageError(REFUSED, "server_restarting", sentence, message_id)

    def serves(self) -> None:
        """The process has answered the client."""
        if self._life is not None:
            self._life.served = True

    def hold(self, held: bool) -> None:
        """Stop or go on reading what the process writes."""
        self._held = held
        if self._life is not None:
            self._life.child.hold(held)

    def leave(self) -> None:
        """Start no further process."""
        self._leaving = True

    async def end(self, *, patient: bool) -> None:
        """End the process; `patient` gives it time to leave by itself."""
        self._leaving = True
        if self._life is not None:
            await self._life.child.end(patient=patient)

    def _count(self, life: _Life) -> None:
        if life.served or self._gate.now() - life.began > LONGEST_PAUSE:
            self._failures = 0
        self._failures += 1

    async def _begin(self, command: Command) -> _Life:
        life = self._life = _Life(self, self._gate.max_bytes, self._gate.now())
        await life.child.start(command)
        life.child.hold(self._held)
        return life

    # A new process in place of one that has ended.

    async def _again(self, command: Command) -> str:
        """Start a process and have it take up the session; why none can any more, or an empty text."""
        try:
            life = await self._begin(command)
        except ConfigError as error:
            _log.error("%s", error)
            self._over(cast("_Life", self._life), "could not be started again")
            return ""
        if self._told.introduction is not None:
            result = await self._introduced(self._told.introduction)
            if life.over.done():
                return ""
            if result is None:
                self._over(life, "did not take up the session again")
                return ""
            if result.get("protocolVersion") != self._told.version:
                return "came back with another protocol version, so the session cannot go on"
            for field_name in self._told.differences(result):
                _log.warning("%s: the server came back with other %s", self._gate.server, field_name)
            if self._told.initialized is not None:
                self.write(self._told.initialized)
        self.up = True
        self._restore()
        return ""

    async def _introduced(self, introduction: Told) -> Body | None:
        """What the new process answers the client's `initialize`, None unless that is a result."""
        answer: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
        self._session.client.repeat(
            introduction.again(), introduction.chain, self._side.send, partial(_set, answer)
        )
        route = await answer
        if not isinstance(route, Forward) or route.message.kind != "response":
            return None
        return cast("Body | None", route.message.body.get("result"))

    def _restore(self) -> None:
        for told in self._told.requests():
            self._session.client.repeat(
                told.again(), told.chain, self._side.send, partial(self._restored, told)
            )
        for method in self._told.list_changes():
            self._side.tell(dump({"jsonrpc": "2.0", "method": method}))

    def _restored(self, told: Told, route: Route) -> None:
        message = told.message
        taken = isinstance(route, Forward) and "result" in route.message.body
        if not taken:
            _log.warning("%s: %s could not be restored", self._gate.server, message.method)
        elif message.method == "resources/subscribe":
            # What has happened to it meanwhile, nobody has told.
            params = {"uri": message.params["uri"]}
            self._side.tell(
                dump({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})
            )

    # From the process.

    def data(self, life: _Life, data: bytes) -> None:
        """What a process has written; what comes once it counts as ended is of nobody."""
        if not life.over.done():
            for line in life.lines.feed(data):
                self._side.line(line)

    def gone(self, life: _Life, how: str) -> None:
        """A process has ended by itself."""
        if life.over.done():
            return
        for line in life.lines.end():
            self._side.line(line)
        self._over(life, how)

    def _over(self, life: _Life, how: str) -> None:
        self.up = False
        life.over.set_result(how)
        self._side.full(False)
        self._side.gone(how)

    def full(self, life: _Life, full: bool) -> None:
        """Whether a process takes nothing more for now."""
        if not life.over.done():
            self._side.full(full)


def _set(answer: "asyncio.Future[Route]", route: Route) -> None:
    if not answer.done():
        answer.set_result(route)
