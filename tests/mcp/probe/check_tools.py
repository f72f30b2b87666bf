"""Tool calls: what goes in, what comes out, and what happens meanwhile."""

from typing import Any

from . import offers
from .cells import Cell
from .feature import DiffersError, expect, expect_note, feature
from .talk import Talk

GROUP = "Tool calls"
ARGUMENTS = {
    "text": 'Zürich ✓ \u2028 \U0001f600 \\ " \u0000',
    "none": None,
    "numbers": [0, -1, 1.5, 1e-7, 2**53, 0.1],
    "deep": {"er": [[{"": []}]]},
    "on": True,
}


@feature(GROUP, "arguments and unknown params reach the server as they are")
async def arguments(talk: Talk) -> Any:
    more = {"x-probe": {"kept": [1]}}
    params = {"name": "received", "arguments": ARGUMENTS, **more}
    seen = (await talk.result("tools/call", params))["structuredContent"]["params"]
    expect({key: seen[key] for key in ("arguments", "x-probe")}, {"arguments": ARGUMENTS, **more}, "params")
    return {key: inner for key, inner in seen.items() if key != "_meta"}


def _sealed(seen: Any, cell: Cell) -> Any:
    """A credential in `_meta` is there, and no client is shown it."""
    if cell.credential_in != "_meta":
        return seen
    return {**seen, "dev.hopward/credential": "[credential removed by Hopward]"}


@feature(GROUP, "`_meta` of a call reaches the server", guarded=_sealed)
async def meta(talk: Talk) -> Any:
    params = {"name": "received", "arguments": {}, "_meta": {"example.com/more": {"of": ["us"]}}}
    seen = (await talk.result("tools/call", params))["structuredContent"]["params"]["_meta"]
    expect(seen["example.com/more"], {"of": ["us"]}, "_meta")
    # Who the client is stands there in 2026-07-28: a feature of its own.
    return {name: inner for name, inner in seen.items() if not name.startswith("io.modelcontextprotocol/")}


def _credential(_: Any, cell: Cell) -> Any:
    """Directly there is none."""
    return {"audience": cell.audience, "scope": f"{cell.server_name}/received", "in": cell.credential_in}


@feature(GROUP, "the server gets a credential for just this call, and no other token", guarded=_credential)
async def credential(talk: Talk) -> Any:
    return (await talk.told("received"))["credential"]


@feature(GROUP, "every kind of content; unknown fields and `_meta` of a result")
async def content(talk: Talk) -> Any:
    found = await talk.call("content")
    expect(found["content"], offers.CONTENT, "content")
    expect_note(found)
    expect(found["x-probe"], offers.UNKNOWN["x-probe"], "x-probe")
    return found


@feature(GROUP, "a kind of content that nobody knows")
async def unknown_content(talk: Talk) -> Any:
    found = await talk.call("content", unknown=True)
    expect(found["content"], [{"type": "x-probe", "kept": True}], "content")
    return found


@feature(GROUP, "`structuredContent`")
async def structured(talk: Talk) -> Any:
    found = await talk.told("structured")
    wanted = {"text": "Zürich", "none": None, "numbers": [0, -1, 1.5, 1e-7, 2**53], "deep": {"er": [[{}]]}}
    expect(found, wanted, "structuredContent")
    return found


@feature(GROUP, "an error of the tool: `isError`")
async def failing(talk: Talk) -> Any:
    found = await talk.call("failing")
    expect(found["isError"], True, "isError")
    return found


@feature(GROUP, "an error in place of a result: code, message and data")
async def raising(talk: Talk) -> Any:
    data = {"of": ["é", None, 1.5], "url": "https://example.com"}
    seen: list[Any] = []
    for code in (-32042 if not talk.modern else -32021, -31999, -32603, 7):
        answer = await talk.ask("tools/call", {"name": "raising", "arguments": {"code": code, "data": data}})
        expect(answer.get("error"), {"code": code, "message": "As asked: é", "data": data}, "error")
        seen.append(answer)
    return seen


@feature(GROUP, "progress: 100 steps in order, the last just before the result; unknown fields")
async def progress(talk: Talk) -> Any:
    seen: list[Any] = []
    for token in (f"token {talk.key}", 7_000_001):
        since, count = len(talk.heard), 100
        params = {"name": "progressing", "arguments": {"count": count}, "_meta": {"progressToken": token}}
        await talk.result("tools/call", params)
        # No waiting: all of them come before the result.
        heard = [one.params for one in talk.heard[since:] if one.method == "notifications/progress"]
        expect([one["progress"] for one in heard], list(range(1, count + 1)), "progress")
        expect({one["progressToken"] for one in heard} == {token}, True, "the token is the client's own")
        last = {"total": 100.5, "message": "Step 100", "_meta": offers.META, **offers.UNKNOWN}
        expect({key: heard[-1].get(key) for key in last}, last, "step")
        seen.append([{key: inner for key, inner in one.items() if key != "progressToken"} for one in heard])
    return seen


@feature(GROUP, "cancellation reaches the handler")
async def cancelled(talk: Talk) -> Any:
    key, since = f"{talk.key} cancelled", len(talk.heard)
    params = {"name": "waiting", "arguments": {"key": key}, "_meta": {"progressToken": f"begun {talk.key}"}}
    number = await talk.begin("tools/call", params)
    await talk.hear("notifications/progress", since)
    why = {"reason": "changed my mind", "_meta": offers.META}
    await talk.notify("notifications/cancelled", {"requestId": number, **why})
    return await talk.told("ended", key=key)


@feature(GROUP, "calls side by side, answered in another order")
async def side_by_side(talk: Talk) -> Any:
    key = f"{talk.key} released"
    first = await talk.begin("tools/call", {"name": "waiting", "arguments": {"key": key}})
    await talk.told("ended", key=key, release=True)
    answer = await talk.answer(first)
    if "result" not in answer:
        raise DiffersError(f"error {answer['error']['code']}")
    return {name: inner for name, inner in answer["result"].items() if name != "structuredContent"}


@feature(GROUP, "1 MB of arguments and of result")
async def large(talk: Talk) -> Any:
    found = await talk.told("large", text="é" * 500_000, size=1_000_000)
    expect(
        (found["got"], len(found["text"]), set(found["text"]) == {"x"}), (500_000, 1_000_000, True), "sizes"
    )
    return found["got"]


@feature(GROUP, "a tool that there is not: the server's error", guarded=lambda seen, cell: {"refused": True})
async def unknown_tool(talk: Talk) -> Any:
    answer = await talk.ask("tools/call", {"name": "missing", "arguments": {}})
    decision = answer.get("result", {}).get("_meta", {}).get("dev.hopward/decision")
    if decision is not None:
        # Nobody has classified it, so no call of it can go on.
        expect((answer["result"]["isError"], decision["reason"]), (True, "tool_unclassified"), "refusal")
        return {"refused": True}
    expect(answer.get("error", {}).get("data"), {"name": "missing"}, "error.data")
    return answer


@feature(GROUP, "`traceparent` and `tracestate` in `_meta`")
async def trace(talk: Talk) -> Any:
    traced = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
    params = {"name": "received", "arguments": {}, "_meta": traced}
    seen = (await talk.result("tools/call", params))["structuredContent"]["params"]["_meta"]
    found = {key: seen.get(key) for key in traced}
    expect(found, traced, "_meta")
    return found


@feature(GROUP, "vendor request of the client")
async def vendor_request(talk: Talk) -> Any:
    found = await talk.result("example.com/echo", {"x": [1, {"é": None}]})
    expect((found["echo"], found["x-probe"]), ([1, {"é": None}], offers.UNKNOWN["x-probe"]), "result")
    return found


@feature(GROUP, "vendor notification of the client", eras="older")
async def vendor_notification(talk: Talk) -> Any:
    await talk.notify("notifications/example.com/tell", {"x": 1})
    seen = await talk.told("told", method="notifications/example.com/tell", patience=5)
    expect(seen["params"], {"x": 1}, "params")
    return seen


@feature(GROUP, "vendor notification of the server")
async def vendor_told(talk: Talk) -> Any:
    since = len(talk.heard)
    await talk.told("vendor")
    heard = [one for one in talk.heard[since:] if one.method == "notifications/example.com/told"]
    expect(len(heard), 1, "notifications")
    expect(heard[0].params, {"x": [1], "_meta": offers.META}, "params")
    return heard[0].params
