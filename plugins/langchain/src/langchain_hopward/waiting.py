"""Approvals that interrupted runs of this process wait for."""

from hopward import Chain, Guard, HopwardError
from langchain_hopward.runs import leads_on


class Waiting:
    """What keeps a task, and the hops of it, from ending with the run: their call may still be permitted.

    A dictionary operation each, so threads may share it.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._chains: dict[str, Chain] = {}

    def add(self, approval: str, chain: Chain) -> None:
        """A run is interrupted until people have answered this."""
        self._chains[approval] = chain

    def below(self, chain: Chain) -> bool:
        """Whether something of this chain, or below it, can still be answered, or was and may be used."""
        return any(
            leads_on(chain, one) and self._counts(approval) for approval, one in list(self._chains.items())
        )

    def of_task(self, task: str) -> bool:
        """Likewise of a whole task."""
        return any(
            one.task == task and self._counts(approval) for approval, one in list(self._chains.items())
        )

    def forget(self, task: str) -> None:
        """The task is over, or goes on elsewhere."""
        for approval, chain in list(self._chains.items()):
            if chain.task == task:
                self._chains.pop(approval, None)

    def _counts(self, approval: str) -> bool:
        approvals = self._guard.approvals
        try:
            found = approvals.get(approval)
            if found.replaced_by:
                found = approvals.get(found.replaced_by)
            return found.state in ("pending", "approved")
        except HopwardError:
            return False
