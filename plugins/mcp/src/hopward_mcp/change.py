"""A configuration read again while it is served: checked completely before any of it is in force."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hopward import ConfigError, Guard, Settings
from hopward_mcp.endpoints import Way, ways

_FIXED = (
    ("state",),
    ("authority", "issuer"),
    ("authority", "mode"),
    ("proxy", "listen"),
    ("proxy", "public_url"),
    ("proxy", "workers"),
    ("telemetry",),
)
"""What stays as it was at the start: addresses, keys, log, collector, and what callers' tokens are for."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to come into force: `guard` has not begun yet. `settings` are those of all workers together."""

    guard: Guard
    settings: Settings
    ways: list[Way]
    token_endpoint: str


def checked(config: Path, text: str, now: Settings | None = None) -> Change:
    """What `text` would bring if it stood in `config`. `now` are the settings in force, if any are.

    Raises `ConfigError` listing what is wrong with it, or what may not change; `LedgerError` where the
    decision log cannot be opened.
    """
    guard = Guard.prepared(config, text)
    try:
        moved = [] if now is None else [key for key in _FIXED if _at(now, key) != _at(guard.settings, key)]
        if moved:
            raise ConfigError(
                f"{config} changes what cannot change while Hopward runs:",
                problems=tuple(".".join(key) for key in moved),
                advice="Undo that, or stop Hopward and start it again.",
            )
        return Change(guard, guard.settings, ways(guard), guard.token_endpoint)
    except BaseException:
        guard.close()
        raise


def _at(settings: Settings, key: tuple[str, ...]) -> Any:
    found: Any = settings
    for name in key:
        found = getattr(found, name)
    return found
