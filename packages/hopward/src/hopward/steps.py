"""The path of a task: which step a call or hop takes, or why it takes none. Pure.

A step says what must have come before it, not what must come directly before: agents that work side by side
cannot take turns. Steps are bound to the task when it is opened, and which of them have been taken is known
of the whole task, whichever agent, hop or process took them.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec

from hopward import pattern
from hopward.canonical import JSON
from hopward.constraint import MISSING, describe, satisfies_all
from hopward.constraint.arguments import find
from hopward.model import Step, Task, Verdict
from hopward.record import Refusal, Taking

_SHOWN = 5


class Move(msgspec.Struct, frozen=True):
    """What an agent is about to do: call `tool` (`SERVER/TOOL`), or hand work to the agent `delegate`."""

    agent: str
    tool: str = ""
    arguments: dict[str, JSON] = {}
    delegate: str = ""


def located(
    task: Task, move: Move, taken: Mapping[str, int], *, afterwards: bool = False
) -> Step | Refusal | None:
    """The step that a move takes, or why it takes none; None for a task without steps.

    Of several that it could take, the one written first. With `afterwards`, a step that has been taken is
    open still: for what has come of it.
    """
    if not task.steps:
        return None
    named = _named(task.steps, move)
    if not named:
        what = f"handing work to {move.delegate}" if move.delegate else f"a call of {move.tool}"
        return _off(task, taken, f"No step of workflow {task.workflow} is {what}.")
    own = [step for step in named if step.agent == move.agent]
    if not own:
        told = f"Step {named[0].name} is taken by agent {named[0].agent}, not by {move.agent}."
        return _off(task, taken, told)
    fitting = [step for step in own if not _unfit(step, move)]
    if not fitting:
        return _off(task, taken, _unfit(own[0], move))
    for step in fitting:
        if not _shut(step, taken) or (afterwards and taken.get(step.name, 0)):
            return step
    return _off(task, taken, _shut(fitting[0], taken))


def taking(step: Step) -> Taking:
    """What the permit of a step does, if it still may when it is written."""
    return Taking(step.name, step.times, step.unless)


def held(step: Step | None, verdict: Verdict) -> Verdict:
    """The verdict of the policies, held back where the step needs an approval of its own."""
    if step is None or not step.approval or verdict.name != "permit":
        return verdict
    told = f"Needs approval by {step.approval} first, as step {step.name} of the workflow."
    return msgspec.structs.replace(verdict, name="step-up", reason="approval_required", sentence=told)


def groups(step: Step | None, named: tuple[str, ...]) -> tuple[str, ...]:
    """The groups whose approval is needed: those that policies have named, and that of the step."""
    if step is None or not step.approval:
        return named
    return tuple(sorted({*named, step.approval}))


def takes_part(task: Task, agent: str, tool: str) -> bool:
    """Whether some step of a task is a call of this tool by this agent; anything is, without steps."""
    if not task.steps:
        return True
    return any(step.agent == agent for step in _named(task.steps, Move(agent, tool)))


def nearest(steps: Sequence[Step], tool: str) -> tuple[Step, ...]:
    """The steps that are calls of a tool: those that name it most closely, and no other.

    So a step with a prefix is no way around another that names the tool.
    """
    named = [step for step in steps if step.tool and pattern.matches(step.tool, tool)]
    if len(named) < 2:
        return tuple(named)
    closest = max([_closeness(step.tool) for step in named])
    return tuple([step for step in named if _closeness(step.tool) == closest])


def open_steps(steps: Sequence[Step], taken: Mapping[str, int]) -> tuple[Step, ...]:
    """The steps that could be taken next."""
    return tuple(step for step in steps if not _shut(step, taken))


def does(step: Step) -> str:
    """Who does what in a step: `payer: bank/pay`."""
    return f"{step.agent}: {step.tool or f'hands work to {step.delegate}'}"


def _named(steps: Sequence[Step], move: Move) -> tuple[Step, ...]:
    if move.delegate:
        return tuple(step for step in steps if step.delegate == move.delegate)
    return nearest(steps, move.tool)


def _closeness(tool: str) -> tuple[bool, int]:
    return (not tool.endswith("*"), len(tool))


def _unfit(step: Step, move: Move) -> str:
    """Why the arguments are not those of the step, or empty. Tells no value of a parameter."""
    for name, conditions in step.arguments.items():
        value = find(move.arguments, name)
        if value is not MISSING and satisfies_all(conditions, value):
            continue
        if name in step.bound:
            what = f"must be what the task's parameter {step.bound[name]!r} is"
        else:
            what = " and ".join(map(describe, conditions))
        lack = "is missing; it " if value is MISSING else ""
        return f"In step {step.name} the argument {name!r} {lack}{what}."
    return ""


def _shut(step: Step, taken: Mapping[str, int]) -> str:
    """Why a step cannot be taken as things stand, or empty."""
    ruled_out = [name for name in step.unless if taken.get(name)]
    if ruled_out:
        return f"Step {step.name} cannot be taken any more: step {ruled_out[0]} has been."
    if step.after and not any(map(taken.get, step.after)):
        return f"Step {step.name} comes after {' or '.join(step.after)}."
    if taken.get(step.name, 0) < step.times:
        return ""
    count = "once" if step.times == 1 else f"{step.times} times"
    return f"Step {step.name} may be taken {count}, and every permit counts, also of a call that failed."


def _off(task: Task, taken: Mapping[str, int], why: str) -> Refusal:
    come = [step for step in task.steps if taken.get(step.name)]
    so_far = ", ".join(_counted(step, taken[step.name]) for step in come) or "none"
    following = open_steps(task.steps, taken)
    expected = ", ".join(f"{step.name} ({does(step)})" for step in islice(following, _SHOWN))
    more = f" and {len(following) - _SHOWN} more" if len(following) > _SHOWN else ""
    ahead = f"Expected next: {expected}{more}." if expected else "The path is at its end."
    return ("off_path", f"{why} Steps taken: {so_far}. {ahead}")


def _counted(step: Step, count: int) -> str:
    return step.name if step.times == 1 else f"{step.name} ({count} of {step.times})"
