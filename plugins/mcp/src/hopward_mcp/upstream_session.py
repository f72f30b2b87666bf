"""A session of an older era at a server over Streamable HTTP, used like the pipe to a server's process.

Each message becomes a request of ours. Unlike a pipe, what comes back tells which request it belongs to,
unless it comes on the session's own stream.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from hopward import HopwardError
from hopward_mcp.endings import Failure, failed, lost
from hopward_mcp.gate import Gate
from hopward_mcp.headers import SESSION, VERSION
from hopward_mcp.inflow import Inflow
from hopward_mcp.introduction import Introduce
from hopward_mcp.jsonrpc import Body, MessageError
from hopward_mcp.pace import Pace
from hopward_mcp.request import JSON_TYPE, STREAM_TYPE
from hopward_mcp.restarts import pause
from hopward_mcp.sse import StreamError
from hopward_mcp.upstream import LATER_STATUSES, Upstream, broken, unreadable

_log = logging.getLogger(__name__)

_LEAVE = 1.5
"""Seconds that the server has to end its session."""
_LISTEN_AGAIN = 1.0
_ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets what comes back: `heard` a message and the request on whose stream it came, `lost` a request
    that gets no answer, `gone` how the server has ended the session."""

    heard: Callable[[bytes, int | None], None]
    lost: Callable[[int, Failure], None]
    gone: Callable[[str], None]


class UpstreamSession:
    """One session. `introduce` is asked for the headers of whatever is no call."""

    def __init__(self, gate: Gate, upstream: Upstream, introduce: Introduce, receiver: Receiver) -> None:
        self._gate = gate
        self._upstream = upstream
        self._introduce = introduce
        self._receiver = receiver
        self._known: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._told: asyncio.Task[None] | None = None
        self._takes = asyncio.Event()
        self._takes.set()
        self._ended = False

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a message; `headers` carry a call's credential."""
        if self._ended:
            return
        message: Body = json.loads(body)
        method, key = message.get("method", ""), message.get("id")
        before = self._told
        if method and isinstance(key, int):
            work = self._begin(self._call(body, method, key, headers, before))
            self._calls[key] = work
            work.add_done_callback(lambda _: self._calls.pop(key, None))
            if method == "logging/setLevel":
                self._told = work
        else:
            given_up = (
                message.get("params", {}).get("requestId") if method == "notifications/cancelled" else 0
            )
            self._told = self._begin(self._notify(body, method, before, given_up))

    def hold(self, held: bool) -> None:
        """Stop or go on reading what the server sends."""
        if held:
            self._takes.clear()
        else:
            self._takes.set()

    async def end(self, *, patient: bool) -> None:
        """End the session, at the server too if that is quick."""
        self._ended = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if patient and SESSION in self._known:
            with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
                async with asyncio.timeout(_LEAVE):
                    response = await self._request("DELETE", "DELETE", None, {})
                    response.release()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _request(
        self, verb: str, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        accept = STREAM_TYPE if verb == "GET" else f"{JSON_TYPE}, {STREAM_TYPE}"
        whole = {"accept": accept, **self._known, **(headers or await self._introduce(method))}
        if body is not None:
            whole["content-type"] = JSON_TYPE
        return await self._upstream.request(verb, whole, body)

    async def _notify(
        self, body: bytes, method: str, before: asyncio.Task[None] | None, given_up: object
    ) -> None:
        """Send a notification or an answer, after what was told before it."""
        with suppress(aiohttp.ClientError, TimeoutError, HopwardError):
            async with asyncio.timeout(self._gate.call_timeout):
                await _after(before)
                response = await self._request("POST", method or _ANSWER, body, {})
                response.release()
        if method == "notifications/initialized" and SESSION in self._known:
            self._begin(self._listen())
        call = self._calls.get(given_up) if isinstance(given_up, int) else None
        if call is not None:
            # The server owes no answer, and may keep its stream open all the same.
            call.cancel()

    async def _call(
        self,
        body: bytes,
        method: str,
        key: int,
        headers: Mapping[str, str],
        before: asyncio.Task[None] | None,
    ) -> None:
        """Send a request and bring back what comes of it."""
        try:
            await _after(before)
            response = await self._request("POST", method, body, headers)
            try:
                await self._answered(response, method, key)
            finally:
                response.release()
        except HopwardError as error:
            self._receiver.lost(key, failed(f"The request was not sent: {error.message}", error.error))
        except aiohttp.ClientError as error:
            self._receiver.lost(key, broken(error))
        except (StreamError, MessageError) as error:
            self._receiver.lost(key, unreadable(error, self._upstream.max_bytes))
        except Exception:  # noqa: BLE001 - per-message boundary: it ends, and that is its outcome
            _log.exception("a request could not be carried")
            self._receiver.lost(key, lost("Hopward could not bring back the answer."))

    async def _answered(self, response: aiohttp.ClientResponse, method: str, key: int) -> None:
        status = response.status
        if method == "initialize" and status == 200 and SESSION in response.headers:
            self._known[SESSION] = response.headers[SESSION]
        if status == 200 and response.content_type == STREAM_TYPE:
            if not await self._events(response, method, key):
                self._receiver.lost(key, lost("The server ended its stream without an answer."))
            return
        raw = await self._upstream.body(response)
        if status in (401, 403):
            self._receiver.lost(key, failed("The server refused Hopward's credential.", f"http_{status}"))
        elif response.content_type != JSON_TYPE or not self._take(raw, method, key):
            self._receiver.lost(key, failed(f"The server answered HTTP {status}.", f"http_{status}"))
        if status == 404 and SESSION in self._known:
            self._receiver.gone("has ended the session")

    async def _events(self, response: aiohttp.ClientResponse, method: str, key: int | None) -> bool:
        """Bring back events until the answer to `key`, or the end; whether the answer has come."""
        inflow = Inflow(response, self._gate.max_bytes, Pace())
        while (event := await inflow.event()) is not None:
            began = inflow.pace.clock()
            if event.data and event.name in ("", "message") and self._take(event.data, method, key):
                return True
            inflow.pace.charge(inflow.pace.clock() - began)
            await self._takes.wait()
        return False

    def _take(self, raw: bytes, method: str, key: int | None) -> bool:
        """Pass on a message; whether it answers `key`."""
        try:
            message = self._gate.read_server(raw)
        except MessageError as fault:
            self._receiver.heard(raw, key)
            return key is not None and fault.id == key
        answers = key is not None and message.kind == "response" and message.id == key
        if answers and method == "initialize":
            result = cast("Body", message.body.get("result", {}))
            version = result.get("protocolVersion")
            if isinstance(version, str) and version.isascii() and version.isprintable():
                self._known[VERSION] = version
        if message.kind != "response" or answers:
            self._receiver.heard(raw, key)
        return answers

    async def _listen(self) -> None:
        """Keep open the session's stream of messages that answer nothing, if the server has one."""
        failures = 0
        while not self._ended:
            failures += 1
            try:
                response = await self._request("GET", "GET", None, {})
                try:
                    if response.status == 200 and response.content_type == STREAM_TYPE:
                        failures = 0
                        await self._events(response, "", None)
                    elif response.status not in LATER_STATUSES:
                        return
                finally:
                    response.close()
            except (HopwardError, aiohttp.ClientError, StreamError) as error:
                _log.info("the session's stream is opened again: %s", error)
            await asyncio.sleep(max(_LISTEN_AGAIN, pause(failures)))


async def _after(before: asyncio.Task[None] | None) -> None:
    """What the server has been told reaches it before what it is asked next."""
    if before is not None:
        await asyncio.wait([before])
