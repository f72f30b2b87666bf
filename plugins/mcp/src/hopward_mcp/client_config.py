"""The configuration file of an MCP client: which servers it starts, and how each is started through Hopward.

    mcpServers         Claude Desktop, Claude Code, Cursor, Windsurf
    servers            VS Code (mcp.json)
    context_servers    Zed (settings.json)

Each is an object of servers by name with `command`, `args` and `env`; only `command` and `args` of a server
are ever changed.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeAlias, cast

from hopward import ConfigError
from hopward_mcp.jsonc import Member, Node, edited, parse

SECTIONS = ("mcpServers", "servers", "context_servers")

_URLS = ("url", "serverUrl", "httpUrl")
_PROJECT_FOLDERS = (".vscode", ".cursor")
_UNSHOWN = ("Cc", "Cs")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Edit: TypeAlias = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A server as its client starts it. `text` is its entry as it stands in the file.

    `guarded` is the server's name in hopward.toml where it goes through Hopward already; `why` says why it
    cannot be made to, where it cannot. `directory` is its working folder, None where nobody knows.
    """

    name: str
    text: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    directory: Path | None = None
    guarded: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A client's configuration file: its text, and the servers in it.

    `projects` have servers of their own further inside (Claude Code's user file); those stay as they are.
    """

    path: Path
    text: str
    nodes: Mapping[str, Node]
    entries: tuple[Entry, ...]
    projects: tuple[str, ...]

    def with_launcher(self, started: Mapping[str, Sequence[str]]) -> str:
        """The text in which these servers are started by these words instead."""
        edits = [
            edit for name, words in started.items() for edit in _edits(self.text, self.nodes[name], words)
        ]
        return edited(self.text, edits)

    def with_entries(self, texts: Mapping[str, str]) -> str:
        """The text in which these entries stand as given."""
        edits = [(self.nodes[name].start, self.nodes[name].end, text) for name, text in texts.items()]
        return edited(self.text, edits)

    @property
    def shown(self) -> str:
        """The text for people to look at: without the values of variables and headers."""
        return edited(self.text, [edit for node in self.nodes.values() for edit in _hidden(node)])


def read_client_config(path: Path, text: str) -> ClientConfig:
    """The servers in the text of a client's file.

    Raises `ConfigError` for what is no JSON (comments and trailing commas are allowed), and for a file of
    another format.
    """
    document = parse(text, path.name)
    sections = [member for name in SECTIONS if (member := document.member(name))]
    if len(sections) != 1 or sections[0].node.kind != "object":
        told = "none" if not sections else "more than one, or no object,"
        raise ConfigError(
            f"{path.name} has {told} of {', '.join(SECTIONS)}, so its format is not known.",
            advice="Known are those of Claude Desktop, Claude Code, Cursor, Windsurf, VS Code and Zed.",
        )
    servers = sections[0].node.members
    entries = tuple(_entry(member, text, path) for member in servers)
    nodes = {member.name: member.node for member in servers}
    return ClientConfig(path, text, nodes, entries, _projects(document))


def _projects(document: Node) -> tuple[str, ...]:
    """The projects of the file that have servers of their own."""
    projects = document.member("projects")
    found = projects.node.members if projects is not None else ()
    return tuple(one.name for one in found if (own := one.node.member("mcpServers")) and own.node.members)


def _entry(member: Member, text: str, path: Path) -> Entry:
    node = member.node
    name, written, plain = member.name, text[node.start : node.end], node.plain
    why = next(_obstacles(plain), "")
    if any(unicodedata.category(c) in _UNSHOWN for c in name):
        why = "its name holds a control character"
    if why:
        return Entry(name, written, why=why)
    words = (plain["command"], *plain.get("args", ()))
    guarded = _guarded(words)
    if guarded:
        return Entry(name, written, words, guarded=guarded)
    folder, cwd = _project_folder(path), plain.get("cwd", "")
    if cwd and folder is None and not PurePath(cwd).is_absolute():
        return Entry(name, written, why="its `cwd` is relative to a folder that only the client knows")
    directory = (folder or Path("/")) / cwd if cwd else folder
    return Entry(name, written, words, plain.get("env", {}), directory)


def _obstacles(plain: Any) -> Iterator[str]:
    """Why a server cannot be started through Hopward; the first reason counts."""
    if not isinstance(plain, dict):
        yield "it is no object"
        return
    plain = cast("dict[str, Any]", plain)
    if any(key in plain for key in _URLS) or plain.get("type", "stdio") != "stdio":
        yield "it is reached over HTTP; `hopward mcp serve` guards such servers, and callers bring a token"
    if "envFile" in plain:
        yield "its `envFile` is read by the client, so nobody else knows which variables it sets"
    args, environment = plain.get("args", []), plain.get("env", {})
    if not _are_texts([plain.get("command")]) or not _are_texts(args):
        yield "its `command` is no text, or its `args` are no list of texts"
        return
    if not isinstance(environment, dict) or not _are_texts([*cast("dict[str, Any]", environment).values()]):
        yield "its `env` is no object of texts"
        return
    if not all(_VARIABLE.fullmatch(name) for name in cast("dict[str, str]", environment)):
        yield "its `env` holds what is no name of a variable"
    cwd = plain.get("cwd", "")
    words = [plain["command"], *args, *([cwd] if isinstance(cwd, str) else [])]
    if not isinstance(cwd, str):
        yield "its `cwd` is no text"
    if any("${" in word for word in words):
        yield "its command holds `${...}`, which only the client can fill in"
    if any(unicodedata.category(c) in _UNSHOWN for word in words for c in word):
        yield "its command holds a control character"
    if not words[0].strip() or words[0].startswith("-"):
        yield "its command is blank or an option"


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))


def _guarded(words: Sequence[str]) -> str:
    """The server that a command guards, if it is `hopward mcp run SERVER`, or `python -I hopward ...`."""
    program = words[2] if len(words) > 2 and words[1] == "-I" else words[0]
    if PurePath(program).stem != "hopward":
        return ""
    places = (at for at in range(1, len(words) - 2) if words[at : at + 2] == ("mcp", "run"))
    return next((words[at + 2] for at in places), "")


def _project_folder(path: Path) -> Path | None:
    """The folder a client starts servers in, where its file belongs to a project."""
    if path.name == ".mcp.json":
        return path.absolute().parent
    return path.absolute().parents[1] if path.absolute().parent.name in _PROJECT_FOLDERS else None


def _edits(text: str, node: Node, words: Sequence[str]) -> Iterator[Edit]:
    """What to replace in an entry so that it starts these words; everything else of it stays."""
    command, args = cast("Member", node.member("command")), node.member("args")
    listed = json.dumps(list(words[1:]), ensure_ascii=False)
    yield command.node.start, command.node.end, json.dumps(words[0], ensure_ascii=False)
    if args is not None:
        yield args.node.start, args.node.end, listed
        return
    before = text[node.start : command.start]
    gap = before[len(before.rstrip()) :] if "\n" in before[len(before.rstrip()) :] else " "
    yield command.node.end, command.node.end, f',{gap}"args": {listed}'


def _hidden(node: Node) -> Iterator[Edit]:
    for name in ("env", "headers"):
        secret = node.member(name)
        if secret is not None:
            values = [member.node for member in secret.node.members]
            yield from ((value.start, value.end, '"***"') for value in values)
