"""MCP tasks that a client makes of what a server asks of it (2025-11-25): the server may ask for these again.

They are of one session, and kept in it. Each was made in answer to a question that was permitted, and opens
to the server while that question would still be permitted.
"""

from dataclasses import replace
from typing import Any, Final, cast

from hopward import Decision, ToolCall
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import Body, Message
from hopward_mcp.mcp_task_store import McpTask
from hopward_mcp.mcp_tasks import is_task_id, own_id

ABOUT: Final = frozenset({"tasks/get", "tasks/result", "tasks/cancel"})
LIST: Final = "tasks/list"

_MOST = 1024


class ClientTasks:
    """The tasks of one session's client, by their ids."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._tasks: dict[str, McpTask] = {}

    def keep(self, call: ToolCall, decision: Decision, result: Body) -> bool:
        """Note the task that a client's answer makes of a question; False where it makes none."""
        told: object = result.get("task")
        task_id: object = cast("Body", told).get("taskId") if isinstance(told, dict) else None
        if not (isinstance(task_id, str) and is_task_id(task_id)):
            return False
        while len(self._tasks) >= _MOST:
            del self._tasks[next(iter(self._tasks))]
        self._tasks[task_id] = McpTask(call.server, "", task_id, call.tool, call.arguments, decision)
        return True

    def asked(self, message: Message) -> McpTask | None:
        """The task that a request of the server is about, if it may ask."""
        return self._open(message.params.get("taskId")) if message.method in ABOUT else None

    def may_list(self, message: Message) -> bool:
        """Whether a request of the server is for the list, and there is something to list."""
        return message.method == LIST and any(self._open(task_id) for task_id in self._tasks)

    def is_of_one(self, message: Message) -> bool:
        """Whether a notification of the client is about one of these."""
        return self._open(message.params.get("taskId")) is not None

    def listed(self, result: Body) -> Body:
        """A client's list with only what the server's questions have made; empty where it is no list."""
        told: object = result.get("tasks")
        tasks = cast("list[Any]", told) if isinstance(told, list) else []
        return {**result, "tasks": [one for one in tasks if self._open(own_id(one))]}

    def end(self, task: McpTask) -> None:
        """Note that the outcome of a task is recorded."""
        self._tasks[task.id] = replace(task, ended=True)

    def _open(self, task_id: object) -> McpTask | None:
        task = self._tasks.get(task_id) if isinstance(task_id, str) else None
        if task is None or not self._gate.guard.would_permit(task.call, task.decision.chain):
            return None
        return task
