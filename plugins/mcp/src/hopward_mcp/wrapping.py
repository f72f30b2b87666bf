"""Puts the servers of an MCP client behind Hopward, and takes them back: what to write, and writing it.

Two files change, the client's and hopward.toml, after a backup of the first. What fails half-way is taken
back, so that either everything was written or nothing.
"""

import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hopward import ConfigError, Settings, StateError, read_settings
from hopward_mcp.backups import Backup, Backups, WrappedEntry, digest_of
from hopward_mcp.client_config import ClientConfig, Entry, read_client_config
from hopward_mcp.guarding import Guarded, agent_for, assigned, check, with_servers
from hopward_mcp.replacing import replace_file


@dataclass(frozen=True, slots=True)
class Plan:
    """What wrapping a client's file comes to; nothing has been written yet.

    `servers` are what is wrapped by it. `guarded` goes through Hopward already, `left` cannot.
    """

    config: Path
    settings: Settings
    config_before: bytes
    config_after: bytes
    client: ClientConfig
    client_before: bytes
    client_after: bytes
    servers: tuple[Guarded, ...]

    @property
    def guarded(self) -> tuple[Entry, ...]:
        """Servers that go through Hopward already."""
        return tuple(entry for entry in self.client.entries if entry.guarded)

    @property
    def left(self) -> tuple[Entry, ...]:
        """Servers that cannot be started through Hopward, each with the reason."""
        return tuple(entry for entry in self.client.entries if entry.why)


def planned(config: Path, client: Path, agent: str) -> Plan:
    """What to write to put every server of a client's file behind Hopward.

    Raises `ConfigError` for a file that cannot be read or whose format is not known, and where the servers
    do not fit into hopward.toml.
    """
    settings = read_settings(config)
    client_before, config_before = read_whole(client), read_whole(config)
    found = _client(client, client_before)
    open_to = [entry for entry in found.entries if not entry.why and not entry.guarded]
    servers = assigned(settings, open_to)
    new = [one for one in servers if one.new]
    text = config_before.decode()
    config_after = with_servers(settings, text, new, agent_for(settings, agent)) if new else text
    check(config, settings, config_after)
    client_after = found.with_launcher({one.entry.name: _launch(config, one) for one in servers})
    return Plan(
        config=config,
        settings=settings,
        config_before=config_before,
        config_after=config_after.encode(),
        client=found,
        client_before=client_before,
        client_after=client_after.encode(),
        servers=tuple(servers),
    )


def carry_out(plan: Plan) -> None:
    """Write what was planned: backup, hopward.toml, the client's file. Raises `HopwardError` or `OSError`,
    and then nothing has changed."""
    backups, client = Backups(plan.settings.state), plan.client.path
    _unchanged(plan.config, plan.config_before)
    before = backups.find(client)
    kept = backups.original(client, before) if before is not None else b""
    backup, original = _backup(plan, before)
    with ExitStack() as undo:
        undo.callback(_put_back, backups, client, before, kept)
        backups.keep(client, backup, original)
        if plan.config_after != plan.config_before:
            undo.callback(replace_file, plan.config, plan.config_before)
            replace_file(plan.config, plan.config_after)
        _unchanged(client, plan.client_before)
        replace_file(client, plan.client_after)
        undo.pop_all()


def launcher() -> Path:
    """The full path of the `hopward` command: a client may not have it on its PATH."""
    beside = (Path(sys.argv[0]), Path(sys.executable).with_name("hopward"))
    found = next((path for path in beside if path.stem == "hopward" and path.is_file()), None)
    searched = shutil.which("hopward")
    if found is None and searched is None:
        raise ConfigError(
            "The command `hopward` is not found.", advice="Install hopward in this environment."
        )
    return (found or Path(str(searched))).absolute()


def _launch(config: Path, one: Guarded) -> list[str]:
    """The words that start a server through Hopward."""
    words = [str(launcher()), "--config", str(config.absolute()), "mcp", "run", one.server]
    # Variables that are meant for the server's Python are not to change what Hopward's own imports.
    isolated = any(name.startswith("PYTHON") for name in one.entry.environment)
    return [sys.executable, "-I", *words] if isolated else words


def restored(found: ClientConfig, entries: dict[str, WrappedEntry]) -> tuple[str, list[str]]:
    """The text with wrapped entries as they were, and the names of those that no longer are as wrapped."""
    now = {entry.name: entry.text for entry in found.entries}
    wrapped = {name: one.original for name, one in entries.items() if now.get(name) == one.wrapped}
    changed = [name for name in entries if name not in wrapped and name in now]
    return found.with_entries(wrapped), changed


def as_wrapped(original: bytes, client: Path, entries: dict[str, WrappedEntry]) -> str:
    """The text that wrapping has written, from the file as it was."""
    found = _client(client, original)
    return found.with_entries({name: one.wrapped for name, one in entries.items() if name in found.nodes})


def read_whole(path: Path) -> bytes:
    """The bytes of a file; raises `ConfigError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def _client(path: Path, data: bytes) -> ClientConfig:
    try:
        return read_client_config(path, data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.name}:{line}: is not UTF-8 text.") from error


def _backup(plan: Plan, before: Backup | None) -> tuple[Backup, bytes]:
    """The backup to keep. Where some servers were wrapped before, it is of the file without any of it."""
    after = _client(plan.client.path, plan.client_after)
    now = {entry.name: entry.text for entry in plan.client.entries}
    then = {entry.name: entry.text for entry in after.entries}
    entries = {
        one.entry.name: WrappedEntry(one.server, now[one.entry.name], then[one.entry.name])
        for one in plan.servers
    }
    original = plan.client_before
    if before is not None:
        entries = {
            **{name: one for name, one in before.entries.items() if now.get(name) == one.wrapped},
            **entries,
        }
        original = restored(after, entries)[0].encode()
    backup = Backup(
        client=str(plan.client.path.resolve()),
        original_digest=digest_of(original),
        wrapped_digest=digest_of(plan.client_after),
        entries=entries,
    )
    return backup, original


def _put_back(backups: Backups, client: Path, before: Backup | None, kept: bytes) -> None:
    if before is None:
        backups.forget(client)
    else:
        backups.keep(client, before, kept)


def _unchanged(path: Path, before: bytes) -> None:
    if read_whole(path) != before:
        told = f"{path} was changed by somebody else meanwhile, so nothing was written."
        raise StateError(told, advice="Run the command again.")
