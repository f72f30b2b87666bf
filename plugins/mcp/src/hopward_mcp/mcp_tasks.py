"""MCP tasks of one server: calls that go on after their answer (2025-11-25; 2026-07-28 as an extension).

One opens only to the chain whose call has made it, while it would still be permitted to make that call.
Looking at it, its result, and giving it up is not decided anew; what the client adds to it is, as the call
itself. The outcome of the call is that a task was made; when the task's end first passes here, it is recorded
as a second one.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, cast

from hopward import Chain, Guard, LedgerError, Outcome, ToolCall
from hopward_mcp.jsonrpc import INVALID_PARAMS, Body, Message, MessageError
from hopward_mcp.mcp_task_store import McpTask, McpTaskStore, digested, owner_of
from hopward_mcp.pending import Pending
from hopward_mcp.results import outcome
from hopward_mcp.turn import Turn

_log = logging.getLogger(__name__)

_LONGEST = 1024


class McpTasks:
    """Knows whose they are. With a `command` no two callers share a server's process, nor its ids."""

    def __init__(self, guard: Guard, server: str, turn: Turn) -> None:
        self._guard = guard
        self._server = server
        self._turn = turn
        self._apart = bool(guard.settings.servers[server].command)
        self._store = McpTaskStore(guard.settings.state)

    def keep(self, pending: Pending, task_id: str) -> bool:
        """Note that a permitted call has become a task; False if its id is that of another's.

        Raises `HopwardError` where that cannot be noted.
        """
        call, decision = pending.call, pending.decision
        if call is None or decision is None:
            return False
        made = (self._server, owner_of(pending.chain), digested(task_id))
        task = McpTask(*made, call.tool, call.arguments, decision)
        until = self._guard.task(pending.chain.task).expires_at
        return self._store.put(task, self._guard.now, until, apart=self._apart)

    def reachable(self, chain: Chain, ids: Iterable[object]) -> dict[str, McpTask]:
        """Those of these tasks that the chain's calls have made, where it could still make the same call.

        Raises `LedgerError`.
        """
        asked = [task_id for task_id in ids if is_task_id(task_id)]
        if not (chain.actors and asked):
            return {}
        found = self._store.find(self._server, owner_of(chain), cast("list[str]", asked))
        return {
            task_id: task for task_id, task in found.items() if self._guard.would_permit(task.call, chain)
        }

    def asked(self, message: Message, chain: Chain) -> McpTask:
        """The task that a request of the client is about; raises `MessageError`, `LedgerError`."""
        task_id = message.params.get("taskId")
        if not is_task_id(task_id):
            sentence = f"The taskId must be a text of 1 to {_LONGEST} characters."
            raise MessageError(INVALID_PARAMS, "mcp_task", sentence, message.id)
        found = self.reachable(chain, [task_id])
        if not found:
            # The same whether it is another's or nobody's.
            raise MessageError(INVALID_PARAMS, "mcp_task_unknown", "There is no such task.", message.id)
        return found[cast("str", task_id)]

    def check_listened(self, message: Message, chain: Chain) -> None:
        """Raise `MessageError` for a subscription to a task that is not the chain's."""
        wanted: object = message.params.get("notifications")
        ids: object = cast("Body", wanted).get("taskIds") if isinstance(wanted, dict) else None
        if ids is None:
            return
        asked = cast("list[Any]", ids) if isinstance(ids, list) else [None]
        found = self.reachable(chain, asked)
        if not all(isinstance(task_id, str) and task_id in found for task_id in asked):
            raise MessageError(INVALID_PARAMS, "mcp_task_unknown", "There is no such task.", message.id)

    def listed(self, result: Body, chain: Chain) -> Body:
        """The result of `tasks/list` with only what is the chain's; empty where it is no list."""
        given: object = result.get("tasks")
        tasks = cast("list[Any]", given) if isinstance(given, list) else []
        ids = [own_id(task) for task in tasks]
        found = self.reachable(chain, ids)
        kept = [task for task, task_id in zip(tasks, ids, strict=True) if task_id in found]
        return {**result, "tasks": kept}

    def end_of(self, task: McpTask, method: str, body: Body) -> Outcome | None:
        """The outcome that an answer to `method`, or a notification, tells of a task for the first time.

        `body` holds a `result` or an `error`; that of a notification its params as `result`.
        """
        if task.ended:
            return None
        told = body if method == "tasks/result" else _state(body.get("result"))
        if told is None:
            return None
        since = self._guard.now - task.decision.at
        if told is _CANCELLED:
            return Outcome(status="cancelled", error="mcp_task_cancelled", duration=since)
        return outcome(told, since)

    def conclude(self, task: McpTask, ended: Outcome, then: Callable[[bool], None]) -> None:
        """Record how a task has ended; `then` is called with whether that is durable."""

        def settled(durable: bool) -> None:
            if durable:
                self._forget(task)
            then(durable)

        self._turn.settle(task.decision, ended, settled)

    def _forget(self, task: McpTask) -> None:
        try:
            self._store.end(task)
        except LedgerError as error:
            # Its outcome may be recorded once more; it is not lost.
            _log.error("%s", error.message)


_CANCELLED: Body = {}


def _state(result: object) -> Body | None:
    """What a task's own account of itself says of its end, as a response."""
    if not isinstance(result, dict):
        return None
    result = cast("Body", result)
    status, content, error = result.get("status"), result.get("result"), result.get("error")
    if status == "completed" and isinstance(content, dict):
        return {"result": content}
    if status == "failed":
        return {"error": error if isinstance(error, dict) else {}}
    return _CANCELLED if status == "cancelled" else None


def own_id(task: object) -> str:
    """The id in a task's account of itself; empty where it has none."""
    told: object = cast("Body", task).get("taskId") if isinstance(task, dict) else None
    return told if isinstance(told, str) else ""


def is_task_id(task_id: object) -> bool:
    """Whether a value may be the id of a task."""
    return isinstance(task_id, str) and 0 < len(task_id) <= _LONGEST and task_id.isprintable()


def makes_task(asked: Message, result: Body) -> bool:
    """Whether a result makes a task of its call: the client has asked for one, or the server says so."""
    if asked.method != "tools/call":
        return False
    wished = "task" in asked.params and isinstance(result.get("task"), dict)
    return wished or result.get("resultType") == "task"


def made_id(result: Body) -> object:
    """The id of the task that a result makes of its call."""
    if "taskId" in result:
        return result["taskId"]
    inner = result.get("task")
    return cast("Body", inner).get("taskId") if isinstance(inner, dict) else None


def added_call(message: Message, task: McpTask) -> ToolCall:
    """What is authorized when a client adds to a task: the call that made it, once more.

    Raises `MessageError` for one that has ended.
    """
    if task.ended:
        raise MessageError(INVALID_PARAMS, "mcp_task_ended", "This task has ended.", message.id)
    return task.call
