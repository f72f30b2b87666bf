"""Calls of MCP tools behind the guarded proxy: the chain goes with each one, and the proxy decides.

    request.params._meta["dev.hopward/chain"]        (docs/reference/chain.md)

It is put there in `ClientSession.send_request`, which every client of the MCP SDK goes through (mcp 1.x and
2.x), for the calls of guarded copies alone: no other server ever sees a chain.
"""

import functools
import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, cast

from hopward import Chain
from langchain_hopward.denial import AuthorizationDenied, refused
from langchain_hopward.enforcer import Enforcer

CHAIN_KEY: Final = "dev.hopward/chain"
DECISION_KEY: Final = "dev.hopward/decision"
_NOT_CARRIED = "Its chain could not be sent with it: its MCP client does not go through mcp.ClientSession."
_MARK = "__hopward_carries__"


@dataclass(slots=True)
class Load:
    """The chain that the requests of one tool call carry, how many did, and the proxy's refusal of one."""

    carriage: "Carriage"
    chain: Chain
    sent: int = 0
    refused: AuthorizationDenied | None = None


_load: ContextVar[Load | None] = ContextVar("hopward_load", default=None)


class Carriage:
    """Carries the chain of this context to the proxy in front of one server."""

    def __init__(self, enforcer: Enforcer, server: str) -> None:
        self._enforcer = enforcer
        self.server = server
        _fit()

    @contextmanager
    def body(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Generator["Result"]:
        """Around the body of a guarded copy: what it asks of the server carries the chain.

        Raises `AuthorizationDenied` where there is no chain, and where nothing has carried it.
        """
        name = f"{self.server}/{tool}"
        load = Load(self, self._enforcer.acting(name))
        token = _load.set(load)
        try:
            result = Result()
            yield result
        except Exception:
            # However the client tells of a refusal, it is one.
            if load.refused is not None:
                raise load.refused from None
            raise
        finally:
            with suppress(ValueError):
                _load.reset(token)
        if load.refused is not None:
            raise load.refused
        if not load.sent:
            raise refused(name, "chain_not_carried", _NOT_CARRIED)

    def value(self, chain: Chain, method: str, params: dict[str, Any]) -> Any:
        """What stands in `_meta`; raises `AuthorizationDenied` where the chain cannot be presented."""
        try:
            return self._enforcer.guard.present(chain, self.server, method, params)
        except Exception:  # noqa: BLE001 - what cannot be presented is refused
            raise refused(self.server, "chain_not_carried", "Its chain could not be presented.") from None


@dataclass(slots=True)
class Result:
    """What a guarded copy returns."""

    result: Any = field(default=None, repr=False)


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
        answer = await original(self, _loaded(request, load), *args, **kwargs)
        load.refused = _refusal(answer, load.carriage.server)
        return answer

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


def _loaded(request: Any, load: Load) -> Any:
    """The request with the chain in its `_meta`; `request` may be a union model around the real one."""
    inner: Any = getattr(request, "root", request)
    data: dict[str, Any] = inner.model_dump(by_alias=True, mode="json", exclude_none=True)
    params: dict[str, Any] = data.get("params") or {}
    meta: dict[str, Any] = params.pop("_meta", None) or {}
    value = load.carriage.value(load.chain, data["method"], params)
    carrying: Any = cast("Any", type(inner)).model_validate(
        {**data, "params": {**params, "_meta": {**meta, CHAIN_KEY: value}}}
    )
    load.sent += 1
    return carrying if inner is request else type(request)(carrying)
