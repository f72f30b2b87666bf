"""`hopward mcp ls`: the servers, what each is reached by, speaks and offers, and whether it answers."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
import msgspec

from hopward import Guard, HopwardError, LedgerError, Settings, read_settings
from hopward_mcp.display import harmless, show_table
from hopward_mcp.roster import Entry, roster, unasked

_COLUMNS = ("server", "transport", "reached", "era", "tools", "classified", "unclassified", "health")
_UNKNOWN = "-"


@click.command()
@click.option("--offline", is_flag=True, help="Connect to no server: show what hopward.toml says.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each server may take to answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per server.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def ls(ctx: click.Context, offline: bool, timeout: float, as_json: bool, config: Path | None) -> None:
    """List the servers, and ask each of them what it offers.

    Each is started, or asked over HTTP, all at once and without any credential for a call. Exit status 1 if
    one does not answer. `era` is the protocol version that answers; `classified` counts the tools that
    hopward.toml says something about, `unclassified` those that are refused because it says nothing, unless
    their server is OBSERVED.
    """
    opened = config if config is not None else ctx.obj.config
    settings = read_settings(opened)
    _warn_of_containment(settings)
    entries = unasked(settings) if offline else _asked(settings, timeout)
    pins = _pins(opened, settings)
    if as_json:
        for entry in entries:
            click.echo(msgspec.json.encode({**_plain(entry), "pins": pins[entry.server]}))
    elif entries:
        show_table(_COLUMNS, map(_cells, entries))
        if offline:
            told = "--offline asks no server, so what only a server can say is not known (-)."
            click.echo(told, err=True)
        _hint(entries)
        _hint_pins(pins)
    else:
        click.echo("No server is guarded yet. Add a [servers.NAME] to hopward.toml.", err=True)
    if any(entry.ok is False for entry in entries):
        ctx.exit(1)


def _warn_of_containment(settings: Settings) -> None:
    """Say first what is contained; a log that cannot be read is told of by `hopward doctor`."""
    try:
        found = Guard.contained_in(settings)
    except LedgerError:
        return
    for one in found:
        if one.kind == "all":
            click.echo("EVERYTHING IS STOPPED: every call is refused. hopward stop says why.", err=True)
        elif one.kind in ("server", "tool"):
            told = f"{one.kind.capitalize()} {harmless(one.id)} is quarantined: hopward quarantine says why."
            click.echo(told, err=True)


def _asked(settings: Settings, seconds: float) -> list[Entry]:
    total, done = len(settings.servers), 0
    shown = sys.stderr.isatty()

    def progress() -> None:
        nonlocal done
        done += 1
        if shown:
            click.echo(f"\rasked {done} of {total} servers", err=True, nl=False)

    entries = asyncio.run(roster(settings, seconds, progress))
    if shown:
        click.echo("\r\x1b[K", err=True, nl=False)
    return entries


def _cells(entry: Entry) -> tuple[str, ...]:
    tools, unclassified = entry.tools, entry.unclassified
    return (
        entry.server,
        entry.transport,
        entry.reached,
        entry.era or _UNKNOWN,
        _UNKNOWN if tools is None else str(len(tools)),
        str(len(entry.classified)),
        _UNKNOWN if unclassified is None else str(len(unclassified)),
        entry.health,
    )


def _plain(entry: Entry) -> dict[str, object]:
    return {
        "server": entry.server,
        "transport": entry.transport,
        "reached": entry.reached,
        "era": entry.era,
        "tools": entry.tools,
        "classified": entry.classified,
        "unclassified": entry.unclassified,
        "observed": entry.observed,
        "ok": entry.ok,
        "health": entry.health,
    }


def _pins(config: Path, settings: Settings) -> dict[str, dict[str, dict[str, object]] | None]:
    """How each tool's definition stands, by server; None for all where the decision log cannot be read."""
    try:
        guard = Guard.prepared(config)
    except HopwardError as error:
        click.echo(f"Which definitions count cannot be read: {error.message}", err=True)
        return dict.fromkeys(settings.servers)
    with closing(guard):
        return {server: _of_server(guard, server) for server in settings.servers}


def _of_server(guard: Guard, server: str) -> dict[str, dict[str, object]]:
    told: dict[str, dict[str, object]] = {}
    for tool, known in guard.pins.candidates(server).items():
        last = known.get("seen") or known["pinned"]
        pinned = known["pinned"].state if "pinned" in known else "none"
        quarantined = last.state if "seen" in known else None
        told[tool] = {"pinned": pinned, "quarantined": quarantined, "flags": last.flags}
    return told


def _hint_pins(pins: Mapping[str, Mapping[str, Mapping[str, object]] | None]) -> None:
    for server, tools in pins.items():
        told = {name: str(one["quarantined"]) for name, one in (tools or {}).items() if one["quarantined"]}
        if told:
            names = ", ".join(f"{harmless(name)} ({why})" for name, why in told.items())
            click.echo(f"Refused until it is accepted: {names} of {server}", err=True)
        unaccepted = [name for name, one in (tools or {}).items() if one["pinned"] != "accepted"]
        if unaccepted and not told:
            click.echo(f"First seen, and accepted by nobody: {len(unaccepted)} tools of {server}", err=True)
        if told or unaccepted:
            click.echo(f"Next: hopward mcp accept {server}", err=True)


def _hint(entries: list[Entry]) -> None:
    for entry in entries:
        if entry.observed:
            click.echo(f"{entry.server} is {entry.observed}.", err=True)
        if entry.unclassified:
            click.echo(f"Next: hopward mcp classify {entry.server}", err=True)
        if entry.vanished:
            told = ", ".join(entry.vanished)
            click.echo(f"Classified, but not offered by {entry.server}: {told}", err=True)
    if any(entry.ok is False for entry in entries):
        click.echo("Next: hopward doctor, which says what else is broken or missing.", err=True)
