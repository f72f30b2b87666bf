"""A new task of a workflow: its parameters as they were declared, and its steps bound to them.

The steps stand in the task from then on. What is changed in `hopward.toml` later is for tasks opened later,
as it is with capabilities.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hopward.claims import is_agent
from hopward.clock import SECOND, Instant
from hopward.constraint import Constraint, Equals, Scalar
from hopward.errors import StateError
from hopward.harmless import harmless, is_unseen
from hopward.model import ParameterType, Step, Task
from hopward.settings import StepSettings, WorkflowSettings

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,10})(?:\.[0-9]{1,4})?")
_REFERENCE = re.compile(r"\{([^{}]*)\}")

EXPECTED: Mapping[str, str] = {
    "string": "a text that is not blank",
    "integer": "a whole number of at most 19 digits, such as 12",
    "decimal": "a number of at most 11 digits and 4 after the point, such as 20.50",
    "boolean": "true or false",
}
"""What the value of a parameter must be, by its type."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Of which workflow a task is wanted, on whose behalf, and what it is about."""

    workflow: str
    subject: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    request: str = ""


def new_task(wish: Wish, settings: WorkflowSettings, now: Instant) -> Task:
    """The task, open from now on.

    Raises `StateError` for a subject that is nobody, and for parameters that are not as the workflow says.
    """
    _require_subject(wish.subject)
    values = _values(wish, settings)
    return Task(
        id="task_" + secrets.token_hex(12),
        subject=wish.subject,
        agent=settings.agent,
        purpose=settings.purpose,
        workflow=wish.workflow,
        capabilities=settings.capabilities,
        budget=settings.budget,
        opened_at=now,
        expires_at=now + settings.expires_in * SECOND,
        state="open",
        delegable=settings.delegable,
        depth=settings.depth,
        fan_out=settings.fan_out,
        parameters=dict(wish.parameters),
        request=wish.request,
        steps=bound(settings, values),
    )


def bound(settings: WorkflowSettings, values: Mapping[str, Scalar]) -> tuple[Step, ...]:
    """The steps of a workflow, in the order they are written, bound to the values of parameters."""
    return tuple(_step(name, step, settings.agent, values) for name, step in settings.steps.items())


def referred(value: object) -> str:
    """The name of the parameter that an argument of a step stands for, or empty."""
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else ""


def bare(kind: ParameterType) -> str:
    """The type of a parameter, whether it may be left out or not."""
    return kind.removesuffix("?")


def sample(kind: ParameterType) -> Scalar:
    """Some value of a parameter, for asking what would be decided if it had one."""
    samples: dict[str, Scalar] = {"integer": 1, "decimal": 1, "boolean": True}
    return samples.get(bare(kind), "a value")


def _step(name: str, step: StepSettings, agent: str, values: Mapping[str, Scalar]) -> Step:
    return Step(
        name=name,
        agent=step.agent or agent,
        tool=step.tool,
        delegate=step.delegate,
        after=step.after,
        unless=step.unless,
        times=step.times,
        approval=step.approval,
        arguments={argument: _conditions(value, values) for argument, value in step.arguments.items()},
        bound={argument: referred(value) for argument, value in step.arguments.items() if referred(value)},
    )


def _conditions(
    value: Scalar | tuple[Constraint, ...], values: Mapping[str, Scalar]
) -> tuple[Constraint, ...]:
    if isinstance(value, tuple):
        return value
    parameter = referred(value)
    return (Equals(values[parameter] if parameter else value),)


def _values(wish: Wish, settings: WorkflowSettings) -> dict[str, Scalar]:
    """The parameters in their types; raises `StateError` telling everything that is wrong with them."""
    problems = list(_problems(wish.parameters, settings.parameters))
    if problems:
        declared = ", ".join(f"{name} ({_spelled(kind)})" for name, kind in settings.parameters.items())
        advice = f"It is opened with: {declared}." if declared else "It declares none in hopward.toml."
        told = f"No task of workflow {wish.workflow} is opened with these parameters: {'; '.join(problems)}."
        raise StateError(told, error="parameters_invalid", advice=advice)
    return {name: _converted(bare(settings.parameters[name]), text) for name, text in wish.parameters.items()}


def _problems(given: Mapping[str, str], declared: Mapping[str, ParameterType]) -> Iterator[str]:
    for name, text in given.items():
        if name not in declared:
            yield f"{name!r} is not one of them"
        elif not _is(bare(declared[name]), text):
            yield f"{name!r} must be {EXPECTED[bare(declared[name])]}"
    for name, kind in declared.items():
        if name not in given and not kind.endswith("?"):
            yield f"{name!r} is missing"


def _is(kind: str, text: Any) -> bool:
    if not isinstance(text, str):
        return False
    match kind:
        case "integer":
            return _WHOLE.fullmatch(text) is not None
        case "decimal":
            return _DECIMAL.fullmatch(text) is not None
        case "boolean":
            return text in ("true", "false")
        case _:
            return bool(text.strip())


def _converted(kind: str, text: str) -> Scalar:
    match kind:
        case "integer":
            return int(text)
        case "decimal":
            # At most 15 digits, so that the number read is the one written.
            return float(text)
        case "boolean":
            return text == "true"
        case _:
            return text


def _spelled(kind: ParameterType) -> str:
    return f"{bare(kind)}, may be left out" if kind.endswith("?") else kind


def _require_subject(subject: Any) -> None:
    """Raise `StateError` for a subject that is nobody's name."""
    if not isinstance(subject, str) or not subject.strip():
        raise StateError(
            "A task needs a subject: the person or system it is done for.",
            advice="It is a text, such as an account's name or address.",
        )
    if subject != subject.strip() or any(map(is_unseen, subject)):
        told = f'The subject "{harmless(subject)}" begins or ends with a space, or holds what nobody can see.'
        raise StateError(told, advice="Write the name as it is read.")
    if is_agent(subject):
        raise StateError(f"The subject of a task is never an agent, as {subject!r} would be.")
