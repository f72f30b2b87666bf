"""The rules of `[servers.NAME.hops.HOP]`: how a program hands work from one agent to another."""

from collections.abc import Iterator

from hopward.config.agents import link_problems
from hopward.config.problem import KeyPath, Problem, Table, table, tables, text


def hop_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by the hops of a server."""
    servers, agents = table(document.get("servers")), table(document.get("agents"))
    for path, _, server in tables(document, "servers"):
        hops = table(server.get("hops"))
        for name, entry in hops.items():
            hop, place = table(entry), (*path, "hops", name)
            yield from _edge(place, hop, table(server.get("tools")))
            yield from link_problems(place, hop, servers, agents)
        yield from _ambiguous((*path, "hops"), hops)


def _edge(path: KeyPath, hop: Table, tools: Table) -> Iterator[Problem]:
    tool = text(hop.get("tool"))
    if "tool" not in hop and "node" not in hop:
        yield Problem(path, "needs tool (whose call hands work on) or node (the graph node it is done in)")
    if "when" in hop and "tool" not in hop:
        yield Problem((*path, "when"), "has no effect without tool")
    if tool and tool in tools:
        told = f'"{tool}" is classified as a tool too; it either does work or hands it on'
        yield Problem((*path, "tool"), told)


def _ambiguous(path: KeyPath, hops: Table) -> Iterator[Problem]:
    """Two hops that the same call or node could take: which agent gets the work would be left to chance."""
    seen: list[tuple[str, Table]] = []
    for name, entry in hops.items():
        hop = table(entry)
        for other_name, other in seen:
            if hop.get("node") and hop.get("node") == other.get("node"):
                yield Problem((*path, name, "node"), f"is the node of hop {other_name} too")
            if hop.get("tool") and hop.get("tool") == other.get("tool") and not _apart(hop, other):
                told = f"fits calls that hop {other_name} fits too; tell them apart with when"
                yield Problem((*path, name, "tool"), told)
        seen.append((name, hop))


def _apart(hop: Table, other: Table) -> bool:
    """Whether some argument must have one value for the one and another value for the other."""
    mine, theirs = table(hop.get("when")), table(other.get("when"))
    return any(mine[key] != theirs[key] for key in mine.keys() & theirs.keys())
