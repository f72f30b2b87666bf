"""The configured ways of handing work on: which call or graph node is one, and to whom."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hopward import Narrowing


class HopSettings(Protocol):
    """One `[servers.NAME.hops.HOP]`."""

    @property
    def agent(self) -> str: ...
    @property
    def tool(self) -> str: ...
    @property
    def when(self) -> Mapping[str, str]: ...
    @property
    def node(self) -> str: ...
    @property
    def narrowing(self) -> Narrowing: ...


@dataclass(frozen=True, slots=True)
class Edge:
    """Work goes to `agent` by a call of `tool` (with the arguments `when`), as graph node `node`, or both."""

    name: str
    agent: str
    tool: str
    when: Mapping[str, str]
    node: str
    narrowing: Narrowing


class Edges:
    """Every edge of one server. Names only find an edge; what it is worth, the guard decides."""

    def __init__(self, hops: Mapping[str, HopSettings]) -> None:
        edges = [
            Edge(name, hop.agent, hop.tool, hop.when, hop.node, hop.narrowing) for name, hop in hops.items()
        ]
        self._by_tool: dict[str, list[Edge]] = {}
        for edge in edges:
            if edge.tool:
                self._by_tool.setdefault(edge.tool, []).append(edge)
        self._by_node = {edge.node: edge for edge in edges if edge.node}
        self.any = bool(edges)

    def hands_on(self, tool: str) -> bool:
        """Whether a call of this tool hands work on, to whomever."""
        return tool in self._by_tool

    def of_tool(self, tool: str) -> Sequence[Edge]:
        """Every edge that a call of this tool may take."""
        return self._by_tool.get(tool, ())

    def of_call(self, tool: str, arguments: Callable[[], Mapping[str, Any]]) -> Edge | None:
        """The one edge that a call takes, or None: to an agent nobody has registered, there is none."""
        found = self.of_tool(tool)
        if len(found) == 1 and not found[0].when:
            return found[0]
        given = arguments()
        fitting = [edge for edge in found if all(given.get(key) == value for key, value in edge.when.items())]
        return fitting[0] if len(fitting) == 1 else None

    def of_nodes(self, nodes: Iterable[str]) -> Sequence[Edge]:
        """The edges that lead to these graph nodes."""
        return [edge for edge in map(self._by_node.get, nodes) if edge is not None]
