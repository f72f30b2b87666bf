"""A circuit breaker: a server that fails again and again is left alone for a while, and tried by one call
then.
 Only what says that the server is not there counts: no connection, no answer in time, an error of its own.
What it refuses says that it is.
"""

from collections.abc import Callable

FAILURES = 5
"""How many in succession open the circuit."""

PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds it is open at first, and at most: twice as long each time that the try fails."""


class Breaker:
    """The circuit to one server. `now` is a clock in seconds that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures = 0
        self._pause = PAUSE
        self._open_until: float | None = None
        self._trying = False

    @property
    def seconds_left(self) -> float:
        """For how long nobody is let through; 0 while the circuit is closed, or may be tried."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._now())

    def enter(self) -> bool:
        """Whether a question may be asked now; whoever may says how it went. After a pause it is one
        alone."""
        if self._open_until is None:
            return True
        if self._trying or self.seconds_left:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """There was an answer."""
        self._failures, self._pause, self._open_until, self._trying = 0, PAUSE, None, False

    def failed(self) -> None:
        """The server was not there."""
        self._failures += 1
        tried, self._trying = self._trying, False
        if self._open_until is None:
            if self._failures >= FAILURES:
                self._open_until = self._now() + self._pause
        elif tried or not self.seconds_left:
            # What was under way when it opened tells nothing new; a try does.
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._open_until = self._now() + self._pause

    def given_up(self) -> None:
        """Nobody waits for the answer any more, so nothing is known."""
        self._trying = False
