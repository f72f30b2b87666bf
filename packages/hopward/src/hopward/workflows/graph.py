"""The steps of a workflow as a graph: which lead to which, what can be reached, in which layers they lie."""

from collections.abc import Iterable, Mapping, Sequence, Set

from hopward.capability import reaches
from hopward.model import Step, Tool
from hopward.opening import bound, sample
from hopward.settings import WorkflowSettings


def steps_of(workflow: WorkflowSettings, tools: Iterable[Tool]) -> tuple[Step, ...]:
    """The steps of a workflow, with samples for its parameters.

    Without any, each classified tool that it may call is a step that may come at any time.
    """
    if workflow.steps:
        return bound(workflow, {name: sample(kind) for name, kind in workflow.parameters.items()})
    return tuple(
        Step(name=tool.full_name, agent=workflow.agent, tool=tool.full_name, times=workflow.budget.calls)
        for tool in tools
        if reaches(workflow.capabilities, tool)
    )


def reachable(steps: Sequence[Step], without: Set[str] = frozenset()) -> frozenset[str]:
    """The names of the steps that can be taken at some time if those in `without` never are."""
    found: set[str] = set()
    while True:
        more = {
            step.name
            for step in steps
            if step.name not in found | without and (not step.after or found & set(step.after))
        }
        if not more:
            return frozenset(found)
        found |= more


def followers(steps: Sequence[Step]) -> Mapping[str, tuple[str, ...]]:
    """The steps that name each step in `after`, in the order they are written."""
    return {one.name: tuple(other.name for other in steps if one.name in other.after) for one in steps}


def loops(steps: Sequence[Step]) -> tuple[frozenset[str], ...]:
    """The largest sets of steps that all lead to one another, and each step that may be repeated alone."""
    onward = followers(steps)
    ahead = {step.name: _from(onward, step.name) for step in steps}
    found = {
        frozenset({name, *(other for other in ahead[name] if name in ahead[other])})
        for name in ahead
        if name in ahead[name]
    }
    alone = {frozenset({step.name}) for step in steps if step.times > 1}
    return tuple(
        sorted(found | {one for one in alone if not any(one <= other for other in found)}, key=sorted)
    )


def layers(steps: Sequence[Step]) -> tuple[tuple[Step, ...], ...]:
    """The steps by how many must come before them at most, edges that close a loop left out."""
    onward, order = followers(steps), list[str]()
    entered: set[str] = set()
    closing: set[tuple[str, str]] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        entered.add(name)
        for following in onward[name]:
            if following in (*above, name):
                closing.add((name, following))
            elif following not in entered:
                visit(following, (*above, name))
        order.append(name)

    for step in sorted(steps, key=lambda one: bool(one.after)):
        if step.name not in entered:
            visit(step.name, ())
    rank = dict.fromkeys(order, 0)
    for name in reversed(order):
        for following in onward[name]:
            if (name, following) not in closing:
                rank[following] = max(rank[following], rank[name] + 1)
    return tuple(
        tuple(step for step in steps if rank[step.name] == level)
        for level in range(max(rank.values(), default=-1) + 1)
    )


def _from(onward: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for following in onward[waiting.pop()]:
            if following not in found:
                found.add(following)
                waiting.append(following)
    return found
