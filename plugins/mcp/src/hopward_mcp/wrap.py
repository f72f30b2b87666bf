"""`hopward mcp wrap`: an MCP client's servers, from now on started through Hopward."""

import asyncio
import os
import sys
from pathlib import Path

import anyio
import click

from hopward import HopwardError, StateError
from hopward_mcp.classify import review, unclassified
from hopward_mcp.client_config import read_client_config
from hopward_mcp.difference import show_difference
from hopward_mcp.display import harmless, harmless_lines
from hopward_mcp.guarding import Guarded
from hopward_mcp.inspection import Surroundings
from hopward_mcp.proposal import Proposal
from hopward_mcp.wrapping import Plan, carry_out, planned

_SECONDS = 60.0
"""How long a server may take to say what it offers: it may have to be downloaded first."""


@click.command()
@click.argument("client_config", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--agent",
    default="",
    help="The agent that uses the servers.  [default: the only one, or a new one if there is none]",
)
@click.option("--yes", is_flag=True, help="Write without asking. Classifications are still asked about.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def wrap(ctx: click.Context, client_config: Path, agent: str, yes: bool, config: Path | None) -> None:
    """Put every server of CLIENT_CONFIG behind Hopward.

    Known are the files of Claude Desktop, Claude Code, Cursor, Windsurf, VS Code (mcp.json) and Zed. Each
    server gets tables in hopward.toml and is started by `hopward mcp run` from now on; its variables stay in
    the client's file, and hopward.toml only names them. What changes is shown first, and written once a
    person agrees. `hopward mcp unwrap` takes it back.

    Then each server is asked what it offers, and a classification is proposed, as by `hopward mcp classify`.
    """
    opened = config if config is not None else ctx.obj.config
    plan = planned(opened, client_config, agent)
    _tell_others(plan)
    if not plan.servers:
        click.echo(f"Nothing to wrap in {client_config}.")
        return
    _show(plan)
    _agreed(yes)
    carry_out(plan)
    click.echo(f"Wrapped {', '.join(harmless(one.entry.name) for one in plan.servers)} in {client_config}.")
    click.echo(f"Next: restart the client. hopward mcp unwrap {client_config} takes it back.", err=True)
    for one in plan.servers:
        _propose(opened, one)


def _tell_others(plan: Plan) -> None:
    for entry in plan.left:
        click.echo(f"Left alone: {harmless(entry.name)}, because {entry.why}.", err=True)
    for project in plan.client.projects:
        click.echo(f"Left alone: the servers of project {harmless(project)}; wrap its own file.", err=True)
    for entry in plan.guarded:
        click.echo(f"Wrapped already: {harmless(entry.name)}", err=True)


def _show(plan: Plan) -> None:
    """Both changes; values of variables and headers are left out, as they may be secrets."""
    after = read_client_config(plan.client.path, plan.client_after.decode())
    show_difference(plan.client.shown, after.shown, plan.client.path.name)
    show_difference(plan.config_before.decode(), plan.config_after.decode(), plan.config.name)


def _agreed(yes: bool) -> None:
    """Raise `StateError` unless a person agrees, or has agreed on the command line."""
    if yes:
        return
    if not sys.stdin.isatty():
        told = "Nothing was written: there is no terminal to ask at."
        raise StateError(told, advice="--yes writes what is shown above.")
    if not click.confirm("Write this?"):
        raise StateError("Nothing was written.")


def _propose(config: Path, one: Guarded) -> None:
    """Propose what a server's tools are. It was wrapped all the same where it does not answer now."""
    try:
        proposals = asyncio.run(_proposals(config, one))
    except HopwardError as error:
        click.echo(harmless_lines(error.message), err=True)
        click.echo(f"Next: hopward mcp classify {one.server}, which asks it again.", err=True)
        return
    click.echo(f"\n{one.server}: a tool that nobody has classified is refused.")
    review(config, one.server, proposals)


async def _proposals(config: Path, one: Guarded) -> list[Proposal]:
    # What the client would set; `${...}` only the client can fill in.
    given = {name: value for name, value in one.entry.environment.items() if "${" not in value}
    surroundings = Surroundings({**os.environ, **given}, sys.stderr)
    try:
        with anyio.fail_after(_SECONDS):
            return await unclassified(config, one.server, surroundings)
    except TimeoutError as error:
        told = f"The server {one.server} did not answer within {_SECONDS:g} s."
        raise HopwardError(told, error="server_unreachable") from error
