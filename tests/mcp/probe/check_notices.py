"""What the server tells without being asked: log messages, changes, subscriptions."""

from typing import Any

from . import offers
from .behaviour import LEVELS, LOG_LEVEL
from .feature import expect, feature
from .talk import Talk

GROUP = "Log messages, changes, subscriptions"
LISTEN = "subscriptions/listen"
TAG = "io.modelcontextprotocol/subscriptionId"
ALL = {
    "toolsListChanged": True,
    "promptsListChanged": True,
    "resourcesListChanged": True,
    "resourceSubscriptions": ["probe://rich"],
}


@feature(GROUP, "`logging/setLevel`, and log messages of that level and above", eras="older")
async def set_level(talk: Talk) -> Any:
    expect(await talk.result("logging/setLevel", {"level": "warning", "_meta": offers.META}), {}, "result")
    since = len(talk.heard)
    await talk.told("logging")
    return await _messages(talk, since, LEVELS[3:])


@feature(GROUP, "log messages of the level that `_meta` asks for", eras="modern")
async def asked_level(talk: Talk) -> Any:
    since = len(talk.heard)
    params = {"name": "logging", "arguments": {}, "_meta": {LOG_LEVEL: "notice"}}
    expect((await talk.result("tools/call", params))["structuredContent"], {"levels": 6}, "levels")
    return await _messages(talk, since, LEVELS[2:])


async def _messages(talk: Talk, since: int, levels: tuple[str, ...]) -> Any:
    heard = await talk.hear("notifications/message", since, len(levels))
    seen = [one.params for one in heard]
    more = {"logger": "probe", "_meta": offers.META, **offers.UNKNOWN}
    expect(seen, [{"level": level, "data": {"of": [level, "é"]}, **more} for level in levels], "messages")
    return seen


async def _changed(talk: Talk, what: str) -> Any:
    since = len(talk.heard)
    await talk.told("changing", what=what)
    (heard,) = await talk.hear(f"notifications/{what}/list_changed", since)
    expect(heard.params, {"_meta": offers.META, **offers.UNKNOWN}, "params")
    return heard.params


@feature(GROUP, "`notifications/tools/list_changed`", eras="older")
async def tools_changed(talk: Talk) -> Any:
    return await _changed(talk, "tools")


@feature(GROUP, "`notifications/resources/list_changed`", eras="older")
async def resources_changed(talk: Talk) -> Any:
    return await _changed(talk, "resources")


@feature(GROUP, "`notifications/prompts/list_changed`", eras="older")
async def prompts_changed(talk: Talk) -> Any:
    return await _changed(talk, "prompts")


@feature(
    GROUP, "`resources/subscribe`, `notifications/resources/updated`, `resources/unsubscribe`", eras="older"
)
async def subscribed(talk: Talk) -> Any:
    named, since = {"uri": "probe://rich", "_meta": offers.META}, len(talk.heard)
    expect(await talk.result("resources/subscribe", named), {}, "subscribed")
    await talk.told("changing", what="updated", uri="probe://plain")
    await talk.told("changing", what="updated", uri="probe://rich")
    (heard,) = await talk.hear("notifications/resources/updated", since)
    expect(heard.params, {"uri": "probe://rich", "_meta": offers.META, **offers.UNKNOWN}, "params")
    expect(await talk.result("resources/unsubscribe", named), {}, "unsubscribed")
    await talk.told("changing", what="updated", uri="probe://rich")
    # What comes next on the same stream shows that no update came before it.
    await talk.told("changing", what="prompts")
    await talk.hear("notifications/prompts/list_changed", since)
    return [one.params for one in talk.heard[since:] if one.method == "notifications/resources/updated"]


async def _listening(talk: Talk, key: str, **wanted: Any) -> tuple[int, int]:
    """A subscription: the id of its request, and since when it is acknowledged."""
    since = len(talk.heard)
    number = await talk.begin(LISTEN, {"notifications": wanted, "_meta": {"example.com/key": key}})
    (acknowledged,) = await talk.hear("notifications/subscriptions/acknowledged", since)
    expect(acknowledged.params["notifications"], wanted, "notifications")
    # Whoever acknowledges says what is its own.
    expect(acknowledged.params["_meta"], {TAG: number, **({} if talk.bridged else offers.META)}, "_meta")
    return number, since


async def _ended(talk: Talk, *numbers: int) -> None:
    """The client leaves its subscriptions."""
    for number in numbers:
        await talk.notify("notifications/cancelled", {"requestId": number})


@feature(GROUP, "`subscriptions/listen`: acknowledged, every change, tagged", eras="modern")
async def listened(talk: Talk) -> Any:
    key = f"{talk.key} listened"
    number, since = await _listening(talk, key, **ALL)
    for what in ("tools", "resources", "prompts"):
        expect((await talk.told("changing", what=what, key=key))["listeners"], 1, "listeners")
        await talk.hear(f"notifications/{what}/list_changed", since)
    await talk.told("changing", what="updated", key=key, uri="probe://plain")
    await talk.told("changing", what="updated", key=key, uri="probe://rich")
    await talk.hear("notifications/resources/updated", since)
    await _ended(talk, number)
    heard = [one for one in talk.heard[since:] if TAG in one.params.get("_meta", {})]
    expect({one.params["_meta"][TAG] for one in heard} == {number}, True, "every tag is the request's id")
    notes = [{name: inner for name, inner in one.params["_meta"].items() if name != TAG} for one in heard]
    return [(one.method, {**one.params, "_meta": note}) for one, note in zip(heard, notes, strict=True)][1:]


@feature(GROUP, "`subscriptions/listen`: two at once, each with what it asked for", eras="modern")
async def two_listeners(talk: Talk) -> Any:
    key = f"{talk.key} two"
    tools, since = await _listening(talk, key, toolsListChanged=True)
    prompts, _ = await _listening(talk, key, promptsListChanged=True)
    for what in ("tools", "resources", "prompts"):
        await talk.told("changing", what=what, key=key)
    for what in ("tools", "prompts"):
        await talk.hear(f"notifications/{what}/list_changed", since)
    await _ended(talk, tools, prompts)
    heard = [one for one in talk.heard[since:] if one.method.endswith("list_changed")]
    seen = sorted((one.method, one.params["_meta"][TAG] == tools) for one in heard)
    wanted = [("notifications/prompts/list_changed", False), ("notifications/tools/list_changed", True)]
    expect(seen, wanted, "changes")
    return seen


@feature(GROUP, "`subscriptions/listen`: the server ends it with a result", eras="modern")
async def over(talk: Talk) -> Any:
    key = f"{talk.key} over"
    number, _ = await _listening(talk, key, toolsListChanged=True)
    await talk.told("changing", what="end", key=key)
    answer = await talk.answer(number)
    expect(answer.get("result", {}).get("_meta", {}).get(TAG), number, "the tag of the result")
    return answer["result"]["resultType"]


@feature(GROUP, "`subscriptions/listen` ends at the server when the client leaves", eras="modern")
async def left(talk: Talk) -> Any:
    key = f"{talk.key} left"
    number, _ = await _listening(talk, key, toolsListChanged=True)
    await talk.notify("notifications/cancelled", {"requestId": number})
    return await talk.told("ended", key=key)


@feature(
    GROUP,
    "the server ends a subscription with `notifications/cancelled`",
    eras="modern",
    client="stdio",
    server="stdio",
)
async def ended(talk: Talk) -> Any:
    number, since = await _listening(talk, f"{talk.key} ended", toolsListChanged=True)
    await talk.told("changing", what="cancel", key=f"{talk.key} ended", id=number)
    (heard,) = await talk.hear("notifications/cancelled", since)
    expect(heard.params, {"requestId": number, "reason": "over"}, "params")
    return heard.params["reason"]
