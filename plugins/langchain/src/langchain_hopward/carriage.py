"""Calls of MCP tools behind the guarded proxy: the chain goes with each one, and the proxy decides.

    request.params._meta["dev.hopward/chain"]        (docs/reference/chain.md)

It is put there in `ClientSession.send_request`, which every client of the MCP SDK goes through (mcp 1.x and
2.x), for the calls of guarded copies alone. A session that leads past the proxy gets no call: before the
first one it is asked with a ping, and only the proxy can accept the chain that the ping carries. After each
call the decision about it must stand in the log, or its result is withheld.
"""

import functools
import importlib
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, cast
from weakref import WeakSet

from hopward import Chain, HopwardError, LedgerError, ToolCall
from langchain_hopward import credential
from langchain_hopward.denial import AuthorizationDenied, refused, unguarded
from langchain_hopward.enforcer import Enforcer

CHAIN_KEY: Final = "dev.hopward/chain"
DECISION_KEY: Final = "dev.hopward/decision"
_CALL: Final = "tools/call"
_NOT_CARRIED = "Its chain was not sent with it: its MCP client does not go through mcp.ClientSession."
_PAST = "Its MCP client does not lead through the guarded proxy; connect it with Hopward.connections()."
_UNDECIDED = "There is no decision about it in the log: it did not go through the guarded proxy."
_MARK = "__hopward_carries__"

_Forward = Callable[[Any], Awaitable[Any]]


class Carriage:
    """Carries the chain of this context to the proxy in front of one server."""

    def __init__(self, enforcer: Enforcer, server: str) -> None:
        self._enforcer = enforcer
        self.server = server
        self.guarded: WeakSet[Any] = WeakSet()
        _fit()

    @contextmanager
    def body(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Generator["Result"]:
        """Around the body of a guarded copy: what it asks of the server carries the chain.

        Raises `AuthorizationDenied` where there is no chain, and where nothing has carried it.
        """
        name = f"{self.server}/{tool}"
        load = Load(self, self._enforcer.acting(name), name)
        # The credential of a tool around this one is not this one's.
        before, token = credential.running.set(None), _load.set(load)
        try:
            result = Result()
            yield result
        except Exception:
            # However the client tells of a refusal, it is one.
            if load.refused is not None:
                raise load.refused from None
            raise
        finally:
            # A coroutine may be closed in another context than its own; there is nothing to take back there.
            with suppress(ValueError):
                _load.reset(token)
                credential.running.reset(before)
        if load.refused is not None:
            raise load.refused
        if not load.sent:
            raise unguarded(name, _NOT_CARRIED)

    def value(self, chain: Chain, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """What stands in `_meta`; raises `AuthorizationDenied` where the chain cannot be presented."""
        try:
            return self._enforcer.guard.present(chain, self.server, method, params)
        except Exception:  # noqa: BLE001 - what cannot be presented is refused
            raise refused(self.server, "chain_not_carried", "Its chain could not be presented.") from None

    def accepted(self, value: dict[str, Any]) -> bool:
        """Whether the proxy has accepted a chain that was presented; not where that cannot be told."""
        try:
            return self._enforcer.guard.accepted(value)
        except HopwardError:
            return False

    def head(self) -> int:
        """The number of the last row of the log; raises `AuthorizationDenied` where it cannot be read."""
        try:
            return self._enforcer.guard.ledger.head()[0]
        except LedgerError:
            raise refused(self.server, "log_unavailable", "The decision log cannot be read.") from None

    def decided(self, chain: Chain, params: dict[str, Any], after: int) -> bool:
        """Whether the proxy has decided a call that was sent; not where that cannot be told."""
        call = ToolCall(server=self.server, tool=params["name"], arguments=params.get("arguments") or {})
        try:
            return bool(self._enforcer.guard.decision_about(chain, call, after))
        except (HopwardError, ValueError, TypeError, RecursionError):
            return False


@dataclass(slots=True)
class Load:
    """The chain that the requests of one tool call carry, how many did, and what has been refused of it."""

    carriage: Carriage
    chain: Chain
    name: str
    sent: int = 0
    refused: AuthorizationDenied | None = None

    async def send(self, session: Any, request: Any, forward: _Forward) -> Any:
        """Send one request with the chain. Raises `AuthorizationDenied` if a call leads past the proxy."""
        asked = _Asked(request)
        if asked.method != _CALL:
            return await self._carry(session, asked, forward)
        if session not in self.carriage.guarded:
            with suppress(Exception):
                # It comes back here, as a request that calls nothing. Some servers answer with an error.
                await session.send_ping()
        if session not in self.carriage.guarded:
            self.refused = refused(self.name, "chain_not_carried", _PAST)
            raise self.refused
        before = self.carriage.head()
        self.sent += 1
        answer = await self._carry(session, asked, forward)
        self.refused = _refusal(answer, self.carriage.server) or self.refused
        if self.refused is None and not self.carriage.decided(self.chain, asked.params, before):
            self.refused = unguarded(self.name, _UNDECIDED)
        return answer

    async def _carry(self, session: Any, asked: "_Asked", forward: _Forward) -> Any:
        value = self.carriage.value(self.chain, asked.method, asked.params)
        try:
            return await forward(asked.carrying(value))
        finally:
            if session not in self.carriage.guarded and self.carriage.accepted(value):
                self.carriage.guarded.add(session)


_load: ContextVar[Load | None] = ContextVar("hopward_load", default=None)


@dataclass(slots=True)
class Result:
    """What a guarded copy returns."""

    result: Any = field(default=None, repr=False)


class _Asked:
    """A request of the MCP SDK; in mcp 1.x it stands in a union model."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._inner: Any = getattr(request, "root", request)
        self._data: dict[str, Any] = self._inner.model_dump(by_alias=True, mode="json", exclude_none=True)
        self.params: dict[str, Any] = self._data.get("params") or {}
        self._meta: dict[str, Any] = self.params.pop("_meta", None) or {}

    @property
    def method(self) -> str:
        """The JSON-RPC method."""
        return self._data["method"]

    def carrying(self, value: dict[str, Any]) -> Any:
        """The same request with a chain in its `_meta`."""
        params = {**self.params, "_meta": {**self._meta, CHAIN_KEY: value}}
        made: Any = cast("Any", type(self._inner)).model_validate({**self._data, "params": params})
        return made if self._inner is self._request else type(self._request)(made)


def _fit() -> None:
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
        load = _load.get()
        if load is None:
            return await original(self, request, *args, **kwargs)
        return await load.send(self, request, lambda asked: original(self, asked, *args, **kwargs))

    setattr(send_request, _MARK, True)
    session.send_request = send_request


def _refusal(answer: Any, server: str) -> AuthorizationDenied | None:
    """The refusal that an answer of the proxy is; no server behind it can write such an answer."""
    meta: Any = getattr(answer, "meta", None) or {}
    data: Any = cast("dict[str, Any]", meta).get(DECISION_KEY) if isinstance(meta, dict) else None
    if not isinstance(data, dict):
        return None
    told = {str(key): str(value) for key, value in cast("dict[Any, Any]", data).items()}
    texts: list[Any] = [getattr(part, "text", "") for part in getattr(answer, "content", ())]
    message = " ".join(text for text in texts if isinstance(text, str))
    reason, decision = told.get("reason", ""), told.get("id", "")
    return AuthorizationDenied(message, tool=server, reason=reason, decision=decision)
