"""Which root run a run belongs to: what is handed over in one run is taken up in the same one."""

from uuid import UUID


class Roots:
    """Grows and shrinks with the runs under way. A dictionary operation each, so threads may share it."""

    def __init__(self) -> None:
        self._root: dict[UUID, UUID] = {}

    def grow(self, run: UUID, parent: UUID | None) -> None:
        """A run has started. One whose parent nobody has seen is a root itself."""
        self._root[run] = self._root.get(parent, run) if parent is not None else run

    def shrink(self, run: UUID) -> bool:
        """A run has ended; whether it was a root."""
        return self._root.pop(run, None) == run

    def of(self, run: UUID | None) -> UUID | None:
        """The root of a run under way, or None."""
        return self._root.get(run) if run is not None else None
