"""What a message is, said a second time and as plainly as it can be: the judge of `hopward_mcp.jsonrpc`.

Written after JSON-RPC 2.0 and the proxy's own rules, without its code.
"""

import json
import math
from typing import Any

ENVELOPE = ("jsonrpc", "id", "method", "params", "result", "error")
PARAMS = (
    *("_meta", "name", "arguments", "uri", "ref", "notifications", "requestId", "progressToken", "cursor"),
    *("inputResponses", "requestState", "task", "argument", "context", "protocolVersion", "capabilities"),
)
RESULT = (
    *("_meta", "capabilities", "tools", "resources", "resourceTemplates", "prompts", "inputRequests"),
    *("isError", "cacheScope"),
)
INNER = {"ref": ("type", "name", "uri"), "notifications": ("resourceSubscriptions",)}


class Unclear(Exception):
    """A message that two readers could read in two ways, or that is none."""


def read(raw: bytes, *, max_bytes: int, max_depth: int, every_key: bool) -> dict[str, Any]:
    """The message in `raw`; raises `Unclear`."""
    if len(raw) > max_bytes:
        raise Unclear("size")
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=lambda pairs: pairs_of(pairs, every_key))
    except (ValueError, RecursionError) as error:
        raise Unclear(str(error)) from None
    if not isinstance(value, dict):
        raise Unclear("no object")
    walk(value, max_depth)
    well_formed(value)
    return value


def pairs_of(pairs: list[tuple[str, Any]], every_key: bool) -> dict[str, Any]:
    keys = [key.casefold() if every_key else key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise Unclear("keys")
    return dict(pairs)


def walk(value: Any, levels: int) -> None:
    """Nothing too deep, no number that is none, no half of a character."""
    match value:
        case str():
            surrogate_free(value)
        case float() if not math.isfinite(value):
            raise Unclear("number")
        case dict():
            if levels == 0:
                raise Unclear("depth")
            for key, inner in value.items():
                surrogate_free(key)
                walk(inner, levels - 1)
        case list():
            if levels == 0:
                raise Unclear("depth")
            for inner in value:
                walk(inner, levels - 1)
        case _:
            pass


def surrogate_free(text: str) -> None:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Unclear("surrogate")


def well_formed(body: dict[str, Any]) -> None:
    """A request, a notification or a response, and nothing that could be taken for another."""
    spelled(body, ENVELOPE)
    has = body.keys()
    message_id = body.get("id")
    typed = isinstance(message_id, int | str) and not isinstance(message_id, bool)
    answers_nothing = "error" in has and "id" in has and message_id is None
    if body.get("jsonrpc") != "2.0" or ("id" in has and not (typed or answers_nothing)):
        raise Unclear("envelope")
    if "method" in has:
        params = body.get("params", {})
        if {"result", "error"} & has or not isinstance(body["method"], str) or not isinstance(params, dict):
            raise Unclear("shape")
        spelled(params, PARAMS)
        for name, members in INNER.items():
            if isinstance(params.get(name), dict):
                spelled(params[name], members)
        if not isinstance(params.get("_meta", {}), dict):
            raise Unclear("_meta")
        return
    content = body.get("result", body.get("error"))
    if "id" not in has or ("result" in has) is ("error" in has) or not isinstance(content, dict):
        raise Unclear("shape")
    if "result" in has:
        spelled(content, RESULT)


def spelled(body: dict[str, Any], known: tuple[str, ...]) -> None:
    exact = {name.casefold(): name for name in known}
    if any(exact.get(key.casefold(), key) != key for key in body):
        raise Unclear("case")
