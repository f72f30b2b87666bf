"""Older callers over HTTP before a server of 2026-07-28: who speaks which era, found out by asking.

An `initialize` goes to the server as it is. Where it is refused, `server/discover` is asked, and if the
server speaks 2026-07-28 the caller gets a session with an era bridge. From then on that is asked first.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

from hopward import Chain
from hopward_mcp.gate import Gate
from hopward_mcp.headers import SESSION
from hopward_mcp.http_sessions import HttpSession
from hopward_mcp.inquiry import Attempt, Inquiry
from hopward_mcp.jsonrpc import Body, Message
from hopward_mcp.older_client import discovery, offer
from hopward_mcp.older_session import OlderSession, Serve, Shared
from hopward_mcp.request import Request
from hopward_mcp.server_end import ServerEnd
from hopward_mcp.session import Session


class OlderCallers:
    """Their sessions at one endpoint. `serve` is how the endpoint serves any request."""

    def __init__(self, gate: Gate, end: ServerEnd, serve: Serve) -> None:
        self._shared = Shared(gate, serve)
        self._end = end
        self._bridged: dict[str, OlderSession] = {}
        self._modern_only = False

    def of(self, held: HttpSession | None) -> OlderSession | None:
        """The bridged session, if a session is one."""
        return self._bridged.get(held.id) if held is not None else None

    async def greet(
        self,
        caller: Request,
        opening: Message,
        chain: Chain,
        token: str,
        attempt: Callable[[Request], Awaitable[None]],
    ) -> None:
        """Answer an `initialize`; `attempt` asks the server in the caller's era."""
        first = Attempt(caller)
        if not self._modern_only:
            await attempt(first.request)
            if not first.refused:
                return
        discovered = await self._discovered(caller, opening, chain, token)
        if discovered is not None:
            self._modern_only = True
            session = OlderSession(self._shared, chain, opening, discovered)
            await caller.answer(200, session.client.welcome, {SESSION: self._opened(session, chain)})
        elif self._modern_only:
            # It does not any more.
            self._modern_only = False
            await attempt(caller)
        else:
            await first.release()

    async def close(self) -> None:
        """Give up everything that is under way."""
        for task in self._shared.tasks:
            task.cancel()
        await asyncio.gather(*self._shared.tasks, return_exceptions=True)

    async def _discovered(self, caller: Request, opening: Message, chain: Chain, token: str) -> Body | None:
        """What the server answers to `server/discover`, if it speaks 2026-07-28."""
        answers: list[bytes] = []

        async def came(_inquiry: Inquiry, body: bytes) -> None:
            answers.append(body)

        inquiry = Inquiry(discovery(opening), came, self._shared.gate.max_bytes)
        serving = self._shared.serve(inquiry.request(caller.headers, {}), chain, token)
        # A request is served in a task of its own.
        await asyncio.get_running_loop().create_task(serving)
        # Not what is only presented so: a server of an older era that has refused its own greeting.
        return offer(json.loads(answers[-1])) if answers and not self._end.older else None

    def _opened(self, session: OlderSession, chain: Chain) -> str:
        """Hold a session; our id for it."""
        held = self._end.sessions.open("", chain, Session(self._shared.gate))
        held.on_close = partial(self._closed, held.id)
        self._bridged[held.id] = session
        return held.id

    def _closed(self, session_id: str) -> None:
        self._bridged.pop(session_id).close()
