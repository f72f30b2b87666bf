"""Ends a caller's HTTP request whose call must not go on."""

import asyncio

from hopward_mcp.endings import Failure, withdrawn
from hopward_mcp.pending import Pending
from hopward_mcp.visit import Visit
from hopward_mcp.watch import Why


class Withdrawal:
    """Cancels the task it is made in once what the call stands on has ended; `failure` then says so."""

    def __init__(self, visit: Visit) -> None:
        self.failure: Failure | None = None
        self._visit = visit
        self._task = asyncio.current_task()

    def watch(self, key: int) -> None:
        """Watch a request from now on."""
        session = self._visit.session
        session.gate.watch.begin(key, session.requests, self._withdrawn)

    def caught(self) -> bool:
        """Whether a cancellation that was caught was this one alone: then the task may go on."""
        return self._task is not None and self._task.uncancel() == 0

    def _withdrawn(self, key: int, pending: Pending, why: Why) -> None:
        failure = withdrawn(pending, why)
        if self._task is None or self._task.done():
            # The answer was to come on another stream of the session.
            self._visit.abandon(key, failure)
            return
        self.failure = failure
        self._task.cancel()
