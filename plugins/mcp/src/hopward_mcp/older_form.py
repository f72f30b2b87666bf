"""What is said differently in the era of sessions (2024-11-05 to 2025-11-25) and in 2026-07-28.

Requests of an older client in the form of 2026-07-28, and results of 2026-07-28 in the form that it knows.
What neither era gives a meaning passes as it is.
"""

from typing import cast

from hopward_mcp.jsonrpc import INVALID_PARAMS, Body, Message, MessageId
from hopward_mcp.methods import CAPABILITIES_KEY, LOG_LEVEL_KEY, SUBSCRIPTION_KEY, VERSION_KEY
from hopward_mcp.older_shapes import (
    CACHED,
    CLIENT_INFO_KEY,
    INPUTS,
    NEWER_VERSION,
    NOT_FOUND,
    OLDER_VERSIONS,
    SERVER_INFO_KEY,
    able,
)

_RESERVED = "io.modelcontextprotocol/"
_TASKS_EXTENSION = _RESERVED + "tasks"

_ONLY_MODERN = ("inputResponses", "requestState")
"""Params that mean nothing in the older era: only the bridge fills them in."""


class Envelope:
    """What 2026-07-28 wants said with each request, out of the params of an older client's `initialize`.

    `version` is the one agreed on with the client; `level` the least log level that it wants, "" for none.
    """

    def __init__(self, opening: Body) -> None:
        wanted = opening.get("protocolVersion")
        self.version = wanted if wanted in OLDER_VERSIONS else OLDER_VERSIONS[-1]
        self.level = ""
        self._capabilities = _client_capabilities(opening.get("capabilities"))
        info = opening.get("clientInfo")
        self._info = cast("Body", info) if isinstance(info, dict) else None

    def around(self, message: Message, **more: object) -> Message:
        """An older client's request as one of 2026-07-28; `more` are further params."""
        meta = {
            key: value
            for key, value in cast("Body", message.params.get("_meta", {})).items()
            if not key.casefold().startswith(_RESERVED)
        }
        kept = {key: value for key, value in message.params.items() if key not in _ONLY_MODERN}
        if message.method == "tools/call":
            # It asks for a task of 2025-11-25; a server without those is to answer as if it did not.
            kept.pop("task", None)
        params = {**kept, **more, "_meta": {**meta, **self._meta()}}
        return Message("request", message.id, message.method, params, {**message.body, "params": params})

    def supports(self, method: str, params: Body) -> bool:
        """Whether the client has said that it answers such a request."""
        return method in INPUTS and able(self._capabilities, method, params)

    def _meta(self) -> Body:
        meta: Body = {VERSION_KEY: NEWER_VERSION, CAPABILITIES_KEY: self._capabilities}
        if self._info is not None:
            meta[CLIENT_INFO_KEY] = self._info
        return {**meta, LOG_LEVEL_KEY: self.level} if self.level else meta


def request(message_id: MessageId, method: str, params: Body) -> Message:
    """A request of ours."""
    body: Body = {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}
    return Message("request", message_id, method, params, body)


def notification(method: str, params: Body) -> Message:
    """A notification of ours."""
    body: Body = {"jsonrpc": "2.0", "method": method, "params": params}
    return Message("notification", None, method, params, body)


def speaks_modern(discovered: Body) -> bool:
    """Whether the result of `server/discover` offers 2026-07-28."""
    versions = discovered.get("supportedVersions")
    return isinstance(versions, list) and NEWER_VERSION in versions


def initialized(discovered: Body, version: str, server: str) -> Body:
    """The result of `initialize` that says what a `server/discover` result does.

    `server` is its name where it does not tell its own.
    """
    meta = discovered.get("_meta")
    told = cast("Body", meta).get(SERVER_INFO_KEY) if isinstance(meta, dict) else None
    info = discovered.get("serverInfo", told)
    shown = older_result("tools/list", discovered)
    shown.pop("supportedVersions", None)
    return {
        **shown,
        "protocolVersion": version,
        "capabilities": _without_tasks(discovered.get("capabilities")),
        "serverInfo": info if isinstance(info, dict) else {"name": server, "version": "unknown"},
    }


def older_result(method: str, result: Body) -> Body:
    """A complete result without what only 2026-07-28 has."""
    left_out = ("resultType", "ttlMs", "cacheScope") if method in CACHED else ("resultType",)
    return older_params({key: value for key, value in result.items() if key not in left_out})


def older_error(asked: Message, fault: Body) -> Body:
    """The `error` member of an answer: an MCP resource that there is not has a code of its own in the older
    era, and is called invalid params in the newer, with the URI as data."""
    data = fault.get("data")
    named = cast("Body", data).get("uri") if isinstance(data, dict) else None
    absent = fault.get("code") == INVALID_PARAMS and named is not None and named == asked.params.get("uri")
    return {**fault, "code": NOT_FOUND} if absent and asked.method == "resources/read" else fault


def older_params(content: Body) -> Body:
    """Params, or a result, without the `_meta` keys that only 2026-07-28 has; the same object without any."""
    meta = content.get("_meta")
    if not isinstance(meta, dict):
        return content
    kept = {key: value for key, value in cast("Body", meta).items() if key not in _LEFT_OUT}
    if len(kept) == len(cast("Body", meta)):
        return content
    rest = {key: value for key, value in content.items() if key != "_meta"}
    return {**rest, "_meta": kept} if kept else rest


_LEFT_OUT = frozenset({SERVER_INFO_KEY, SUBSCRIPTION_KEY})


def _client_capabilities(announced: object) -> Body:
    """What a client has announced in `initialize`, as it would announce it with each request."""
    known = cast("Body", announced) if isinstance(announced, dict) else {}
    kept: Body = {key: value for key, value in known.items() if isinstance(value, dict)}
    kept = _without_tasks(kept)
    if "roots" in kept:
        kept["roots"] = {}
    elicitation = cast("Body", kept.get("elicitation", {}))
    if "elicitation" in kept and not ("form" in elicitation or "url" in elicitation):
        # Until 2025-06-18 there was nothing but forms, and no name for them.
        kept["elicitation"] = {**elicitation, "form": {}}
    return kept


def _without_tasks(announced: object) -> Body:
    """Capabilities of either side but for tasks, whose shape is another in each era."""
    known = cast("Body", announced) if isinstance(announced, dict) else {}
    kept = {key: value for key, value in known.items() if key != "tasks"}
    extensions = kept.get("extensions")
    if isinstance(extensions, dict):
        offered = cast("Body", extensions)
        kept["extensions"] = {key: value for key, value in offered.items() if key != _TASKS_EXTENSION}
    return kept
