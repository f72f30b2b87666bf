"""What the specification names, as the SDK's models have it, and what of it was said in a session."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import mcp_types
from mcp_types import methods
from pydantic import BaseModel, TypeAdapter, ValidationError

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


_RESULTS = {"client": methods.CLIENT_RESULTS, "server": methods.SERVER_RESULTS}


def fields(era: Era) -> set[tuple[str, str]]:
    """Every member of everything that the maps of an era lead to: (model, field)."""
    models: set[type[BaseModel]] = set()
    for one in (*_MAPS["client"], *_MAPS["server"], *_RESULTS.values()):
        for (_, version), model in one.items():
            if version == VERSIONS[era]:
                _reach(model, models)
    return {(model.__name__, field) for model in models for field in model.model_fields}


def _reach(kind: Any, models: set[type[BaseModel]]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        for inner in get_args(kind):
            _reach(inner, models)
    elif kind not in models:
        models.add(kind)
        for field in kind.model_fields.values():
            _reach(field.annotation, models)


def fields_said(era: Era, wire: Iterable[tuple[str, Json]]) -> set[tuple[str, str]]:
    """Every such member that some message had a value for."""
    found: set[tuple[str, str]] = set()
    asked: dict[tuple[str, Any], str] = {}
    for side, message in wire:
        method, target = message.get("method", ""), None
        if method:
            requests, notifications = _MAPS[side]
            target = (requests if "id" in message else notifications).get((method, VERSIONS[era]))
            asked[side, message.get("id")] = method
        elif "result" in message:
            other = "server" if side == "client" else "client"
            target = _RESULTS[side].get((asked.get((other, message["id"]), ""), VERSIONS[era]))
        if target is not None:
            _note(target, message if method else message["result"], found)
    return found


def _note(target: Any, value: Json, found: set[tuple[str, str]]) -> None:
    try:
        _walk(TypeAdapter(target).validate_python(value), found)
    except ValidationError:
        # A task in place of a result, or content that nobody knows: not what the maps have.
        return


def _walk(value: Any, found: set[tuple[str, str]]) -> None:
    if isinstance(value, BaseModel):
        for field in value.model_fields_set & type(value).model_fields.keys():
            if (inner := getattr(value, field)) is not None:
                found.add((type(value).__name__, field))
                _walk(inner, found)
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            _walk(inner, found)
