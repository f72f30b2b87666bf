"""Which runs lie below which hand-over: the tree of runs as LangChain tells it, while one is open."""

from uuid import UUID

from langchain_hopward.place import Handover


class Tree:
    """Grows with the runs below open hand-overs, and holds nothing once they have ended.

    A dictionary operation each, so threads may share it.
    """

    def __init__(self) -> None:
        self._below: dict[UUID, Handover] = {}

    def open(self, handover: Handover) -> None:
        """From now on, the runs that start below this one belong to it."""
        handover.runs.add(handover.run)
        self._below[handover.run] = handover

    def close(self, handover: Handover) -> None:
        """It has ended: no run that starts from now on belongs to it."""
        handover.ended = True
        for run in list(handover.runs):
            if self._below.get(run) is handover:
                self._below.pop(run, None)

    def grow(self, run: UUID, parent: UUID | None) -> Handover | None:
        """A run has started; the innermost hand-over it lies below, or None."""
        found = self._below.get(parent) if parent is not None else None
        if found is not None:
            found.runs.add(run)
            self._below.setdefault(run, found)
        return found

    def shrink(self, run: UUID) -> None:
        """A run has ended."""
        found = self._below.get(run)
        if found is not None and found.run != run:
            self._below.pop(run, None)
