"""What guards one server: everything its sessions share, independent of transport."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from hopward import Chain, Decision, Guard, HopwardError, ToolCall
from hopward_mcp.authority import Asking, Authority
from hopward_mcp.concealment import Concealment
from hopward_mcp.delivery import Courier
from hopward_mcp.jsonrpc import Message, MessageError, Parser, error
from hopward_mcp.mcp_tasks import McpTasks
from hopward_mcp.methods import (
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    SERVER_NOTIFICATIONS,
    Treatment,
)
from hopward_mcp.ongoing import Ongoing
from hopward_mcp.route import Reply
from hopward_mcp.seal import Seal
from hopward_mcp.tracing import Tracing
from hopward_mcp.turn import Turn
from hopward_mcp.waiting import Waiting
from hopward_mcp.watch import Watch

_log = logging.getLogger(__name__)


class Gate:
    """Guards one server. `turn` is shared by all gates of a process; made on the loop everything runs on.

    `authority` is asked for credentials, None where this process mints them itself. Names of what is kept in
    this process between requests begin with `mark`, where there are several processes. Who sets `tracing` has
    it told of calls.
    """

    def __init__(
        self,
        guard: Guard,
        server: str,
        *,
        courier: Courier,
        turn: Turn,
        authority: Authority | None = None,
        mark: str = "",
    ) -> None:
        self.server = server
        self.courier = courier
        self.turn = turn
        self.mark = mark
        self.tracing: Tracing | None = None
        self.concealment = Concealment(courier.secrets)
        self.now = asyncio.get_running_loop().time
        self.keys = itertools.count(1)
        self.ongoing = Ongoing()
        self.watch = Watch(guard)
        self.seal = Seal(guard.settings.authority.issuer, server, mark)
        self.waiting = Waiting(guard, lambda: self.now())
        self.adopt(guard, authority)

    def adopt(self, guard: Guard, authority: Authority | None) -> None:
        """Decide by this guard from now on, within its limits."""
        limits, settings = guard.settings.proxy, guard.settings.servers[self.server]
        self.guard = self.watch.guard = self.waiting.guard = guard
        self.authority = authority
        self.external = bool(settings.credential.authorization_server)
        self.mcp_tasks = McpTasks(guard, self.server, self.turn)
        self.max_bytes = limits.max_message_bytes
        self.call_timeout = limits.call_timeout_seconds
        self._vendor_methods = frozenset(settings.vendor_methods)
        self.client_notifications = CLIENT_NOTIFICATIONS | frozenset(settings.client_notifications)
        self.server_notifications = SERVER_NOTIFICATIONS | frozenset(settings.server_notifications)
        size, depth = limits.max_message_bytes, limits.max_depth
        self._from_client = Parser(max_bytes=size, max_depth=depth, every_key=True)
        self._from_server = Parser(max_bytes=size, max_depth=depth, every_key=False)

    def asking(self, decision: Decision, call: ToolCall, subject_token: str) -> Asking:
        """What to ask `authority` for a permitted call; `subject_token` has presented its chain, if one
        did."""
        if self.external:
            return partial(self.guard.external_request, decision, call)
        return partial(self.guard.credential_request, decision, call, subject_token)

    def asking_nothing(self, chain: Chain, method: str, subject_token: str) -> Asking:
        """Likewise for a request that calls nothing."""
        if self.external:
            return partial(self.guard.external_introduction, chain, self.server, method)
        return partial(self.guard.introduction_request, chain, self.server, method, subject_token)

    def statement(self, decision: Decision | None, call: ToolCall | None, token: str) -> str:
        """What goes along with the token of a permitted call that does not say who acts; empty for others.

        Raises `HopwardError`.
        """
        if not self.external or decision is None or call is None:
            return ""
        return self.guard.statement(decision, call, token)

    def treatment(self, method: str) -> Treatment | None:
        """What a request method of a client means here; None for one that is refused."""
        if method in self._vendor_methods:
            return "authorize"
        return CLIENT_REQUESTS.get(method)

    def around(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """What is judged inside came over HTTP with these headers."""
        return nullcontext() if self.tracing is None else self.tracing.ambient(headers)

    def read_client(self, raw: bytes) -> Message:
        """A client's message; raises `MessageError`."""
        return self._from_client.parse(raw)

    def read_server(self, raw: bytes) -> Message:
        """The server's message; raises `MessageError`."""
        return self._from_server.parse(raw)

    def turn_away(self, fault: MessageError, chain: Chain | None) -> Reply:
        """Log a message that is refused before any decision; the answer it gets if it is owed one."""
        self.note(fault.reason, fault.sentence, chain)
        return Reply(error(fault.id, fault.code, fault.sentence, fault.data), fault.code)

    def stands(self, chain: Chain) -> bool:
        """Whether what a chain has open at this server may go on."""
        return self.guard.stands(chain, self.server)

    def note(self, reason: str, sentence: str, chain: Chain | None = None) -> None:
        """Log a refusal before any decision; it stays a refusal when the log cannot be written."""
        try:
            self.guard.refuse(self.server, reason, sentence, chain)
        except HopwardError as failure:
            _log.error("a refusal could not be logged: %s", failure.message)
