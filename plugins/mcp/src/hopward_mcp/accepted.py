"""Writes accepted classifications into `hopward.toml`, leaving everything else in the file as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import tomlkit

from hopward import ConfigError
from hopward_mcp.proposal import Proposal
from hopward_mcp.replacing import replace_file


def write_entries(config: Path, server: str, accepted: Sequence[Proposal]) -> None:
    """Add one table per accepted proposal; raises `ConfigError` if an entry exists already.

    The file is replaced in one step, so a failure leaves the old one.
    """
    document = tomlkit.parse(config.read_bytes().decode("utf-8"))
    tables = cast("dict[str, Any]", document)["servers"][server]
    for proposal in accepted:
        group = tables.setdefault(proposal.kind, tomlkit.table(is_super_table=True))
        if proposal.name in group:
            raise ConfigError(f"servers.{server}.{proposal.kind} has {proposal.name!r} already.")
        group[proposal.name] = _table(proposal, last=proposal is accepted[-1])
    text = tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType] - dumps is typed loosely
    replace_file(config, text.encode())


def _table(proposal: Proposal, *, last: bool) -> Any:
    """An entry in the style of the rest of the file; what follows the last one stands apart from it."""
    entry = tomlkit.table()
    entry.comment(f"proposed because {_one_line(proposal.why)}")
    entry.trivia.comment_ws = "    "
    for key, value in proposal.entry().items():
        entry[key] = _inline(cast("dict[str, str]", value)) if isinstance(value, dict) else value
    if last:
        entry.add(tomlkit.nl())
    return entry


def _inline(table: dict[str, str]) -> Any:
    pairs = (
        f"{tomlkit.key(name).as_string()} = {tomlkit.string(kind).as_string()}"
        for name, kind in table.items()
    )
    return tomlkit.value(f"{{ {', '.join(pairs)} }}")


def _one_line(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
