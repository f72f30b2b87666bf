"""The guarded proxy in front of one MCP server, as far as it can be known: by what it writes into the log."""

from threading import Lock
from typing import Any
from weakref import WeakSet

from hopward import Chain, HopwardError, ToolCall, digest
from langchain_hopward.denial import AuthorizationDenied, unguarded
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.exchange import Asked, Told
from langchain_hopward.stream import announce

_UNREADABLE = "Its arguments could not be read, so nothing could be decided: JSON cannot carry them."
_UNPRESENTABLE = "Its chain could not be presented."
_COUNTED = 4096
"""Decisions that are remembered: more than the calls that are under way at once."""


class Proxy:
    """Where the calls of one server have to go. `guarded` are the sessions that it stands behind."""

    def __init__(self, enforcer: Enforcer, server: str) -> None:
        self._enforcer = enforcer
        self.server = server
        self.guarded: WeakSet[Any] = WeakSet()
        self._counted: dict[str, None] = {}
        self._counting = Lock()

    def others(self) -> list["Proxy"]:
        """The proxies in front of the other servers, to find out where a session leads instead."""
        servers = self._enforcer.guard.settings.servers
        wanted = [name for name, one in servers.items() if not one.in_process and name != self.server]
        return [Proxy(self._enforcer, name) for name in wanted]

    def chain(self, tool: str) -> Chain:
        """The chain of this context. Raises `AuthorizationDenied` where there is none to act with."""
        try:
            return self._enforcer.acting(tool, self.server)
        except AuthorizationDenied as denial:
            announce(denial.tool, "deny", denial.reason, denial.decision)
            raise

    def value(self, chain: Chain, asked: Asked, tool: str) -> dict[str, Any]:
        """What stands in `_meta`; raises `AuthorizationDenied` where the chain cannot be presented."""
        try:
            return self._enforcer.guard.present(chain, self.server, asked.method, asked.params)
        except Exception:  # noqa: BLE001 - what cannot be presented is refused
            if _digestible(asked.params):
                raise self.refuse(tool, "chain_not_carried", _UNPRESENTABLE) from None
            raise self.refuse(tool, "arguments_unreadable", _UNREADABLE) from None

    def accepted(self, value: dict[str, Any]) -> bool:
        """Whether the proxy has accepted a chain that was presented; not where that cannot be told."""
        try:
            return self._enforcer.guard.accepted(value)
        except HopwardError:
            return False

    def head(self, tool: str) -> int:
        """The number of the last row of the log; raises `AuthorizationDenied` where it cannot be read."""
        try:
            return self._enforcer.guard.ledger.head()[0]
        except HopwardError:
            raise self.refuse(tool, "log_unavailable", "The decision log cannot be read.") from None

    def decision(self, chain: Chain, asked: Asked, after: int, *, permitted: bool = False) -> Told | None:
        """What the proxy has decided about a call that was sent; None also where that cannot be told.

        Each decision is about one call: of two that are alike, neither counts for both.
        """
        call = ToolCall(server=self.server, tool=asked.tool, arguments=asked.params.get("arguments") or {})
        guard = self._enforcer.guard
        try:
            found = guard.decision_about(chain, call, after, self._counted, permitted=permitted)
            while found and not self.counts(found):
                found = guard.decision_about(chain, call, after, self._counted, permitted=permitted)
            if not found:
                return None
            row = guard.ledger.row(found)
        except (HopwardError, ValueError, TypeError, RecursionError):
            return None
        observed = row.record.get("observed") is True
        return Told(found, row.verdict, row.reason, row.record["verdict"]["sentence"], observed)

    def approval(self, told: Told) -> str:
        """The approval that a refusal is about, as the log has it; empty where it is about none."""
        try:
            return self._enforcer.guard.ledger.row(told.id).record["verdict"]["approval"] if told.id else ""
        except (HopwardError, KeyError):
            return ""

    def counts(self, decision: str) -> bool:
        """Whether a decision has counted for no other call; from now on it counts for this one."""
        with self._counting:
            if decision in self._counted:
                return False
            self._counted[decision] = None
            if len(self._counted) > _COUNTED:
                del self._counted[next(iter(self._counted))]
            return True

    def wrote(self, sentence: str, after: int) -> bool:
        """Whether the proxy has turned a message away with this sentence since row `after` of the log."""
        try:
            for row in self._enforcer.guard.ledger.rows():
                if row.seq <= after:
                    return False
                if (row.kind, row.server, row.record.get("sentence")) == ("refusal", self.server, sentence):
                    return True
        except HopwardError:
            return False
        return False

    def refuse(self, tool: str, reason: str, sentence: str) -> AuthorizationDenied:
        """Record that a call does not go out; the denial to raise."""
        denial = self._enforcer.refuse(tool, reason, sentence, self.server)
        announce(denial.tool, "deny", denial.reason, denial.decision)
        return denial

    def withhold(self, tool: str, sentence: str) -> AuthorizationDenied:
        """Record that nobody has decided a call that may have been executed; the denial to raise."""
        self.refuse(tool, "chain_not_carried", f"It may have been executed. {sentence}")
        return unguarded(f"{self.server}/{tool}", sentence)


def _digestible(params: dict[str, Any]) -> bool:
    try:
        digest(params)
    except (HopwardError, ValueError, TypeError, RecursionError):
        return False
    return True
