"""The runs under way, as LangChain tells of them: which lies in which, and the chain each began with."""

from dataclasses import dataclass
from uuid import UUID

from hopward import Chain

_MOST = 1 << 16
"""Runs that are kept: where another handler fails, LangChain tells of no end. Those end with their task."""


@dataclass(frozen=True, slots=True)
class _Run:
    parent: UUID | None
    chain: Chain | None


class Runs:
    """Grows and shrinks with the runs under way. A dictionary operation each, so threads may share it."""

    def __init__(self) -> None:
        self._known: dict[UUID, _Run] = {}

    def grow(self, run: UUID, parent: UUID | None, chain: Chain | None) -> bool:
        """A run has started with this chain, None where there is none.

        False where it cannot belong to the run it lies in: that one's chain leads on to a chain of its own
        task and hops alone. A stream that is read on after its hop, by somebody else, is such a run.
        """
        around = self._known.get(parent) if parent is not None else None
        if len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)), None)
        self._known[run] = _Run(parent, chain)
        return around is None or around.chain is None or chain is None or leads_on(around.chain, chain)

    def shrink(self, run: UUID) -> bool:
        """A run has ended; whether it lay in no other."""
        ended = self._known.pop(run, None)
        return ended is not None and ended.parent is None

    def above(self, run: UUID | None) -> tuple[UUID, ...]:
        """A run and those it lies in, the outermost last; empty for one that nobody has told of."""
        found: list[UUID] = []
        while run is not None and run not in found and (known := self._known.get(run)) is not None:
            found.append(run)
            run = known.parent
        return tuple(found)

    def forget(self, task: str) -> None:
        """The task is over, and all that was done for it."""
        for run, known in list(self._known.items()):
            if known.chain is not None and known.chain.task == task:
                self._known.pop(run, None)


def leads_on(chain: Chain, other: Chain) -> bool:
    """Whether the other chain is this one, or goes on from it."""
    return chain.task == other.task and other.hops[: len(chain.hops)] == chain.hops
