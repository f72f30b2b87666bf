"""`subscriptions/listen` of 2026-07-28: each MCP resource that it names is a decision of its own.

What is not permitted is left out before the request goes on, and so the server acknowledges what is left
(2026-07-28, basic/utilities/subscriptions: the subset it honours). The outcome of each permit is what the
server acknowledges of it.
"""

from collections.abc import Container
from dataclasses import replace
from typing import Any, cast

from hopward import HopwardError, Outcome, ToolCall
from hopward_mcp.authority import Obtained
from hopward_mcp.gate import Gate
from hopward_mcp.jsonrpc import INVALID_PARAMS, Body, Message, MessageError
from hopward_mcp.methods import references
from hopward_mcp.pending import Pending

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

_MOST = 1_024
"""MCP resources that one request may name."""


def subscribed(server: str, message: Message) -> list[ToolCall]:
    """What a listen is authorized as: one call for each MCP resource. Raises `MessageError`."""
    names = list(dict.fromkeys(references(message)))
    if len(names) > _MOST:
        sentence = f"A subscription names at most {_MOST} MCP resources."
        raise MessageError(INVALID_PARAMS, "notifications", sentence, message.id)
    return [ToolCall(server=server, tool=name, arguments={}) for name in names]


def uri_of(call: ToolCall) -> str:
    """The MCP resource that a call is about."""
    return call.tool.removeprefix("resource:")


def narrowed(message: Message, permitted: Container[str]) -> Message | None:
    """A listen for no more MCP resources than these; None if it would be for nothing."""
    wanted = cast("Body", message.params["notifications"])
    named = cast("list[str]", wanted["resourceSubscriptions"])
    kept = [uri for uri in named if uri in permitted]
    if len(kept) == len(named):
        return message
    left = {key: value for key, value in wanted.items() if key != "resourceSubscriptions"}
    left |= {"resourceSubscriptions": kept} if kept else {}
    if not any(left.values()):
        return None
    params = {**message.params, "notifications": left}
    return replace(message, params=params, body={**message.body, "params": params})


def taken(params: Body) -> frozenset[str]:
    """The MCP resources in an acknowledgement."""
    told = params.get("notifications")
    uris: Any = cast("Body", told).get("resourceSubscriptions") if isinstance(told, dict) else None
    if not isinstance(uris, list):
        return frozenset()
    return frozenset(uri for uri in cast("list[Any]", uris) if isinstance(uri, str))


def acknowledged(acknowledged: Container[str], duration: int, uri: str) -> Outcome:
    """The outcome of a permit to subscribe. `duration` is microseconds."""
    if uri in acknowledged:
        return Outcome(status="ok", duration=duration)
    return Outcome(status="error", error="not_subscribed", duration=duration)


def credential(gate: Gate, pending: Pending, uri: str, then: Obtained) -> None:
    """The credential for one subscription of a listen, empty where none goes with a call.

    `then` may be called at once.
    """
    permit = pending.permits.get(uri)
    if permit is None:
        then(HopwardError("This subscription was not permitted.", error="not_permitted"))
    elif not gate.courier.per_call:
        then("")
    elif gate.authority is not None:
        gate.authority.ask(gate.asking(permit.decision, permit.call, pending.subject_token), then)
    else:
        try:
            token: str | HopwardError = gate.guard.mint(permit.decision, permit.call)
        except HopwardError as error:
            token = error
        then(token)
