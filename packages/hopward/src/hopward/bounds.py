"""What a chain may do: the authority of its last link, within the bounds of every link and actor before it.

The right to call and the right to hand on are apart. The last link (the last hop, or the task) says what may
be called; each link before it, what may be handed on; so does the ceiling of the agent that acts, and what
each agent before it may hand on. A call must lie within all of them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from hopward import capability, destination, labels
from hopward.budget import accounts
from hopward.chain import reaches
from hopward.classification import lookalike
from hopward.model import Capability, Chain, Hop, Task, Tool, ToolCall
from hopward.provenance import carried_untrusted, provenance
from hopward.record import Facts, Refusal, Standing

StoodIn: TypeAlias = Callable[[str, frozenset[str]], frozenset[str]]
"""Which of some digests are of values that stood in the results of a task."""


class Bound(msgspec.Struct, frozen=True):
    """One set of alternatives a call must lie within, and how the refusal of a call outside of it begins."""

    capabilities: tuple[Capability, ...]
    reason: str
    told: str


def bounds(task: Task, chain: Chain, standing: Standing) -> Iterator[Bound]:
    """Everything a call of the chain must lie within, what the acting agent was given first."""
    links: tuple[Task | Hop, ...] = (task, *(one.hop for one in standing.hops))
    if len(links) == 1:
        yield Bound(task.capabilities, "outside_task", "")
    else:
        told = f"The work handed to agent {chain.actor} does not cover it: "
        yield Bound(links[-1].capabilities, "outside_hop", told)
    for link in links[:-1]:
        told = f"What agent {link.agent} may hand on does not cover it: "
        yield Bound(link.delegable, "outside_delegable", told)
    *before, acting = (standing.agents[actor] for actor in chain.actors)
    yield Bound(acting.ceiling, "over_ceiling", f"Agent {acting.id} may never do this: ")
    for agent in before:
        told = f"Agent {agent.id} may never hand this on: "
        yield Bound(agent.delegable, "over_delegable", told)


def outside(call: ToolCall, tool: Tool, chain: Chain, task: Task, standing: Standing) -> Refusal | None:
    """Why the call lies outside what the token, a link or an agent of the chain grants, or None."""
    stranger = lookalike(call.arguments, tool)
    if stranger is not None:
        return ("argument_lookalike", f"The argument {stranger!r} could be taken for another one.")
    found = bounds(task, chain, standing)
    first = next(found)
    if not capability.covers_any(first.capabilities, call, tool):
        return _refusal(first, call, tool)
    if not reaches(chain.scope, call.name):
        return ("outside_scope", f"The caller's token does not reach {call.name}.")
    for bound in found:
        if not capability.covers_any(bound.capabilities, call, tool):
            return _refusal(bound, call, tool)
    return None


def unclear(tool: Tool) -> Refusal:
    """The refusal of a call whose arguments do not tell without doubt where it leads."""
    named = destination.argument_of(tool.destination)
    told = f"The argument {named!r} does not tell where this call of {tool.full_name} leads."
    return ("destination_unclear", told)


def led(tool: Tool, places: Sequence[str]) -> tuple[Tool, ...]:
    """A tool once for each destination of a call of it, which must lie within all bounds for every one."""
    if not destination.argument_of(tool.destination):
        return (tool,)
    return tuple(msgspec.structs.replace(tool, destination=place) for place in places)


def reachable(name: str, tool: Tool, chain: Chain, task: Task, standing: Standing) -> bool:
    """Whether some call of this tool could lie within everything; `name` is the full one."""
    if not reaches(chain.scope, name):
        return False
    for bound in bounds(task, chain, standing):  # noqa: SIM110 - asked for every tool before every turn
        if not capability.reaches(bound.capabilities, tool):
            return False
    return True


def facts_of(task: Task, chain: Chain, standing: Standing) -> Facts:
    """What is true at this moment. What is left of the budget is the least that any account has."""
    left = [(task.budget, standing.usage)]
    if standing.hops:
        paying = accounts(task, standing)
        left = left if task.id in paying else []
        left += [(one.hop.budget, one.usage) for one in standing.hops if one.hop.id in paying]
    known = labels.taken(standing.labels)
    return Facts(
        subject=chain.subject,
        task=task.id,
        purpose=task.purpose,
        workflow=task.workflow,
        actors=chain.actors,
        calls_left=min([budget.calls - used.calls for budget, used in left]),
        writes_left=min([budget.writes - used.writes for budget, used in left]),
        purposes=tuple([one.hop.purpose for one in standing.hops]),
        bound=bool(chain.bound),
        taken_sensitivity=known.sensitivity,
        taken_integrity=known.integrity,
        untrusted_servers=known.untrusted,
    )


def call_facts(facts: Facts, call: ToolCall, tool: Tool, task: Task, stood: StoodIn) -> Facts:
    """The facts of a task, with those of one call of it."""
    above = labels.above(facts.taken_sensitivity, tool.ceiling)
    facts = msgspec.structs.replace(facts, destinations=destination.destinations(tool, call.arguments))
    if not (above or tool.names or tool.carries):
        return facts

    def known(sought: frozenset[str]) -> frozenset[str]:
        return stood(task.id, sought)

    return msgspec.structs.replace(
        facts,
        above_ceiling=above,
        provenance=provenance(tool, call.arguments, task, known),
        carried_untrusted=carried_untrusted(tool, call.arguments, task, known),
    )


def _refusal(bound: Bound, call: ToolCall, tool: Tool) -> Refusal:
    return (bound.reason, bound.told + capability.explain_any(bound.capabilities, call, tool))
