"""How a session begins, who is who, and whether the other side is there."""

from typing import Any

from . import offers
from .cells import Cell
from .feature import expect, expect_note, feature
from .talk import CAPABILITIES, CLIENT, OF_OLDER, VERSIONS, Talk

GROUP = "Sessions"


def without_tasks(capabilities: Any) -> Any:
    """Capabilities but those of MCP tasks, which are a feature of their own."""
    kept = {name: inner for name, inner in capabilities.items() if name != "tasks"}
    extensions = {name: inner for name, inner in kept["extensions"].items() if name != offers.TASKS_EXTENSION}
    return {**kept, "extensions": extensions}


@feature(GROUP, "`initialize`: version, capabilities, `serverInfo`, `instructions`", eras="older")
async def what_the_server_says_of_itself(talk: Talk) -> Any:
    found = talk.initialized
    expect(found["serverInfo"], offers.INFO, "serverInfo")
    expect(found["instructions"], offers.INSTRUCTIONS, "instructions")
    expect(found["x-probe"], offers.UNKNOWN["x-probe"], "x-probe")
    expect_note(found)
    capabilities = without_tasks(found["capabilities"])
    expect(
        capabilities, without_tasks({**offers.CAPABILITIES, "extensions": offers.EXTENSIONS}), "capabilities"
    )
    return {**found, "capabilities": capabilities}


def _told_to_other_era(seen: Any, cell: Cell) -> Any:
    """Capabilities that the server's era does not have are not told to it."""
    return {**seen, "capabilities": _common(seen["capabilities"])}


def _common(capabilities: Any) -> Any:
    """What both eras have: no tasks, and no news of changed roots."""
    kept = {name: inner for name, inner in capabilities.items() if name not in OF_OLDER}
    return {**kept, "roots": {}, "extensions": CAPABILITIES["extensions"] if "extensions" in kept else None}


@feature(GROUP, "who the client is and what it can do reaches the server", bridged=_told_to_other_era)
async def who_the_client_is(talk: Talk) -> Any:
    seen = (await talk.told("received"))["client"]
    expect(seen["clientInfo"], CLIENT, "clientInfo")
    expect(_common(seen["capabilities"]), _common(CAPABILITIES), "capabilities")
    return {name: seen[name] for name in ("clientInfo", "capabilities")}


@feature(GROUP, "other members of `initialize` reach the server", eras="older")
async def hello(talk: Talk) -> Any:
    seen = (await talk.told("received"))["client"]
    found = {name: seen.get(name) for name in ("protocolVersion", "_meta", "x-probe")}
    more = {"_meta": {"example.com/hello": 1}, "x-probe": {"kept": True}}
    wanted = {"protocolVersion": VERSIONS["older"], **more}
    expect(found, wanted, "params")
    return found


@feature(GROUP, "`notifications/initialized`", eras="older")
async def initialized(talk: Talk) -> Any:
    seen = await talk.told("told", method="notifications/initialized")
    expect(seen["params"], {"_meta": {"example.com/ready": 1}}, "params")
    return seen


def _unkept(seen: Any, cell: Cell) -> Any:
    """An older server does not say how long its answer may be kept, and by whom."""
    return {**seen, "ttlMs": 0, "cacheScope": "private"} if cell.offered == "older" else seen


@feature(GROUP, "`server/discover`", eras="modern", bridged=_unkept)
async def discovered(talk: Talk) -> Any:
    found = await talk.result("server/discover")
    capabilities = without_tasks(found["capabilities"])
    expect(
        capabilities, without_tasks({**offers.CAPABILITIES, "extensions": offers.EXTENSIONS}), "capabilities"
    )
    expect(found["supportedVersions"], [VERSIONS["modern"]], "supportedVersions")
    expect(found["instructions"], offers.INSTRUCTIONS, "instructions")
    expect(found["_meta"]["io.modelcontextprotocol/serverInfo"], offers.INFO, "serverInfo")
    return {**found, "capabilities": capabilities}


@feature(GROUP, "a protocol version that the server does not speak", eras="modern")
async def unknown_version(talk: Talk) -> Any:
    meta = {"io.modelcontextprotocol/protocolVersion": "2031-01-01"}
    answer = await talk.ask("tools/list", {"_meta": meta}, mcp_protocol_version="2031-01-01")
    error = answer.get("error", {})
    expect(error.get("code"), -32022, "error.code")
    expect(error["data"]["requested"], "2031-01-01", "error.data.requested")
    expect(VERSIONS["modern"] in error["data"]["supported"], True, "supported")
    return {"code": error["code"]}


@feature(GROUP, "`ping` of the client", eras="older")
async def ping(talk: Talk) -> Any:
    return await talk.result("ping", {"_meta": offers.META})


@feature(GROUP, "`ping` of the server", eras="older")
async def pinged(talk: Talk) -> Any:
    talk.answers["ping"] = _nothing
    seen = await talk.told("asking", of=["ping"])
    expect(seen, {"answers": {"ping": {"_meta": offers.META}}}, "answers")
    return seen


async def _nothing(_: Any) -> Any:
    return {"_meta": offers.META}


@feature(GROUP, "a method that nobody knows: -32601")
async def unknown_method(talk: Talk) -> Any:
    answer = await talk.ask("tools/erase", {"name": "x"})
    expect(answer.get("error", {}).get("code"), -32601, "error.code")
    return answer["error"]["code"]
