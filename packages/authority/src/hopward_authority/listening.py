"""What goes on by itself for security events: polling, asking for signs of life, and noticing silence."""

import asyncio
import logging

from hopward import Guard, LedgerError
from hopward_authority.fetching import FetchError
from hopward_authority.receiving import Receiver

LOOKS = 10.0
"""Seconds from one look at who is silent to the next."""

_ASKS = 3
"""How often a transmitter is asked for a sign of life within the time it may be silent."""

_log = logging.getLogger("hopward.authority")


async def polling(receiver: Receiver, name: str) -> None:
    """Poll a transmitter until cancelled. What it could not be told is told with the next request."""
    acknowledged, wrong = list[str](), dict[str, dict[str, str]]()
    while True:
        more = False
        try:
            more = await receiver.poll(name, acknowledged, wrong)
        except FetchError as error:
            _log.warning("%s cannot be polled at the moment: %s", name, error)
        if not more:
            await asyncio.sleep(receiver.sources[name].poll_seconds)


async def asking(receiver: Receiver, name: str) -> None:
    """Ask a transmitter for signs of life until cancelled."""
    while True:
        try:
            await receiver.ask_for_life(name)
        except FetchError as error:
            _log.warning("%s cannot be asked for a sign of life: %s", name, error)
        await asyncio.sleep(receiver.sources[name].silent_after / _ASKS)


async def noticing(guard: Guard) -> None:
    """Log who falls silent, and who is heard again, until cancelled."""
    silent = frozenset[str]()
    while True:
        try:
            now = frozenset(one.source for one in guard.events.silences())
        except LedgerError:
            now = silent
        for name in sorted(now - silent):
            _log.error("No events have come from %s for longer than silent_after.", name)
        for name in sorted(silent - now):
            _log.warning("%s is heard again.", name)
        silent = now
        await asyncio.sleep(LOOKS)
