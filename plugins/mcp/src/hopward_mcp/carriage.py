"""A message on its way to a process of a server with `command`, and what comes back of it on its way to HTTP.

An answer that comes alone is JSON; once anything else has come before it, an event stream whose last event it
is. Its events have no ids: over stdio nothing can be asked for again, so no stream can be resumed.
"""

import asyncio
import logging

from hopward import HopwardError
from hopward_mcp.departure import PATIENCE, Departure
from hopward_mcp.endings import GONE, LEFT, STOPPED, TOO_LATE, WITHDRAWN, Failure, failed, lost, timed_out
from hopward_mcp.headers import SESSION, status_of, traced
from hopward_mcp.http_sessions import HttpSession
from hopward_mcp.methods import ENDLESS, LISTEN
from hopward_mcp.ongoing import OverError
from hopward_mcp.outlet import Outlet
from hopward_mcp.pending import Pending
from hopward_mcp.request import STREAM_TYPE
from hopward_mcp.route import Forward
from hopward_mcp.sse import Event, written
from hopward_mcp.visit import Visit
from hopward_mcp.withdrawal import Withdrawal
from hopward_mcp.worker import Worker
from hopward_mcp.workers import Workers

_FALLEN = "What this request stands on has ended."

_log = logging.getLogger(__name__)


class Carriage:
    """Carries one request of a caller to a process of the server and brings back what may come back."""

    def __init__(self, workers: Workers, visit: Visit) -> None:
        self._workers = workers
        self._visit = visit
        self._request = visit.request
        self._gate = visit.session.gate
        self._departure = Departure(visit.request, PATIENCE)
        self._worker: Worker | None = None
        self._outlet: Outlet | None = None
        self._opened: HttpSession | None = None
        self._established = False
        self._lasting = False

    async def notify(self, route: Forward) -> None:
        """Carry a notification or an answer of the caller, which is only acknowledged."""
        try:
            async with asyncio.timeout(self._gate.call_timeout):
                worker = self._of_session()
                await worker.ready()
        except (HopwardError, TimeoutError):
            await self._request.answer(502)
            return
        worker.write(route.body)
        if route.message.method == "notifications/cancelled":
            worker.cancelled(self._visit.session.requests.key(route.message.params.get("requestId")))
        await self._request.answer(202)

    async def call(self, route: Forward, key: int) -> None:
        """Carry a request and bring back its answer; it always ends, and its outcome is always recorded."""
        limit = self._gate.call_timeout
        self._lasting = route.message.method in ENDLESS
        if not (self._visit.modern or self._lasting):
            # In this era a caller that leaves has not given up; what answers nothing goes another way.
            self._departure = Departure(self._request, PATIENCE, self._unattended)
        withdrawal = Withdrawal(self._visit)
        try:
            if self._lasting:
                self._visit.lasts()
            withdrawal.watch(key)
            async with asyncio.timeout(None if self._lasting else limit):
                with self._departure:
                    await self._exchange(route, key)
        except HopwardError as error:
            await self._fail(key, failed(f"The request was not sent: {error.message}", error.error))
        except TimeoutError:
            self._give_up(key, TOO_LATE)
            await self._fail(key, timed_out(limit))
        except OverError:
            self._give_up(key, _FALLEN)
            await self._fail(key, lost(_FALLEN))
        except asyncio.CancelledError:
            if withdrawal.failure is not None and withdrawal.caught():
                self._give_up(key, WITHDRAWN)
                await self._fail(key, withdrawal.failure)
                return
            self._give_up(key, LEFT if self._departure.gone else STOPPED.sentence)
            if not self._departure.gone:
                await self._fail(key, STOPPED)
                raise
            self._visit.abandon(key, GONE)
        except Exception:  # noqa: BLE001 - per-message boundary: it ends, and that is its outcome
            _log.exception("a request could not be carried")
            await self._fail(key, lost("Hopward could not bring back the answer."))
        finally:
            self._leave(key)

    async def listen(self) -> None:
        """Open the session's stream of messages that answer nothing (GET), until either side leaves."""
        try:
            worker = self._of_session()
            self._visit.lasts()
        except HopwardError:
            await self._request.answer(502)
            return
        except OverError:
            await self._request.answer(503)
            return
        outlet = worker.outlet(open=True)
        try:
            with self._departure:
                await self._request.stream()
                worker.listen(outlet)
                while (found := await outlet.next()) is not None and self._visit.stands(None):
                    await self._request.write(written(Event(), found[0].body))
                self._departure.ignore()
                await self._request.write(b"", last=True)
        except asyncio.CancelledError:
            if not self._departure.gone:
                await self._request.end()
                raise
        finally:
            worker.unlisten(outlet)

    async def leave(self, held: HttpSession) -> None:
        """End the session and its process (DELETE)."""
        self._workers.end(held)
        await self._request.answer(204)

    async def _exchange(self, route: Forward, key: int) -> None:
        pending = self._visit.session.requests.get(key)
        if pending is not None and pending.decision is None and not self._visit.stands(key):
            raise HopwardError(_FALLEN, error="not_sent")
        worker = await self._found(pending)
        await worker.ready()
        takes = STREAM_TYPE in self._request.headers.get("accept", "")
        self._worker, self._outlet = worker, worker.outlet(open=takes)
        headers = route.headers
        if not (headers or (worker.older and route.message.method == LISTEN)):
            # Before an older server, a listen is nothing but what each of its subscriptions is.
            headers = await self._visit.introduction(route.message.method)
        headers = {**traced(self._request.headers), **headers, **route.context}
        if not worker.carry(key, self._visit.session, self._outlet, route.body, headers):
            raise HopwardError("The server has ended, or has too much to do.", error="not_sent")
        while (found := await self._outlet.next()) is not None:
            if self._lasting and not self._visit.stands(key):
                raise OverError
            await self._pass(*found)
            if found[1]:
                return
        await self._fail(key, lost("The server gave no answer."))

    async def _found(self, pending: Pending | None) -> Worker:
        """The process that a request goes to; `initialize` opens a session and starts one."""
        if self._visit.modern:
            if pending is None:
                raise HopwardError(_FALLEN, error="not_sent")
            return await self._workers.shared(self._visit.chain, pending, self._visit.introducer())
        if self._visit.held is None:
            self._opened = self._visit.held = await self._workers.open(self._visit.chain, self._visit.session)
        return self._workers.of(self._visit.held)

    def _of_session(self) -> Worker:
        """The process of the caller's session. Raises `HopwardError` once that, or what the session stands
        on, has ended."""
        held = self._visit.held
        if held is None or not self._visit.stands(None):
            raise HopwardError(_FALLEN, error="not_sent")
        return self._workers.of(held)

    async def _pass(self, route: Forward, last: bool) -> None:
        if last:
            self._departure.ignore()
            self._established = "result" in route.message.body
        if last and not self._request.started:
            headers = self._headers() if self._established else {}
            await self._request.answer(self._status(route), route.body, headers)
        else:
            await self._request.stream(self._headers())
            await self._request.write(written(Event(), route.body), last=last)

    def _headers(self) -> dict[str, str]:
        return {SESSION: self._opened.id} if self._opened is not None else {}

    def _status(self, route: Forward) -> int:
        """The HTTP status of an answer in one piece."""
        code = route.message.body.get("error", {}).get("code")
        return status_of(code, modern=True) if self._visit.modern and isinstance(code, int) else 200

    def _unattended(self) -> None:
        """The caller has gone without giving up: only the answer may still come this way."""
        if self._outlet is not None:
            self._outlet.open = False

    def _give_up(self, key: int, reason: str) -> None:
        if self._worker is not None:
            self._worker.cancel(key, reason)

    def _leave(self, key: int) -> None:
        if self._worker is not None and self._outlet is not None:
            self._worker.leave(key, self._outlet)
        if self._opened is not None and not self._established:
            self._workers.end(self._opened)

    async def _fail(self, key: int, failure: Failure) -> None:
        self._departure.ignore()
        status = 200 if failure.told else status_of(failure.code, modern=self._visit.modern)
        await self._visit.fail(key, failure, status)
