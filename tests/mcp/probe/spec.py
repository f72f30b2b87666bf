"""What the specification names, as the SDK's models have it, and what of it was said in a session."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import mcp_types
from mcp_types import methods

from .talk import VERSIONS, Era, Json

_MAPS = {
    "client": (methods.CLIENT_REQUESTS, methods.CLIENT_NOTIFICATIONS),
    "server": (methods.SERVER_REQUESTS, methods.SERVER_NOTIFICATIONS),
}


def named(era: Era) -> set[tuple[str, str]]:
    """Who may send which request or notification in an era: (`client` or `server`, method)."""
    found = {
        (side, method)
        for side, maps in _MAPS.items()
        for one in maps
        for method, version in one
        if version == VERSIONS[era]
    }
    # The SDK has models of the core's tasks, but not in its maps: either side may send all of them.
    return found | ({(side, method) for side in _MAPS for method in _of_tasks()} if era == "older" else set())


def _of_tasks() -> set[str]:
    kinds = [
        one for one in vars(mcp_types).values() if isinstance(one, type) and hasattr(one, "model_fields")
    ]
    literals = {
        get_args(kind.model_fields["method"].annotation) for kind in kinds if "method" in kind.model_fields
    }
    known = methods.MONOLITH_REQUESTS.keys() | methods.MONOLITH_NOTIFICATIONS.keys()
    return {one for literal in literals for one in literal if isinstance(one, str) and one not in known}


def said(wire: Iterable[tuple[str, Json]]) -> set[tuple[str, str]]:
    """Who has sent which request or notification."""
    return {(side, message["method"]) for side, message in wire if "method" in message}


def kinds_of_content() -> set[str]:
    """The `type` of everything that can be content, of a tool, a prompt, or a sampled message."""
    models: list[Any] = [*get_args(mcp_types.ContentBlock), *get_args(mcp_types.SamplingMessageContentBlock)]
    return {get_args(model.model_fields["type"].annotation)[0] for model in models}


def types_said(value: Any) -> set[str]:
    """Every `type` somewhere in a JSON value."""
    if isinstance(value, Mapping):
        own = {value["type"]} if isinstance(value.get("type"), str) else set()
        return own.union(*(types_said(inner) for inner in value.values()))
    return set().union(*(types_said(inner) for inner in value)) if isinstance(value, list) else set()
