"""Calls that wait for a person, looked at once a second: somebody may answer in any process, in any way.

Nothing of such a call has been forwarded. It goes on, to be authorized again, when its approval has been
answered or has fallen, when its time is over, and when this process is about to end. While nothing waits,
nobody looks.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from hopward import Guard, HopwardError

_PERIOD = 1.0
"""Seconds between two looks."""

_MOST_ASKED = 3
"""How often a person is asked about one approval in their client: who is asked too often stops reading."""
_MOST_KNOWN = 4_096

_log = logging.getLogger(__name__)


class Wait(msgspec.Struct, eq=False):
    """One call. `until` is event-loop time; `is_open` says whether anybody still waits for its answer, `over`
    goes on with it, `dropped` is called instead where nobody does."""

    approval: str
    until: float
    is_open: Callable[[], bool]
    over: Callable[[], None]
    dropped: Callable[[], None]


class Waiting:
    """The calls of all sessions of a server. `guard` may be replaced; `now` is event-loop time."""

    def __init__(self, guard: Guard, now: Callable[[], float]) -> None:
        self.guard = guard
        self.ended = False
        self.now = now
        self._loop = asyncio.get_running_loop()
        self._waits: list[Wait] = []
        self._asked: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waits)

    @property
    def looks(self) -> bool:
        """Whether it will look again."""
        return self._timer is not None

    def pends(self, approval: str) -> bool:
        """Whether an approval still waits for an answer, and nothing has been said since that could cover its
        call too; raises `HopwardError` where it cannot be read."""
        approvals = self.guard.approvals
        asked = approvals.get(approval)
        if asked.state != "pending":
            return False
        alike = (one for one in approvals.find(("approved",), asked.chain.task) if one.alike == asked.alike)
        return not any(one.times > 1 and one.answers[-1].at > asked.requested_at for one in alike)

    def may_ask(self, approval: str) -> bool:
        """Whether a person may be asked about an approval once more, which counts."""
        times = self._asked.pop(approval, 0)
        self._asked[approval] = times + 1
        if len(self._asked) > _MOST_KNOWN:
            del self._asked[next(iter(self._asked))]
        return times < _MOST_ASKED

    def begin(self, wait: Wait) -> None:
        """Have a call wait; it goes on at once where nothing may wait any more."""
        self._waits.append(wait)
        if self.ended:
            self._conclude(wait)
        elif self._timer is None:
            self._timer = self._loop.call_later(_PERIOD, self._again)

    def conclude(self, wait: Wait) -> None:
        """Go on with a call now."""
        if wait in self._waits:
            self._conclude(wait)

    def drop(self, wait: Wait) -> None:
        """Nobody waits for this call any more."""
        if wait in self._waits:
            self._waits.remove(wait)
            wait.dropped()

    def end(self) -> None:
        """Go on with all of them: nothing may wait any more."""
        self.ended = True
        for wait in list(self._waits):
            self.conclude(wait)

    def look(self) -> None:
        """Go on with those whose time has come, and drop those whose callers have gone."""
        known: dict[str, bool] = {}
        for wait in list(self._waits):
            if not wait.is_open():
                self.drop(wait)
                continue
            if wait.approval not in known:
                known[wait.approval] = self._pends(wait.approval)
            if not known[wait.approval] or wait.until <= self.now():
                self.conclude(wait)

    def _again(self) -> None:
        self._timer = None
        self.look()
        if self._waits:
            self._timer = self._loop.call_later(_PERIOD, self._again)

    def _pends(self, approval: str) -> bool:
        try:
            return self.pends(approval)
        except HopwardError as error:
            # It may be back in time; without the log nothing would be permitted either.
            _log.warning("an approval that a call waits for could not be looked at: %s", error.message)
            return True

    def _conclude(self, wait: Wait) -> None:
        self._waits.remove(wait)
        try:
            wait.over()
        except Exception:  # noqa: BLE001 - per-message boundary: the others still go on
            _log.exception("a call that has waited could not go on")
            wait.dropped()
