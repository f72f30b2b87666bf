"""Hops whose runs wait for people: they stay open, and the work goes on with them when it is resumed."""

from collections.abc import Iterator
from threading import Lock
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from hopward import Chain, Guard, HopwardError

_Key = tuple[str, tuple[str, ...], str, str]
_MOST = 4096
"""Hops that are remembered; what was forgotten is found by its approvals, as in another process."""


class Suspended:
    """Finds the hop that resumed work goes on with. Which it is, is a guess: the guard decides.

    In this process it is known by where in which graph the work was handed on. In another one, by the
    approvals that are waited for: of several hops of one agent, the one that has waited longest.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = Lock()
        self._kept: dict[_Key, list[str]] = {}
        self._known: dict[str, str] = {}

    def opened(self, chain: Chain) -> None:
        """The last hop of a chain is under way here: no other work goes on with it."""
        with self._lock:
            self._known[chain.hops[-1]] = chain.task
            while len(self._known) > _MOST:
                self._known.pop(next(iter(self._known)))

    def keep(self, chain: Chain, where: str) -> None:
        """The run of the last hop of a chain is interrupted, and the hop stays open."""
        key = (chain.task, chain.hops[:-1], chain.actor, where)
        with self._lock:
            self._kept.setdefault(key, []).append(chain.hops[-1])
            while len(self._kept) > _MOST:
                self._kept.pop(next(iter(self._kept)))

    def take(self, chain: Chain, agent: str, where: str) -> str:
        """The hop that this chain has handed to that agent at this place before, or an empty text."""
        key = (chain.task, chain.hops, agent, where)
        with self._lock:
            kept = self._kept.get(key)
            if kept:
                found = kept.pop(0)
                if not kept:
                    self._kept.pop(key)
                return found
            if not _configurable().get("__pregel_resuming"):
                return ""
            found = next((one for one in self._stored(chain, agent) if one not in self._known), "")
            if found:
                self._known[found] = chain.task
            return found

    def forget(self, task: str) -> None:
        """The task is over, and its hops with it."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if key[0] != task}
            self._known = {hop: of for hop, of in self._known.items() if of != task}

    def _stored(self, chain: Chain, agent: str) -> Iterator[str]:
        try:
            found = self._guard.approvals.find(("pending", "approved", "rejected"), chain.task)
        except HopwardError:
            return
        depth = len(chain.hops)
        for one in reversed(found):
            below = one.chain
            if below.hops[:depth] == chain.hops and below.actors[depth + 1 : depth + 2] == (agent,):
                yield below.hops[depth]


def where() -> str:
    """Where in which graph the code that runs now is, as LangGraph numbers it: the same once resumed."""
    found = _configurable().get("checkpoint_ns")
    return found if isinstance(found, str) else ""


def _configurable() -> dict[str, Any]:
    config: Any = var_child_runnable_config.get() or {}
    return config.get("configurable") or {}
