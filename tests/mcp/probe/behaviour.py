"""What the tools of the probe's server do, by name."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from mcp import MCPError

from . import offers
from .asked import Asked, Json

_calls = itertools.count(1)
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
STATE = 'opaque "é" \\ \u2028 \U0001f600 ' + "x" * 1500
"""A requestState (2026-07-28) that anything but byte-exactness would harm."""

ASKED: dict[str, tuple[str, Json]] = {
    "sampling": ("sampling/createMessage", offers.SAMPLING),
    "form": ("elicitation/create", offers.FORM),
    "url": ("elicitation/create", offers.LINKED),
    "roots": ("roots/list", {"_meta": offers.META}),
    "ping": ("ping", {"_meta": offers.META}),
    "vendor": ("example.com/ask", {"x": 1}),
}


def told(**structured: Any) -> Json:
    """A result that shows something to the client's program."""
    return {
        "content": [{"type": "text", "text": "told"}],
        "structuredContent": structured,
        "resultType": "complete",
    }


async def received(asked: Asked) -> Json:
    return told(
        params={key: value for key, value in asked.params.items() if key != "name"},
        headers=asked.headers,
        credential=asked.credential,
        client=asked.client,
    )


async def content(asked: Asked) -> Json:
    blocks = [{"type": "x-probe", "kept": True}] if asked.arguments.get("unknown") else offers.CONTENT
    return {"content": blocks, "_meta": offers.META, "resultType": "complete", **offers.UNKNOWN}


async def structured(asked: Asked) -> Json:
    found = {"text": "Zürich", "none": None, "numbers": [0, -1, 1.5, 1e-7, 2**53], "deep": {"er": [[{}]]}}
    return told(**found)


async def failing(asked: Asked) -> Json:
    return {
        "content": [{"type": "text", "text": "It failed."}],
        "isError": True,
        "structuredContent": {"why": "asked"},
        "_meta": offers.META,
        "resultType": "complete",
    }


async def raising(asked: Asked) -> Json:
    raise MCPError(asked.arguments["code"], "As asked: é", asked.arguments.get("data"))


async def progressing(asked: Asked) -> Json:
    count, token = asked.arguments["count"], asked.meta.get("progressToken")
    for number in range(1, count + 1):
        step = {"progress": number, "total": count + 0.5, "message": f"Step {number}", **offers.UNKNOWN}
        if token is not None:
            await asked.notify(
                "notifications/progress", {"progressToken": token, "_meta": offers.META} | step
            )
    return told(steps=count)


async def waiting(asked: Asked) -> Json:
    """Says that it has begun, and goes on until it is released or given up."""
    key = asked.arguments["key"]
    begun = {"progressToken": asked.meta.get("progressToken"), "progress": 1}
    if begun["progressToken"] is not None:
        await asked.notify("notifications/progress", begun)
    try:
        await asked.places.released[key].wait()
    except anyio.get_cancelled_exc_class():
        asked.places.released[f"{key} given up"].set()
        raise
    return told(released=key)


async def ended(asked: Asked) -> Json:
    """Releases what waits for a key, or waits until that has been given up."""
    key = asked.arguments["key"]
    if asked.arguments.get("release"):
        asked.places.released[key].set()
        return told(ended=True)
    with anyio.move_on_after(5):
        await asked.places.released[f"{key} given up"].wait()
    return told(ended=asked.places.released[f"{key} given up"].is_set())


async def logging(asked: Asked) -> Json:
    """One message of each level that was asked for."""
    wanted = asked.meta.get(LOG_LEVEL) if asked.modern else asked.state.get("level", "debug")
    levels = LEVELS[LEVELS.index(wanted) :] if wanted else ()
    for level in levels:
        shown = {"level": level, "logger": "probe", "data": {"of": [level, "é"]}, "_meta": offers.META}
        await asked.notify("notifications/message", shown | offers.UNKNOWN)
    return told(levels=len(levels))


CHANGES = {
    "tools": "notifications/tools/list_changed",
    "resources": "notifications/resources/list_changed",
    "prompts": "notifications/prompts/list_changed",
    "updated": "notifications/resources/updated",
}


async def changing(asked: Asked) -> Json:
    """Something has changed: whoever listens is told, as its era has it."""
    what = asked.arguments["what"]
    params: Json = {"_meta": offers.META, **offers.UNKNOWN}
    if what == "updated":
        params["uri"] = asked.arguments["uri"]
    if what == "tasks":
        params = {name: inner for name, inner in asked.arguments.items() if name not in ("what", "key")}
    if not asked.modern:
        if what not in CHANGES:
            raise MCPError(-32603, "2025-11-25 does not have it")
        if what != "updated" or params["uri"] in asked.state.get("subscribed", ()):
            await asked.announce(CHANGES[what], params)
        return told(listeners=1)
    queues = asked.places.listeners[asked.key]
    for queue in queues:
        queue.put_nowait({"what": what, "params": params})
    return told(listeners=len(queues))


async def told_by_client(asked: Asked) -> Json:
    """What the client has notified the server of in this session; None if it has not, or there is none."""
    if asked.modern:
        return told(params=None)
    queue, patience = asked.notified(asked.arguments["method"]), asked.arguments.get("patience")
    with anyio.move_on_after(patience):
        return told(params=await queue.get())
    return told(params=None)


async def large(asked: Asked) -> Json:
    arguments = asked.arguments
    return told(got=len(arguments.get("text", "")), text="x" * arguments.get("size", 0))


async def resumable(asked: Asked) -> Json:
    """Lets the client's stream break in the middle, where it can be resumed."""
    await asked.notify("notifications/message", {"level": "info", "data": "before"})
    close = asked.ctx.close_sse_stream
    if close is not None:
        await close()
    await asked.notify("notifications/message", {"level": "info", "data": "after"})
    return told(resumable=close is not None)


async def vendor(asked: Asked) -> Json:
    await asked.notify("notifications/example.com/told", {"x": [1], "_meta": offers.META})
    return told(sent=True)


async def asking(asked: Asked) -> Json:
    """Asks the client something: requests of the server in the older era, an interim result in 2026-07-28."""
    return await (_rounds if asked.modern else _requests)(asked)


async def _requests(asked: Asked) -> Json:
    answers: Json = {}
    for name in asked.arguments["of"]:
        method, params = ASKED[name]
        steps: list[Json] = []
        if name == "url":
            params = params | {"elicitationId": "elicitation-1"}
        try:
            answers[name] = await _request(asked, method, params, steps)
        except MCPError as error:
            answers[name] = {"error": error.error.model_dump(exclude_none=True)}
        if name == "url":
            await asked.notify("notifications/elicitation/complete", {"elicitationId": "elicitation-1"})
        if steps:
            answers["steps"] = steps
    return told(answers=answers)


async def _request(asked: Asked, method: str, params: Json, steps: list[Json]) -> Json:
    until = asked.arguments.get("until")
    if until is not None:
        async with anyio.create_task_group() as group:
            group.start_soon(asked.ask, method, params)
            await asked.places.released[until].wait()
            group.cancel_scope.cancel()
        return {"given_up": True}
    if not asked.arguments.get("progress"):
        return await asked.ask(method, params)

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append({"progress": progress, "total": total, "message": message})

    return await asked.ask(method, params, on_progress=step)


async def _rounds(asked: Asked) -> Json:
    names, rounds = asked.arguments["of"], asked.arguments.get("rounds", 1)
    if not {"ping", "vendor"}.isdisjoint(names):
        raise MCPError(-32603, "2026-07-28 does not have it")
    state = asked.params.get("requestState", f"0 {next(_calls)} {STATE}")
    first, call, rest = state.split(" ", 2)
    if rest != STATE:
        return told(broken=state)
    number, known = int(first), asked.places.kept.setdefault(f"answers {call}", {})
    known |= asked.params.get("inputResponses", {})
    if number == rounds:
        return told(answers=known)
    mine = names[number::rounds]
    wanted = {name: {"method": ASKED[name][0], "params": ASKED[name][1]} for name in mine}
    interim: Json = {
        "resultType": "input_required",
        "requestState": f"{number + 1} {call} {STATE}",
        "_meta": offers.META,
    }
    return interim | ({"inputRequests": wanted} if wanted else {})


TOOLS: dict[str, Callable[[Asked], Awaitable[Json]]] = {
    "rich": received,
    "received": received,
    "content": content,
    "structured": structured,
    "failing": failing,
    "raising": raising,
    "progressing": progressing,
    "waiting": waiting,
    "ended": ended,
    "asking": asking,
    "logging": logging,
    "changing": changing,
    "told": told_by_client,
    "large": large,
    "resumable": resumable,
    "vendor": vendor,
}


async def listening(asked: Asked) -> Json:
    """`subscriptions/listen`: what is asked for under the client's key, until it is told to end."""
    key, wanted = asked.key, asked.params["notifications"]
    queue: asyncio.Queue[Json] = asyncio.Queue()
    tag = {"io.modelcontextprotocol/subscriptionId": asked.ctx.request_id}
    names = {
        "tools": "toolsListChanged",
        "prompts": "promptsListChanged",
        "resources": "resourcesListChanged",
        "tasks": "taskIds",
    }
    asked.places.listeners[key].append(queue)
    try:
        acknowledged = {"notifications": wanted, "_meta": tag | offers.META}
        await asked.notify("notifications/subscriptions/acknowledged", acknowledged)
        while (event := await queue.get())["what"] != "end":
            what, params = event["what"], event["params"]
            if what == "cancel":
                # Over stdio alone, and of a subscription alone.
                given_up = {"requestId": asked.ctx.request_id, "reason": "over"}
                await asked.notify("notifications/cancelled", given_up)
                continue
            uris = wanted.get("resourceSubscriptions", [])
            if params["uri"] in uris if what == "updated" else wanted.get(names[what]):
                method = "notifications/tasks" if what == "tasks" else CHANGES[what]
                await asked.notify(method, {**params, "_meta": {**params.get("_meta", {}), **tag}})
    except anyio.get_cancelled_exc_class():
        asked.places.released[f"{key} given up"].set()
        raise
    finally:
        asked.places.listeners[key].remove(queue)
    return {"resultType": "complete", "_meta": tag}
