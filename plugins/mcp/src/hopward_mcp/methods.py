"""What each MCP method means to the proxy, in both protocol eras: forward, authorize, filter, or refuse.

Default deny: a request method that is not in `CLIENT_REQUESTS`, nor classified as a vendor's, is refused, a
notification that is not in an allow-list is dropped, and a request of the server is authorized like a call.
Versions 2024-11-05 to 2025-11-25 and 2026-07-28 share the table; a method of the other era is harmless, its
server refuses it.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import unquote

from hopward_mcp.jsonrpc import INVALID_PARAMS, Body, Message, MessageError

Treatment: TypeAlias = Literal["forward", "authorize", "filter", "visible", "subscribe", "mcp_task"]
"""`authorize`: one decision each time. `filter`: the result shows only what the chain may reach.
`visible`: forwarded only when what it refers to is visible to the chain. `subscribe`: one decision for each
MCP resource that it names, and forwarded with those that are permitted. `mcp_task`: only to whose call has
made that MCP task."""

CLIENT_REQUESTS: dict[str, Treatment] = {
    "initialize": "forward",
    "ping": "forward",
    "server/discover": "forward",
    "logging/setLevel": "forward",
    "tools/call": "authorize",
    "resources/read": "authorize",
    "resources/subscribe": "authorize",
    "resources/unsubscribe": "forward",
    "prompts/get": "authorize",
    "tools/list": "filter",
    "resources/list": "filter",
    "resources/templates/list": "filter",
    "prompts/list": "filter",
    "completion/complete": "visible",
    "subscriptions/listen": "subscribe",
    "tasks/get": "mcp_task",
    "tasks/result": "mcp_task",
    "tasks/cancel": "mcp_task",
    "tasks/update": "mcp_task",
    "tasks/list": "filter",
}

CLIENT_NOTIFICATIONS = frozenset(
    {
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
        "notifications/tasks/status",
    }
)

SERVER_REQUESTS = frozenset({"ping"})
"""Always allowed from the server; every other request is authorized."""

REQUEST_PREFIX = "request:"
"""What a server asks of its client is called so, before its method, in capabilities and policies."""

TASK_NOTIFICATIONS = frozenset({"notifications/tasks/status", "notifications/tasks"})
"""How an MCP task stands: 2025-11-25, and the extension of 2026-07-28. They reach whose it is."""

SERVER_NOTIFICATIONS = TASK_NOTIFICATIONS | frozenset(
    {
        "notifications/cancelled",
        "notifications/progress",
        "notifications/message",
        "notifications/resources/updated",
        "notifications/resources/list_changed",
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/elicitation/complete",
        "notifications/subscriptions/acknowledged",
    }
)

LISTEN = "subscriptions/listen"
ENDLESS = frozenset({LISTEN, "tasks/result"})
"""Requests that are answered only when they end, so no time limit applies."""

STATEFUL = frozenset(
    {
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    }
)
"""Requests about a connection: the era 2026-07-28 has none, and a process may serve several clients."""

OLDER_ONLY = STATEFUL | {"tasks/list", "tasks/result"}
"""Requests that 2026-07-28 has no more."""

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
RELATED_KEY = "io.modelcontextprotocol/related-task"
OWN_PREFIX = "dev.hopward/"
"""`_meta` keys of ours; what the other side sends under it is removed."""
STATE = "hopward."
"""How every `requestState` of ours begins, before the mark of the process that made it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Where a list result holds its items, and how an item is called in capabilities and policies."""

    items: str
    field: str
    prefix: str


LISTINGS = {
    "tools/list": Listing("tools", "name", ""),
    "resources/list": Listing("resources", "uri", "resource:"),
    "resources/templates/list": Listing("resourceTemplates", "uriTemplate", "resource:"),
    "prompts/list": Listing("prompts", "name", "prompt:"),
}

NAME_PARAMS = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""The parameter that the header `Mcp-Name` repeats (2026-07-28, Streamable HTTP; tasks: the extension)."""

VENDOR_PREFIX = "vendor:"
"""A request that is not of MCP itself is called so, before its method, in capabilities and policies."""

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_METHOD = re.compile(r"(?=.{1,128}\Z)[A-Za-z][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_URI_LENGTH = 4096
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")


def is_name(name: object) -> bool:
    """Whether a tool or prompt name is one that reads the same to everybody."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def is_method(method: str) -> bool:
    """Whether a method is one that can be classified."""
    return _METHOD.fullmatch(method) is not None


def is_uri(uri: object) -> bool:
    """Whether a URI is absolute, printable, not too long, and free of `.` and `..` segments however spelled.

    A capability may end in `*`; a dot segment would walk out of what such a prefix means.
    """
    if not isinstance(uri, str) or len(uri) > _URI_LENGTH or not uri.isprintable():
        return False
    if _SCHEME.fullmatch(uri) is None:
        return False
    plain = unquote(unquote(uri))
    return "\\" not in plain and not any(part in (".", "..") for part in re.split(r"[/?#]", plain))


def is_listed_name(listing: Listing, name: object) -> bool:
    """Whether a name in a list result is one that could be called at all."""
    if listing.field == "name":
        return is_name(name)
    return listing.field == "uriTemplate" or is_uri(name)


def target(message: Message) -> tuple[str, Body]:
    """The name and arguments to authorize for a request of treatment `authorize`; raises `MessageError`."""
    params = message.params
    if message.method in ("resources/read", "resources/subscribe"):
        return "resource:" + _uri(message, params.get("uri")), {}
    if message.method not in CLIENT_REQUESTS:
        return VENDOR_PREFIX + message.method, without_meta(params)
    name, arguments = params.get("name"), params.get("arguments", {})
    if not is_name(name):
        raise _invalid(message, "name", "The name must match [A-Za-z0-9_./-]{1,128}.")
    if not isinstance(arguments, dict):
        raise _invalid(message, "arguments", "The arguments must be an object.")
    prefix = "prompt:" if message.method == "prompts/get" else ""
    return f"{prefix}{name}", cast("Body", arguments)


def without_meta(params: Body) -> Body:
    """Params without `_meta`: the arguments of a request whose params are its own."""
    return {key: value for key, value in params.items() if key != "_meta"}


def references(message: Message) -> list[str]:
    """What a request of treatment `visible` or `subscribe` refers to; raises `MessageError`."""
    if message.method == "completion/complete":
        return [_reference(message, message.params.get("ref"))]
    wanted = message.params.get("notifications", {})
    if not isinstance(wanted, dict):
        raise _invalid(message, "notifications", "The notifications must be an object.")
    uris = cast("Body", wanted).get("resourceSubscriptions")
    if uris is None:
        return []
    if not isinstance(uris, list):
        raise _invalid(message, "notifications", "The resourceSubscriptions must be a list of URIs.")
    return ["resource:" + _uri(message, uri) for uri in cast("list[Any]", uris)]


def is_modern(message: Message) -> bool:
    """Whether a request carries the per-request envelope of 2026-07-28."""
    meta = message.params.get("_meta")
    return isinstance(meta, dict) and VERSION_KEY in meta


def _reference(message: Message, ref: object) -> str:
    if not isinstance(ref, dict):
        raise _invalid(message, "ref", "The ref must be an object.")
    ref = cast("Body", ref)
    if ref.get("type") == "ref/prompt" and is_name(ref.get("name")):
        return f"prompt:{ref['name']}"
    template = ref.get("uri")
    if ref.get("type") == "ref/resource" and isinstance(template, str) and len(template) <= _URI_LENGTH:
        return f"resource:{template}"
    raise _invalid(message, "ref", "The ref must name a prompt or an MCP resource.")


def _uri(message: Message, uri: object) -> str:
    if not is_uri(uri):
        raise _invalid(message, "uri", "The URI must be absolute, without dot segments.")
    return cast("str", uri)


def _invalid(message: Message, reason: str, sentence: str) -> MessageError:
    return MessageError(INVALID_PARAMS, reason, sentence, message.id)
