"""The chain that the requests of one tool call carry, and what becomes of them."""

import functools
import importlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from hopward import Chain
from langchain_hopward.denial import AuthorizationDenied, refused
from langchain_hopward.enforcer import mark
from langchain_hopward.exchange import CALL, Asked, Told, error_text, refusal
from langchain_hopward.proxy import Proxy
from langchain_hopward.stream import announce

PATIENCE = 5.0
"""Seconds that whatever a session leads to has for a ping; without an answer it is no proxy."""

_PAST = (
    "Its MCP client does not lead straight to the guarded proxy of {server}; connect it with "
    "Hopward.connections(), each server with a client of its own."
)
_ELSEWHERE = "Its MCP client leads to the guarded proxy of {other}: it is no tool of {server}."
_SILENT = "What its MCP client leads to has not answered a ping in time, so nothing was sent to it."
_UNDECIDED = "There is no decision about it in the log: it did not go through the guarded proxy."
_MARK = "__hopward_carries__"

_Forward = Callable[[Any], Awaitable[Any]]


@dataclass(slots=True)
class Load:
    """The chain of one tool call on its way to one proxy.

    `tool` is the name that the program has for it, `metadata` that of its run. `sent` counts what went out.
    """

    proxy: Proxy
    chain: Chain
    tool: str
    metadata: dict[str, Any] | None = None
    sent: int = 0
    refused: AuthorizationDenied | None = None

    async def send(self, session: Any, request: Any, forward: _Forward) -> Any:
        """Send one request with the chain. Raises `AuthorizationDenied` if a call leads past the proxy."""
        asked = Asked(request)
        if asked.method != CALL:
            return await self._carry(session, asked, forward)
        try:
            return await self._call(session, asked, forward)
        except AuthorizationDenied as denial:
            # Clients wrap what they do not know, or keep it to themselves.
            self.refused = denial
            raise

    async def _call(self, session: Any, asked: Asked, forward: _Forward) -> Any:
        if session not in self.proxy.guarded:
            await self._reach(session, asked)
        before = self.proxy.head(asked.tool)
        self.sent += 1
        try:
            answer = await self._carry(session, asked, forward)
        except AuthorizationDenied:
            raise
        except Exception as error:
            self._failed(asked, before, error)
            raise
        told = refusal(answer)
        if told is not None:
            self.proxy.counts(told.id)
            self.refused = self._refused(asked, told, told.sentence)
        elif not self._permitted(asked, before):
            raise self.proxy.withhold(asked.tool, _UNDECIDED)
        return answer

    def _failed(self, asked: Asked, before: int, error: Exception) -> None:
        """An error goes on where the call was permitted, or where its words are the proxy's own in the log.

        Raises `AuthorizationDenied` for any other.
        """
        if self._permitted(asked, before):
            return
        told = self.proxy.decision(self.chain, asked, before)
        if told is not None:
            sentence = f"{told.sentence} The call was not executed. Decision {told.id}."
            self.refused = self._refused(asked, told, sentence)
            raise self.refused from None
        text = error_text(error)
        if not text or not self.proxy.wrote(text, before):
            raise self.proxy.withhold(asked.tool, _UNDECIDED) from None

    def _permitted(self, asked: Asked, before: int) -> bool:
        told = self.proxy.decision(self.chain, asked, before, permitted=True)
        if told is not None:
            self._tell(asked, told)
        return told is not None

    def _refused(self, asked: Asked, told: Told, message: str) -> AuthorizationDenied:
        self._tell(asked, told)
        approval = self.proxy.approval(told)
        return AuthorizationDenied(
            message, tool=self._name(asked), reason=told.reason, decision=told.id, approval=approval
        )

    def _tell(self, asked: Asked, told: Told) -> None:
        mark(self.metadata, told.id)
        announce(self._name(asked), told.verdict, told.reason, told.id, observed=told.observed)

    def _name(self, asked: Asked) -> str:
        return f"{self.proxy.server}/{asked.tool}"

    async def _reach(self, session: Any, asked: Asked) -> None:
        """Raises `AuthorizationDenied` unless the proxy shows that it stands behind a session."""
        # A ping keeps to itself why no chain can be presented.
        self.proxy.value(self.chain, asked, asked.tool)
        answered = await _ping(session)
        if session in self.proxy.guarded:
            return
        sentence = await self._why(session) if answered else _SILENT
        raise self.proxy.refuse(asked.tool, "chain_not_carried", sentence)

    async def _why(self, session: Any) -> str:
        """What is wrong with a session that does not lead to the proxy: another proxy would show as well."""
        server = self.proxy.server
        for other in self.proxy.others():
            token = load.set(Load(other, self.chain, self.tool))
            try:
                answered = await _ping(session)
            finally:
                load.reset(token)
            if session in other.guarded:
                return _ELSEWHERE.format(other=other.server, server=server)
            if not answered:
                break
        return _PAST.format(server=server)

    async def _carry(self, session: Any, asked: Asked, forward: _Forward) -> Any:
        value = self.proxy.value(self.chain, asked, asked.params.get("name", self.tool))
        try:
            return await forward(asked.carrying(value))
        finally:
            if session not in self.proxy.guarded and self.proxy.accepted(value):
                self.proxy.guarded.add(session)


load: ContextVar[Load | None] = ContextVar("hopward_load", default=None)
"""Set around the body of a guarded copy of an MCP tool."""


async def _ping(session: Any) -> bool:
    """Send a ping, which comes by `Load.send`; whether something came back in time. Servers may err on it."""
    anyio: Any = importlib.import_module("anyio")
    with anyio.move_on_after(PATIENCE) as scope, suppress(Exception):
        await session.send_ping()
    return not scope.cancelled_caught


def fit() -> None:
    """Have every session of this process look for a load. Raises `AuthorizationDenied` without the SDK."""
    try:
        session: Any = importlib.import_module("mcp").ClientSession
    except ImportError:
        raise refused("MCP", "chain_not_carried", "The package mcp is not installed.") from None
    original = session.send_request
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    async def send_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        carried = load.get()
        if carried is None:
            return await original(self, request, *args, **kwargs)
        return await carried.send(self, request, lambda asked: original(self, asked, *args, **kwargs))

    setattr(send_request, _MARK, True)
    session.send_request = send_request
