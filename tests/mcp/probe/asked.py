"""One request or notification as the probe's server sees it, and the ways back to the client."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

Json = dict[str, Any]
CREDENTIAL = "dev.hopward/credential"
SHOWN = ("traceparent", "tracestate", "mcp-protocol-version", "mcp-method", "mcp-name")


@dataclass
class Places:
    """What several requests of one client share, by keys of the client."""

    released: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    listeners: dict[str, list["asyncio.Queue[Json]"]] = field(default_factory=lambda: defaultdict(list))
    kept: dict[str, Json] = field(default_factory=dict)


@dataclass
class Asked:
    """A message with everything that came with it. `places` is of the whole process."""

    ctx: ServerRequestContext[Any, Any]
    places: Places

    @property
    def method(self) -> str:
        return self.ctx.method

    @property
    def params(self) -> Json:
        return dict(self.ctx.params or {})

    @property
    def arguments(self) -> Json:
        return self.params.get("arguments", {})

    @property
    def meta(self) -> Json:
        return self.params.get("_meta", {})

    @property
    def modern(self) -> bool:
        return self.ctx.protocol_version in MODERN_PROTOCOL_VERSIONS

    @property
    def state(self) -> Json:
        """What this session keeps; there is none in 2026-07-28."""
        return self.ctx.session._connection.state

    @property
    def client(self) -> Json:
        """What the client has said of itself: once in the older era, with each request in 2026-07-28."""
        prefix = "io.modelcontextprotocol/"
        shown = {"clientInfo": f"{prefix}clientInfo", "capabilities": f"{prefix}clientCapabilities"}
        own = {name: self.meta.get(key) for name, key in shown.items()}
        return own if self.modern else self.state["initialize"]

    @property
    def key(self) -> str:
        """What a subscription and a change have in common: what the client says, or else its task."""
        said = self.meta.get("example.com/key", self.arguments.get("key"))
        # Over stdio a process serves one task.
        return said if said is not None else _claims(self._bearer).get("txn", "")

    def notified(self, method: str) -> "asyncio.Queue[Json]":
        """The params of the notifications of this session with a method."""
        return self.state.setdefault(f"notified {method}", asyncio.Queue())

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification that belongs to this request."""
        await self.ctx.session._request_outbound.notify(method, params)

    async def announce(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification that belongs to no request (2025-11-25 and older)."""
        await self.ctx.session._connection.outbound.notify(method, params)

    async def ask(self, method: str, params: Json | None = None, **options: Any) -> Json:
        """Ask the client something on the stream of this request; raises `MCPError`."""
        outbound = self.ctx.session._request_outbound
        return await outbound.send_raw_request(method, params, options or None)

    @property
    def headers(self) -> Json:
        """The headers that mean something to MCP; empty over stdio."""
        request = self.ctx.request
        found = dict(request.headers) if request is not None else {}
        return {
            name: value for name, value in found.items() if name in SHOWN or name.startswith("mcp-param-")
        }

    @property
    def credential(self) -> Json | None:
        """What the credential of this call is for, and how it came."""
        token, where = self.meta.get(CREDENTIAL, ""), "_meta"
        if not token:
            token, where = self._bearer, "header"
        claims = _claims(token)
        return {"audience": claims["aud"], "scope": claims["scope"], "in": where} if claims else None

    @property
    def _bearer(self) -> str:
        request = self.ctx.request
        sent = request.headers.get("authorization", "") if request is not None else ""
        return sent.removeprefix("Bearer ")


def _claims(token: str) -> Json:
    """What a token says; nothing for none."""
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")) if token else {}
