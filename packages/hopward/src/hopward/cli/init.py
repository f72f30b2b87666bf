"""`hopward init`: everything Hopward needs to start, in one folder."""

from pathlib import Path

import click

from hopward.cedar import schema_text
from hopward.classification import classified
from hopward.cli.output import hint, tell
from hopward.config import FILE_NAME, read_settings
from hopward.osuser import os_user
from hopward.project import SCHEMA_FILE, Made, NewAgent, NewServer, create, schema_is_current, write_schema


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="here",
    help="Where to write.",
)
@click.option("--server", help="Name of a server to guard; needs COMMAND or --url, and --agent.")
@click.option("--url", default="", help="The server's Streamable HTTP endpoint, instead of COMMAND.")
@click.option("--agent", help="Name of the agent that will use the server.")
@click.option("--owner", help="Who answers for the agent.  [default: local:USER]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def init(
    folder: Path, server: str | None, url: str, agent: str | None, owner: str | None, command: tuple[str, ...]
) -> None:
    """Write hopward.toml, starter policies, keys and an empty decision log.

    With a server, the file guards it: `hopward init --agent NAME --server NAME -- COMMAND...`. What exists
    already is left as it is; run it again after cloning a project, to make this machine's keys and log.
    """
    new_server, new_agent = None, None
    if server is not None and agent is not None:
        if bool(command) == bool(url):
            raise click.UsageError("Say how to reach the server: either --url URL, or -- COMMAND...")
        new_server = NewServer(server, command, url)
        new_agent = _reader(agent, owner if owner is not None else os_user(), server)
    elif server is not None or agent is not None or url or command:
        raise click.UsageError("A server needs --agent NAME, --server NAME, and -- COMMAND... or --url URL.")
    done = create(folder, new_server, new_agent)
    _write_schema(folder, done)
    _report(done, folder, server, over_http=bool(url))


def _reader(name: str, owner: str, server: str) -> NewAgent:
    return NewAgent(
        name=name,
        owner=owner,
        purpose=f"Reads with {server}",
        tools=(f"{server}/*",),
        actions=("read",),
        sensitivity="internal",
        destinations=(server,),
    )


def _write_schema(folder: Path, done: Made) -> None:
    settings = read_settings(folder / FILE_NAME)
    schema = schema_text(classified(settings.servers))
    if schema_is_current(settings, schema):
        done.kept.append(settings.policies / SCHEMA_FILE)
    else:
        done.made.append(write_schema(settings, schema))


def _report(done: Made, folder: Path, server: str | None, *, over_http: bool) -> None:
    for path in done.kept:
        tell(f"kept  {_shown(path, folder)}")
    for path in done.made:
        if not path.is_dir() or path.name == "keys":
            tell(f"made  {_shown(path, folder)}")
    config = folder / FILE_NAME
    if server is not None:
        hint(f"Next: hopward mcp classify {server}, because a tool nobody has classified is refused.")
        start = "hopward authority serve, and hopward mcp serve" if over_http else f"hopward mcp run {server}"
        hint(f"Then start it with: {start}")
    else:
        hint(f"Next: hopward doctor, after a look at {config}.")


def _shown(path: Path, folder: Path) -> str:
    base = folder.absolute()
    return str(path.absolute().relative_to(base)) if path.absolute().is_relative_to(base) else str(path)
