"""What the probe's servers offer: every field that a tool, MCP resource, template or prompt can have.

`x-probe` members are known to nobody: they have to survive.
"""

from typing import Any

Json = dict[str, Any]

ICONS = [
    {"src": "https://example.com/light.png", "mimeType": "image/png", "sizes": ["48x48"], "theme": "light"},
    {"src": "data:image/svg+xml,%3Csvg/%3E", "mimeType": "image/svg+xml", "sizes": ["any"], "theme": "dark"},
]
ANNOTATIONS = {"audience": ["user", "assistant"], "priority": 0.25, "lastModified": "2026-01-02T03:04:05Z"}
META = {"example.com/note": {"of": ["the", "server"]}}
UNKNOWN = {"x-probe": {"kept": True}}

INFO = {
    "name": "probe",
    "title": "Probe",
    "version": "1.2.3",
    "description": "Offers every feature.",
    "websiteUrl": "https://example.com/probe",
    "icons": ICONS,
}
INSTRUCTIONS = "Call anything. Zürich: ✓"

CAPABILITIES: Json = {
    "tools": {"listChanged": True},
    "resources": {"listChanged": True, "subscribe": True},
    "prompts": {"listChanged": True},
    "completions": {},
    "logging": {},
    "experimental": {"example.com/experiment": {"level": 2}},
}
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"
EXTENSIONS: Json = {"example.com/extension": {"level": 3}}
"""To which 2026-07-28 adds the one of tasks."""
TASKS: Json = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}


def _tool(name: str, **more: Any) -> Json:
    schema = {"type": "object", "properties": {}, "additionalProperties": True}
    return {"name": name, "inputSchema": schema} | more


RICH = _tool(
    "rich",
    title="Rich",
    description="Has every field.",
    inputSchema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["region"],
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "where": {
                "type": "object",
                "properties": {"level": {"type": "integer", "x-mcp-header": "Level"}},
            },
        },
        "$defs": {"unused": {"const": None}},
    },
    outputSchema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"told": {"type": "string"}},
        "required": ["told"],
    },
    annotations={
        "title": "Rich, annotated",
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": False,
    },
    icons=ICONS,
    _meta=META,
    **UNKNOWN,
)
HIDDEN = "hidden"
"""Classified, but in no task: nobody is shown it."""

PLAIN = (
    "received",
    "content",
    "structured",
    "failing",
    "raising",
    "progressing",
    "waiting",
    "ended",
    "asking",
    "logging",
    "changing",
    "told",
    "large",
    "resumable",
    "slow",
    "vendor",
)


def tools(*, modern: bool) -> list[Json]:
    """Every tool, as it is listed; two pages."""
    rich = RICH if modern else {**RICH, "execution": {"taskSupport": "optional"}}
    return [rich, *(_tool(name) for name in PLAIN[:5]), _tool(HIDDEN), *(_tool(name) for name in PLAIN[5:])]


RESOURCES: list[Json] = [
    {
        "uri": "probe://rich",
        "name": "rich",
        "title": "Rich",
        "description": "Has every field.",
        "mimeType": "text/plain",
        "size": 12,
        "icons": ICONS,
        "annotations": ANNOTATIONS,
        "_meta": META,
        **UNKNOWN,
    },
    {"uri": "secret://hidden", "name": "hidden"},
    {"uri": "probe://plain", "name": "plain"},
]

TEMPLATES: list[Json] = [
    {
        "uriTemplate": "probe://{name}",
        "name": "any",
        "title": "Any",
        "description": "Has every field.",
        "mimeType": "text/plain",
        "icons": ICONS,
        "annotations": ANNOTATIONS,
        "_meta": META,
        **UNKNOWN,
    },
    {"uriTemplate": "secret://{name}", "name": "hidden"},
    {"uriTemplate": "probe://{name}/{part}", "name": "parts"},
]

PROMPTS: list[Json] = [
    {
        "name": "rich",
        "title": "Rich",
        "description": "Has every field.",
        "arguments": [
            {"name": "topic", "title": "Topic", "description": "Of what.", "required": True},
            {"name": "tone"},
        ],
        "icons": ICONS,
        "_meta": META,
        **UNKNOWN,
    },
    {"name": HIDDEN},
    {"name": "asking"},
]

EMBEDDED = {
    "type": "resource",
    "resource": {"uri": "probe://embedded", "mimeType": "text/plain", "text": "in it", "_meta": META},
    "annotations": ANNOTATIONS,
    "_meta": META,
}
TEXT = {"type": "text", "text": "Zürich ✓ \u2028 \U0001f600", "annotations": ANNOTATIONS, "_meta": META}
IMAGE = {
    "type": "image",
    "data": "iVBORw0KGgo=",
    "mimeType": "image/png",
    "annotations": ANNOTATIONS,
    "_meta": META,
}
AUDIO = {
    "type": "audio",
    "data": "UklGRg==",
    "mimeType": "audio/wav",
    "annotations": ANNOTATIONS,
    "_meta": META,
}
LINK = {"type": "resource_link", **RESOURCES[0]}
BLOB = {
    "type": "resource",
    "resource": {
        "uri": "probe://blob",
        "mimeType": "application/octet-stream",
        "blob": "AAEC",
        "_meta": META,
    },
}
CONTENT = [TEXT, IMAGE, AUDIO, LINK, EMBEDDED, BLOB]

CONTENTS = [
    {"uri": "probe://rich", "mimeType": "text/plain", "text": "Zürich ✓", "_meta": META, **UNKNOWN},
    {"uri": "probe://rich/blob", "mimeType": "application/octet-stream", "blob": "AAEC", "_meta": META},
]

MESSAGES = [
    {"role": "user", "content": TEXT},
    {"role": "assistant", "content": IMAGE},
    {"role": "user", "content": AUDIO},
    {"role": "user", "content": LINK},
    {"role": "assistant", "content": EMBEDDED},
]

SAMPLING: Json = {
    "messages": [
        {"role": "user", "content": {"type": "text", "text": "What is the weather?"}, "_meta": META},
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "use-1",
                    "name": "weather",
                    "input": {"in": "Zürich"},
                    "_meta": META,
                }
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "toolUseId": "use-1",
                    "content": [{"type": "text", "text": "rain"}],
                    "structuredContent": {"rain": True},
                    "isError": False,
                    "_meta": META,
                }
            ],
        },
        {"role": "user", "content": IMAGE},
        {"role": "user", "content": AUDIO},
    ],
    "modelPreferences": {
        "hints": [{"name": "small"}],
        "costPriority": 0.5,
        "speedPriority": 0.25,
        "intelligencePriority": 1.0,
    },
    "systemPrompt": "Be brief.",
    "includeContext": "thisServer",
    "temperature": 0.5,
    "maxTokens": 100,
    "stopSequences": ["END"],
    "metadata": {"vendor": {"a": 1}},
    "tools": [{"name": "weather", "description": "Of a city.", "inputSchema": {"type": "object"}}],
    "toolChoice": {"mode": "auto"},
    **UNKNOWN,
}

FORM: Json = {
    "mode": "form",
    "message": "Who are you?",
    "requestedSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "title": "Name",
                "description": "Yours",
                "minLength": 1,
                "maxLength": 9,
            },
            "mail": {"type": "string", "format": "email", "default": "a@example.com"},
            "age": {"type": "integer", "minimum": 0, "maximum": 200},
            "share": {"type": "number", "default": 0.5},
            "sure": {"type": "boolean", "default": False},
            "colour": {"type": "string", "enum": ["red", "blue"], "enumNames": ["Red", "Blue"]},
            "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}]},
            "many": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 2},
        },
        "required": ["name"],
    },
    **UNKNOWN,
}

LINKED: Json = {
    "mode": "url",
    "message": "Please consent.",
    "url": "https://example.com/consent?state=1",
    "_meta": META,
}
