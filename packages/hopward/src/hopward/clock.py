"""Time as Hopward counts it: whole microseconds since 1970-01-01 UTC, from a clock that tests can set."""

import time
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000_000
DAY = 86_400 * SECOND

Instant = int
"""Microseconds since the Unix epoch, UTC."""


class Clock(Protocol):
    """Anything that tells the present instant."""

    def now(self) -> Instant:
        """The present, in microseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1_000


def iso(instant: Instant) -> str:
    """RFC 3339 with microseconds and `Z`; sorts as text in time order: `2026-11-25T22:18:13.000000Z`."""
    moment = datetime.fromtimestamp(instant // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{instant % SECOND:06d}Z"


def from_iso(text: str) -> Instant:
    """The instant an RFC 3339 text names. Raises `ValueError` without a time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * SECOND + moment.microsecond


def from_seconds(seconds: int) -> Instant:
    """The instant of a NumericDate (RFC 7519 section 2)."""
    return seconds * SECOND


def to_seconds(instant: Instant) -> int:
    """The NumericDate (RFC 7519 section 2) at or before an instant."""
    return instant // SECOND
