"""What `hopward init` and `hopward agent add` write: configuration, starter policies, keys, the decision log.

Nothing that exists is ever overwritten, and what fails half-way is taken back.
"""

import json
import os
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from msgspec.structs import replace

from hopward.clock import SystemClock
from hopward.config import FILE_NAME, checked_settings, read_settings
from hopward.config.lines import value_map
from hopward.errors import ConfigError, StateError
from hopward.jwk import SigningKey
from hopward.keys import KeyRing
from hopward.ledger import SqliteLedger
from hopward.model import Action, Sensitivity
from hopward.osuser import os_user
from hopward.settings import Settings

SCHEMA_FILE = "schema.cedarschema"

REVIEW_DAYS = 90
"""How often a person looks at an agent, unless something else is said where it is registered."""


@dataclass(frozen=True, slots=True)
class NewAgent:
    """An agent to register. `tools`, `actions`, `sensitivity` and `destinations` are its ceiling.

    A person looks at it again every `review_days`.
    """

    name: str
    owner: str
    purpose: str
    tools: tuple[str, ...]
    actions: tuple[Action, ...]
    sensitivity: Sensitivity
    destinations: tuple[str, ...]
    review_days: int = REVIEW_DAYS


@dataclass(frozen=True, slots=True)
class NewServer:
    """A server to guard: started by `command`, or reached at `url`."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""


@dataclass(slots=True)
class Made:
    """What a run has written, and what was there before and stayed as it was."""

    made: list[Path] = field(default_factory=list[Path])
    kept: list[Path] = field(default_factory=list[Path])


def create(folder: Path, server: NewServer | None = None, agent: NewAgent | None = None) -> Made:
    """Write what is missing in `folder` for Hopward to start: see `hopward init`.

    The user of this process is the first who may approve.
    With a server and its agent, the new `hopward.toml` guards that server. Raises `ConfigError` when the
    result could not be used; then nothing has been written.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return _begin(path, server, agent)
    if server is not None:
        raise ConfigError(f"{path} exists already, and is never overwritten.", advice="Edit it.")
    with _taken_back() as done:
        done.kept.append(path)
        _complete(read_settings(path), done)
    return done


def add_agent(config: Path, agent: NewAgent) -> Path:
    """Register an agent: append its table to `hopward.toml`, and make its key pair.

    Everything else in the file stays as it is, byte for byte. Returns the path of the private key. Raises
    `ConfigError` when the result could not be used; then nothing has changed.
    """
    config = config.resolve()
    settings = read_settings(config)
    if agent.name in settings.agents:
        raise StateError(f"Agent {agent.name} is registered already.", advice=f"See [agents.{agent.name}].")
    old = config.read_bytes().decode("utf-8")
    end = "" if old.endswith("\n") else "\n"
    with _taken_back() as done:
        table = _agent_table(agent, _agent_key(settings, agent, done), settings)
        text = f"{old}{end}\n{table}"
        checked_settings(text, config)
        replace_file(config, text)
    return done.made[-1]


def change_owner(config: Path, name: str, owner: str) -> None:
    """Put another `owner` where an agent's stands in `hopward.toml`; every other byte stays as it is.

    Raises `ConfigError` when the result could not be used, or where the owner does not stand by itself; then
    nothing has changed.
    """
    config = config.resolve()
    settings, text = read_settings(config), config.read_bytes().decode("utf-8")
    place = value_map(text).get(("agents", name, "owner"))
    if place is None:
        raise ConfigError(f"{config} has no owner in [agents.{name}] that could be changed.")
    changed = f"{text[: place[0]]}{inline(owner)}{text[place[1] :]}"
    entry = replace(settings.agents[name], owner=owner)
    if checked_settings(changed, config) != replace(settings, agents={**settings.agents, name: entry}):
        raise ConfigError(f"The owner of agent {name} cannot be changed by itself.", advice=f"Edit {config}.")
    replace_file(config, changed)


def write_schema(settings: Settings, schema: str) -> Path:
    """Put the schema of the classified tools where editors find it; Hopward itself never reads that file."""
    path = settings.policies / SCHEMA_FILE
    if path.exists():
        replace_file(path, schema)
    else:
        _write(path, schema.encode(), 0o644, Made())
    return path


def schema_is_current(settings: Settings, schema: str) -> bool:
    """Whether the schema file in the policies folder is the schema of the classified tools."""
    try:
        return (settings.policies / SCHEMA_FILE).read_bytes() == schema.encode()
    except OSError:
        return False


def _begin(path: Path, server: NewServer | None, agent: NewAgent | None) -> Made:
    """Write everything; `hopward.toml` last, so that a run cut short does not look finished."""
    settings = checked_settings(_configuration(""), path)
    with _taken_back() as done:
        _complete(settings, done)
        text = _configuration("")
        if server is not None and agent is not None:
            table = _agent_table(agent, _agent_key(settings, agent, done), settings)
            text = _configuration(_guarded(server, agent, table))
        checked_settings(text, path)
        _write(path, text.encode(), 0o644, done)
    return done


def _complete(settings: Settings, done: Made) -> None:
    """Write every part around `hopward.toml` that is missing."""
    _folder(settings.policies, 0o755, done)
    _make_policies(settings, done)
    _folder(settings.state, 0o700, done)
    _write(settings.state / ".gitignore", b"*\n", 0o600, done)
    _write(settings.state / "README.md", _starter("README.md").encode(), 0o600, done)
    _make_keys(settings, done)
    _make_log(settings, done)


def _configuration(guarded: str) -> str:
    return Template(_starter(FILE_NAME)).substitute(guarded=guarded, approver=inline(os_user()))


def _guarded(server: NewServer, agent: NewAgent, agent_table: str) -> str:
    return Template(_starter("guarded.toml")).substitute(
        agent_table=agent_table, server=server.name, agent=agent.name, transport=_transport(server)
    )


def _transport(server: NewServer) -> str:
    if server.url:
        return (
            f"url = {inline(server.url)}\n"
            f"resource = {inline(server.url)}    # the only audience its credentials carry\n"
            'credential = { by = "authorization" }    # as `Authorization: Bearer`'
        )
    return (
        f"command = {inline(server.command)}\n"
        f'resource = "urn:hopward:{server.name}"    # the only audience its credentials carry\n'
        'credential = { by = "meta" }    # in `_meta` of each request; other servers ignore it'
    )


def _agent_table(agent: NewAgent, key: SigningKey, settings: Settings) -> str:
    return Template(_starter("agent.toml")).substitute(
        name=agent.name,
        owner=inline(agent.owner),
        review_days=str(agent.review_days),
        purpose=inline(agent.purpose),
        key=inline(key.public_jwk()),
        key_file=_shown(_agent_key_path(settings, agent), settings.root),
        tools=inline(agent.tools),
        actions=inline(agent.actions),
        sensitivity=inline(agent.sensitivity),
        destinations=inline(agent.destinations),
    )


def inline(value: str | Sequence[str] | Mapping[str, str]) -> str:
    """A text, array or flat table as TOML: JSON's spelling of texts is TOML's too, except for DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {inline(inner)}" for name, inner in value.items()) + " }"
    return "[" + ", ".join(map(inline, value)) + "]"


def _make_policies(settings: Settings, done: Made) -> None:
    """The starter policies, unless there are policies already: beside those they would permit more."""
    present = sorted(settings.policies.glob("*.cedar"))
    done.kept += present
    if not present:
        for source in _baseline():
            _write(settings.policies / source.name, source.read_bytes(), 0o644, done)


def _make_keys(settings: Settings, done: Made) -> None:
    folder = settings.keys_folder
    if folder.exists():
        done.kept.append(folder)
        return
    # Only what this run has made may be taken back: another one may be at work in the same place.
    folder.mkdir(mode=0o700)
    done.made.append(folder)
    KeyRing.create(folder, settings.authority.algorithm)


def _make_log(settings: Settings, done: Made) -> None:
    path = settings.log_file
    if path.exists():
        done.kept.append(path)
        return
    SqliteLedger.open(path, clock=SystemClock(), create=True).close()
    done.made.append(path)


def _agent_key(settings: Settings, agent: NewAgent, done: Made) -> SigningKey:
    path = _agent_key_path(settings, agent)
    _folder(path.parent, 0o700, done)
    keys = KeyRing.open(settings.keys_folder)
    key = keys.create_agent_key(agent.name, settings.authority.algorithm)
    done.made.append(path)
    return key


def _agent_key_path(settings: Settings, agent: NewAgent) -> Path:
    return settings.keys_folder / "agents" / f"{agent.name}.json"


def _folder(path: Path, mode: int, done: Made) -> None:
    for missing in [folder for folder in (*reversed(path.parents), path) if not folder.exists()]:
        missing.mkdir(mode=mode)
        done.made.append(missing)


def _write(path: Path, data: bytes, mode: int, done: Made) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        done.kept.append(path)
        return
    done.made.append(path)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def replace_file(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader ever sees half of it."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path.stat().st_mode & 0o777)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def _taken_back() -> Generator[Made]:
    """What is made inside is removed again if anything fails; what the system refuses is a `ConfigError`."""
    done = Made()
    try:
        yield done
    except BaseException as error:
        for path in reversed(done.made):
            _remove(path)
        if isinstance(error, OSError):
            raise ConfigError(f"{error.filename} cannot be written: {error.strerror}.") from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _baseline() -> list[Traversable]:
    return [file for file in files("hopward").joinpath("baseline").iterdir() if file.name.endswith(".cedar")]


def _starter(name: str) -> str:
    return files("hopward").joinpath("starter", name).read_text(encoding="utf-8")


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
