"""The processes of one server with `command`, for callers over HTTP: who gets one, how many, how long.

A process is of one principal and serves no other. In the older era each session has its own; in the era
2026-07-28 a principal has one for all its requests. When there are too many, the principal's own longest
unused process gives way; nobody else's does. One that ends by itself is started anew by the next request,
after a pause that grows while it answers nothing.
"""

import asyncio
import logging
import math
from functools import partial

from hopward import Chain, ConfigError, HopwardError
from hopward_mcp.child import Command
from hopward_mcp.endings import Failure, lost
from hopward_mcp.gate import Gate
from hopward_mcp.headers import LEGACY_VERSIONS, MODERN_VERSIONS, UNSUPPORTED_VERSION
from hopward_mcp.http_sessions import HttpSession, HttpSessions, Principal, principal
from hopward_mcp.jsonrpc import Body, Message, MessageError
from hopward_mcp.methods import CAPABILITIES_KEY, VERSION_KEY
from hopward_mcp.restarts import pause
from hopward_mcp.session import Session
from hopward_mcp.worker import Worker

_log = logging.getLogger(__name__)

_SHARE = 4
"""No principal has more than one in so many of all processes, but it may always have one."""
_KNOWN = 60.0
"""Seconds for which a server that does not speak 2026-07-28 is not asked again."""
_LOOKS = 4
"""How often an unused process is looked at before it ends."""
_MOST_FAILURES = 1_024

_UNUSED = lost("The server's process was not used for too long.")
_ENDED = lost("The session has ended.")
_STOPPED = lost("The server was stopped.")


class Workers:
    """Starts, finds and ends the processes. Raises `HopwardError` where there is none to be had:
    `too_many_processes`, `server_restarting`, `not_started`, `not_sent`, `timed_out`."""

    def __init__(self, gate: Gate, command: Command) -> None:
        self.sessions = HttpSessions(gate.now, mark=gate.mark)
        self._gate = gate
        self._command = command
        self.adopt()
        self._running: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._shared: dict[Principal, asyncio.Task[Worker]] = {}
        self._held: dict[str, Worker] = {}
        self._failures: dict[Principal, tuple[int, float]] = {}
        self._legacy_until = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._running)

    def adopt(self) -> None:
        """Keep to the limits of the gate's guard from now on; processes that run keep the longest message
        they were started with."""
        limits = self._gate.guard.settings.proxy
        self._most = limits.max_processes
        self._idle = self.sessions.idle = limits.process_idle_seconds

    def of(self, held: HttpSession) -> Worker:
        """The process of a session; raises `HopwardError` when it has ended."""
        found = self._held.get(held.id)
        if found is None:
            raise HopwardError("The server has ended.", error="not_sent")
        return found

    async def open(self, chain: Chain, session: Session) -> HttpSession:
        """A new session of the older era, and a process just for it."""
        admitted = self._admitted(principal(chain), session)
        starting = asyncio.get_running_loop().create_task(self._started(admitted))
        try:
            worker = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._unwanted)
            raise
        if not worker.alive:
            raise HopwardError("The server has ended.", error="not_started")
        held = self.sessions.open("", chain, session)
        held.on_close = partial(self._retire, worker, _ENDED)
        worker.held = held
        self._held[held.id] = worker
        return held

    def end(self, held: HttpSession) -> None:
        """End a session and its process."""
        worker = self._held.get(held.id)
        if worker is not None:
            self._retire(worker, _ENDED)

    async def shared(self, chain: Chain) -> Worker:
        """The process that serves all requests of a principal in the era 2026-07-28.

        Raises `MessageError` where the server does not speak it.
        """
        who = principal(chain)
        starting = self._shared.get(who)
        if starting is None:
            if self._gate.now() < self._legacy_until:
                raise _wrong_era()
            starting = asyncio.get_running_loop().create_task(self._modern(self._admitted(who, None)))
            self._shared[who] = starting
            starting.add_done_callback(partial(self._begun, who))
        return await asyncio.shield(starting)

    def sweep(self) -> None:
        """End what has not been used for too long, and look again later."""
        now = self._gate.now()
        for worker in list(self._running):
            if worker.busy:
                worker.used = now
                if worker.held is not None:
                    self.sessions.touch(worker.held)
            elif now - worker.used > self._idle:
                self._retire(worker, _UNUSED)
        self._timer = None
        self._watch()

    async def close(self) -> None:
        """End every session and every process."""
        starting = list(self._shared.values())
        for one in starting:
            one.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        for worker in list(self._running):
            self._retire(worker, _STOPPED)
        if self._timer is not None:
            self._timer.cancel()
        self._gate.turn.flush()
        await asyncio.gather(*self._ending)

    # Who gets one.

    def _admitted(self, who: Principal, session: Session | None) -> Worker:
        """A process that may be started; one of the principal's own may have to give way to it."""
        self._make_room(who)
        worker = Worker(self._gate, who, session, self._lost)
        self._running.add(worker)
        return worker

    def _make_room(self, who: Principal) -> None:
        count, until = self._failures.get(who, (0, -math.inf))
        wait = until - self._gate.now()
        if wait > 0:
            told = f"The server has ended {count} times; it is started again in {math.ceil(wait)} s."
            raise HopwardError(told, error="server_restarting")
        own = [worker for worker in self._running if worker.principal == who]
        if len(own) < max(1, self._most // _SHARE) and len(self._running) < self._most:
            return
        unused = [worker for worker in own if not worker.busy]
        if not unused or len(self._ending) >= self._most:
            told = "Too many processes of the server are running; end a session, or try again later."
            raise HopwardError(told, error="too_many_processes")
        self._retire(min(unused, key=lambda worker: worker.used), _ENDED)

    async def _started(self, worker: Worker) -> Worker:
        try:
            await worker.start(self._command)
        except ConfigError as error:
            self._running.discard(worker)
            self._failed(worker.principal)
            _log.error("%s", error)
            raise HopwardError("The server cannot be started.", error="not_started") from error
        except BaseException:
            self._running.discard(worker)
            raise
        if worker not in self._running:
            await worker.end()
            raise HopwardError("The server was stopped.", error="not_started")
        self._watch()
        return worker

    async def _modern(self, worker: Worker) -> Worker:
        """The same, once it has said that it speaks 2026-07-28."""
        await self._started(worker)
        try:
            async with asyncio.timeout(self._gate.call_timeout):
                answer = await worker.ask("server/discover", _DISCOVER)
        except TimeoutError:
            self._failed(worker.principal)
            self._retire(worker, _STOPPED)
            raise HopwardError("The server did not answer in time.", error="timed_out") from None
        except asyncio.CancelledError:
            self._retire(worker, _STOPPED)
            raise
        if worker.how:
            raise HopwardError("The server has ended.", error="not_started")
        if answer is None or not _speaks_modern(answer):
            self._legacy_until = self._gate.now() + _KNOWN
            self._retire(worker, _STOPPED)
            raise _wrong_era()
        return worker

    def _begun(self, who: Principal, starting: asyncio.Task[Worker]) -> None:
        if starting.cancelled() or starting.exception() is not None:
            self._shared.pop(who, None)

    def _unwanted(self, starting: asyncio.Task[Worker]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self._retire(starting.result(), _STOPPED)

    # How one ends.

    def _lost(self, worker: Worker) -> None:
        """A process has ended by itself."""
        if worker.served:
            self._failures.pop(worker.principal, None)
        self._failed(worker.principal)
        self._retire(worker, _STOPPED)

    def _failed(self, who: Principal) -> None:
        count = self._failures.pop(who, (0, 0.0))[0] + 1
        self._failures[who] = (count, self._gate.now() + pause(count))
        if len(self._failures) > _MOST_FAILURES:
            del self._failures[next(iter(self._failures))]

    def _retire(self, worker: Worker, failure: Failure) -> None:
        """End a process, and the session it was for."""
        if worker not in self._running:
            return
        self._running.discard(worker)
        shared = self._shared.get(worker.principal)
        if shared is not None and shared.done() and shared.result() is worker:
            del self._shared[worker.principal]
        worker.stop(failure)
        if worker.held is not None:
            del self._held[worker.held.id]
            self.sessions.close(worker.held)
        ending = asyncio.get_running_loop().create_task(worker.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _watch(self) -> None:
        if self._timer is None and self._running:
            later = self._idle / _LOOKS
            self._timer = asyncio.get_running_loop().call_later(later, self.sweep)


_DISCOVER: Body = {"_meta": {VERSION_KEY: MODERN_VERSIONS[-1], CAPABILITIES_KEY: {}}}


def _speaks_modern(answer: Message) -> bool:
    versions = answer.body.get("result", {}).get("supportedVersions")
    return isinstance(versions, list) and MODERN_VERSIONS[-1] in versions


def _wrong_era() -> MessageError:
    sentence = f"The server does not speak protocol version {MODERN_VERSIONS[-1]}."
    data = {"supported": [*LEGACY_VERSIONS], "requested": MODERN_VERSIONS[-1]}
    return MessageError(UNSUPPORTED_VERSION, "version", sentence, data=data)
