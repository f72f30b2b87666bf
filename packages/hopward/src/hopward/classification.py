"""Which class of thing each tool does, as a person has accepted it; a tool without an entry is refused."""

import json
import re
from collections.abc import Iterable, Mapping

from hopward.constraint.location import is_straight
from hopward.model import Tool
from hopward.pattern import folded, matches
from hopward.settings import Classification, ServerSettings

_GROUPS = {
    "": "tools",
    "resource:": "mcp_resources",
    "prompt:": "prompts",
    "request:": "server_requests",
    "vendor:": "vendor_methods",
    "model:": "models",
    "retriever:": "retrievers",
}
"""What the names of a server's things begin with -> the table of `[servers.NAME]` they are classified in."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Classifications:
    """The classified tools of all servers, found by server and name.

    A name may be a pattern ending in `*` (MCP resources: `resource:ticket://*`); the longest match wins,
    an exact name before any pattern. A URI that could lead out of where it seems to lie
    (`file:///public/../private`) matches no pattern. `naming` says whether any of them has an argument whose
    provenance is looked for.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._exact = {(tool.server, tool.name): tool for tool in self.tools if not tool.name.endswith("*")}
        patterns = (tool for tool in self.tools if tool.name.endswith("*"))
        self.naming = any(tool.names or tool.carries for tool in self.tools)
        self._patterns = sorted(patterns, key=lambda tool: len(tool.name), reverse=True)

    def find(self, server: str, name: str) -> Tool | None:
        """The classification of a tool, or of what has a prefix, such as `resource:URI`, or None."""
        exact = self._exact.get((server, name))
        if exact is not None:
            return exact
        if not is_straight(name):
            return None
        for tool in self._patterns:
            if tool.server == server and matches(tool.name, name):
                return tool
        return None


def entry_of(server: str, name: str) -> str:
    """Where somebody says what a tool does, as TOML writes it: `[servers.files.tools.read]`."""
    group, simple = "tools", name
    for prefix, other in _GROUPS.items():
        if prefix and name.startswith(prefix):
            group, simple = other, name.removeprefix(prefix)
    return f"[servers.{_key(server)}.{group}.{_key(simple)}]"


def lookalike(arguments: Iterable[str], tool: Tool) -> str | None:
    """An argument that is not a declared one but could be read as one, or None.

    A server may match names without regard to case, as Go's JSON does: it would then read `Amount`, which no
    policy has seen, as `amount`.
    """
    strangers = [name for name in arguments if name not in tool.arguments]
    if not strangers:
        return None
    declared = {folded(name) for name in tool.arguments}
    return next((name for name in strangers if folded(name) in declared), None)


def classified(servers: Mapping[str, ServerSettings]) -> tuple[Tool, ...]:
    """Every classified tool of a configuration, and all else that is classified, each under its prefix."""
    tools: list[Tool] = []
    for server, settings in servers.items():
        for prefix, group in _GROUPS.items():
            entries: Mapping[str, Classification] = getattr(settings, group)
            tools += [_tool(server, prefix + name, entry) for name, entry in entries.items()]
    return tuple(tools)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _tool(server: str, name: str, entry: Classification) -> Tool:
    return Tool(
        server=server,
        name=name,
        action=entry.action,
        sensitivity=entry.sensitivity,
        integrity=entry.integrity,
        destination=entry.destination,
        arguments=entry.arguments,
        ceiling=entry.ceiling or entry.sensitivity,
        names=entry.names,
        carries=entry.carries,
        vouched=entry.vouched,
        spends=entry.spends,
        undo=entry.undo,
    )
