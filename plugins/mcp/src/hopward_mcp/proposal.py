"""What a tool might be, guessed from its name, annotations and input schema, for a person to accept.

All of that is the server's own word, so it may only make a proposal more cautious: a hint that a tool is
harmless is ignored, a hint that it is not counts. A name that tells nothing is proposed as `execute`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from hopward import Guard

Kind: TypeAlias = Literal["tools", "mcp_resources", "prompts"]
"""Which table of `[servers.NAME]` an entry belongs to."""

_TYPES: dict[str, str] = {
    "string": "string",
    "integer": "integer",
    "number": "decimal",
    "boolean": "boolean",
}
_CAUTION = ("read", "write", "send", "delete", "execute", "pay")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed entry of `[servers.NAME.tools]` (or `mcp_resources`, `prompts`), and what it rests on."""

    kind: Kind
    name: str
    action: str
    sensitivity: str
    integrity: str
    destination: str
    arguments: Mapping[str, str]
    why: str
    names: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """The entry as `hopward.toml` holds it."""
        entry: dict[str, Any] = {
            "action": self.action,
            "sensitivity": self.sensitivity,
            "integrity": self.integrity,
            "destination": self.destination,
        }
        told = {"arguments": dict(self.arguments), "names": list(self.names)}
        return entry | {key: value for key, value in told.items() if value}


def propose_tool(server: str, tool: Mapping[str, Any]) -> Proposal:
    """A proposal for one tool as `tools/list` describes it."""
    name = str(tool.get("name", ""))
    action, why = Guard.action_told(name)
    hints = _object(tool.get("annotations"))
    if hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True:
        action, why = _raised(action, "delete", why, "destructiveHint")
    elif hints.get("readOnlyHint") is False:
        action, why = _raised(action, "write", why, "readOnlyHint is false")
    arguments = _arguments(_object(tool.get("inputSchema")))
    return Proposal(
        kind="tools",
        name=name,
        action=action,
        sensitivity="internal",
        integrity="untrusted",
        destination=server,
        arguments=arguments,
        why=why,
        names=Guard.names_told(arguments),
    )


def propose_resource(server: str, uri: str) -> Proposal:
    """A proposal for one MCP resource, or for all that a URI template can name."""
    prefix, brace, _ = uri.partition("{")
    why = "an MCP resource is read" if not brace else f"every resource below {prefix}"
    return _reading("mcp_resources", prefix + "*" if brace else uri, server, why)


def propose_prompt(server: str, name: str) -> Proposal:
    """A proposal for one prompt."""
    return _reading("prompts", name, server, "a prompt is read")


def _reading(kind: Kind, name: str, server: str, why: str) -> Proposal:
    return Proposal(
        kind=kind,
        name=name,
        action="read",
        sensitivity="internal",
        integrity="untrusted",
        destination=server,
        arguments={},
        why=why,
    )


def _raised(action: str, at_least: str, why: str, hint: str) -> tuple[str, str]:
    if _CAUTION.index(action) >= _CAUTION.index(at_least):
        return action, why
    return at_least, f"{why}, but the annotation {hint} says more"


def _arguments(schema: Mapping[str, Any]) -> dict[str, str]:
    found = {
        name: _argument_type(_object(property))
        for name, property in _object(schema.get("properties")).items()
    }
    return {name: kind for name, kind in found.items() if kind}


def _argument_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if kind == "array" and _object(schema.get("items")).get("type") == "string":
        return "strings"
    return _TYPES.get(kind, "") if isinstance(kind, str) else ""


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
