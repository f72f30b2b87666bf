"""What a message of 2026-07-28 looks like to a server that speaks only 2025-11-25 or older, and the reverse.

The newer era says in every request what the older says once in `initialize`, and in every result what the
older leaves out. Tasks have another shape in each era and are hidden from both.
"""

from typing import Any, cast

from hopward import digest
from hopward_mcp.jsonrpc import INVALID_PARAMS, REFUSED, Body
from hopward_mcp.methods import CAPABILITIES_KEY, LOG_LEVEL_KEY, VERSION_KEY

OLDER_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
NEWER_VERSION = "2026-07-28"

UNSUPPORTED_VERSION = -32022

CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"

URL_REQUIRED = -32042
"""URLElicitationRequired of 2025-11-25: the call has ended, and is to be made again after the user has been
at the URL. The newer era has no such error."""
CAPABILITY_MISSING = -32021
"""MissingRequiredClientCapability of 2026-07-28."""

INPUTS = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})
"""Requests of a server that become `inputRequests` of a result."""

ASKING = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Requests whose result may ask for input (2026-07-28, multi-round-trip requests)."""

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

_ENVELOPE = frozenset({VERSION_KEY, CAPABILITIES_KEY, CLIENT_INFO_KEY, LOG_LEVEL_KEY})
_ROUND = frozenset({"inputResponses", "requestState", "task"})
CACHED = frozenset(
    {"tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
"""Requests whose result says how long it may be kept."""
_ABILITIES = {
    "elicitation": "elicitation/create",
    "roots": "roots/list",
    "sampling": "sampling/createMessage",
}
_OF_INITIALIZE = frozenset({"protocolVersion", "serverInfo"})
"""Members of its result that are said elsewhere in 2026-07-28."""
_TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
NOT_FOUND = -32002
"""Of an MCP resource, in 2025-11-25 and older; the newer era calls it invalid params."""


def older_params(params: Body) -> Body:
    """Params without the envelope of the newer era and without what belongs to another round."""
    kept = {key: value for key, value in params.items() if key not in _ROUND and key != "_meta"}
    meta: Body = params.get("_meta", {})
    meta = {key: value for key, value in meta.items() if key not in _ENVELOPE}
    return {**kept, "_meta": meta} if meta else kept


def identity(params: Body) -> Body:
    """What makes two rounds the same request: everything but `_meta` and what each round brings."""
    return {key: value for key, value in params.items() if key not in _ROUND and key != "_meta"}


def newer_result(method: str, result: Body, info: Body) -> Body:
    """A whole result of an older server, `info` being its `serverInfo`."""
    meta = result.get("_meta")
    known = cast("Body", meta) if isinstance(meta, dict) else {}
    kept = {key: value for key, value in result.items() if key not in ("inputRequests", "requestState")}
    whole = {**kept, "resultType": "complete", "_meta": {**known, SERVER_INFO_KEY: info}}
    if method in CACHED:
        whole |= {"ttlMs": 0, "cacheScope": "private"}
    if method == "tools/list":
        whole["tools"] = _without_tasks(result.get("tools"))
    return whole


def discovery(initialized: Body) -> Body:
    """The result of `server/discover` that says all that the result of `initialize` has said."""
    said: Body = initialized["capabilities"]
    found: Body = {key: value for key, value in initialized.items() if key not in _OF_INITIALIZE}
    found |= {
        "supportedVersions": [NEWER_VERSION],
        "capabilities": _taskless(said),
        "ttlMs": 0,
        "cacheScope": "private",
    }
    if not isinstance(initialized.get("instructions", ""), str):
        del found["instructions"]
    return newer_result("server/discover", found, initialized["serverInfo"])


def newer_error(fault: Body) -> Body:
    """The `error` member of an answer."""
    code = fault.get("code")
    if code == NOT_FOUND:
        return {**fault, "code": INVALID_PARAMS}
    return {**fault, "code": REFUSED} if code == URL_REQUIRED else fault


def offered(said: Body, allowed: frozenset[str]) -> Body:
    """What an older server is told that its client can do: what it said, without what the server may not
    ask for. Its roots do not change: a client of the newer era does not tell of that."""
    kept = {
        key: value
        for key, value in _taskless(said).items()
        if key not in _ABILITIES or _ABILITIES[key] in allowed
    }
    roots = kept.get("roots")
    if isinstance(roots, dict):
        kept["roots"] = {key: value for key, value in cast("Body", roots).items() if key != "listChanged"}
    return kept


def abilities(params: Body, allowed: frozenset[str]) -> str:
    """A digest of what an older server is told that the client of a request can do."""
    return digest(offered(capabilities(params), allowed))


def capabilities(params: Body) -> Body:
    """What the client of a request says it can do."""
    said = params.get("_meta", {}).get(CAPABILITIES_KEY)
    return cast("Body", said) if isinstance(said, dict) else {}


def announced(opening: Body) -> Body:
    """What the client of an `initialize` says it can do."""
    said = opening.get("capabilities")
    return cast("Body", said) if isinstance(said, dict) else {}


def able(said: Body, method: str, params: Body) -> bool:
    """Whether a client of these capabilities takes this request of a server."""
    name = next(key for key, asked in _ABILITIES.items() if asked == method)
    ability = said.get(name)
    if not isinstance(ability, dict):
        return False
    ability = cast("Body", ability)
    if method == "sampling/createMessage":
        return "tools" in ability or not ("tools" in params or "toolChoice" in params)
    if method == "elicitation/create":
        mode = str(params.get("mode", "form"))
        return mode in ability or (mode == "form" and not ability)
    return True


def input_request(method: str, params: Body) -> Body:
    """A request of an older server as one of the `inputRequests`."""
    kept = {key: value for key, value in params.items() if key not in ("task", "elicitationId")}
    meta = kept.get("_meta")
    if isinstance(meta, dict):
        kept["_meta"] = {key: value for key, value in cast("Body", meta).items() if key != "progressToken"}
    return {"method": method, "params": kept} if kept else {"method": method}


def urls(fault: Body) -> list[Body]:
    """The elicitations that a URLElicitationRequired error names, those of another shape left out."""
    data = fault.get("data")
    named = cast("Body", data).get("elicitations") if isinstance(data, dict) else None
    if not isinstance(named, list):
        return []
    shaped = [cast("Body", one) for one in cast("list[Any]", named) if isinstance(one, dict)]
    return [
        {"mode": "url", "message": one["message"], "url": one["url"]}
        for one in shaped
        if isinstance(one.get("url"), str) and isinstance(one.get("message"), str)
    ]


def _taskless(said: Body) -> Body:
    """Capabilities that say nothing of tasks."""
    kept = {key: value for key, value in said.items() if key != "tasks"}
    extensions = kept.get("extensions")
    if isinstance(extensions, dict):
        named = cast("Body", extensions).items()
        kept["extensions"] = {key: value for key, value in named if key != _TASKS_EXTENSION}
    return kept


def _without_tasks(tools: object) -> object:
    """The tools that can be called without a task, and nothing about tasks in them."""
    if not isinstance(tools, list):
        return tools
    return [_without_execution(tool) for tool in cast("list[Any]", tools) if not _needs_task(tool)]


def _needs_task(tool: object) -> bool:
    execution = cast("Body", tool).get("execution") if isinstance(tool, dict) else None
    return isinstance(execution, dict) and cast("Body", execution).get("taskSupport") == "required"


def _without_execution(tool: object) -> object:
    if not isinstance(tool, dict):
        return tool
    return {key: value for key, value in cast("Body", tool).items() if key != "execution"}
