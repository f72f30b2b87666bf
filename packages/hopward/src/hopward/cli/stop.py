"""`hopward stop`: one switch that refuses everything."""

import click

from hopward.cli.guarded import pass_containing
from hopward.cli.output import hint, show_json, tell
from hopward.cli.wording import contained_line
from hopward.containing import Containing
from hopward.containment import EVERYTHING
from hopward.errors import StateError
from hopward.osuser import os_user


@click.command()
@click.option("--all", "everything", is_flag=True, help="Refuse everything from now on; needs --why.")
@click.option("--lift", is_flag=True, help="Let things go on; needs --by and --why.")
@click.option("--by", help="The person who decides it.  [default for --all: local:USER]")
@click.option("--why", help="The reason; it stands in the decision log.")
@click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")
@pass_containing
def stop(
    containing: Containing, everything: bool, lift: bool, by: str | None, why: str | None, as_json: bool
) -> None:
    """Refuse every call, hop, task and token, in every process on this machine, until a person lifts it.

    It outlasts restarts. Without --all or --lift, say whether it is on.
    """
    if everything and lift:
        raise click.UsageError("--all and --lift are opposites; give one of them.")
    if not everything and not lift:
        if by is not None or why is not None:
            raise click.UsageError("--by and --why belong to --all or --lift; nothing was changed.")
        _show(containing, as_json=as_json)
        return
    if why is None:
        raise click.UsageError("Say why: --why TEXT stands in the decision log.")
    if everything:
        _stop(containing, os_user() if by is None else by, why)
    elif by is None:
        raise click.UsageError("Lifting the stop needs a named person: --by NAME.")
    else:
        _lift(containing, by, why)
    if as_json:
        _show(containing, as_json=True)


def _stop(containing: Containing, by: str, why: str) -> None:
    already = containing.containment("all", EVERYTHING)
    one = containing.stop_all(by=by, why=why)
    if already == one:
        tell(f"Everything is stopped already, {contained_line(one)}. Nothing was changed.")
        return
    tell("EVERYTHING IS STOPPED: every call, hop, task and token is refused from now on, after restarts too.")
    hint("hopward stop --lift --by NAME --why TEXT lets things go on.")


def _lift(containing: Containing, by: str, why: str) -> None:
    one = containing.lift_stop(by=by, why=why)
    if one is None:
        raise StateError("Nothing is stopped, so there is nothing to lift.")
    tell(f"Lifted the stop of everything, which stood {contained_line(one)}.")
    left = sum(other.kind != "all" for other in containing.contained())
    if left:
        hint(f"{left} quarantined still: hopward quarantine shows them.")


def _show(containing: Containing, *, as_json: bool) -> None:
    one = containing.containment("all", EVERYTHING)
    if as_json:
        show_json({"stopped": one is not None, "containment": one})
    elif one is None:
        tell("Nothing is stopped: calls are decided as ever.")
    else:
        tell(f"EVERYTHING IS STOPPED {contained_line(one)}.")
        hint("hopward stop --lift --by NAME --why TEXT lets things go on.")
