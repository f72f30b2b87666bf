"""`hopward mcp unwrap`: an MCP client's file as it was before it was wrapped."""

from pathlib import Path

import click

from hopward import ConfigError, StateError, read_settings
from hopward_mcp.backups import Backup, Backups, digest_of
from hopward_mcp.client_config import ClientConfig, read_client_config
from hopward_mcp.difference import show_difference
from hopward_mcp.display import harmless
from hopward_mcp.replacing import replace_file
from hopward_mcp.wrapping import as_wrapped, read_whole, restored


@click.command()
@click.argument("client_config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--keep-changes", is_flag=True, help="Take back the wrapped servers alone, and keep the rest.")
@click.option("--force", is_flag=True, help="Restore the file as it was, and lose what was changed since.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="The hopward.toml to use.")
@click.pass_context
def unwrap(
    ctx: click.Context, client_config: Path, keep_changes: bool, force: bool, config: Path | None
) -> None:
    """Restore CLIENT_CONFIG as it was before `hopward mcp wrap`, byte for byte.

    A file that was changed since is left alone, unless an option says what to do. hopward.toml keeps its
    servers and their classifications.
    """
    if keep_changes and force:
        raise click.UsageError("--keep-changes and --force exclude each other.")
    settings = read_settings(config if config is not None else ctx.obj.config)
    backups = Backups(settings.state)
    backup, now = backups.find(client_config), read_whole(client_config)
    if backup is None:
        _unknown(client_config, now)
        return
    original = backups.original(client_config, backup)
    if now == original:
        backups.forget(client_config)
        click.echo(f"{client_config} is as it was already.")
    elif force or digest_of(now) == backup.wrapped_digest:
        replace_file(client_config, original)
        backups.forget(client_config)
        click.echo(f"Restored {client_config}.")
        click.echo("Next: restart the client; its calls are not guarded any more.", err=True)
    elif keep_changes:
        _keep_changes(client_config, now, backup, backups)
    else:
        _refuse(client_config, now, original, backup)


def _unknown(path: Path, now: bytes) -> None:
    """A file without a backup: fine, unless something in it is wrapped."""
    guarded = [entry.name for entry in _parsed(path, now).entries if entry.guarded]
    if guarded:
        told = f"{path} starts {', '.join(map(harmless, guarded))} through Hopward, but has no backup here."
        advice = "Use the hopward.toml it was wrapped with (--config), or edit the file by hand."
        raise StateError(told, advice=advice)
    click.echo(f"Nothing in {path} is wrapped.")


def _keep_changes(path: Path, now: bytes, backup: Backup, backups: Backups) -> None:
    """Put the entries back that still are as wrapped; raises `StateError` if one is not."""
    text, changed = restored(_parsed(path, now), backup.entries)
    if changed:
        told = f"{', '.join(map(harmless, changed))} in {path} was changed since, so nothing was written."
        kept = backups.original_path(path, backup.original_digest)
        raise StateError(told, advice=f"Edit the file by hand; as it was, it stands in {kept}.")
    replace_file(path, text.encode())
    backups.forget(path)
    click.echo(
        f"Took back {', '.join(map(harmless, backup.entries))} in {path}, and kept what else was changed."
    )


def _refuse(path: Path, now: bytes, original: bytes, backup: Backup) -> None:
    """Show what was changed since, and raise `StateError`."""
    wrapped = read_client_config(path, as_wrapped(original, path, backup.entries))
    try:
        shown = _parsed(path, now).shown
    except ConfigError as error:
        told = f"{path} was changed since it was wrapped, and cannot be read: {error.message}"
        raise StateError(told, advice="--force restores it as it was.") from error
    differs = show_difference(wrapped.shown, shown, path.name, ("as wrapped", "now"))
    what = "as shown" if differs else "in values of variables or headers, which are not shown"
    raise StateError(
        f"{path} was changed since it was wrapped, {what}, so nothing was written.",
        advice="--keep-changes takes back the wrapped servers alone; --force restores the file as it was.",
    )


def _parsed(path: Path, data: bytes) -> ClientConfig:
    try:
        return read_client_config(path, data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text.") from error
