"""What the server asks the client: requests in the older era, interim results (MRTR) in 2026-07-28."""

import asyncio
from typing import Any

from . import offers
from .behaviour import ASKED, STATE
from .cells import Cell
from .feature import DiffersError, expect, feature
from .talk import Answerer, Json, Talk, Unanswered

GROUP = "The server asks the client"

SAMPLED: Json = {
    "role": "assistant",
    "model": "model-1",
    "stopReason": "toolUse",
    "content": [
        {"type": "text", "text": "Zürich ✓", "_meta": offers.META, "annotations": offers.ANNOTATIONS},
        {"type": "tool_use", "id": "use-2", "name": "weather", "input": {"in": "é"}, "_meta": offers.META},
    ],
    "_meta": offers.META,
    **offers.UNKNOWN,
}
ACCEPTED: Json = {
    "action": "accept",
    "content": {"name": "é", "age": 7, "share": 0.5, "sure": True, "many": ["a"]},
    "_meta": offers.META,
}
ROOTS: Json = {
    "_meta": offers.META,
    "roots": [{"uri": "file:///home/user/a%20b", "name": "é", "_meta": offers.META, **offers.UNKNOWN}],
}
ANSWERS: dict[str, Json] = {
    "sampling": SAMPLED,
    "form": ACCEPTED,
    "url": {"action": "decline"},
    "roots": ROOTS,
}


async def asked(talk: Talk, names: list[str], rounds: int = 1, **answers: Json) -> Any:
    """Call a tool that asks these things, answer them, and return everything both sides have seen."""
    seen: list[Json] = []
    params = {"name": "asking", "arguments": {"of": names, "rounds": rounds}}
    replies = {name: answers.get(name, ANSWERS[name]) for name in names}
    if talk.modern:
        found = await in_rounds(talk, "tools/call", params, replies, seen)
    else:
        for name in names:
            talk.answers[ASKED[name][0]] = _noting(seen, name, replies)
        found = await talk.result("tools/call", params)
    for one in seen:
        if not talk.modern and one["params"].get("mode") == "url":
            # Each side that makes one makes its own.
            one["id"] = one["params"].pop("elicitationId")
    for name in names:
        shown = next((one["params"] for one in seen if one["name"] == name), None)
        expect(shown, ASKED[name][1], f"the params of {name}")
    expect(found["structuredContent"], {"answers": replies}, "what the server was answered")
    return {"asked": seen, "answered": found}


def _noting(seen: list[Json], name: str, replies: dict[str, Json]) -> Answerer:
    async def answer(params: Json) -> Json:
        seen.append({"name": name, "params": params})
        return replies[name]

    return answer


async def in_rounds(
    talk: Talk, method: str, params: Json, replies: dict[str, Json], seen: list[Json]
) -> Json:
    """Repeat a request with answers and the state it was given until there is a result (2026-07-28)."""
    found = await talk.result(method, params)
    while found["resultType"] == "input_required":
        if not talk.bridged:
            expect(found["requestState"].split(" ", 2)[2], STATE, "requestState")
        asked_for: Json = found.get("inputRequests", {})
        answers: Json = {}
        for key, one in asked_for.items():
            name = key if key in ASKED else _recognised(one)
            expect(one["method"], ASKED[name][0], "inputRequests.method")
            seen.append({"name": name, "params": one.get("params", {})})
            answers[key] = replies[name]
        again = {**params, "requestState": found["requestState"]}
        found = await talk.result(method, again | ({"inputResponses": answers} if answers else {}))
    return found


def _recognised(one: Json) -> str:
    """What a request is that somebody else has given its key."""
    wanted = (one["method"], one.get("params", {}).get("mode"))
    return next(name for name, (method, params) in ASKED.items() if (method, params.get("mode")) == wanted)


@feature(GROUP, "sampling: every field of the request and of the answer, with tools")
async def sampling(talk: Talk) -> Any:
    return await asked(talk, ["sampling"])


@feature(GROUP, "elicitation, form mode")
async def form(talk: Talk) -> Any:
    return await asked(talk, ["form"])


@feature(GROUP, "elicitation: declined, cancelled")
async def declined(talk: Talk) -> Any:
    return [await asked(talk, ["form"], form={"action": action}) for action in ("decline", "cancel")]


@feature(GROUP, "elicitation, URL mode")
async def url(talk: Talk) -> Any:
    found = await asked(talk, ["url"])
    for one in found["asked"]:
        one.pop("id", None)
    return found


@feature(GROUP, "`notifications/elicitation/complete`", eras="older")
async def url_completed(talk: Talk) -> Any:
    since = len(talk.heard)
    number = (await asked(talk, ["url"]))["asked"][0]["id"]
    (heard,) = await talk.hear("notifications/elicitation/complete", since)
    expect(heard.params == {"elicitationId": number}, True, "it names the elicitation")
    return True


@feature(GROUP, "roots")
async def roots(talk: Talk) -> Any:
    return await asked(talk, ["roots"])


@feature(GROUP, "`notifications/roots/list_changed`", eras="older")
async def roots_changed(talk: Talk) -> Any:
    await talk.notify("notifications/roots/list_changed", {"_meta": {"example.com/a": 1}})
    seen = await talk.told("told", method="notifications/roots/list_changed")
    expect(seen["params"], {"_meta": {"example.com/a": 1}}, "params")
    return seen


@feature(GROUP, "several things at once", eras="modern")
async def several(talk: Talk) -> Any:
    return await asked(talk, ["sampling", "form", "roots"])


@feature(GROUP, "one thing after another in one call")
async def one_by_one(talk: Talk) -> Any:
    return await asked(talk, ["form", "sampling"], rounds=2)


@feature(GROUP, "an interim result with nothing but a `requestState`", eras="modern")
async def state_alone(talk: Talk) -> Any:
    params = {"name": "asking", "arguments": {"of": []}}
    first = await talk.result("tools/call", params)
    expect(sorted(first), ["_meta", "requestState", "resultType"], "interim result")
    found = await talk.result("tools/call", {**params, "requestState": first["requestState"]})
    expect(found["structuredContent"], {"answers": {}}, "result")
    return found


@feature(GROUP, "in a `prompts/get`", eras="modern")
async def in_a_prompt(talk: Talk) -> Any:
    return await _in(talk, "prompts/get", {"name": "asking"})


def _unkept(seen: Any, cell: Cell) -> Any:
    """An older server does not say how long its answer may be kept, and by whom."""
    kept = {"ttlMs": 0, "cacheScope": "private"} if cell.offered == "older" else {}
    return {**seen, "answered": {**seen["answered"], **kept}}


@feature(GROUP, "in a `resources/read`", eras="modern", bridged=_unkept)
async def in_a_resource(talk: Talk) -> Any:
    return await _in(talk, "resources/read", {"uri": "probe://asking"})


async def _in(talk: Talk, method: str, params: Json) -> Any:
    seen: list[Json] = []
    found = await in_rounds(talk, method, params, ANSWERS, seen)
    expect(found["_meta"].get("example.com/answers"), {"form": ACCEPTED}, "answers")
    return {"asked": seen, "answered": found}


@feature(GROUP, "the error that a client answers with", eras="older")
async def client_error(talk: Talk) -> Any:
    talk.answers.pop("roots/list", None)
    seen = await talk.told("asking", of=["roots"])
    wanted = {"error": {"code": -32601, "message": "The client does not know this."}}
    expect(seen, {"answers": {"roots": wanted}}, "answers")
    return seen


@feature(GROUP, "progress of what the client does for the server", eras="older")
async def client_progress(talk: Talk) -> Any:
    async def answer(params: Json) -> Json:
        token = params.get("_meta", {}).get("progressToken")
        if token is None:
            raise LookupError
        for number in (1, 2, 3):
            step = {"progressToken": token, "progress": number, "total": 3, "message": "é"}
            await talk.notify("notifications/progress", step)
        return SAMPLED

    talk.answers["sampling/createMessage"] = answer
    seen = await talk.told("asking", of=["sampling"], progress=True)
    steps = [{"progress": number, "total": 3.0, "message": "é"} for number in (1.0, 2.0, 3.0)]
    expect(seen["answers"].get("steps"), steps, "steps")
    return seen


@feature(GROUP, "the server gives up what it has asked", eras="older")
async def given_up(talk: Talk) -> Any:
    key, since = f"{talk.key} until", len(talk.heard)
    asked_now = asyncio.Event()

    async def answer(_: Json) -> Json:
        asked_now.set()
        raise Unanswered

    talk.answers["sampling/createMessage"] = answer
    number = await talk.begin(
        "tools/call", {"name": "asking", "arguments": {"of": ["sampling"], "until": key}}
    )
    answered = asyncio.ensure_future(talk.answer(number))
    waiting = asyncio.ensure_future(asked_now.wait())
    await asyncio.wait({answered, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not asked_now.is_set():
        waiting.cancel()
        raise DiffersError("the client was never asked")
    (request,) = [one for one in talk.heard[since:] if one.method == "sampling/createMessage"]
    await talk.told("ended", key=key, release=True)
    try:
        (heard,) = await talk.hear("notifications/cancelled", since)
        expect(heard.params["requestId"] == request.id, True, "it names the request")
        return (await answered)["result"]
    finally:
        answered.cancel()


@feature(GROUP, "a vendor request of the server", eras="older")
async def vendor(talk: Talk) -> Any:
    seen: list[Json] = []
    talk.answers["example.com/ask"] = _noting(seen, "vendor", {"vendor": {"y": [2]}})
    found = await talk.told("asking", of=["vendor"])
    expect(found, {"answers": {"vendor": {"y": [2]}}}, "answers")
    expect(seen[0]["params"], {"x": 1}, "params")
    return found
