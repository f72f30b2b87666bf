"""MCP tasks of the probe's server: those in the core of 2025-11-25, and those of the extension (2026-07-28).

Nothing runs in them: a task is `working` until it has been asked for once, and then what its tool said.
"""

import itertools
from typing import Any

from mcp import MCPError

from .asked import Asked, Json
from .behaviour import ASKED, TOOLS
from .offers import META, TASKS_EXTENSION

RELATED = "io.modelcontextprotocol/related-task"
EXTENSION = TASKS_EXTENSION
_AT = "2026-01-02T03:04:05Z"
_numbers = itertools.count(1)


def wants_task(asked: Asked) -> bool:
    """Whether a tools/call is to become a task."""
    if not asked.modern:
        return "task" in asked.params
    capabilities = asked.meta.get("io.modelcontextprotocol/clientCapabilities", {})
    return bool(asked.arguments.get("as_task")) and EXTENSION in capabilities.get("extensions", {})


async def created(asked: Asked) -> Json:
    """A new task in place of a result."""
    task_id = f"task-{next(_numbers)}"
    kept: Json = {"id": task_id, "status": "working", "arguments": asked.arguments, "answers": None}
    kept["result"] = await TOOLS[asked.params["name"]](asked)
    _tasks(asked)[task_id] = kept
    if asked.modern:
        return {"resultType": "task", **_shown(kept, modern=True), "_meta": META}
    return {"task": _shown(kept, modern=False), "_meta": META}


async def get(asked: Asked) -> Json:
    kept = _found(asked)
    if kept["status"] == "working":
        kept["status"] = "input_required" if kept["arguments"].get("asks") else "completed"
        if not asked.modern:
            await asked.notify("notifications/tasks/status", _shown(kept, modern=False))
    shown = _shown(kept, modern=asked.modern)
    if not asked.modern:
        return shown
    if kept["status"] == "completed":
        shown["result"] = {**kept["result"], "answers": kept["answers"]}
    elif kept["status"] == "input_required":
        method, params = ASKED["form"]
        shown["inputRequests"] = {"form": {"method": method, "params": params}}
    return {"resultType": "complete", **shown}


async def result(asked: Asked) -> Json:
    """The result of the core's tasks; what the task wants to know is asked first."""
    kept, related = _found(asked), {RELATED: {"taskId": asked.params["taskId"]}}
    if kept["status"] == "input_required":
        method, params = ASKED["form"]
        kept["answers"] = await asked.ask(method, {**params, "_meta": related})
        kept["status"] = "completed"
    return {**kept["result"], "answers": kept["answers"], "_meta": related}


async def listed(asked: Asked) -> Json:
    tasks = [_shown(kept, modern=False) for kept in _tasks(asked).values()]
    first = "cursor" not in asked.params
    return {"tasks": tasks[:1], "nextCursor": "tasks-2"} if first else {"tasks": tasks[1:]}


async def update(asked: Asked) -> Json:
    kept = _found(asked)
    kept["answers"], kept["status"] = asked.params["inputResponses"], "completed"
    return {"resultType": "complete"}


async def cancel(asked: Asked) -> Json:
    kept = _found(asked)
    kept["status"] = "cancelled"
    return {"resultType": "complete"} if asked.modern else _shown(kept, modern=False)


async def as_requester(asked: Asked) -> Json:
    """The server has the client do something as a task (2025-11-25), and looks after it to its end."""
    (name,) = asked.arguments["of"]
    method, params = ASKED[name]
    params = params | ({"elicitationId": "elicitation-1"} if name == "url" else {})
    made = await asked.ask(method, {**params, "task": {"ttl": 60_000}})
    named = {"taskId": made["task"]["taskId"]}
    seen: Json = {"created": made}
    for verb in ("get", "list", "result", "cancel"):
        seen[verb] = await asked.ask(f"tasks/{verb}", {} if verb == "list" else named)
    return {"content": [], "structuredContent": seen}


METHODS: dict[str, Any] = {
    "tasks/get": get,
    "tasks/result": result,
    "tasks/list": listed,
    "tasks/update": update,
    "tasks/cancel": cancel,
}
OF_CORE = frozenset({"tasks/get", "tasks/result", "tasks/list", "tasks/cancel"})
OF_EXTENSION = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})


def _tasks(asked: Asked) -> Json:
    """The tasks of a session; in 2026-07-28, where there is none, of everybody."""
    return asked.places.kept if asked.modern else asked.state.setdefault("tasks", {})


def _found(asked: Asked) -> Json:
    kept = _tasks(asked).get(asked.params.get("taskId", ""))
    if kept is None:
        raise MCPError(-32602, "There is no such task.", {"taskId": asked.params.get("taskId")})
    return kept


def _shown(kept: Json, *, modern: bool) -> Json:
    units = ("ttlMs", "pollIntervalMs") if modern else ("ttl", "pollInterval")
    return {
        "taskId": kept["id"],
        "status": kept["status"],
        "statusMessage": f"It is {kept['status']}.",
        "createdAt": _AT,
        "lastUpdatedAt": _AT,
        units[0]: 60_000,
        units[1]: 10,
    }
