"""`hopward quarantine` and `hopward release`: something may not act, until it is let go on."""

import click

from hopward.cli.guarded import pass_containing
from hopward.cli.output import hint, show_json, show_table, tell
from hopward.cli.wording import contained_line, moment
from hopward.containing import Containing
from hopward.errors import StateError
from hopward.model import QuarantineKind
from hopward.osuser import os_user
from hopward.policy import nearest

_KIND = click.Choice(["agent", "task", "tool", "server", "subject"])
_MEANING = {
    "agent": "every call in a chain with it is refused, and nothing is handed on by it or to it",
    "task": "its next call is refused, whoever makes it",
    "tool": "it is not listed, and every call of it is refused",
    "server": "nothing of it is listed, and every call of it is refused",
    "subject": "every call on its behalf is refused, and no task is opened for it",
}


@click.command()
@click.argument("kind", type=_KIND, required=False)
@click.argument("name", metavar="[ID]", required=False)
@click.option("--why", help="The reason; it stands in the decision log, and whoever is refused reads it.")
@click.option("--by", help="Who decides it.  [default: local:USER]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per quarantine.")
@pass_containing
def quarantine(
    containing: Containing,
    kind: QuarantineKind | None,
    name: str | None,
    why: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Refuse every call that involves an agent, task, tool, server or subject, until it is released.

    A tool is SERVER/TOOL, or a prefix ending in *. Without arguments, show what is quarantined.
    """
    if kind is None:
        _show(containing, as_json=as_json)
        return
    if name is None or why is None:
        raise click.UsageError("hopward quarantine KIND ID --why TEXT needs all of it.")
    already = containing.containment(kind, name)
    one = containing.quarantine(kind, name, by=os_user() if by is None else by, why=why)
    if as_json:
        show_json(one)
    elif already == one:
        tell(
            f"{kind.capitalize()} {name} is quarantined already, {contained_line(one)}. Nothing was changed."
        )
    else:
        tell(f"Quarantined {kind} {name}: {_MEANING[kind]}.")
        hint(f"It voids nothing. hopward release {kind} {name} --why TEXT lets it go on.")


@click.command()
@click.argument("kind", type=_KIND)
@click.argument("name", metavar="ID")
@click.option("--why", required=True, help="The reason; it stands in the decision log.")
@click.option("--by", help="The person who decides it.  [default: local:USER]")
@pass_containing
def release(containing: Containing, kind: QuarantineKind, name: str, why: str, by: str | None) -> None:
    """Let something go on that is quarantined: its calls are decided again as ever."""
    one = containing.release(kind, name, by=os_user() if by is None else by, why=why)
    if one is None:
        others = [other.id for other in containing.contained() if other.kind == kind]
        told = f"The {kind} {name!r} is not quarantined{nearest(name, others) or '.'}"
        raise StateError(told, advice="hopward quarantine shows what is.")
    tell(f"Released {kind} {name}, which was quarantined {contained_line(one)}.")
    left = [other for other in containing.contained() if other.kind == "all"]
    if left:
        hint("Everything is stopped all the same: hopward stop shows why.")


def _show(containing: Containing, *, as_json: bool) -> None:
    found = containing.contained()
    if as_json:
        for one in found:
            show_json(one)
        return
    stopped = [one for one in found if one.kind == "all"]
    rows = [(one.id, one.kind, moment(one.at), one.by, one.why) for one in found if one.kind != "all"]
    if rows:
        show_table(["id", "kind", "since", "by", "why"], rows)
    else:
        hint("Nothing is quarantined.")
    for one in stopped:
        hint(f"EVERYTHING IS STOPPED {contained_line(one)}.")
