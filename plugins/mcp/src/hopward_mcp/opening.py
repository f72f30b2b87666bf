"""The task of a session: opened from a workflow when it begins, completed when it ends."""

import asyncio
import getpass
import logging
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass

import click

from hopward import ConfigError, Guard, HopwardError, StateError, Task

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Opening:
    """The task to open for a session: of which workflow (empty for the server's own), on whose behalf."""

    workflow: str
    subject: str


def opened(guard: Guard, server: str, opening: Opening, stack: AsyncExitStack) -> Task:
    """A new task that ends with the stack.

    Raises `ConfigError` where nobody says which workflow, `HopwardError` where it cannot be opened.
    """
    task = guard.open_task(_workflow(guard, server, opening.workflow), opening.subject)
    stack.callback(_complete, guard, task.id)
    return task


def end_on_signal() -> None:
    """Turn the first signal into cancellation of this task, so that the session's task is completed."""
    task = asyncio.current_task()
    if task is None:
        return
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancelling() or task.cancel())


def local_user() -> str:
    """Who is at the keyboard, as far as the operating system knows: a label, not a proof."""
    try:
        return f"local:{getpass.getuser()}"
    except (OSError, KeyError):
        return "local:unknown"


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
