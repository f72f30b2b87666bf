"""Authorities in processes of their own: a real one, and one that answers whatever a test wants."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any, Self, TypeAlias

from aiohttp import web

from hopward import Guard
from hopward.wire import read_request

from .installation import started

Pairs: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = Callable[[Pairs], tuple[int, bytes]]


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def remote(port: int, seconds: int = 5) -> str:
    """`[authority]` of a proxy whose authority listens at a port."""
    base = f"http://127.0.0.1:{port}"
    return (
        f'issuer = "{base}"\nlisten = "127.0.0.1:{port}"\n'
        f'mode = "remote"\ntoken_endpoint = "{base}/token"\ntoken_timeout_seconds = {seconds}'
    )


@contextmanager
def serving(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`hopward authority serve`, listening."""
    process = started(config, "authority", "serve")
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert b" listens on " in told, told + process.stderr.read()
        yield process
    finally:
        process.terminate()
        process.communicate()


def minted(guard: Guard, pairs: Pairs, **changes: Any) -> tuple[int, bytes]:
    """What the authority of a guard answers to a request of the proxy, or to one that was changed."""
    form = read_request(list((dict(pairs) | changes).items()))
    issued = guard.issuer.exchange(form, guard.issuer.clients["hopward-proxy"], guard.ledger)
    return 200, json.dumps(issued.answer()).encode()


class Impostor:
    """Answers at the token endpoint as told; `asked` is every request. While `held` is set, none is answered;
    `drops` of them break the connection, `cuts` breaks it in the middle of the answer."""

    def __init__(self, port: int, answer: Answer) -> None:
        self.asked: list[dict[str, str]] = []
        self.came = asyncio.Event()
        self.held = asyncio.Event()
        self.answer = answer
        self.location = ""
        self.drops = 0
        self.cuts = False
        self.port = port
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
        pairs = [(name, str(value)) for name, value in (await request.post()).items()]
        self.asked.append({"": request.path, **dict(pairs)})
        self.came.set()
        if self.drops:
            self.drops -= 1
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.held.is_set():
            await self._let_go.wait()
        if self.location:
            return web.Response(status=307, headers={"Location": self.location})
        status, body = self.answer(pairs)
        if self.cuts:
            return await _cut(request, body)
        return web.Response(status=status, body=body, content_type="application/json")


async def _cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """An answer that ends before it is whole."""
    response = web.StreamResponse(
        headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.abort()
    return response
