"""Which class of thing each tool does, as a person has accepted it; a tool without an entry is refused."""

from collections.abc import Iterable

from hopward.model import Tool
from hopward.pattern import matches


class Classifications:
    """The classified tools of all servers, found by server and name.

    A name may be a pattern ending in `*` (MCP resources: `resource:ticket://*`); the longest match wins,
    an exact name before any pattern.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._exact = {(tool.server, tool.name): tool for tool in self.tools if not tool.name.endswith("*")}
        patterns = (tool for tool in self.tools if tool.name.endswith("*"))
        self._patterns = sorted(patterns, key=lambda tool: len(tool.name), reverse=True)

    def find(self, server: str, name: str) -> Tool | None:
        """The classification of a tool, MCP resource (`resource:URI`) or prompt (`prompt:NAME`), or None."""
        exact = self._exact.get((server, name))
        if exact is not None:
            return exact
        for tool in self._patterns:
            if tool.server == server and matches(tool.name, name):
                return tool
        return None
