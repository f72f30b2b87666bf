"""The task of a session: opened from a workflow when it begins, completed when it ends."""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from hopward import ConfigError, Guard, HopwardError, StateError, Task

_log = logging.getLogger(__name__)

_C = TypeVar("_C", bound=Callable[..., Any])

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Opening:
    """The task to open for a session: of which workflow (empty for the server's own), on whose behalf.

    `parameters` and `request` say what it is about (`Guard.open_task`). With `asked_for` the task has only
    the tools that the request asks for (`Guard.proposed`).
    """

    workflow: str
    subject: str
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    request: str = ""
    asked_for: bool = False


def about(command: _C) -> _C:
    """Adds the options that say what the task is about."""
    request = click.option("--request", default="", help="What the subject asks for, in their own words.")
    parameter = click.option(
        "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="What the task is about."
    )
    prompt = click.option(
        "--from-prompt", "prompt", default="", help="Likewise; the task has only the tools it asks for."
    )
    return parameter(request(prompt(command)))


def opening_of(asked: Mapping[str, Any]) -> Opening:
    """The task that a command's options ask for; raises `click.UsageError` for a parameter that is none."""
    parameters: dict[str, str] = {}
    for word in asked["parameters"]:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--param {word!r} is no parameter. Write NAME=VALUE.")
        parameters[name] = value
    request, prompt = asked["request"], asked["prompt"]
    if request and prompt:
        raise click.UsageError("--from-prompt is the request; leave out --request.")
    subject = asked["subject"] or Guard.local_user()
    return Opening(asked["workflow"], subject, parameters, request or prompt, bool(prompt))


def opened(guard: Guard, server: str, opening: Opening, stack: AsyncExitStack) -> Task:
    """A new task that ends with the stack.

    Raises `ConfigError` where nobody says which workflow, `HopwardError` where it cannot be opened.
    """
    workflow, tools = _workflow(guard, server, opening.workflow), None
    if opening.asked_for:
        tools = [one.tool.full_name for one in guard.proposed(workflow, opening.request) if one.proposed]
        click.echo(f"hopward: the request asks for {', '.join(tools) or 'nothing'}", err=True)
    task = guard.open_task(
        workflow, opening.subject, parameters=opening.parameters, request=opening.request, tools=tools
    )
    stack.callback(_complete, guard, task.id)
    return task


def end_on_signal() -> None:
    """Turn the first signal into cancellation of this task, so that the session's task is completed."""
    task = asyncio.current_task()
    if task is None:
        return
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())


def _workflow(guard: Guard, server: str, wanted: str) -> str:
    workflow = wanted or guard.settings.servers[server].workflow
    if not workflow:
        raise ConfigError(
            f"servers.{server} names no workflow, so there is no task to open.",
            advice="Set `workflow` there, or pass --workflow.",
        )
    return workflow


def _complete(guard: Guard, task_id: str) -> None:
    """End the session's task; one that was revoked or has expired has ended already."""
    try:
        guard.complete_task(task_id)
    except StateError as error:
        _log.info("%s", error.message)
    except HopwardError as error:
        click.echo(f"hopward: task {task_id} could not be completed: {error}", err=True)
