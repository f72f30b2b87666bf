"""Calls of MCP tools behind the guarded proxy: the chain goes with each one, and the proxy decides.

    request.params._meta["dev.hopward/chain"]        (docs/reference/chain.md)

It is put there in `ClientSession.send_request`, which every client of the MCP SDK goes through (mcp 1.x and
2.x), for the calls of guarded copies alone. A session that leads past the proxy gets no call: before the
first one it is asked with a ping, and only the proxy can accept the chain that the ping carries. After each
call the decision about it must stand in the log, or whatever came back is withheld.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_hopward import credential
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.load import Load, fit, load
from langchain_hopward.proxy import Proxy

_NOT_CARRIED = "Its chain was not sent with it: its MCP client does not go through mcp.ClientSession."


@dataclass(slots=True)
class Result:
    """What a guarded copy returns."""

    result: Any = field(default=None, repr=False)


class Carriage:
    """Carries the chain of this context to the proxy in front of one server."""

    def __init__(self, enforcer: Enforcer, server: str) -> None:
        self._enforcer = enforcer
        self._proxy = Proxy(enforcer, server)
        fit()

    @contextmanager
    def body(self, tool: str, arguments: Callable[[], dict[str, Any]]) -> Generator[Result]:
        """Around the body of a guarded copy: what it asks of the server carries the chain.

        Raises `AuthorizationDenied` where there is no chain, and where nothing has carried it.
        """
        entry = self._enforcer.entry.get()
        metadata = entry.metadata if entry is not None else None
        attempt = self._enforcer.attempt.get()
        carried = Load(self._proxy, self._proxy.chain(tool), tool, metadata)
        # The credential of a tool around this one is not this one's.
        before, token = credential.running.set(None), load.set(carried)
        within = self._enforcer.attempt.set(None)
        try:
            result = Result()
            yield result
        except Exception:
            # However the client tells of a refusal, it is one.
            if carried.refused is not None:
                raise carried.refused from None
            raise
        finally:
            # A coroutine may be closed in another context than its own; there is nothing to take back there.
            with suppress(ValueError):
                load.reset(token)
                credential.running.reset(before)
                self._enforcer.attempt.reset(within)
            if attempt is not None:
                attempt.denial = carried.refused
        if carried.refused is not None:
            raise carried.refused
        if not carried.sent:
            raise self._proxy.withhold(tool, _NOT_CARRIED)
