"""The rules of `[workflows.NAME]`: its parameters, and the steps of its path."""

import difflib
from collections.abc import Collection, Iterator

import msgspec

from hopward import constraint
from hopward.config import forms
from hopward.config.agents import LARGEST_BUDGET, link_problems, tool_pattern
from hopward.config.names import alike
from hopward.config.problem import KeyPath, Problem, Table, items, table, tables, text
from hopward.constraint import Constraint
from hopward.constraint.arguments import check_key
from hopward.opening import referred

LONGEST_PATH = 200
"""Steps; each is looked at for every call."""


def workflow_problems(document: Table) -> Iterator[Problem]:
    """Every rule broken by a workflow's settings."""
    servers, agents = table(document.get("servers")), table(document.get("agents"))
    for path, _, workflow in tables(document, "workflows"):
        yield from link_problems(path, workflow, servers, agents)
        yield from _parameters((*path, "parameters"), table(workflow.get("parameters")))
        steps = table(workflow.get("steps"))
        if len(steps) > LONGEST_PATH:
            yield Problem((*path, "steps"), f"has {len(steps)} steps; {LONGEST_PATH} at most")
        if workflow.get("steps") == {}:
            yield Problem((*path, "steps"), "is empty: nothing at all could be done; leave it out")
        yield from _names((*path, "steps"), steps)
        for name, entry in steps.items():
            place, step = (*path, "steps", name), table(entry)
            yield from _move(place, step, workflow, servers, agents)
            yield from _order(place, name, step, steps)
            yield from _approval((*place, "approval"), text(step.get("approval")), document)
            yield from _arguments((*place, "arguments"), step, table(workflow.get("parameters")))


def _names(path: KeyPath, entries: Table) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in entries:
        wrong = forms.wrong_name(name)
        first = seen.setdefault(alike(name), name)
        if wrong:
            yield Problem((*path, name), wrong)
        elif first != name:
            yield Problem((*path, name), f'cannot be told apart from "{first}"; rename one of them')


def _parameters(path: KeyPath, declared: Table) -> Iterator[Problem]:
    for name in declared:
        if not forms.NAME.fullmatch(name):
            yield Problem((*path, name), "a name is 1 to 63 letters, digits, - and _ (ASCII)")


def _move(path: KeyPath, step: Table, workflow: Table, servers: Table, agents: Table) -> Iterator[Problem]:
    """Who does what in a step."""
    named = [key for key in ("tool", "delegate") if key in step]
    if len(named) != 1:
        told = "has both tool and delegate; one of them only" if named else "needs tool or delegate"
        yield Problem(path, f"{told}: a step is a call of a tool, or hands work to an agent")
    tool = text(step.get("tool"))
    if tool.strip():
        wrong = forms.wrong_pattern(tool)
        if wrong:
            yield Problem((*path, "tool"), wrong)
        else:
            yield from tool_pattern((*path, "tool"), tool, servers)
    for key in ("agent", "delegate"):
        agent = text(step.get(key))
        if agent.strip() and agent not in agents:
            yield Problem((*path, key), f"there is no [agents.{agent}]{_meant(agent, agents)}")
    if "delegate" in step and step["delegate"] == step.get("agent", workflow.get("agent")):
        yield Problem((*path, "delegate"), "is the agent of the step itself")
    times = step.get("times", 1)
    if isinstance(times, int) and not 1 <= times <= LARGEST_BUDGET:
        yield Problem((*path, "times"), f"must be 1 to {LARGEST_BUDGET}")


def _approval(path: KeyPath, group: str, document: Table) -> Iterator[Problem]:
    groups = table(table(document.get("approvals")).get("groups"))
    if group.strip() and group not in groups:
        yield Problem(path, f"there is no [approvals.groups.{group}]{_meant(group, groups)}")


def _order(path: KeyPath, own: str, step: Table, steps: Table) -> Iterator[Problem]:
    for key in ("after", "unless"):
        for index, name in enumerate(items(step.get(key))):
            if text(name).strip() and name not in steps:
                told = f'"{name}" is no step of this workflow{_meant(text(name), steps)}'
                yield Problem((*path, key, index), told)
            elif name == own:
                yield Problem((*path, key, index), "is the step itself; how often it may come is its times")


def _arguments(path: KeyPath, step: Table, declared: Table) -> Iterator[Problem]:
    if "delegate" in step and "arguments" in step:
        yield Problem(path, "has no effect with delegate: work that is handed on has no arguments")
    for name, value in table(step.get("arguments")).items():
        wrong = check_key(name)
        if wrong:
            yield Problem((*path, name), wrong)
        parameter = referred(value)
        if isinstance(value, str) and parameter:
            yield from _reference((*path, name), parameter, declared)
        elif value == []:
            yield Problem((*path, name), "has no conditions, so it would constrain nothing")
        for index, condition in enumerate(items(value)):
            yield from _condition((*path, name, index), condition)


def _reference(path: KeyPath, parameter: str, declared: Table) -> Iterator[Problem]:
    if parameter not in declared:
        told = f'there is no parameter "{parameter}" in this workflow{_meant(parameter, declared)}'
        yield Problem(path, told)
    elif text(declared[parameter]).endswith("?"):
        yield Problem(path, f'"{parameter}" may be left out; a step is bound to a parameter that is there')


def _condition(path: KeyPath, condition: object) -> Iterator[Problem]:
    try:
        wrong = constraint.check(msgspec.convert(condition, Constraint))
    except msgspec.ValidationError:
        return
    if wrong:
        yield Problem(path, wrong)


def _meant(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
