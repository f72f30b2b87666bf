"""MCP resources, prompts and completion."""

from typing import Any

from . import offers
from .cells import Cell
from .feature import expect, expect_note, feature
from .talk import Talk

GROUP = "MCP resources, prompts, completion"


def _unkept(seen: Any, cell: Cell) -> Any:
    """An older server does not say how long its answer may be kept, and by whom."""
    return {**seen, "ttlMs": 0, "cacheScope": "private"} if cell.offered == "older" else seen


@feature(GROUP, "`resources/read`: text and blob, several at once, unknown fields", bridged=_unkept)
async def read(talk: Talk) -> Any:
    found = await talk.result("resources/read", {"uri": "probe://rich", "_meta": {"example.com/a": 1}})
    expect(found["contents"], offers.CONTENTS, "contents")
    expect_note(found)
    expect(found["x-probe"], offers.UNKNOWN["x-probe"], "x-probe")
    return found


@feature(GROUP, "`resources/read` of what a template describes, with letters beyond ASCII", bridged=_unkept)
async def templated(talk: Talk) -> Any:
    found = await talk.result("resources/read", {"uri": "probe://zürich/✓"})
    expect(found["contents"], [{"uri": "probe://zürich/✓", "text": "probe://zürich/✓"}], "contents")
    return found


@feature(GROUP, "the error for an MCP resource that there is not")
async def missing(talk: Talk) -> Any:
    answer = await talk.ask("resources/read", {"uri": "probe://missing"})
    wanted = {
        "code": -32602 if talk.modern else -32002,
        "message": "Resource not found",
        "data": {"uri": "probe://missing"},
    }
    expect(answer.get("error"), wanted, "error")
    return answer


@feature(GROUP, "`prompts/get`: arguments, every kind of content, unknown fields")
async def prompt(talk: Talk) -> Any:
    params = {"name": "rich", "arguments": {"topic": "Zürich", "tone": ""}, "_meta": offers.META}
    found = await talk.result("prompts/get", params)
    expect(found["messages"], offers.MESSAGES, "messages")
    expect(found["arguments"], params["arguments"], "arguments")
    expect(found["x-probe"], offers.UNKNOWN["x-probe"], "x-probe")
    return found


@feature(GROUP, "`completion/complete` of a prompt's argument, with context")
async def completion(talk: Talk) -> Any:
    asked = {
        "ref": {"type": "ref/prompt", "name": "rich", "title": "Rich"},
        "argument": {"name": "topic", "value": "z"},
        "context": {"arguments": {"tone": "dry"}},
    }
    found = await talk.result("completion/complete", {**asked, "_meta": offers.META})
    expect(found["_meta"]["example.com/asked"], asked, "asked")
    expect(found["completion"], {"values": ["paris", "zürich"], "total": 3, "hasMore": True}, "completion")
    return found


@feature(GROUP, "`completion/complete` of a template's variable")
async def template_completion(talk: Talk) -> Any:
    asked = {
        "ref": {"type": "ref/resource", "uri": "probe://{name}"},
        "argument": {"name": "name", "value": ""},
        "context": None,
    }
    params = {key: value for key, value in asked.items() if value is not None}
    found = await talk.result("completion/complete", params)
    expect(found["_meta"]["example.com/asked"], asked, "asked")
    return found
