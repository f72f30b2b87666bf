"""A new key for an agent, while the old one still lets it in: both count for a bounded time."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hopward.clock import SECOND, Instant, iso
from hopward.config import checked_settings, read_settings
from hopward.config.lines import value_map
from hopward.errors import ConfigError, StateError
from hopward.jwk import VerificationKey
from hopward.keys import KeyRing
from hopward.project import inline, replace_file
from hopward.record import Draft
from hopward.settings import Settings
from hopward.wiring import Guard
from hopward.workload import FormerKey

LONGEST_OVERLAP_HOURS = 7 * 24
"""Hours for which an old key lets an agent in beside the new one."""

_END_OF_LINE = re.compile(r"[^\n]*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Rotated:
    """The `kid` of the new key and of the old one, and until when that counts."""

    key: str
    previous: str
    until: Instant


def rotate(
    guard: Guard, name: str, *, by: str, why: str, until: Instant, jwk: Mapping[str, Any] | None = None
) -> Rotated:
    """Give an agent a new key, in `hopward.toml` and beside its old one in the key folder.

    With `jwk`, that public key, whose private part is elsewhere. The old key is moved to
    `NAME.previous.json`. Raises `NotFoundError`, `StateError` for an agent without a key, and while it has a
    previous one that counts, `ConfigError` where the result could not be used: then nothing has changed.
    """
    guard.agent(name)
    config = guard.settings.root / "hopward.toml"
    settings = read_settings(config)
    entry = settings.agents[name]
    if not entry.key:
        raise StateError(f"Agent {name} has no key in [agents.{name}] that could be rotated.")
    if entry.former_key and entry.former_key.ends_at > guard.now:
        told = f"The former key of agent {name} counts until {iso(entry.former_key.ends_at)}."
        raise StateError(told, advice="Wait, or revoke it and take former_key out of hopward.toml.")
    old = VerificationKey.from_jwk(entry.key).kid
    with _new_key(settings, name, jwk) as new, _restored(config):
        _write(config, settings, name, new, until)
        key = VerificationKey.from_jwk(new).kid
        record = {"event": "rotated", "agent": name, "by": by, "why": why, "key": key, "previous": old}
        record["until"] = iso(until)
        guard.ledger.record([Draft(kind="agent", at=guard.now, record=record, agent=name)])
    return Rotated(key, old, until)


@contextmanager
def _new_key(settings: Settings, name: str, jwk: Mapping[str, Any] | None) -> Generator[Mapping[str, Any]]:
    """The public part of a new key in place of the old one; taken back if anything fails."""
    if jwk is not None:
        VerificationKey.from_jwk(jwk)
        yield jwk
        return
    keys = KeyRing.open(settings.keys_folder)
    with keys.agent_key_replaced(name, settings.authority.algorithm) as key:
        yield key.public_jwk()


@contextmanager
def _restored(config: Path) -> Generator[None]:
    """The file is as it was before if anything fails."""
    before = config.read_bytes().decode("utf-8")
    try:
        yield
    except BaseException:
        replace_file(config, before)
        raise


def _write(config: Path, settings: Settings, name: str, new: Mapping[str, Any], until: Instant) -> None:
    entry = settings.agents[name]
    text = config.read_bytes().decode("utf-8")
    text = _without(text, name, "former_key")
    place = value_map(text).get(("agents", name, "key"))
    if place is None:
        told = f"{config} has no key in [agents.{name}] that could be changed."
        raise ConfigError(told, advice="Write it on one line: key = { ... }")
    line = _END_OF_LINE.match(text, place[1])
    end = line.end() if line else len(text)
    rest = text[place[1] : end]
    ends = datetime.fromtimestamp(until // SECOND, UTC)
    added = f"former_key = {{ until = {ends:%Y-%m-%dT%H:%M:%SZ}, jwk = {inline(entry.key)} }}\n"
    text = (
        f"{text[: place[0]]}{inline(new)}{rest}{'' if rest.endswith(chr(10)) else chr(10)}{added}{text[end:]}"
    )
    meant = replace(entry, key=dict(new), former_key=FormerKey(jwk=entry.key, until=ends))
    if checked_settings(text, config) != replace(settings, agents={**settings.agents, name: meant}):
        raise ConfigError(f"The key of agent {name} cannot be changed by itself.", advice=f"Edit {config}.")
    replace_file(config, text)


def _without(text: str, name: str, key: str) -> str:
    """The text without the whole line of a key that stands on one by itself."""
    place = value_map(text).get(("agents", name, key))
    if place is None:
        return text
    begin = text.rfind("\n", 0, place[0]) + 1
    line = _END_OF_LINE.match(text, place[1])
    return text[:begin] + text[line.end() if line else len(text) :]
