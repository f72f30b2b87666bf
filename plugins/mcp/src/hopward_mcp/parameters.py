"""Arguments that a tool wants repeated in HTTP headers (2026-07-28), as its own schema marks them.

    {"properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}    Mcp-Param-Region: eu

The schema is the server's word: it can have an argument of the call repeated under this prefix, no more.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias, cast

from hopward_mcp.headers import encoded
from hopward_mcp.jsonrpc import Body, Message

_MARK: Final = "x-mcp-header"
_TYPES = frozenset({"string", "integer", "boolean"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_MOST = 4_096

_Path: TypeAlias = tuple[str, ...]


class Parameters:
    """What the tools of one server have marked, as far as the client has listed them."""

    def __init__(self) -> None:
        self._marked: dict[str, dict[str, _Path]] = {}

    def learn(self, listed: Body) -> None:
        """Note what the result of a `tools/list` says."""
        tools = listed.get("tools")
        for tool in cast("list[object]", tools) if isinstance(tools, list) else []:
            entry = cast("Body", tool) if isinstance(tool, dict) else {}
            name = entry.get("name")
            if isinstance(name, str) and (name in self._marked or len(self._marked) < _MOST):
                self._marked[name] = dict(_marks(entry.get("inputSchema"), ()))

    def headers(self, call: Message) -> dict[str, str]:
        """The headers that repeat arguments of a call; none for what is not there."""
        headers: dict[str, str] = {}
        for header, path in self._marked.get(str(call.params.get("name")), {}).items():
            text = _text(_value(call.params.get("arguments"), path))
            if text is not None:
                headers[f"mcp-param-{header.lower()}"] = encoded(text)
        return headers


def _marks(schema: object, path: _Path) -> Iterator[tuple[str, _Path]]:
    """Header and place of each marked property; what a schema reaches otherwise has no one place."""
    properties = cast("Body", schema).get("properties") if isinstance(schema, dict) else None
    for name, inner in cast("Body", properties).items() if isinstance(properties, dict) else ():
        if not isinstance(inner, dict):
            continue
        inner = cast("Body", inner)
        header = inner.get(_MARK)
        if isinstance(header, str) and _TOKEN.fullmatch(header) and inner.get("type") in _TYPES:
            yield header, (*path, name)
        yield from _marks(inner, (*path, name))


def _value(arguments: object, path: _Path) -> object:
    for key in path:
        if not isinstance(arguments, dict):
            return None
        arguments = cast("Body", arguments).get(key)
    return arguments


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None
