"""Which task the interrupted run of a served thread belongs to, and who goes on with it.

What stands in the checkpoint is compared with the decision log, and names no task: which one waits, this
process remembers. A resumption that does anything but answer is a run of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from hopward import HopwardError
from langchain_hopward.enforcer import Enforcer
from langchain_hopward.question import approval_of

_MOST = 4096
"""Threads that are remembered; what was forgotten is asked about anew, in a task of whoever resumes it."""


class Threads:
    """The tasks that threads of one graph wait in. A dictionary operation each, so threads may share it."""

    def __init__(self, enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._tasks: dict[str, str] = {}

    def wait(self, config: RunnableConfig, task: str) -> bool:
        """Whether a run that has ended waits for people; remembers its task, if so."""
        thread = _thread(config)
        if not thread or not self._enforcer.waiting.of_task(task):
            return False
        self._tasks[thread] = task
        while len(self._tasks) > _MOST:
            self._tasks.pop(next(iter(self._tasks)), None)
        return True

    def may_go_on(self, config: RunnableConfig, given: Any) -> bool:
        """Whether a run could go on with a task: it answers, and nothing else, where one waits."""
        only = getattr(given, "resume", None) is not None and not (given.update or given.goto or given.graph)
        return only and _thread(config) in self._tasks

    def task_of(self, config: RunnableConfig, interrupts: Sequence[Any]) -> str:
        """The task to go on with: it waits, and one of these interrupts asks about a call of it; or empty."""
        task = self._tasks.get(_thread(config), "")
        try:
            stands = bool(task) and self._enforcer.guard.task(task).state == "open"
        except HopwardError:
            return ""
        return task if stands and any(self._is_of(task, one) for one in interrupts) else ""

    def pending(self, interrupts: Sequence[Any]) -> list[Any]:
        """Those that can be answered: of ours, not what is decided already, or has run out."""
        approvals = self._enforcer.guard.approvals
        ours = [(one, approval_of(one.value)) for one in interrupts]
        return [one for one, approval in ours if not approval or approvals.get(approval).state == "pending"]

    def forget(self, config: RunnableConfig) -> None:
        """The thread goes on."""
        self._tasks.pop(_thread(config), None)

    def _is_of(self, task: str, interrupt: Any) -> bool:
        approval = approval_of(interrupt.value)
        try:
            return bool(approval) and self._enforcer.guard.approvals.get(approval).chain.task == task
        except HopwardError:
            return False


def _thread(config: RunnableConfig) -> str:
    """The thread a run goes on with where that was; empty for a run from another checkpoint of it."""
    settings: Mapping[str, Any] = config.get("configurable") or {}
    return "" if settings.get("checkpoint_id") else str(settings.get("thread_id") or "")
