"""Which protocol era a server over Streamable HTTP speaks: found by asking it, and remembered."""

import asyncio
import math

import aiohttp

from hopward import HopwardError
from hopward_mcp.gate import Gate
from hopward_mcp.greeting import DISCOVER, speaks_newer
from hopward_mcp.headers import METHOD, VERSION
from hopward_mcp.inflow import Inflow
from hopward_mcp.introduction import Introduce
from hopward_mcp.jsonrpc import Body, Message, MessageError, dump
from hopward_mcp.older_shapes import NEWER_VERSION
from hopward_mcp.pace import Pace
from hopward_mcp.request import JSON_TYPE, STREAM_TYPE
from hopward_mcp.sse import StreamError
from hopward_mcp.upstream import Upstream

_SILENT = 5.0
"""Seconds that a server has to say which era it speaks; the request that waits for it has its own time."""
_KNOWN = 60.0
"""Seconds for which a server that does not speak 2026-07-28 is not asked again."""


class Era:
    """The era of one server. `modern` is whether it is known to speak 2026-07-28."""

    def __init__(self, gate: Gate, upstream: Upstream) -> None:
        self.modern = False
        self._gate = gate
        self._upstream = upstream
        self._older_until = -math.inf
        self._asking: asyncio.Task[None] | None = None

    @property
    def older(self) -> bool:
        """Whether it is known not to."""
        return not self.modern and self._gate.now() < self._older_until

    async def is_older(self, introduce: Introduce) -> bool:
        """Whether the server does not speak 2026-07-28; False too where it does not say."""
        if self.modern or self.older:
            return self.older
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask(introduce))
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)
        return self.older

    def _asked(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _ask(self, introduce: Introduce) -> None:
        """Ask the server; a server that cannot be asked tells nothing about its era."""
        try:
            async with asyncio.timeout(min(_SILENT, self._gate.call_timeout / 2)):
                answer = await self._discovered(introduce)
        except (aiohttp.ClientError, HopwardError, TimeoutError):
            return
        except (MessageError, StreamError):
            answer = {}
        if answer is None:
            return
        self.modern = speaks_newer(answer)
        self._older_until = -math.inf if self.modern else self._gate.now() + _KNOWN

    async def _discovered(self, introduce: Introduce) -> Body | None:
        """Its answer to `server/discover`, empty where it has none; None where it lets nobody ask."""
        key = next(self._gate.keys)
        method = "server/discover"
        headers = {
            "accept": f"{JSON_TYPE}, {STREAM_TYPE}",
            "content-type": JSON_TYPE,
            VERSION: NEWER_VERSION,
            METHOD: method,
            **await introduce(method),
        }
        body = dump({"jsonrpc": "2.0", "id": key, "method": method, "params": DISCOVER})
        response = await self._upstream.request("POST", headers, body)
        try:
            if response.status in (401, 403, 429) or response.status >= 500:
                return None
            if response.content_type != STREAM_TYPE:
                raw = await self._upstream.body(response)
                return _answer(self._gate.read_server(raw), key)
            inflow = Inflow(response, self._gate.max_bytes, Pace())
            while (event := await inflow.event()) is not None:
                began = inflow.pace.clock()
                message = self._gate.read_server(event.data) if event.data else None
                if message is not None and message.kind == "response":
                    return _answer(message, key)
                inflow.pace.charge(inflow.pace.clock() - began)
        finally:
            response.close()
        return {}


def _answer(message: Message, key: int) -> Body:
    return message.body if message.id == key else {}
