"""The external authorization server of the core's tests, on loopback, and a session before it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from tests.core.foreign_server import CALL, SIGNED, Firm, ForeignServer, written

from hopward import Guard
from hopward.clock import SystemClock
from hopward.keys import KeyRing
from hopward.project import create
from hopward_mcp.external import ExternalAuthority

from .conversation import Conversation
from .remoting import free_port


class Served:
    """`server` over HTTP. Each of `statuses` is answered instead, first come first served; 0 breaks the
    connection. While `held` is set, nothing is answered; `paths` are all that was asked."""

    def __init__(self, server: ForeignServer, port: int) -> None:
        self.server = server
        self.port = port
        self.statuses: list[int] = []
        self.held = asyncio.Event()
        self.came = asyncio.Event()
        self.paths: list[str] = []
        self._let_go = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._let_go.set()
        assert self._runner is not None
        await self._runner.cleanup()

    def let_go(self) -> None:
        """Answer now what was held back."""
        self.held.clear()
        self._let_go.set()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form:
            self.came.set()
            if self.held.is_set():
                await self._let_go.wait()
        status = self.statuses.pop(0) if self.statuses and form else 200
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if status != 200:
            return web.Response(status=status, body=b'{"error": "temporarily_unavailable"}')
        answered, body = self.server.answer(f"{self.server.issuer}{request.path}", form)
        return web.Response(status=answered, body=body, content_type="application/json")


@dataclass
class Abroad:
    """A session whose server trusts an external authorization server. `pauses` are those before a question is
    asked again, in seconds; none is waited for."""

    session: Conversation
    served: Served
    firm: Firm
    authority: ExternalAuthority
    pauses: list[float]

    @property
    def guard(self) -> Guard:
        return self.firm.guard

    async def call(self, message_id: Any = 1, ticket: int = 7, session: Conversation | None = None) -> None:
        """A tools/call, up to the first message that comes of it."""
        session = session or self.session
        session.call(CALL.tool, {"ticket": ticket}, message_id)
        await session.comes()

    def another(self, person: str = "bob") -> Conversation:
        """Another session, of a task of another person."""
        session = Conversation(self.guard, authority=self.authority)
        session.task = self.guard.open_task("tickets", person)
        session.chain = self.guard.enter(session.task.id)
        session.session.heard(session.chain)
        self.entrust(session, person)
        return session

    def entrust(self, session: Conversation, person: str = "alice") -> None:
        """Give the person's token to a session's task, which is alice's at first."""
        token = self.firm.server.person_token(person, self.firm.first)
        self.guard.keep_subject_token(session.task, "firm", token)

    @property
    def told(self) -> dict[str, Any]:
        """The last message to the client."""
        return self.session.to_client[-1]


@asynccontextmanager
async def abroad(folder: Path, firm: str = SIGNED) -> AsyncIterator[Abroad]:
    """All of it, in an empty folder; the person's token is there."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    path = folder / "hopward.toml"
    path.write_text(written(firm, issuer))
    create(folder)
    key = KeyRing.open(folder / ".hopward/keys").proxy.verification()
    server = ForeignServer(
        SystemClock(),
        issuer,
        dict.fromkeys(("agent-a", "agent-b", "proxy"), key),
        {"agent-a": "https://agent-a.example/", "agent-b": "https://agent-b.example/"},
    )
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async with asyncio.timeout(60), AsyncExitStack() as stack:
        guard = Guard.open(path)
        stack.callback(guard.close)
        served = await stack.enter_async_context(Served(server, port))
        authority = ExternalAuthority(guard, "firm", pause)
        stack.push_async_callback(authority.close)
        session = Conversation(guard, authority=authority)
        made = Abroad(session, served, Firm(guard, server, Any), authority, pauses)
        made.entrust(session)
        yield made


def text_of(message: dict[str, Any]) -> str:
    """What a message tells a client, whole."""
    return json.dumps(message)
