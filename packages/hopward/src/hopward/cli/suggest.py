"""`hopward policy suggest`: what would have permitted what the decision log has seen, as a diff."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from hopward.cli.output import hint, show_json, tell
from hopward.cli.session import Session
from hopward.clock import DAY, SECOND, SystemClock
from hopward.config import read_settings
from hopward.errors import ConfigError
from hopward.ledger import RowFilter, SqliteLedger
from hopward.policies import read_folder
from hopward.suggestion import Installed, Suggestion, Wish, suggest
from hopward.suggestion.seen import GONE, HANDED_ON, REDACTED, TAINTED, Seen

_UNITS = {"d": DAY, "h": 3_600 * SECOND, "m": 60 * SECOND}
_NAMED = 8
"""Decisions that are named one by one."""

_ASIDE = {
    TAINTED: "made after untrusted content, so an attacker may have written what they do; "
    "--include-tainted learns from them too",
    HANDED_ON: "of work that was handed on: what a hop carries is written by hand",
    REDACTED: "whose arguments the log does not keep",
    GONE: "of a workflow that is not configured any more",
}


@click.command("suggest")
@click.option("--since", default="7d", show_default=True, metavar="AGE", help="How far back: 7d, 12h, 30m.")
@click.option("--agent", default="", help="Only calls of this agent.")
@click.option("--workflow", default="", help="Only calls of tasks of this workflow.")
@click.option("--server", default="", help="Only calls of this server; budgets stay as they are.")
@click.option(
    "--include-tainted",
    "tainted",
    is_flag=True,
    help="Learn also from calls made after untrusted content. They may be an attacker's.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write it to this new folder.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_obj
def suggestion(session: Session, since: str, out: Path | None, as_json: bool, **asked: Any) -> None:
    """Suggest the narrowest configuration that would have permitted what the log has seen.

    What went on, permitted or observed, is learned from: capabilities, budgets, classifications and policies,
    as a diff in which every line says what it is based on. Then all of it is decided again under the
    suggestion. What was refused is not learned from, and no policy that forbids is loosened. Nothing is
    written without --out, and never to the configuration in use.
    """
    found = _suggested(session.config, Wish(since=_instant(since), **asked))
    if out is not None:
        _write(found, out)
    if as_json:
        show_json(_plain(found))
        return
    if found.diff:
        tell(found.diff.rstrip("\n"))
    for line in _report(found, asked["tainted"]):
        hint(line)
    if out is not None:
        hint(f"Wrote it to {out}. Compare, decide, and put it in place yourself; then hopward policy check.")


def _suggested(config: Path, wish: Wish) -> Suggestion:
    settings = read_settings(config)
    installed = Installed(config, config.read_text("utf-8"), read_folder(settings.policies))
    asked = RowFilter(kind="decision", since=wish.since, server=wish.server, oldest_first=True)
    with closing(SqliteLedger.open(settings.log_file, clock=SystemClock())) as ledger:
        return suggest(installed, ledger.rows(asked), wish)


def _instant(age: str) -> int:
    read = re.fullmatch(r"([0-9]{1,5})([dhm])", age)
    if read is None:
        raise click.BadParameter(f"{age!r} is no age; write 7d, 12h or 30m.", param_hint="--since")
    return SystemClock().now() - int(read[1]) * _UNITS[read[2]]


def _report(found: Suggestion, tainted: bool) -> Iterator[str]:
    if not found.learned:
        yield "There is nothing to learn from: nothing went on in that time that may be learned from."
    else:
        told = f"Based on {len(found.learned)} calls. Decided again under this suggestion, all are permitted"
        yield f"{told}, {_named(found.asked)} only with approval, as before." if found.asked else f"{told}."
    risky = [one for one in found.learned if one.tainted]
    if tainted and risky:
        yield f"RISK: learned from {_named(risky)}, made after untrusted content. Read each of them."
    for one in found.proposed:
        yield f"A person must decide what {one.tool.full_name} is: {one.why}."
    for one in found.ceilings:
        yield f"The ceiling of agent {one.agent} would grow, for {one.tool.full_name}."
    for why, calls in found.period.aside.items():
        yield f"Not learned from: {_named(calls)}, {_ASIDE[why]}."
    for one, why in found.still:
        yield f"Not permitted by this suggestion: {one.decision} {one.call.name}: {why}"
    if found.period.refused:
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(found.period.refused.items()))
        yield f"Refused then, and so not learned from: {counted}."


def _named(calls: Sequence[Seen]) -> str:
    names = ", ".join(one.decision for one in calls[:_NAMED])
    more = f" and {len(calls) - _NAMED} more" if len(calls) > _NAMED else ""
    return f"{len(calls)} call{'s' if len(calls) > 1 else ''} ({names}{more})"


def _write(found: Suggestion, out: Path) -> None:
    """Write the suggestion to a folder of its own; raises `ConfigError` for one that is there already."""
    try:
        out.mkdir(mode=0o700)
    except OSError as error:
        told = f"{out} cannot be made: {error.strerror}."
        raise ConfigError(told, advice="Name a folder that is not there yet.") from error
    texts = {
        found.before.path.name: found.after.text,
        "suggestion.diff": found.diff,
        **{name: text for name, text in found.after.files.items() if text != found.before.files.get(name)},
    }
    for name, text in texts.items():
        (out / name).write_text(text, "utf-8")


def _plain(found: Suggestion) -> dict[str, Any]:
    return {
        "diff": found.diff,
        "based_on": [one.decision for one in found.learned],
        "permitted_again": len(found.learned) - len(found.asked),
        "with_approval": [one.decision for one in found.asked],
        "tainted": [one.decision for one in found.learned if one.tainted],
        "to_decide": [
            {"tool": one.tool.full_name, "action": one.tool.action, "why": one.why} for one in found.proposed
        ],
        "ceilings": [{"agent": one.agent, "tool": one.tool.full_name} for one in found.ceilings],
        "not_learned": {why: [one.decision for one in calls] for why, calls in found.period.aside.items()},
        "not_permitted": {one.decision: why for one, why in found.still},
        "refused_then": found.period.refused,
    }
