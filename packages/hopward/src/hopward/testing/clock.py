"""A clock that stands still until a test moves it."""

from hopward.clock import Instant

NOON = 1_795_608_000_000_000
"""2026-11-25T12:00:00Z."""


class FixedClock:
    """A `hopward.clock.Clock` whose present a test decides."""

    def __init__(self, now: Instant = NOON) -> None:
        self._now = now

    def now(self) -> Instant:
        """The instant it was last set to."""
        return self._now

    def set(self, instant: Instant) -> None:
        """Make it this instant; going back is allowed, as it is on real machines."""
        self._now = instant

    def advance(self, microseconds: int) -> None:
        """Let time pass."""
        self._now += microseconds
