"""MCP tasks: in the core of 2025-11-25, and in the extension `io.modelcontextprotocol/tasks` (2026-07-28)."""

import re
from typing import Any

from . import offers
from .behaviour import ASKED
from .cells import Cell
from .check_asking import ACCEPTED, SAMPLED
from .feature import expect, expect_note, feature
from .talk import Json, Talk
from .task_methods import RELATED

GROUP = "MCP tasks"


def _named(seen: Any) -> Any:
    """What was seen, with every task id the same: they are counted over all sessions of a server."""
    if isinstance(seen, dict):
        return {key: _named(inner) for key, inner in seen.items()}
    if isinstance(seen, list):
        return [_named(inner) for inner in seen]
    return re.sub(r"\btask-\d+", "task-N", seen) if isinstance(seen, str) else seen


async def _created(talk: Talk, **arguments: Any) -> tuple[Json, Json]:
    """The answer to a tools/call that becomes a task, and the params that name the task."""
    if talk.modern:
        params: Json = {"name": "structured", "arguments": {"as_task": True, **arguments}}
    else:
        params = {"name": "structured", "arguments": arguments, "task": {"ttl": 60_000}}
    made = await talk.result("tools/call", params)
    task = made if talk.modern else made.get("task", {})
    expect(task.get("status"), "working", "status")
    expect_note(made)
    return made, {"taskId": task["taskId"]}


@feature(GROUP, "core: announced in `initialize`", eras="older")
async def core_announced(talk: Talk) -> Any:
    expect(talk.initialized["capabilities"].get("tasks"), offers.TASKS, "capabilities.tasks")
    return offers.TASKS


@feature(GROUP, "extension: announced in `server/discover`", eras="modern")
async def extension_announced(talk: Talk) -> Any:
    extensions = (await talk.result("server/discover"))["capabilities"]["extensions"]
    expect(extensions.get(offers.TASKS_EXTENSION), {}, "capabilities.extensions")
    return {}


@feature(
    GROUP, "core: a call as a task, `tasks/get`, `tasks/result`, `notifications/tasks/status`", eras="older"
)
async def core(talk: Talk) -> Any:
    since = len(talk.heard)
    made, named = await _created(talk)
    got = await talk.result("tasks/get", named)
    (told,) = await talk.hear("notifications/tasks/status", since)
    found = await talk.result("tasks/result", named)
    expect((got["status"], told.params["status"]), ("completed", "completed"), "status")
    expect(found["_meta"][RELATED], named, "related task")
    return _named([made, got, told.params, found])


@feature(GROUP, "core: `tasks/list`, `tasks/cancel`", eras="older")
async def core_list(talk: Talk) -> Any:
    made = [await _created(talk) for _ in range(2)]
    first = await talk.result("tasks/list")
    rest = await talk.result("tasks/list", {"cursor": first["nextCursor"]})
    listed = {one["taskId"] for one in first["tasks"] + rest["tasks"]}
    expect(listed >= {named["taskId"] for _, named in made}, True, "every task is listed")
    gone = await talk.result("tasks/cancel", made[0][1])
    expect(gone["status"], "cancelled", "status")
    return _named(gone)


@feature(GROUP, "core: a task that asks the client something", eras="older")
async def core_asking(talk: Talk) -> Any:
    seen: list[Json] = []

    async def answer(params: Json) -> Json:
        seen.append(params)
        return ACCEPTED

    talk.answers["elicitation/create"] = answer
    _, named = await _created(talk, asks=True)
    got = await talk.result("tasks/get", named)
    expect(got["status"], "input_required", "status")
    found = await talk.result("tasks/result", named)
    expect(seen, [{**ASKED["form"][1], "_meta": {RELATED: named}}], "asked")
    expect(found["answers"], ACCEPTED, "answers")
    return _named([got, seen, found])


@feature(GROUP, "core: the client does something for the server as a task", eras="older")
async def of_the_client(talk: Talk) -> Any:
    task: Json = {
        "taskId": "task-of-client",
        "status": "completed",
        "statusMessage": "Done.",
        "createdAt": "2026-01-02T03:04:05Z",
        "lastUpdatedAt": "2026-01-02T03:04:05Z",
        "ttl": None,
        "pollInterval": 10,
    }
    answers: Json = {
        "sampling/createMessage": {"task": task},
        "elicitation/create": {"task": task},
        "tasks/get": task,
        "tasks/list": {"tasks": [task]},
        "tasks/result": SAMPLED,
        "tasks/cancel": {**task, "status": "cancelled"},
    }

    def answering(method: str) -> Any:
        async def answer(_: Json) -> Json:
            if method == "tasks/get":
                await talk.notify("notifications/tasks/status", task)
            return answers[method]

        return answer

    for method in answers:
        talk.answers[method] = answering(method)
    found: list[Json] = []
    for name in ("sampling", "form", "url"):
        seen = await talk.told("asking", of=[name], as_requester=True)
        expect(seen["created"], {"task": task}, "created")
        for verb in ("get", "list", "result", "cancel"):
            expect(seen[verb], answers[f"tasks/{verb}"], verb)
        found += [seen, await talk.told("told", method="notifications/tasks/status")]
    return found


@feature(GROUP, "extension: a call becomes a task, `tasks/get`, result inside it", eras="modern")
async def extension(talk: Talk) -> Any:
    made, named = await _created(talk)
    expect(made["resultType"], "task", "resultType")
    got = await talk.result("tasks/get", named)
    expect((got["status"], got["result"]["structuredContent"]["text"]), ("completed", "Zürich"), "task")
    return _named([made, got])


@feature(GROUP, "extension: a task that asks the client something, `tasks/update`", eras="modern")
async def extension_asking(talk: Talk) -> Any:
    _, named = await _created(talk, asks=True)
    got = await talk.result("tasks/get", named)
    expect(
        got.get("inputRequests"),
        {"form": {"method": ASKED["form"][0], "params": offers.FORM}},
        "inputRequests",
    )
    updated = await talk.result("tasks/update", {**named, "inputResponses": {"form": ACCEPTED}})
    found = await talk.result("tasks/get", named)
    expect((found["status"], found["result"]["answers"]), ("completed", {"form": ACCEPTED}), "task")
    return _named([got, updated, found])


@feature(GROUP, "extension: `tasks/cancel`", eras="modern")
async def extension_cancel(talk: Talk) -> Any:
    _, named = await _created(talk)
    gone = await talk.result("tasks/cancel", named)
    got = await talk.result("tasks/get", named)
    expect(got["status"], "cancelled", "status")
    return _named([gone, got])


@feature(GROUP, "extension: `notifications/tasks` in a subscription", eras="modern")
async def extension_told(talk: Talk) -> Any:
    key, since = f"{talk.key} tasks", len(talk.heard)
    made, named = await _created(talk)
    wanted = {"taskIds": [named["taskId"]]}
    number = await talk.begin(
        "subscriptions/listen", {"notifications": wanted, "_meta": {"example.com/key": key}}
    )
    await talk.hear("notifications/subscriptions/acknowledged", since)
    shown = {name: inner for name, inner in made.items() if name not in ("_meta", "resultType")}
    await talk.told("changing", what="tasks", key=key, **shown)
    await talk.told("changing", what="end", key=key)
    await talk.answer(number)
    heard = [one for one in talk.heard[since:] if one.method == "notifications/tasks"]
    expect(len(heard), 1, "notifications")
    params = {name: inner for name, inner in heard[0].params.items() if name != "_meta"}
    expect(params, shown, "params")
    return _named(params)


def _of_hopward(seen: Any, cell: Cell) -> Any:
    """A task of nobody's never gets to the server: the answer is Hopward's own, with the same code."""
    return {"code": seen["code"]}


@feature(GROUP, "the error for a task that there is not", guarded=_of_hopward)
async def unknown(talk: Talk) -> Any:
    error = (await talk.ask("tasks/get", {"taskId": "nobody's"})).get("error", {})
    expect(error.get("code"), -32602, "error.code")
    return {"code": error["code"], **({"data": error["data"]} if "data" in error else {})}
