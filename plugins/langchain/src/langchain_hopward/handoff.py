"""Hand-overs that outlive the call that decided them: the other agent runs afterwards, as a graph node."""

from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from hopward import Chain, Guard, HopwardError
from langchain_hopward.runs import leads_on


class Promised(Protocol):
    """A call that has handed work on, and the chain the work is done with."""

    @property
    def chain(self) -> Chain: ...


P = TypeVar("P", bound=Promised)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[P]):
    """Work that waits. `above` are the runs that the call which handed it on lies in, its own first."""

    above: tuple[UUID, ...]
    node: str
    work: P


class Handoffs(Generic[P]):
    """Work that waits for its node, that is under way in one, or that others still go on from.

    A hop ends when its node has, and nothing that was handed on from it waits or runs any more.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = Lock()
        self._waiting: list[_Waiting[P]] = []
        self._active: list[Chain] = []
        self._left: list[Chain] = []
        self._suspended: list[Chain] = []

    def promise(self, above: tuple[UUID, ...], node: str, work: P) -> None:
        """A call has decided that its work goes on in that node, of a graph in whose run it lies."""
        with self._lock:
            self._waiting.append(_Waiting(above, node, work))

    def take(self, graph: UUID, chain: Chain, node: str) -> P | None:
        """What has waited longest for this node of this graph's run and went on from this chain, or None."""
        with self._lock:
            for waiting in self._waiting:
                work = waiting.work
                if graph in waiting.above and waiting.node == node and _goes_on(work.chain, chain):
                    self._waiting.remove(waiting)
                    self._active.append(work.chain)
                    return work
            return None

    def is_active(self, chain: Chain) -> bool:
        """Whether the work of a chain has been taken up and is under way."""
        with self._lock:
            return chain in self._active

    def suspend(self, chain: Chain) -> None:
        """The work of a chain is interrupted: its hop stays open, and so do those that it goes on from."""
        with self._lock:
            if chain in self._active:
                self._active.remove(chain)
            self._suspended.append(chain)

    def resume(self, chain: Chain) -> None:
        """The work of a chain goes on, if it was interrupted."""
        with self._lock:
            if chain in self._suspended:
                self._suspended.remove(chain)

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
            gone = [one for one in self._waiting if root in one.above]
            self._waiting = [one for one in self._waiting if one not in gone]
            self._left.extend(one.work.chain for one in gone)
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
            self._waiting = [one for one in self._waiting if one.work.chain.task != task]
            self._active = [chain for chain in self._active if chain.task != task]
            self._left = [chain for chain in self._left if chain.task != task]
            self._suspended = [chain for chain in self._suspended if chain.task != task]

    def _over(self) -> list[Chain]:
        waiting = [one.work.chain for one in self._waiting]
        over: list[Chain] = []
        for chain in sorted(self._left, key=lambda one: len(one.hops), reverse=True):
            held = [one for one in self._left if one is not chain and one not in over]
            if not any(
                _goes_on(other, chain) for other in (*waiting, *self._active, *self._suspended, *held)
            ):
                over.append(chain)
        self._left = [chain for chain in self._left if chain not in over]
        return over


def _goes_on(other: Chain, chain: Chain) -> bool:
    return len(other.hops) > len(chain.hops) and leads_on(chain, other)
