"""Adds servers to `hopward.toml`: their tables, a workflow each, and what the agent's ceiling needs for it.

What is granted is reading, as `hopward init` grants it, and only once a person has classified the tools.
"""

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, cast

import tomlkit
from msgspec.structs import replace
from tomlkit.items import AoT

from hopward import ConfigError, Guard, Settings, read_settings
from hopward_mcp.client_config import Entry

_TABLES = Template("""
[servers.$name]
command = $command
$more
resource = "urn:hopward:$name"    # the only audience its credentials carry
credential = { by = "meta" }    # in `_meta` of each request; other servers ignore it
workflow = "$name"

[workflows.$name]
agent = "$agent"
purpose = "Read with $name"
expires_in = 28800                         # seconds
budget = { calls = 1000, writes = 0 }      # permitted calls in all; those among them that do more than read

[[workflows.$name.capabilities]]
tools = ["$name/*"]
actions = ["read"]
sensitivity = "internal"
destinations = ["$name"]
""")
_AGENT = Template("""
[agents.$name]
owner = $owner    # who answers for it
purpose = "Uses the servers of an MCP client"
# The most that any task can ever give it:
ceiling = [
$ceiling]
""")
_FIRST_AGENT = "assistant"
_LONGEST = 48
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_JOINTS = re.compile(r"[-_]+")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server of a client, and its name in hopward.toml; `new` if that is yet to be written there."""

    entry: Entry
    server: str
    new: bool


def assigned(settings: Settings, entries: Iterable[Entry]) -> list[Guarded]:
    """A server of hopward.toml for each entry: one that is there already if it is the same, or a new one."""
    taken = {_alike(name) for name in (*settings.servers, *settings.workflows)}
    found: list[Guarded] = []
    for entry in entries:
        same = next((name for name in settings.servers if _is_same(settings, name, entry)), "")
        name = same or _free(entry.name, taken)
        taken.add(_alike(name))
        found.append(Guarded(entry, name, new=not same))
    return found


def agent_for(settings: Settings, wanted: str) -> str:
    """The agent that new servers are for; a new one only where none is registered.

    Raises `ConfigError` where nobody says which of several, or for one that is not there.
    """
    if wanted in settings.agents:
        return wanted
    if not settings.agents:
        return wanted or _FIRST_AGENT
    if not wanted and len(settings.agents) == 1:
        return next(iter(settings.agents))
    told = f"There is no agent {wanted!r}." if wanted else "Say which agent uses these servers: --agent NAME."
    known = ", ".join(sorted(settings.agents))
    raise ConfigError(told, advice=f"Registered agents: {known}. `hopward agent add` registers one.")


def with_servers(settings: Settings, text: str, new: Sequence[Guarded], agent: str) -> str:
    """The text of hopward.toml with tables for new servers. What stands there already stays."""
    if not new:
        return text
    text = _ended(text)
    if agent in settings.agents:
        document = tomlkit.parse(text)
        granted = cast("dict[str, Any]", document)["agents"][agent]
        for one in new:
            _add_to_ceiling(granted, one.server)
        text = tomlkit.dumps(document)  # pyright: ignore[reportUnknownMemberType] - dumps is typed loosely
    else:
        ceiling = "".join(f"    {_toml(_reading(one.server))},\n" for one in new)
        text += _AGENT.substitute(name=agent, owner=_toml(Guard.local_user()), ceiling=ceiling)
    return text + "".join(_tables(settings, one, agent) for one in new)


def check(config: Path, before: Settings, text: str) -> None:
    """Raise `ConfigError` unless this text could stand in place of hopward.toml, and only adds to it."""
    draft = config.absolute().with_name(f".{config.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        after = read_settings(draft)
    except ConfigError as error:
        told = str(error).replace(draft.name, config.name)
        raise ConfigError(f"The servers do not fit into hopward.toml. {told}") from error
    finally:
        draft.unlink()
    if not _only_adds(before, after):
        raise ConfigError("hopward.toml is written in a way that nothing can be added to safely.")


def _only_adds(before: Settings, after: Settings) -> bool:
    """Whether all that was there is there unchanged, but for ceilings, which may have grown at their end."""
    agents = all(
        replace(after.agents[name], ceiling=()) == replace(agent, ceiling=())
        and after.agents[name].ceiling[: len(agent.ceiling)] == agent.ceiling
        for name, agent in before.agents.items()
    )
    servers = all(after.servers[name] == server for name, server in before.servers.items())
    workflows = all(after.workflows[name] == workflow for name, workflow in before.workflows.items())
    same = replace(before, agents=after.agents, servers=after.servers, workflows=after.workflows)
    return agents and servers and workflows and same == after


def _is_same(settings: Settings, name: str, entry: Entry) -> bool:
    """Whether a server of hopward.toml starts what an entry does, for a task, with the same variables."""
    server = settings.servers[name]
    there = settings.root / server.directory
    wanted = entry.directory if entry.directory is not None else settings.root
    return (
        server.command == entry.command
        and bool(server.workflow)
        and os.path.normpath(there) == os.path.normpath(wanted)
        and set(entry.environment) <= {*server.pass_environment, server.credential.environment}
    )


def _free(wanted: str, taken: set[str]) -> str:
    """A name for a server: that of the client as far as hopward.toml takes it."""
    base = _NO_NAME.sub("-", wanted).strip("-_")[:_LONGEST] or "server"
    name, number = base, 1
    while _alike(name) in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def _alike(name: str) -> str:
    """What hopward.toml does not tell apart in the names of servers."""
    return _JOINTS.sub("-", name.casefold())


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _tables(settings: Settings, one: Guarded, agent: str) -> str:
    entry, more = one.entry, list[str]()
    if entry.environment:
        more.append(f"pass_environment = {_toml(sorted(entry.environment))}    # from the client's `env`")
    if entry.directory is not None and entry.directory != settings.root:
        more.append(f"directory = {_toml(str(entry.directory))}")
    text = _TABLES.substitute(
        name=one.server, command=_toml(entry.command), more="\n".join(more), agent=agent
    )
    return text.replace("\n\nresource", "\nresource")


def _add_to_ceiling(agent: Any, server: str) -> None:
    """Let the agent read with a server, unless its ceiling says something of it already."""
    ceiling: Any = agent["ceiling"]
    tools = f"{server}/*"
    if any(tools in granted["tools"] for granted in ceiling):
        return
    granted = _reading(server)
    if type(ceiling) is AoT:
        cast("Any", ceiling).append(tomlkit.item(granted))
    elif "\n" in ceiling.as_string():
        ceiling.add_line(tomlkit.value(_toml(granted)))
    else:
        ceiling.append(tomlkit.value(_toml(granted)))


def _reading(server: str) -> dict[str, Any]:
    """The capability of reading with a server."""
    return {
        "tools": [f"{server}/*"],
        "actions": ["read"],
        "sensitivity": "internal",
        "destinations": [server],
    }


def _toml(value: str | Sequence[str] | Mapping[str, Any]) -> str:
    """A text, array or flat table as TOML: JSON's spelling of texts is TOML's too, except for DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return "[" + ", ".join(map(_toml, value)) + "]"
