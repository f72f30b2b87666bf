"""Untrusted content before an effect on the outside that nobody approves, as policies really decide it.

A read is an effect where an argument says where it goes: what is asked for can carry data there.
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from hopward import labels
from hopward.constraint import Equals, OneOf, Prefix, Range
from hopward.destination import argument_of, destinations
from hopward.model import ArgumentType, Provenance, Step, Tool, ToolCall
from hopward.record import Facts
from hopward.workflows.checked import Checked, Finding
from hopward.workflows.graph import reachable

_EFFECTS = frozenset({"write", "execute", "delete", "send", "pay"})
_SHOWN = 3

_ELSEWHERE = "elsewhere.example"
"""Where a call leads if an argument says so and nobody knows it before."""

_SAMPLES: dict[ArgumentType, Any] = {
    "string": "a value",
    "integer": 1,
    "decimal": 1,
    "boolean": True,
    "strings": ["a value"],
}


def unapproved_effects(checked: Checked) -> Iterator[Finding]:
    """Steps with an effect on the outside that may come after untrusted content and need no approval."""
    sources = [(step, tool) for step in checked.steps for tool in _untrusted(checked, step)]
    for step in checked.steps:
        if step.approval or step.name not in checked.reachable or step.agent not in checked.actors:
            continue
        before = [(one, tool) for one, tool in sources if _may_precede(checked, one, step)]
        for tool in checked.tools_of(step):
            if _has_effect(step, tool) and _is_outside(tool.destination):
                yield from _judged(checked, step, tool, before)


def _judged(checked: Checked, step: Step, tool: Tool, before: list[tuple[Step, Tool]]) -> Iterator[Finding]:
    through = [source.name for source, read in before if _is_permitted(checked, step, tool, read)]
    if not through:
        return
    names = list(dict.fromkeys(through))
    first = " or ".join(names[:_SHOWN]) + (" or others" if len(names) > _SHOWN else "")
    told = f"{tool.action} at {tool.destination} may come after untrusted content ({first}) without approval"
    if tool.names and all(name in step.bound for name in tool.names):
        told += "; where it goes is bound to parameters, what it says is not."
        yield checked.found(step.name, "warning", "unapproved_effect", told)
    else:
        told += ": bind what names where it goes, or have the step or a policy ask for approval."
        yield checked.found(step.name, "error", "unapproved_effect", told)


def _untrusted(checked: Checked, step: Step) -> Iterator[Tool]:
    """The tools of a step that return what an attacker may have written."""
    if step.name in checked.reachable and step.agent in checked.actors:
        yield from (tool for tool in checked.tools_of(step) if tool.integrity == "untrusted")


def _may_precede(checked: Checked, source: Step, effect: Step) -> bool:
    """Whether a step can have been taken when another is; by itself, where it may be repeated."""
    if source.name == effect.name:
        return effect.times > 1
    return source.name not in effect.unless and source.name in reachable(
        checked.steps, frozenset({effect.name})
    )


def _has_effect(step: Step, tool: Tool) -> bool:
    """Whether a call of the step may do something, or, reading, ask at a place that is bound to nothing."""
    if tool.action in _EFFECTS:
        return True
    leading = {argument_of(tool.destination), *tool.names} - {""}
    return not leading <= set(step.bound)


def _is_outside(destination: str) -> bool:
    return destination != "internal" and not destination.startswith("internal:")


def _is_permitted(checked: Checked, step: Step, tool: Tool, read: Tool) -> bool:
    """Whether policies permit some call of the step, after this was read, to places that nobody has named.

    Asked with nothing but what the step and the classification name, and with a sample of every argument.
    """
    agent = checked.settings.agents[step.agent].registered(step.agent)
    least = {name: _sample(conditions) for name, conditions in step.arguments.items()}
    named = {name: _SAMPLES[tool.arguments[name]] for name in tool.names}
    leading = argument_of(tool.destination)
    if tool.arguments.get(leading) == "string" and leading not in step.arguments:
        least[leading] = _ELSEWHERE
    every = {name: _SAMPLES[kind] for name, kind in tool.arguments.items()}
    for arguments in ({**named, **least}, {**every, **least}):
        call = ToolCall(server=tool.server, tool=tool.name.replace("*", "x"), arguments=arguments)
        places = destinations(tool, arguments) or (tool.destination.partition("{")[0] + _ELSEWHERE,)
        facts = replace(_facts(checked, step, tool, read), destinations=places)
        if checked.engine.evaluate(call, tool, agent, facts).name == "permit":
            return True
    return False


def _facts(checked: Checked, step: Step, tool: Tool, read: Tool) -> Facts:
    workflow, provenance = checked.workflow, dict[str, Provenance]()
    for name in tool.names:
        provenance[name] = "anchored" if name in step.bound else "untrusted"
    return Facts(
        subject="subject",
        task="task",
        purpose=workflow.purpose,
        workflow=checked.name,
        actors=checked.actors[step.agent],
        calls_left=workflow.budget.calls,
        writes_left=workflow.budget.writes,
        taken_sensitivity=read.sensitivity,
        taken_integrity="untrusted",
        untrusted_servers=(read.server,),
        above_ceiling=labels.above(read.sensitivity, tool.ceiling),
        provenance=provenance,
        step=step.name if workflow.steps else "",
        pin="accepted",
    )


def _sample(conditions: tuple[Any, ...]) -> Any:
    """A value that is likely to satisfy the first of some conditions."""
    match conditions[0]:
        case Equals(value) | Prefix(value):
            return value
        case OneOf(values):
            return values[0] if values else "a value"
        case Range(minimum, maximum):
            return minimum if minimum is not None else maximum
        case _:
            return "a value"
