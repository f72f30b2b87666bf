"""`hopward mcp classify`: propose what each tool of a server is, and write down what a person accepts."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hopward import NotFoundError, read_settings
from hopward_mcp.accepted import write_entries
from hopward_mcp.configured import require_server
from hopward_mcp.display import show_table
from hopward_mcp.inspection import Surroundings, inspect
from hopward_mcp.proposal import Proposal


@click.command()
@click.argument("server")
@click.option("--accept", multiple=True, metavar="NAME", help="Accept the proposal for this one; repeatable.")
@click.option("--accept-all", is_flag=True, help="Accept every proposal as it stands.")
@click.option("--json", "as_json", is_flag=True, help="Print the proposals as JSON Lines; accept nothing.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def classify(
    ctx: click.Context,
    server: str,
    accept: tuple[str, ...],
    accept_all: bool,
    as_json: bool,
    config: Path | None,
) -> None:
    """Propose what each tool, MCP resource and prompt of SERVER is; a person accepts.

    The proposals rest on names and the server's own annotations, which are untrusted: read them. At a
    terminal each is asked about; elsewhere nothing is accepted unless --accept or --accept-all says so.
    Entries that exist already are never touched.
    """
    opened = config if config is not None else ctx.obj.config
    proposals = asyncio.run(unclassified(opened, server))
    if not as_json:
        review(opened, server, proposals, names=accept, every=accept_all)
        return
    for proposal in proposals:
        entry = {"kind": proposal.kind, "name": proposal.name, **proposal.entry(), "why": proposal.why}
        click.echo(json.dumps(entry))


def review(
    config: Path,
    server: str,
    proposals: Sequence[Proposal],
    *,
    names: tuple[str, ...] = (),
    every: bool = False,
) -> None:
    """Show proposals, and write down those that a person accepts: here and now, or by name."""
    if not proposals:
        click.echo(f"Everything {server} offers is classified.")
        return
    _show(proposals)
    accepted = _accepted(proposals, names, every)
    if not accepted:
        click.echo(f"Nothing accepted. hopward mcp classify {server} --accept NAME accepts one.", err=True)
        return
    write_entries(config, server, accepted)
    click.echo(f"Wrote {len(accepted)} entries to {config}.")
    click.echo("Next: read them, then run hopward policy check --write-schema", err=True)


async def unclassified(config: Path, server: str, surroundings: Surroundings | None = None) -> list[Proposal]:
    """Proposals for what nobody has classified yet; raises `HopwardError` when the server does not answer."""
    settings = read_settings(config)
    require_server(settings, server)
    entry = settings.servers[server]
    existing = {"tools": entry.tools, "mcp_resources": entry.mcp_resources, "prompts": entry.prompts}
    found = await inspect(settings, server, surroundings)
    return [proposal for proposal in found if proposal.name not in existing[proposal.kind]]


def _accepted(proposals: Sequence[Proposal], names: tuple[str, ...], every: bool) -> list[Proposal]:
    known = {proposal.name for proposal in proposals}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise NotFoundError(f"There is no proposal for {', '.join(unknown)}.")
    if every or names:
        return [proposal for proposal in proposals if every or proposal.name in names]
    if not sys.stdin.isatty():
        return []
    return [proposal for proposal in proposals if click.confirm(f"{proposal.name}: {proposal.action}?")]


def _show(proposals: Sequence[Proposal]) -> None:
    columns = ("name", "action", "sensitivity", "integrity", "destination", "arguments", "why")
    show_table(columns, map(_cells, proposals), whole=5)


def _cells(one: Proposal) -> tuple[str, ...]:
    arguments = ", ".join(
        f"{name}: {kind}{' (in names)' if name in one.names else ''}" for name, kind in one.arguments.items()
    )
    return (one.name, one.action, one.sensitivity, one.integrity, one.destination, arguments, one.why)
