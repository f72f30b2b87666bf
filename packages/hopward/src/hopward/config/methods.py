"""Which MCP methods may be classified: none that the protocol itself gives a meaning elsewhere.

A classified name is authorized and then forwarded as it stands. A method with a treatment of its own, such as
`tools/call`, would lose that treatment.
"""

from hopward.config import forms
from hopward.pattern import folded

PING = "ping"
OF_SERVERS = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})
"""What the protocol lets a server ask its client (2025-11-25; in 2026-07-28 as `inputRequests`)."""

RESERVED = frozenset(
    {
        "initialize",
        "ping",
        "server",
        "logging",
        "tools",
        "resources",
        "prompts",
        "completion",
        "subscriptions",
        "tasks",
        "sampling",
        "elicitation",
        "roots",
        "notifications",
        "rpc",
    }
)
"""What methods of MCP, now or in a later version, begin with; no other method may (`rpc.` is JSON-RPC's)."""


_OWN_NOTIFICATIONS = frozenset({"initialized", "cancelled", "progress", "message"})


def wrong_server_request(method: str) -> str:
    """What is wrong with a method as a request of a server, or empty."""
    if method == PING:
        return "is always allowed; leave it out"
    if method in OF_SERVERS:
        return ""
    wrong = _wrong_form(method)
    if not wrong and is_reserved(method):
        wrong = f"is no request that a server may send; those are {', '.join(sorted(OF_SERVERS))}"
    return wrong


def wrong_vendor_method(method: str) -> str:
    """What is wrong with a method as one that is not of MCP itself, or empty."""
    wrong = _wrong_form(method)
    if not wrong and is_reserved(method):
        wrong = (
            "is a name of the protocol itself, which treats it in its own way; this table is for all others"
        )
    return wrong


def wrong_vendor_notification(method: str) -> str:
    """What is wrong with a notification as one that is not of MCP itself, or empty."""
    wrong = _wrong_form(method)
    first, _, rest = folded(method).partition("/")
    inner = rest if first == "notifications" else method
    if not wrong and (
        not inner or is_reserved(inner) or folded(inner).partition("/")[0] in _OWN_NOTIFICATIONS
    ):
        wrong = "is a name of the protocol itself; its notifications need no entry"
    return wrong


def is_reserved(method: str) -> bool:
    """Whether a method could be taken for one of the protocol's own."""
    first = folded(method).partition("/")[0]
    return first in RESERVED or first.startswith(("rpc.", "notifications."))


def _wrong_form(method: str) -> str:
    if forms.METHOD_NAME.fullmatch(method):
        return ""
    return "must be an MCP method such as roots/list: 1 to 128 of A-Z a-z 0-9 _ . / -, no pattern"
