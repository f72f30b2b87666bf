"""`hopward mcp accept`: a person looks at what a server says of its tools, and says yes to exactly that."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from hopward import ConfigError, Guard, HopwardError, NotFoundError
from hopward_mcp.configured import require_server
from hopward_mcp.definitions import Waiting, readable, waiting
from hopward_mcp.difference import show_difference
from hopward_mcp.display import harmless, harmless_lines
from hopward_mcp.inspection import asked, listing_of

_LOOKED = "looked at on a terminal"


@click.command()
@click.argument("server")
@click.argument("tools", metavar="[TOOL]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Accept what is shown without asking; needs --why.")
@click.option("--why", default="", help="The reason; it stands in the decision log.")
@click.option("--by", default="", help="Who accepts.  [default: local:USER]")
@click.option("--offline", is_flag=True, help="Do not ask the server: show what the proxy has seen.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per definition.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def accept(
    ctx: click.Context,
    server: str,
    tools: tuple[str, ...],
    config: Path | None,
    **given: Any,
) -> None:
    """Show what has changed or is new in the definitions of SERVER's tools, and accept it.

    A tool whose definition has changed, or that appeared later, is neither listed nor callable before. The
    server is asked what it lists now; what it says of a tool may be written to mislead whoever reads it, so
    characters that cannot be seen are shown as escapes, and what looks suspicious is flagged. At a terminal
    each is asked about; elsewhere nothing is accepted unless --yes says so. What is accepted is exactly the
    definition shown: where it changes meanwhile, nothing is.
    """
    why, every, as_json = given["why"].strip(), given["yes"], given["as_json"]
    if every and not why:
        raise click.UsageError("--yes needs --why: the reason stands in the decision log.")
    with closing(Guard.open(config if config is not None else ctx.obj.config)) as guard:
        found = _found(guard, server, tools, offline=given["offline"])
        accepted = _accepted(found, every=every, as_json=as_json)
        if accepted:
            shown = {one.tool: one.digest for one in accepted}
            guard.pins.accept(server, shown, by=given["by"] or Guard.local_user(), why=why or _LOOKED)
    _tell(server, found, accepted, as_json=as_json)


def _found(guard: Guard, server: str, tools: Sequence[str], *, offline: bool) -> list[Waiting]:
    """What waits, of these tools or of all; raises `NotFoundError` for a tool nothing was seen of."""
    require_server(guard.settings, server)
    settings = guard.settings.servers[server]
    if settings.in_process or settings.pins == "unsafe-unpinned":
        why = "in_process" if settings.in_process else f'pins = "{settings.pins}"'
        raise ConfigError(f"servers.{server} has {why}, so no definition of its tools is compared.")
    listed = {} if offline else _listed(guard, server)
    known = guard.pins.candidates(server)
    unknown = [tool for tool in tools if tool not in known]
    if unknown:
        names = ", ".join(map(harmless, known)) or "none"
        told = f"Nothing was seen of {', '.join(map(harmless, unknown))} of {server}."
        raise NotFoundError(told, advice=f"Tools that were: {names}")
    return [one for one in waiting(guard, server, listed) if not tools or one.tool in tools]


def _listed(guard: Guard, server: str) -> dict[str, str]:
    """Digests of what the server lists now, which the guard takes note of; none where it does not answer."""
    try:
        pages = asyncio.run(asked(guard.settings, server, listing_of))
    except HopwardError as error:
        click.echo(harmless_lines(error.message), err=True)
        click.echo("Shown is what the proxy has seen last.", err=True)
        return {}
    listed: dict[str, str] = {}
    for page in pages:
        listed |= guard.pins.listed(server, page.tools, page.cursor, page.following)
    return listed


def _accepted(found: Sequence[Waiting], *, every: bool, as_json: bool) -> list[Waiting]:
    accepted: list[Waiting] = []
    asking = sys.stdin.isatty() and not as_json and not every
    for one in found:
        if not as_json:
            _show(one)
        if every or (asking and click.confirm(f"Accept {one.tool}?")):
            accepted.append(one)
    return accepted


def _show(one: Waiting) -> None:
    click.echo(f"{one.server}/{harmless(one.tool)}: {one.about}. {one.digest}")
    for flag in one.flags:
        click.echo(f"  flag: {harmless(flag)}")
    labels = ("seen", "counts") if one.state == "reverted" else ("counts", "listed")
    show_difference(readable(one.before), readable(one.shown), one.tool, labels)
    click.echo()


def _tell(server: str, found: Sequence[Waiting], accepted: Sequence[Waiting], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            told = {
                "server": one.server,
                "tool": one.tool,
                "state": one.state,
                "digest": one.digest,
                "flags": one.flags,
                "definition": json.loads(one.shown),
                "before": json.loads(one.before) if one.before else None,
                "accepted": one in accepted,
            }
            click.echo(json.dumps(told, separators=(",", ":")))
    elif accepted:
        click.echo(f"Accepted: {', '.join(harmless(one.tool) for one in accepted)}.")
    elif found:
        click.echo(f'Nothing accepted. hopward mcp accept {server} --yes --why "..." accepts all.', err=True)
    else:
        click.echo(f"Nothing of {server} waits to be accepted.")
