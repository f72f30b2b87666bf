"""What is wrong with a workflow: each kind of finding, and all of them."""

from collections.abc import Iterator

from hopward.capability import attenuate_all, reaches
from hopward.model import ACTIONS, Capability, Step, Tool
from hopward.workflows.checked import Checked, Finding
from hopward.workflows.graph import loops, reachable
from hopward.workflows.leaks import unapproved_effects

__all__ = ["Checked", "Finding", "findings"]


def findings(checked: Checked) -> tuple[Finding, ...]:
    """Everything that is wrong with a workflow, in the order of its steps, the whole last."""
    found = [
        *unreachable(checked),
        *outside(checked),
        *never_permitted(checked),
        *unapproved_effects(checked),
        *unbounded_loops(checked),
        *unused_parameters(checked),
    ]
    places = {step.name: number for number, step in enumerate(checked.steps)}
    return tuple(sorted(found, key=lambda one: places.get(one.step, len(places))))


def unreachable(checked: Checked) -> Iterator[Finding]:
    """Steps that can never be taken: nothing leads to them, or only what rules them out."""
    for step in checked.steps:
        if step.name not in checked.reachable:
            told = f"can never be taken: it comes after {' or '.join(step.after)}, which needs it first"
            missing = [one for one in step.after if one not in checked.reachable]
            told = f"can never be taken: nothing leads to {' or '.join(missing)}" if missing else told
            yield checked.found(step.name, "error", "unreachable", f"{told}.")
        elif step.name not in reachable(checked.steps, frozenset(step.unless)):
            told = (
                f"can never be taken: what leads to it goes through {' or '.join(step.unless)}, its unless."
            )
            yield checked.found(step.name, "error", "unreachable", told)


def outside(checked: Checked) -> Iterator[Finding]:
    """Steps of agents that get no work, of tools that nobody has classified, and beyond what is granted."""
    for step in checked.steps:
        if step.agent not in checked.actors:
            told = f"is taken by agent {step.agent}, to which no step hands work."
            yield checked.found(step.name, "error", "no_work", told)
        elif step.delegate:
            yield from _handing(checked, step)
        elif not checked.tools_of(step):
            told = f"{step.tool} is no classified tool, so its calls are refused."
            yield checked.found(step.name, "error", "unknown_tool", told)
        else:
            yield from _calling(checked, step)


def _calling(checked: Checked, step: Step) -> Iterator[Finding]:
    tools = checked.tools_of(step)
    for told, granted in _bounds(checked, step.agent):
        # What is bound to a parameter is not known yet, so only what is written counts.
        written = {name: one for name, one in step.arguments.items() if name not in step.bound}
        asked = Capability(
            tools=(step.tool,),
            actions=ACTIONS,
            sensitivity="restricted",
            destinations=("*",),
            constraints=written,
        )
        within = attenuate_all(granted, (asked,))
        if not any(reaches(within, tool) for tool in tools):
            yield checked.found(step.name, "error", "outside", f"lies outside of {told}.")
            return


def _handing(checked: Checked, step: Step) -> Iterator[Finding]:
    workflow, agents = checked.workflow, checked.settings.agents
    chain = checked.actors[step.agent]
    if len(chain) > workflow.depth:
        told = f"hands work on as hop {len(chain)}, and depth is {workflow.depth}."
        yield checked.found(step.name, "error", "outside", told)
        return
    given = workflow.delegable
    for agent in chain:
        given = attenuate_all(given, agents[agent].delegable)
    receiver = agents[step.delegate]
    if not attenuate_all(given, (*receiver.ceiling, *receiver.delegable)):
        told = f"hands work to {step.delegate}, but nothing of what may be handed on is within its ceiling."
        yield checked.found(step.name, "error", "outside", told)


def _bounds(checked: Checked, agent: str) -> Iterator[tuple[str, tuple[Capability, ...]]]:
    """Each thing that a call of an agent must lie within, and what it is called."""
    agents, chain = checked.settings.agents, checked.actors[agent]
    if len(chain) == 1:
        yield "the workflow's capabilities", checked.workflow.capabilities
    else:
        yield "what the workflow lets be handed on (delegable)", checked.workflow.delegable
    for before in chain[:-1]:
        yield f"what agent {before} may hand on (delegable)", agents[before].delegable
    yield f"the ceiling of agent {agent}", agents[agent].ceiling


def never_permitted(checked: Checked) -> Iterator[Finding]:
    """Steps whose calls no policy permits."""
    for step in checked.steps:
        tools: tuple[Tool, ...] = checked.tools_of(step)
        if tools and not any(checked.engine.could_permit(tool) for tool in tools):
            yield checked.found(step.name, "error", "never_permitted", "no policy permits any call of it.")
        if step.delegate and not checked.engine.could_permit_hop():
            yield checked.found(step.name, "error", "never_permitted", "no policy permits handing on work.")


def unbounded_loops(checked: Checked) -> Iterator[Finding]:
    """Loops that only the budget ends: steps that may come more often than the task may call anything."""
    if not checked.workflow.steps:
        return
    calls, times = checked.workflow.budget.calls, {step.name: step.times for step in checked.steps}
    for loop in loops(checked.steps):
        rounds = sum(times[name] for name in loop)
        if rounds > calls:
            names = " and ".join(sorted(loop))
            told = f"{names} may come {rounds} times, and only the budget of {calls} calls ends it."
            yield checked.found(min(loop), "error", "unbounded_loop", told)


def unused_parameters(checked: Checked) -> Iterator[Finding]:
    """Parameters that no step is bound to."""
    if not checked.workflow.steps:
        return
    used = {parameter for step in checked.steps for parameter in step.bound.values()}
    for name in checked.workflow.parameters:
        if name not in used:
            told = f"parameter {name} binds no step; it only says what the task is about."
            yield checked.found("", "warning", "unused_parameter", told)
