"""Hand-overs that outlive the call that decided them: the other agent runs afterwards, as a graph node."""

from contextlib import suppress
from threading import Lock
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from hopward import Chain, Guard, HopwardError


class Promised(Protocol):
    """A call that has handed work on, and the chain the work is done with."""

    @property
    def chain(self) -> Chain: ...


P = TypeVar("P", bound=Promised)


class Handoffs(Generic[P]):
    """Work that waits for its node, that is under way in one, or that others still go on from.

    A hop ends when its node has, and nothing that was handed on from it waits or runs any more.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = Lock()
        self._waiting: dict[tuple[UUID, str, str], list[P]] = {}
        self._active: list[Chain] = []
        self._left: list[Chain] = []

    def promise(self, root: UUID, node: str, work: P) -> None:
        """A call of this root run has decided that its work goes on in that node."""
        with self._lock:
            self._waiting.setdefault((root, work.chain.task, node), []).append(work)

    def take(self, root: UUID, chain: Chain, node: str) -> P | None:
        """What has waited longest for this node in this root run and went on from this chain, or None."""
        with self._lock:
            waiting = self._waiting.get((root, chain.task, node), [])
            for work in waiting:
                if _goes_on(work.chain, chain):
                    waiting.remove(work)
                    self._active.append(work.chain)
                    return work
            return None

    def leave(self, chain: Chain) -> None:
        """The work of a chain is done; its hop ends as soon as nothing goes on from it."""
        with self._lock:
            if chain in self._active:
                self._active.remove(chain)
            self._left.append(chain)
            over = self._over()
        self._complete(over)

    def drop(self, root: UUID) -> None:
        """A root run is over: what was handed over in it and never taken up ends."""
        with self._lock:
            gone = [key for key in self._waiting if key[0] == root]
            self._left.extend(work.chain for key in gone for work in self._waiting.pop(key))
            over = self._over() if gone else []
        self._complete(over)

    def _complete(self, over: list[Chain]) -> None:
        for one in over:
            # With its task, or by somebody's command, it may have ended already.
            with suppress(HopwardError):
                self._guard.complete_hop(one)

    def forget(self, task: str) -> None:
        """The task is over, and all of its hops with it."""
        with self._lock:
            self._waiting = {key: works for key, works in self._waiting.items() if key[1] != task}
            self._active = [chain for chain in self._active if chain.task != task]
            self._left = [chain for chain in self._left if chain.task != task]

    def _over(self) -> list[Chain]:
        waiting = [work.chain for several in self._waiting.values() for work in several]
        over: list[Chain] = []
        for chain in sorted(self._left, key=lambda one: len(one.hops), reverse=True):
            held = [one for one in self._left if one is not chain and one not in over]
            if not any(_goes_on(other, chain) for other in (*waiting, *self._active, *held)):
                over.append(chain)
        self._left = [chain for chain in self._left if chain not in over]
        return over


def _goes_on(other: Chain, chain: Chain) -> bool:
    return len(other.hops) > len(chain.hops) and other.hops[: len(chain.hops)] == chain.hops
