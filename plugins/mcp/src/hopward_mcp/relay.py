"""A message on its way to a server behind HTTP, and the server's answer on its way back.

Answers are JSON or an event stream; every message in them is judged on its own, and events keep their ids, so
that a stream can be resumed. Nothing else of the server's answer reaches the caller.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress

import aiohttp

from hopward import HopwardError
from hopward_mcp.departure import PATIENCE, Departure
from hopward_mcp.endings import (
    FALLEN,
    GONE,
    MALFORMED,
    STOPPED,
    TOO_LATE,
    WITHDRAWN,
    Failure,
    failed,
    given_up,
    lost,
    timed_out,
)
from hopward_mcp.headers import SESSION, passed_on, upstream
from hopward_mcp.http_sessions import HttpSession, HttpSessions
from hopward_mcp.inflow import Inflow
from hopward_mcp.jsonrpc import MessageError
from hopward_mcp.methods import ENDLESS
from hopward_mcp.ongoing import OverError
from hopward_mcp.request import JSON_TYPE, STREAM_TYPE
from hopward_mcp.route import Forward, Reply
from hopward_mcp.sse import Event, StreamError, written
from hopward_mcp.upstream import Upstream, broken, unreadable
from hopward_mcp.visit import Visit
from hopward_mcp.withdrawal import Withdrawal

_ANSWER = "answer"
"""What an answer of the caller is called where a request has its method."""
_TELLING = 10.0
"""Seconds a server has to take what we tell it."""
_TAIL = 1.0
_TAIL_READS = 8
"""Seconds, and reads, in which a server has to end its stream after the answer, so that the connection can be
used again."""


_log = logging.getLogger(__name__)


class Relay:
    """Carries one request of a caller to the server and brings back what may come back."""

    def __init__(self, upstream: Upstream, sessions: HttpSessions, visit: Visit) -> None:
        self._upstream = upstream
        self._sessions = sessions
        self._visit = visit
        self._request = visit.request
        self._departure = Departure(visit.request, PATIENCE)
        self._opened: Mapping[str, str] = {}
        self._lasting = False

    async def notify(self, route: Forward) -> None:
        """Carry a notification or an answer of the caller; the server only acknowledges it."""
        status = 502
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(self._visit.session.gate.call_timeout):
                response = await self._send(route)
                status = response.status
                response.release()
        await self._request.answer(202 if status < 300 else 404 if status == 404 else 502)

    async def call(self, route: Forward, key: int) -> None:
        """Carry a request and bring back its answer; it always ends, and its outcome is always recorded."""
        limit = self._visit.session.gate.call_timeout
        self._lasting = route.message.method in ENDLESS
        withdrawal = Withdrawal(self._visit)
        try:
            if self._lasting:
                self._visit.lasts()
            withdrawal.watch(key)
            async with asyncio.timeout(None if self._lasting else limit):
                await self._exchange(route, key)
        except HopwardError as error:
            await self._fail(key, failed(f"The request was not sent: {error.message}", error.error))
        except aiohttp.ClientError as error:
            await self._fail(key, broken(error))
        except TimeoutError:
            await self._fail(key, timed_out(limit))
            await self._give_up(route, key, TOO_LATE)
        except (StreamError, MessageError) as error:
            await self._fail(key, unreadable(error, self._upstream.max_bytes))
        except OverError:
            await self._fail(key, lost(FALLEN))
        except asyncio.CancelledError:
            if withdrawal.failure is not None and withdrawal.caught():
                await self._fail(key, withdrawal.failure)
                await self._give_up(route, key, WITHDRAWN)
                return
            if not self._departure.gone:
                await self._fail(key, STOPPED)
                raise
            self._visit.abandon(key, GONE)
        except Exception:  # noqa: BLE001 - per-message boundary: it ends, and that is its outcome
            _log.exception("a request could not be carried")
            await self._fail(key, lost("Hopward could not bring back the answer."))

    async def listen(self) -> None:
        """Open the session's stream of messages that answer nothing (GET), until either side leaves."""
        self._lasting = True
        try:
            self._visit.lasts()
            with self._departure:
                await self._listened()
        except (aiohttp.ClientError, TimeoutError, HopwardError):
            await self._request.answer(502)
        except OverError:
            await self._request.answer(503)
        except asyncio.CancelledError:
            if not self._departure.gone:
                await self._request.end()
                raise

    async def leave(self, held: HttpSession) -> None:
        """End the session at the server, and here if that has worked (DELETE)."""
        headers = {**passed_on(self._request.headers), SESSION: held.upstream_id}
        try:
            async with asyncio.timeout(self._visit.session.gate.call_timeout):
                headers.update(await self._visit.introduction("DELETE"))
                response = await self._upstream.request("DELETE", headers)
        except HopwardError:
            # Whatever the chain stood on has ended, so the session ends here; the server's own goes idle.
            self._sessions.close(held)
            await self._request.answer(204)
            return
        except (aiohttp.ClientError, TimeoutError):
            await self._request.answer(502)
            return
        response.release()
        if response.status < 300 or response.status == 404:
            self._sessions.close(held)
        known = response.status in (200, 202, 204, 404, 405)
        await self._request.answer(response.status if known else 502)

    async def _listened(self) -> None:
        async with asyncio.timeout(self._visit.session.gate.call_timeout):
            headers = {**passed_on(self._request.headers), "accept": STREAM_TYPE, **self._session_header()}
            headers.update(await self._visit.introduction("GET"))
            response = await self._upstream.request("GET", headers)
        try:
            if not _is_stream(response):
                await self._request.answer(response.status if 400 <= response.status < 500 else 502)
                return
            with suppress(aiohttp.ClientError, StreamError, OverError):
                await self._request.stream()
                await self._until_answered(response, None)
            self._departure.ignore()
            await self._request.write(b"", last=True)
        finally:
            response.close()

    async def _exchange(self, route: Forward, key: int) -> None:
        if not (self._visit.modern or self._lasting):
            # In this era a caller that leaves has not given up: it may come back for the answer.
            await self._exchanged(route, key)
            return
        with self._departure:
            await self._exchanged(route, key)

    async def _exchanged(self, route: Forward, key: int) -> None:
        response = await self._send(route)
        try:
            if route.message.method == "initialize":
                self._open(response)
            if _is_stream(response):
                await self._stream(response, key)
            else:
                raw = await self._upstream.body(response)
                self._departure.ignore()
                await self._whole(response, raw, key)
        finally:
            response.release()

    async def _send(self, route: Forward) -> aiohttp.ClientResponse:
        headers = {
            **upstream(route.message, self._request.headers),
            **self._session_header(),
            **(route.headers or await self._visit.introduction(route.message.method or _ANSWER)),
            **route.context,
        }
        return await self._upstream.request("POST", headers, route.body)

    def _session_header(self) -> dict[str, str]:
        held = self._visit.held
        return {SESSION: held.upstream_id} if held is not None else {}

    def _open(self, response: aiohttp.ClientResponse) -> None:
        """Hold the session a server opens, and give the caller an id of ours for it."""
        upstream_id = response.headers.get(SESSION, "")
        if upstream_id and self._visit.held is None and response.status == 200:
            self._visit.held = self._sessions.open(upstream_id, self._visit.chain, self._visit.session)
            self._opened = {SESSION: self._visit.held.id}

    async def _whole(self, response: aiohttp.ClientResponse, raw: bytes, key: int) -> None:
        """Bring back an answer in one piece."""
        status = response.status
        if status in (401, 403):
            await self._fail(key, failed("The server refused Hopward's credential.", f"http_{status}"))
        elif response.content_type != JSON_TYPE or not raw:
            await self._fail(key, failed(f"The server answered HTTP {status}.", f"http_{status}"), status)
        else:
            route = await self._visit.from_server(raw, key)
            if isinstance(route, Forward) and not self._visit.is_open(key):
                await self._request.answer(_shown(status), route.body, self._opened)
            else:
                await self._fail(key, MALFORMED)
        held = self._visit.held
        if status == 404 and held is not None:
            self._sessions.close(held)

    async def _stream(self, response: aiohttp.ClientResponse, key: int) -> None:
        """Bring back an answer as a stream of messages, the last of which is the answer."""
        resumable = await self._until_answered(response, key)
        self._departure.ignore()
        if self._visit.is_open(key):
            if not resumable or self._visit.held is None:
                await self._fail(key, lost("The server ended its stream without an answer."))
                return
            self._visit.expire(key)
        await self._request.stream(self._opened)
        await self._request.write(b"", last=True)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(_TAIL):
                await _read_out(response)

    async def _until_answered(self, response: aiohttp.ClientResponse, key: int | None) -> bool:
        """Pass on events until the answer to `key` or the end; whether the caller could resume the stream."""
        resumable = False
        inflow = Inflow(response, self._visit.session.gate.max_bytes, self._visit.pace)
        while (event := await inflow.event()) is not None:
            if self._lasting and not self._visit.stands(key):
                raise OverError
            resumable = resumable or bool(event.id)
            await self._pass(event, key)
            if key is not None and not self._visit.is_open(key):
                return resumable
        return resumable

    async def _pass(self, event: Event, key: int | None) -> None:
        """Judge one event and pass on what may pass; keep-alives and bare ids pass as they are."""
        if not event.data:
            self._visit.took()
            await self._request.stream(self._opened)
            await self._write(event, event.data)
        elif event.name in ("", "message"):
            route = await self._visit.from_server(event.data, key)
            if isinstance(route, Forward):
                await self._request.stream(self._opened)
                await self._write(event, route.body)
            elif isinstance(route, Reply):
                await self._tell(route.body)
        else:
            self._visit.took()

    async def _write(self, event: Event, data: bytes | None) -> None:
        # The fields of an event are the server's text as much as its data.
        await self._request.write(self._visit.session.gate.concealment.concealed(written(event, data)))

    async def _give_up(self, route: Forward, key: int, reason: str) -> None:
        """In the older era, leaving its stream does not tell a server that nobody waits for the answer."""
        if route.message.method != "initialize":
            await self._tell(given_up(key, reason))

    async def _tell(self, body: bytes) -> None:
        """Tell the server something of ours, in the session: that a request of it was refused, say."""
        if self._visit.held is None:
            return
        headers = {**passed_on(self._request.headers), "content-type": JSON_TYPE, **self._session_header()}
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(_TELLING):
                headers.update(await self._visit.introduction(_ANSWER))
                response = await self._upstream.request("POST", headers, body)
                response.release()

    async def _fail(self, key: int, failure: Failure, status: int = 200) -> None:
        await self._visit.fail(key, failure, 404 if status == 404 else 200, self._opened)


def _is_stream(response: aiohttp.ClientResponse) -> bool:
    return response.status == 200 and response.content_type == STREAM_TYPE


async def _read_out(response: aiohttp.ClientResponse) -> None:
    """Read to the end; who sends on and on after the answer loses the connection instead."""
    for _ in range(_TAIL_READS):
        if not await response.content.readany():
            return


def _shown(status: int) -> int:
    """The status of a JSON answer: the server's, unless it speaks of the server itself."""
    return status if status == 200 or 400 <= status < 500 else 200
