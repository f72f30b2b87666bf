"""Calls under way, looked at once a second: what they stand on may end meanwhile, in any process.

A task is completed or revoked, something is quarantined, everything is stopped: the decision log knows, and
says so to whoever asks. While nothing is under way, nobody asks.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

from hopward import Guard, HopwardError
from hopward_mcp.pending import Pending, Requests

_PERIOD = 1.0
"""Seconds between two looks."""

_log = logging.getLogger(__name__)

Why: TypeAlias = tuple[str, str]
"""A machine reason and a sentence for people."""

Withdrawn: TypeAlias = Callable[[int, Pending, Why], None]
"""Ends a call that must not go on: given its key, the call and why."""


class Watch:
    """The permitted calls of a server's sessions that are under way. `guard` may be replaced."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, tuple[Pending, Requests, Withdrawn]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, key: int, requests: Requests, withdrawn: Withdrawn) -> None:
        """Watch a request that has been forwarded, until it is answered or given up; others are let alone."""
        pending = requests.get(key)
        if pending is None or pending.decision is None:
            return
        self._calls[key] = (pending, requests, withdrawn)
        if self._timer is None:
            self._timer = self._loop.call_later(_PERIOD, self._look)

    def _look(self) -> None:
        self._timer = None
        self._calls = {
            key: found
            for key, found in self._calls.items()
            if found[1].get(key) is found[0] and not found[0].cancelled
        }
        try:
            self._withdraw()
        except HopwardError as error:
            # Nothing of a call is released without the log, so all may as well go on until it is back.
            _log.warning("calls under way could not be looked at: %s", error.message)
        if self._calls:
            self._timer = self._loop.call_later(_PERIOD, self._look)

    def _withdraw(self) -> None:
        """End what should not go on; calls alike are asked about once."""
        known: dict[tuple[object, ...], Why | None] = {}
        for key, (pending, _, withdrawn) in list(self._calls.items()):
            decision = pending.decision
            if decision is None:
                continue
            alike = (decision.chain, decision.server, decision.tool)
            if alike not in known:
                known[alike] = self.guard.withdrawn(decision)
            why = known[alike]
            if why is not None:
                del self._calls[key]
                self._end(key, pending, why, withdrawn)

    def _end(self, key: int, pending: Pending, why: Why, withdrawn: Withdrawn) -> None:
        try:
            withdrawn(key, pending, why)
        except Exception:  # noqa: BLE001 - per-message boundary: the others are still looked at
            _log.exception("a call under way could not be cancelled")
