"""How an MCP client of the program reaches a server behind the guarded proxy."""

import importlib
import importlib.metadata
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from hopward import Chain, Guard
from langchain_hopward.enforcer import Enforcer

_EARLY = 30
"""Seconds before its end that a token is replaced."""


def connection(enforcer: Enforcer, server: str) -> dict[str, Any]:
    """The connection of one server, as MCP clients of LangChain take it."""
    guard = enforcer.guard
    if guard.settings.servers[server].url:
        url = f"{guard.settings.proxy.public_url.rstrip('/')}/{server}/mcp"
        return {"transport": "streamable-http", "url": url, "auth": _auth(enforcer, server)}
    return {
        "transport": "stdio",
        "command": str(Path(sys.executable).with_name("hopward")),
        "args": ["mcp", "run", server, "--carried", "--config", str(guard.settings.root / "hopward.toml")],
    }


class Tokens:
    """Access tokens for one endpoint of the proxy, one for each chain, minted when they are needed."""

    def __init__(self, guard: Guard, server: str) -> None:
        self._guard = guard
        self._server = server
        self._held: dict[tuple[str, tuple[str, ...]], tuple[str, int]] = {}

    def token(self, chain: Chain) -> str:
        """A token of this chain that lasts a while; raises `HopwardError` where there is none to be had."""
        now, key = self._guard.now, (chain.task, chain.hops)
        held = self._held.get(key)
        if held is None or held[1] <= now:
            token, seconds = self._guard.access_token(chain, self._server)
            self._held = {name: one for name, one in self._held.items() if one[1] > now}
            held = self._held[key] = (token, now + (seconds - _EARLY) * 1_000_000)
        return held[0]


def _auth(enforcer: Enforcer, server: str) -> Any:
    """An `Auth` of the HTTP library that the installed MCP SDK uses: a token of the chain of each request."""
    modern = int(importlib.metadata.version("mcp").partition(".")[0]) >= 2
    library: Any = importlib.import_module("httpx2" if modern else "httpx")
    tokens = Tokens(enforcer.guard, server)

    class ChainAuth(library.Auth):
        """Sends the access token of the chain that the request is made with."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """Raises `AuthorizationDenied` outside a task."""
            token = tokens.token(enforcer.acting("*", server))
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    return ChainAuth()
