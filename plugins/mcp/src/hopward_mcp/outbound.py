"""A stdio client before a server over HTTP: each of its messages becomes a request of ours.

Imported only for a server with a `url`: an HTTP client is slow to import. The client's session is the
server's, both ways: in the older era ours has its id, and a stream for what answers nothing.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, cast

import aiohttp

from hopward import Chain, HopwardError
from hopward_mcp.caller import Piped
from hopward_mcp.client_end import ClientEnd
from hopward_mcp.endings import (
    FALLEN,
    MALFORMED,
    TOO_LATE,
    WITHDRAWN,
    Failure,
    failed,
    given_up,
    lost,
    timed_out,
    withdrawn,
)
from hopward_mcp.footing import Footing
from hopward_mcp.gate import Gate
from hopward_mcp.headers import SESSION, VERSION, passed_on, upstream
from hopward_mcp.introduction import introduction
from hopward_mcp.jsonrpc import Body, Message, MessageError
from hopward_mcp.lines import Lines, Overlong
from hopward_mcp.methods import ENDLESS, VERSION_KEY, is_modern
from hopward_mcp.ongoing import OverError
from hopward_mcp.parameters import Parameters
from hopward_mcp.pending import Pending
from hopward_mcp.presented import Presented
from hopward_mcp.request import JSON_TYPE, STREAM_TYPE
from hopward_mcp.restarts import pause
from hopward_mcp.route import Forward, Reply, Route
from hopward_mcp.session import Session
from hopward_mcp.sse import Events, Place, StreamError
from hopward_mcp.upstream import Upstream, broken, unreadable
from hopward_mcp.watch import Why

_log = logging.getLogger(__name__)

_ANSWER = "answer"
"""What an answer of the client is called where a request has its method."""
_DRAIN = 5.0
_FLUSH = 1.0
_LEAVE = 1.5
"""Seconds that requests under way have after the client has closed our stdin, that the client has to take the
last answers, and the server to end its session."""


class Outbound:
    """One stdio session: one client, one chain, one server over HTTP."""

    def __init__(self, gate: Gate, chain: Chain) -> None:
        self._gate = gate
        self._chain = chain
        self._session = Session(gate)
        self._session.heard(chain)
        self._lines = Lines(gate.max_bytes)
        url = gate.guard.settings.servers[gate.server].url
        self._upstream = Upstream(url, gate.courier.headers, gate.max_bytes)
        self._client = ClientEnd(
            on_data=self._data, on_end=self._client_ended, on_lost=self.stop, on_full=self._client_full
        )
        self._footing = Footing(gate, chain, self._judge, self._write)
        self._caller = Piped(self._write)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._told: asyncio.Task[None] | None = None
        self._headers: dict[str, str] = {}
        self._parameters = Parameters()
        self._presented = Presented(
            self._session, chain, self._upstream, partial(self._inward, None), self._session_gone
        )
        self._ended = asyncio.Event()
        self._takes = asyncio.Event()
        self._takes.set()
        self._finished = False
        self._how = ""

    def stop(self) -> None:
        """End the session now."""
        self._finished = True
        self._ended.set()

    async def run(self, source: BinaryIO, sink: BinaryIO) -> str:
        """Serve until the client leaves, this task is cancelled, or the server has ended its session.

        Returns how the server ended it, else an empty text.
        """
        try:
            await self._client.open(source, sink)
            await self._ended.wait()
            if not (self._finished or self._how):
                await self._drain()
        except asyncio.CancelledError:
            self._how = ""
        self._finished = True
        self._gate.turn.flush()
        self._session.endings.fail_all(lost(f"The server {self._how or 'was left'}."), self._to_client)
        self._gate.turn.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._presented.end("its client has gone")
        await self._leave()
        await self._client.close(_FLUSH)
        await self._upstream.close()
        return self._how

    async def _drain(self) -> None:
        """After the client's last message: let what is under way be answered."""
        self._gate.turn.flush()
        calls = list(self._calls.values())
        if calls:
            await asyncio.wait(calls, timeout=_DRAIN)
        self._gate.turn.flush()

    async def _leave(self) -> None:
        """End the server's session."""
        if SESSION not in self._headers:
            return
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(_LEAVE):
                headers = await introduction(self._gate, self._chain, "DELETE")
                response = await self._upstream.request("DELETE", {**self._headers, **headers})
                response.release()

    # From the client.

    def _data(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._line(line)

    def _line(self, line: bytes | Overlong) -> None:
        if not self._finished:
            self._footing.hear(line)

    def _judge(self, message: Message) -> None:
        key = self._session.requests.key(message.params.get("requestId"))
        deliver = partial(self._outward, key)
        self._session.client.judge(message, self._chain, deliver, caller=self._caller)

    def _client_ended(self) -> None:
        for line in self._lines.end():
            self._line(line)
        self._footing.leave()
        self._gate.waiting.end()
        # Behind the turn in which the last messages are decided.
        self._loop.call_soon(self._ended.set)

    def _client_full(self, full: bool) -> None:
        if full:
            self._takes.clear()
        else:
            self._takes.set()

    def _outward(self, named: int | None, route: Route) -> None:
        """Send on what the client has said; `named` is our id of the request that it is about, if any."""
        if isinstance(route, Reply):
            self._footing.to_client(route.body)
        elif isinstance(route, Forward) and not self._finished:
            call = self._calls.get(named) if named is not None else None
            if self._presented.used and route.key is None:
                self._presented.tell(route.body)
                return
            if route.key is not None:
                self._calls[route.key] = self._begin(self._call(route, route.key, self._told))
                self._calls[route.key].add_done_callback(partial(self._over, route.key))
                self._gate.watch.begin(route.key, self._session.requests, self._withdrawn)
            elif route.message.method == "notifications/cancelled" and VERSION not in self._headers and call:
                # In 2026-07-28 a request is given up by leaving its stream.
                call.cancel()
            else:
                self._told = self._begin(self._notify(route, self._told))

    def _withdrawn(self, key: int, pending: Pending, why: Why) -> None:
        self._fail(key, withdrawn(pending, why))
        self._give_up(key, pending.message, WITHDRAWN)
        call = self._calls.get(key)
        if call is not None:
            call.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _over(self, key: int, _: asyncio.Task[None]) -> None:
        self._calls.pop(key, None)
        self._session.requests.close(key)

    # To the server and back.

    async def _notify(self, route: Forward, before: asyncio.Task[None] | None) -> None:
        """Send a notification or an answer, after the one before it."""
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(self._gate.call_timeout):
                response = await self._send(route, before)
                response.release()
        if route.message.method == "notifications/initialized" and SESSION in self._headers:
            self._begin(self._listen())

    async def _call(self, route: Forward, key: int, before: asyncio.Task[None] | None) -> None:
        """Send a request and bring back its answer; it always ends, and its outcome is always recorded."""
        limit = self._gate.call_timeout
        lasting = route.message.method in ENDLESS
        try:
            async with asyncio.timeout(None if lasting else limit):
                if is_modern(route.message) and await self._presented.needed():
                    await self._presented.call(route, key)
                    return
                response = await self._send(route, before)
                try:
                    await self._answered(response, route.message, key)
                finally:
                    response.close() if lasting else response.release()
        except HopwardError as error:
            self._fail(key, failed(f"The request was not sent: {error.message}", error.error))
        except aiohttp.ClientError as error:
            self._fail(key, broken(error))
        except TimeoutError:
            self._fail(key, timed_out(limit))
            self._give_up(key, route.message, TOO_LATE)
        except (StreamError, MessageError) as error:
            self._fail(key, unreadable(error, self._upstream.max_bytes))
        except OverError:
            self._fail(key, lost(FALLEN))
        except Exception:  # noqa: BLE001 - per-message boundary: it ends, and that is its outcome
            _log.exception("a request could not be carried")
            self._fail(key, lost("Hopward could not bring back the answer."))

    def _give_up(self, key: int, message: Message, reason: str) -> None:
        self._presented.give_up(key, reason)
        if VERSION in self._headers and message.method != "initialize":
            # In the older era, leaving its stream does not tell a server that nobody waits.
            self._begin(self._tell(given_up(key, reason)))

    async def _send(self, route: Forward, before: asyncio.Task[None] | None) -> aiohttp.ClientResponse:
        if before is not None:
            # What the client has told the server reaches it before what it asks next.
            await asyncio.wait([before])
        message, known = route.message, self._headers
        if is_modern(message):
            known = {VERSION: str(message.params["_meta"][VERSION_KEY])}
            if message.method == "tools/call":
                known |= self._parameters.headers(message)
        headers = {
            **upstream(message, known),
            **({SESSION: known[SESSION]} if SESSION in known else {}),
            **(route.headers or await introduction(self._gate, self._chain, message.method or _ANSWER)),
            **route.context,
        }
        return await self._upstream.request("POST", headers, route.body)

    async def _answered(self, response: aiohttp.ClientResponse, asked: Message, key: int) -> None:
        status = response.status
        if asked.method == "initialize" and status == 200 and SESSION in response.headers:
            self._headers[SESSION] = response.headers[SESSION]
        if status == 200 and response.content_type == STREAM_TYPE:
            place = Place()
            await self._events(response, asked, key, place)
            await self._go_on(asked, key, place)
            self._fail(key, lost("The server ended its stream without an answer."))
            return
        raw = await self._upstream.body(response)
        if status in (401, 403):
            self._fail(key, failed("The server refused Hopward's credential.", f"http_{status}"))
        elif response.content_type != JSON_TYPE or not raw:
            self._fail(key, failed(f"The server answered HTTP {status}.", f"http_{status}"))
        else:
            self._session.server.judge(raw, partial(self._inward, asked), key)
            self._fail(key, MALFORMED)
        if status == 404 and SESSION in self._headers:
            self._session_gone("has ended the session")

    async def _events(
        self, response: aiohttp.ClientResponse, asked: Message | None, key: int | None, place: Place
    ) -> None:
        """Bring back events until the answer to `key`, or the end; a stream that breaks off has ended if the
        server can go on."""
        try:
            await self._read(response, asked, key, place)
        except aiohttp.ClientPayloadError:
            if not place.id:
                raise

    async def _read(
        self, response: aiohttp.ClientResponse, asked: Message | None, key: int | None, place: Place
    ) -> None:
        lasting = asked is None or asked.method in ENDLESS
        events = Events(self._gate.max_bytes)
        while chunk := await response.content.readany():
            for event in events.feed(chunk):
                place.note(event)
                if lasting and not self._session.stands(self._chain, key):
                    raise OverError
                if event.data and event.name in ("", "message"):
                    self._session.server.judge(event.data, partial(self._inward, asked), key)
                if key is not None and self._session.requests.get(key) is None:
                    return
            await self._takes.wait()

    async def _go_on(self, asked: Message, key: int, place: Place) -> None:
        """Read on where the server has left a stream before the answer (2025-11-25, resumability)."""
        while place.id and VERSION in self._headers and self._session.requests.get(key) is not None:
            await asyncio.sleep(place.seconds)
            if self._session.requests.get(key) is None or not await self._get(asked, key, place):
                return

    async def _listen(self) -> None:
        """Keep open the session's stream of messages that answer nothing, if the server has one."""
        place, failures = Place(), 0
        while not self._finished:
            failures += 1
            try:
                if not await self._get(None, None, place):
                    return
                failures = 0
            except OverError:
                return
            except (HopwardError, aiohttp.ClientError, StreamError) as error:
                _log.info("the session's stream is opened again: %s", error)
            await asyncio.sleep(max(place.seconds, pause(failures)))

    async def _get(self, asked: Message | None, key: int | None, place: Place) -> bool:
        """Bring back the events of a stream from a place on; False if the server has no such stream."""
        headers = {**passed_on(self._headers), "accept": STREAM_TYPE}
        headers |= {SESSION: self._headers[SESSION]} if SESSION in self._headers else {}
        headers |= {"last-event-id": place.id} if place.id else {}
        headers.update(await introduction(self._gate, self._chain, "GET"))
        response = await self._upstream.request("GET", headers)
        try:
            if response.status != 200 or response.content_type != STREAM_TYPE:
                return False
            await self._events(response, asked, key, place)
            return True
        finally:
            response.close()

    async def _tell(self, body: bytes) -> None:
        """Tell the server something of ours: that a request of it was refused, say."""
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(self._gate.call_timeout):
                headers = {**passed_on(self._headers), "content-type": JSON_TYPE}
                headers |= {SESSION: self._headers[SESSION]} if SESSION in self._headers else {}
                headers.update(await introduction(self._gate, self._chain, _ANSWER))
                response = await self._upstream.request("POST", headers, body)
                response.release()

    def _inward(self, asked: Message | None, route: Route) -> None:
        if isinstance(route, Reply):
            self._begin(self._tell(route.body))
        elif isinstance(route, Forward):
            if asked is not None and route.message.kind == "response":
                self._learn(asked, route.message)
            self._to_client(route)

    def _learn(self, asked: Message, answer: Message) -> None:
        """Note what headers will have to say: the version that `initialize` has agreed on, and arguments."""
        result = cast("Body", answer.body.get("result", {}))
        if asked.method == "tools/list":
            self._parameters.learn(result)
        version = result.get("protocolVersion") if asked.method == "initialize" else None
        if isinstance(version, str) and version.isascii() and version.isprintable():
            self._headers[VERSION] = version

    def _to_client(self, route: Route) -> None:
        if isinstance(route, Forward):
            self._footing.to_client(route.body)

    def _write(self, body: bytes) -> None:
        self._client.write(body + b"\n")

    def _session_gone(self, how: str) -> None:
        self._how = how
        self._ended.set()

    def _fail(self, key: int, failure: Failure) -> None:
        """Answer in the server's place, unless it has answered."""
        self._session.endings.fail(key, failure, self._to_client)
