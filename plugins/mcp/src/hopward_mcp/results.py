"""What a server's result may bring to the client, and what it says about the call."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

import msgspec

from hopward import Outcome, digest
from hopward_mcp.jsonrpc import Body, dump
from hopward_mcp.methods import LISTINGS, OWN_PREFIX, SUBSCRIPTION_KEY, is_listed_name

_log = logging.getLogger(__name__)

Visible: TypeAlias = Callable[[Iterable[str]], frozenset[str]]
"""Which of these names the caller may reach."""


def filtered(method: str, result: Body, visible: Visible) -> Body:
    """A list result with only the items the caller may reach; empty when anything about it is wrong."""
    listing = LISTINGS[method]
    kept: list[Any] = []
    try:
        named = [
            (listing.prefix + item[listing.field], item)
            for item in result[listing.items]
            if is_listed_name(listing, item[listing.field])
        ]
        reachable = visible([name for name, _ in named])
        kept = [item for name, item in named if name in reachable]
    except Exception:  # noqa: BLE001 - per-message boundary: a list that cannot be filtered is empty
        _log.exception("the result of %s could not be filtered; an empty list is shown", method)
    shown = {**result, listing.items: kept}
    if "cacheScope" in shown:
        shown["cacheScope"] = "private"
    return shown


def outcome(body: Body, duration: int) -> Outcome:
    """What a response says about a permitted call. `duration` is microseconds."""
    result = body.get("result")
    if result is None:
        code = cast("Body", body["error"]).get("code")
        # The log takes no text of the server's.
        shown = code if type(code) is int and abs(code) < 2**31 else "?"
        return Outcome(status="error", error=f"json-rpc {shown}", duration=duration)
    status = "tool_error" if result.get("isError") is True else "ok"
    ended = Outcome(status=status, result_digest=digest(result), duration=duration, size=len(dump(result)))
    if result.get("resultType") == "input_required":
        # The client makes the call again with the input, and that is a call of its own.
        return msgspec.structs.replace(ended, error="input_required")
    return ended


def without_own_meta(content: Body) -> Body:
    """Params or a result without `_meta` keys that only Hopward writes; the same object if none is there."""
    meta = content.get("_meta")
    if not isinstance(meta, dict):
        return content
    meta = cast("Body", meta)
    if not any(key.casefold().startswith(OWN_PREFIX) for key in meta):
        return content
    kept = {key: value for key, value in meta.items() if not key.casefold().startswith(OWN_PREFIX)}
    return {**content, "_meta": kept}


def with_subscription(content: Body, ids: Callable[[object], object | None]) -> Body:
    """Params or a result whose subscription id is the client's own; the same object if it carries none."""
    meta = content.get("_meta")
    if not isinstance(meta, dict) or SUBSCRIPTION_KEY not in meta:
        return content
    meta = cast("Body", meta)
    own = ids(meta[SUBSCRIPTION_KEY])
    return content if own is None else {**content, "_meta": {**meta, SUBSCRIPTION_KEY: own}}


def with_progress(body: Body, key: int) -> Body:
    """A request that asks for its progress under our id; the same object if it asks for none."""
    params = body.get("params", {})
    if "progressToken" not in params.get("_meta", {}):
        return body
    return {**body, "params": {**params, "_meta": {**params["_meta"], "progressToken": key}}}
