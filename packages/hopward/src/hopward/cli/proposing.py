"""The tools that a request asks for, shown to a person, who has the last word."""

import sys
from collections.abc import Iterable, Sequence

import click

from hopward.asking import Proposal
from hopward.cli.output import show_table, tell
from hopward.errors import ConfigError
from hopward.pattern import matches_any

STANDARD_INPUT = "-"


def request_text(given: str) -> str:
    """The request as given; `-` reads it from standard input. Raises `ConfigError` for none."""
    text = sys.stdin.read().strip() if given == STANDARD_INPUT else given.strip()
    if not text:
        raise ConfigError("The request is empty.", advice="Write what the subject asks for, in their words.")
    return text


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def listed(given: str, reached: Iterable[str]) -> list[str]:
    """The tools of a list with commas; raises `ConfigError` naming those that the workflow does not reach."""
    names = [name for name in (part.strip() for part in given.split(",")) if name]
    known = sorted(reached)
    strangers = [name for name in names if not any(matches_any((name,), tool) for tool in known)]
    if strangers or not names:
        told = f"The workflow reaches no {', '.join(strangers)}." if strangers else "No tool is listed."
        raise ConfigError(told, advice=f"It reaches: {', '.join(known) or 'none'}")
    return names


def agreed(found: Sequence[Proposal], *, yes: bool, ask: bool) -> list[str]:
    """The tools that a person agrees to have, after the proposal was shown.

    With `yes` they have agreed beforehand. Raises `ConfigError` where nobody can be asked, and for none: a
    task without a tool could call nothing.
    """
    reached = [one.tool.full_name for one in found]
    proposed = [one.tool.full_name for one in found if one.proposed]
    if yes:
        return _some(proposed, reached)
    rows = [(_mark(one), one.tool.full_name, one.tool.action, one.why) for one in found]
    show_table(["", "tool", "action", "why"], rows)
    if not ask:
        raise ConfigError(
            "Nobody is there to agree to these tools, so no task was opened.",
            advice=f"Add --yes, or say which: --tools {','.join(proposed) or 'SERVER/TOOL'}",
        )
    tell("Enter opens the task with the tools marked +. Or write a list of tools, with commas.")
    answer = click.prompt("Tools", default="", show_default=False).strip()
    return listed(answer, reached) if answer else _some(proposed, reached)


def _some(proposed: list[str], reached: Iterable[str]) -> list[str]:
    if not proposed:
        raise ConfigError(
            "The request asks for none of the workflow's tools, so no task was opened.",
            advice=f"Say which: --tools SERVER/TOOL. It reaches: {', '.join(reached) or 'none'}",
        )
    return proposed


def _mark(one: Proposal) -> str:
    return "+" if one.proposed else "-"
