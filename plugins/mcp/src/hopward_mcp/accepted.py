"""Writes accepted classifications into `hopward.toml`, leaving everything else in the file as it was."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import tomlkit

from hopward import ConfigError
from hopward_mcp.proposal import Proposal


def write_entries(config: Path, server: str, accepted: Sequence[Proposal]) -> None:
    """Add one table per accepted proposal; raises `ConfigError` if an entry exists already.

    The file is replaced in one step, so a failure leaves the old one.
    """
    document = tomlkit.parse(config.read_text(encoding="utf-8"))
    tables = cast("dict[str, Any]", document)["servers"][server]
    for proposal in accepted:
        group = tables.setdefault(proposal.kind, tomlkit.table(is_super_table=True))
        if proposal.name in group:
            raise ConfigError(f"servers.{server}.{proposal.kind} has {proposal.name!r} already.")
        group[proposal.name] = _table(proposal)
    text = tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType] - dumps is typed loosely
    draft = config.with_name(config.name + ".new")
    draft.write_text(text, encoding="utf-8")
    os.chmod(draft, config.stat().st_mode & 0o777)
    os.replace(draft, config)


def _table(proposal: Proposal) -> Any:
    entry = tomlkit.table()
    entry.comment(f"proposed because {_one_line(proposal.why)}")
    for key, value in proposal.entry().items():
        if isinstance(value, dict):
            entry[key] = tomlkit.inline_table()
            for name, kind in cast("dict[str, str]", value).items():
                entry[key][name] = kind
        else:
            entry[key] = value
    return entry


def _one_line(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
