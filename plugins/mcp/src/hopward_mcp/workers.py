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
from hopward_mcp.http_sessions import HttpSession, HttpSessions, Principal, principal
from hopward_mcp.inputs import reached
from hopward_mcp.introduction import Introduce
from hopward_mcp.older_shapes import abilities
from hopward_mcp.pending import Pending
from hopward_mcp.restarts import pause
from hopward_mcp.session import Session
from hopward_mcp.upstream import Upstream
from hopward_mcp.worker import Worker

_log = logging.getLogger(__name__)

_SHARE = 4
"""No principal has more than one in so many of all processes, but it may always have one."""
_MOST_SESSIONS = 4_096
"""The same of sessions at a server over HTTP, which costs us no processes."""
_KNOWN = 60.0
"""Seconds for which a server that does not speak 2026-07-28 is not asked again by another process."""
_LOOKS = 4
"""How often an unused process is looked at before it ends."""
_MOST_FAILURES = 1_024

_UNUSED = lost("The server's process was not used for too long.")
_ENDED = lost("The session has ended.")
_STOPPED = lost("The server was stopped.")


class Workers:
    """Starts, finds and ends the processes. Raises `HopwardError` where there is none to be had:
    `too_many_processes`, `server_restarting`, `not_started`, `not_sent`, `timed_out`."""

    def __init__(self, gate: Gate, reach: Command | Upstream) -> None:
        self.sessions = HttpSessions(gate.now, mark=gate.mark)
        self._gate = gate
        self._reach = reach
        self.adopt()
        self._running: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._shared: dict[tuple[Principal, str], asyncio.Task[Worker]] = {}
        self._held: dict[str, Worker] = {}
        self._failures: dict[Principal, tuple[int, float]] = {}
        # Over HTTP a server has been asked before anything comes here.
        self._older = isinstance(reach, Upstream)
        self._older_until = math.inf if self._older else -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._running)

    @property
    def older(self) -> bool:
        """Whether the server is known not to speak 2026-07-28."""
        return self._gate.now() < self._older_until

    def adopt(self) -> None:
        """Keep to the limits of the gate's guard from now on; processes that run keep the longest message
        they were started with."""
        limits = self._gate.guard.settings.proxy
        self._most = limits.max_processes if isinstance(self._reach, Command) else _MOST_SESSIONS
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

    async def shared(self, chain: Chain, pending: Pending, introduce: Introduce) -> Worker:
        """The process that serves this request of the era 2026-07-28, and others of the principal.

        It serves all, unless the server is an older one: that is told once what its client can do, so that a
        process serves all requests that say the same.
        """
        who = principal(chain)
        said = abilities(pending.message.params, reached(self._gate, pending.chain))
        while True:
            key = (who, said if self._older else "")
            starting = self._shared.get(key)
            if starting is None:
                worker = self._admitted(who, None)
                worker.introduce = introduce
                starting = asyncio.get_running_loop().create_task(self._meeting(worker, pending))
                self._shared[key] = starting
                starting.add_done_callback(partial(self._begun, key, said))
            worker = await asyncio.shield(starting)
            if not worker.older or self._shared.get((who, said)) is starting:
                worker.introduce = introduce
                return worker

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
            await worker.start(self._reach)
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

    async def _meeting(self, worker: Worker, pending: Pending) -> Worker:
        """The same, once it has been met in the era that it speaks."""
        await self._started(worker)
        known = self.older
        try:
            async with asyncio.timeout(self._gate.call_timeout):
                spoken = await worker.meet(pending, known_older=known)
        except TimeoutError:
            self._failed(worker.principal)
            self._retire(worker, _STOPPED)
            raise HopwardError("The server did not answer in time.", error="timed_out") from None
        except asyncio.CancelledError:
            self._retire(worker, _STOPPED)
            raise
        if worker.how:
            raise HopwardError("The server has ended.", error="not_started")
        if not spoken:
            self._failed(worker.principal)
            self._retire(worker, _STOPPED)
            raise HopwardError("The server speaks no protocol version that is known.", error="not_started")
        self._older = worker.older
        if not (known and worker.older):
            self._older_until = self._gate.now() + _KNOWN if worker.older else -math.inf
        return worker

    def _begun(self, key: tuple[Principal, str], said: str, starting: asyncio.Task[Worker]) -> None:
        if starting.cancelled() or starting.exception() is not None:
            self._shared.pop(key, None)
        elif starting.result().older and self._shared.get(key) is starting:
            # Before it was met it was not known that it serves only those that say the same.
            del self._shared[key]
            self._shared[(key[0], said)] = starting

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
        for key, shared in list(self._shared.items()):
            if _is(shared, worker):
                del self._shared[key]
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


def _is(starting: asyncio.Task[Worker], worker: Worker) -> bool:
    sound = starting.done() and not starting.cancelled() and starting.exception() is None
    return sound and starting.result() is worker
