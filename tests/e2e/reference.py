"""A server, run by the tests as a process of its own, with all that the MCP conformance suite asks for.

    reference.py RECORD    prints the port it listens on

It stands on the MCP SDK's low-level server. RECORD gets one line for each message that it is sent: the
method, and whether a credential came with it. Tools, prompts and MCP resources have the names
by which the suite calls them.
"""

import asyncio
import base64
import json
import socket
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp.types import INVALID_PARAMS, JSONRPCMessage, SamplingMessage, TextContent

Body: TypeAlias = dict[str, Any]
Tool: TypeAlias = Callable[[Any, Any], Awaitable[Body]]

MISSING_CAPABILITY = -32021
PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
).decode()
SILENCE = base64.b64encode(
    b"RIFF$\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00@\x1f\x00\x00@\x1f\x00\x00\x01"
    b"\x00\x08\x00data\x00\x00\x00\x00"
).decode()

CHANGES = InMemorySubscriptionBus()


def text(words: str) -> Body:
    return {"type": "text", "text": words}


def answer(*content: Body) -> Body:
    return {"content": list(content)}


def embedded(uri: str, mime: str, words: str) -> Body:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": words}}


IMAGE: Body = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
AUDIO: Body = {"type": "audio", "data": SILENCE, "mimeType": "audio/wav"}


def always(result: Body) -> Tool:
    """A tool with one answer."""

    async def call(ctx: Any, params: Any) -> Body:
        return result

    return call


async def with_logging(ctx: Any, params: Any) -> Body:
    for words in ("started", "under way", "finished"):
        await ctx.session.send_log_message("info", words, related_request_id=ctx.request_id)
    return answer(text("Logged three times."))


async def with_progress(ctx: Any, params: Any) -> Body:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
    return answer(text("Done, with progress."))


async def sampling(ctx: Any, params: Any) -> Body:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=params.arguments["prompt"]))
    said = await ctx.session.create_message(
        messages=[asked], max_tokens=100, related_request_id=ctx.request_id
    )
    return answer(text(f"LLM response: {said.content.text}"))


def eliciting(properties: Body) -> Tool:
    """A tool that asks the user for these values during the call, as the versions up to 2025-11-25 do."""

    async def call(ctx: Any, params: Any) -> Body:
        given: Body = params.arguments or {}
        schema = {"type": "object", "properties": properties}
        said = await ctx.session.elicit_form(given.get("message", "?"), schema, ctx.request_id)
        return answer(
            text(f"Elicitation completed: action={said.action}, content={json.dumps(said.content)}")
        )

    return call


async def reconnecting(ctx: Any, params: Any) -> Body:
    await ctx.request.scope["begun"].wait()
    await ctx.close_sse_stream()
    return answer(text("Answered on another stream."))


async def changing_tools(ctx: Any, params: Any) -> Body:
    await CHANGES.publish(ToolsListChanged())
    return answer(text("Said that the tools have changed."))


async def changing_prompts(ctx: Any, params: Any) -> Body:
    await CHANGES.publish(PromptsListChanged())
    return answer(text("Said that the prompts have changed."))


async def missing_capability(ctx: Any, params: Any) -> Body:
    if "sampling" in capabilities(ctx):
        return answer(text("The client can sample."))
    needed: Body = {"requiredCapabilities": {"sampling": {}}}
    raise MCPError(MISSING_CAPABILITY, "This tool needs the client's capability 'sampling'.", needed)


def capabilities(ctx: Any) -> Mapping[str, Any]:
    declared = ctx.session.client_capabilities
    return {} if declared is None else declared.model_dump(by_alias=True, exclude_none=True)


def form(message: str, **properties: str) -> Body:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def sample(question: str) -> Body:
    messages = [{"role": "user", "content": text(question)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


ROOTS: Body = {"method": "roots/list", "params": {}}


def required(requests: Body, state: str | None = None) -> Body:
    result: Body = {"resultType": "input_required", "inputRequests": requests}
    return result if state is None else result | {"requestState": state}


def asking(*rounds: Body, stateful: bool = True, done: Body | None = None) -> Tool:
    """A tool that asks for more, one round after the other, until all that it asked for is there."""
    finished = done or answer(text("state-ok"))

    async def call(ctx: Any, params: Any) -> Body:
        number = int(params.request_state or 0)
        if params.input_responses and rounds[number].keys() <= params.input_responses.keys():
            number += 1
        if number == len(rounds):
            return finished
        return required(rounds[number], str(number) if stateful else None)

    return call


async def asking_what_is_there(ctx: Any, params: Any) -> Body:
    """Asks only for what the client has declared that it can do."""
    there = capabilities(ctx)
    possible = {"elicitation": NAME["user_name"], "sampling": sample("Hello?"), "roots": ROOTS}
    return required({name: asked for name, asked in possible.items() if name in there})


NAME = {"user_name": form("What is your name?", name="string")}
CONFIRM = {"confirm": form("Please confirm", ok="boolean")}
EVERYTHING = NAME | {"greeting": sample("Generate a greeting"), "client_roots": ROOTS}
CAPITAL = {"capital_question": sample("What is the capital of France?")}
STEPS = ({"step1": form("Your name?", name="string")}, {"step2": form("Your colour?", colour="string")})

CHOICES = ["first", "second", "third"]
TITLED = [{"const": choice, "title": f"The {choice}"} for choice in CHOICES]
DEFAULTS: Body = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
ENUMS: Body = {
    "untitledSingle": {"type": "string", "enum": CHOICES},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {"type": "string", "enum": CHOICES, "enumNames": [choice.title() for choice in CHOICES]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": CHOICES}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}

MIXED = embedded("test://mixed-content-resource", "application/json", '{"test": true}')

TASK_TOOLS = (
    *("greet", "slow_compute", "failing_job", "protocol_error_job"),
    *("confirm_delete", "multi_input", "test_tool_with_task"),
)
"""The suite calls them as tasks of the extension `io.modelcontextprotocol/tasks`; the SDK has no tasks."""

TOOLS: dict[str, Tool] = {
    "test_simple_text": always(answer(text("A simple answer."))),
    "test_image_content": always(answer(IMAGE)),
    "test_audio_content": always(answer(AUDIO)),
    "test_embedded_resource": always(answer(embedded("test://embedded-resource", "text/plain", "Embedded."))),
    "test_multiple_content_types": always(answer(text("Mixed:"), IMAGE, MIXED)),
    "test_tool_with_logging": with_logging,
    "test_logging_tool": with_logging,
    "test_tool_with_progress": with_progress,
    "test_error_handling": always(answer(text("This tool always fails.")) | {"isError": True}),
    "test_sampling": sampling,
    "test_elicitation": eliciting({"response": {"type": "string", "description": "The answer"}}),
    "test_elicitation_sep1034_defaults": eliciting(DEFAULTS),
    "test_elicitation_sep1330_enums": eliciting(ENUMS),
    "test_reconnection": reconnecting,
    "test_trigger_tool_change": changing_tools,
    "test_trigger_prompt_change": changing_prompts,
    "test_missing_capability": missing_capability,
    "test_streaming_elicitation": asking(NAME, stateful=False),
    "test_input_required_result_elicitation": asking(NAME, stateful=False),
    "test_input_required_result_sampling": asking(CAPITAL, stateful=False),
    "test_input_required_result_list_roots": asking({"client_roots": ROOTS}, stateful=False),
    "test_input_required_result_request_state": asking(CONFIRM),
    "test_input_required_result_tampered_state": asking(CONFIRM),
    "test_input_required_result_multiple_inputs": asking(EVERYTHING),
    "test_input_required_result_multi_round": asking(*STEPS),
    "test_input_required_result_capabilities": asking_what_is_there,
    "json_schema_2020_12_tool": always(answer(text("Whatever the schema says."))),
    "test_mirrored_argument": always(answer(text("In the body and in a header."))),
    **dict.fromkeys(TASK_TOOLS, always(answer(text("Done at once, without a task.")))),
}

SCHEMAS: dict[str, Body] = {
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {
        "type": "object",
        "properties": {"message": {"type": "string"}},
        "required": ["message"],
    },
    "test_mirrored_argument": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {"$anchor": "here", "type": "object", "properties": {"street": {"type": "string"}}}
        },
        "properties": {
            "address": {"$ref": "#/$defs/address"},
            "by": {"type": "string", "enum": ["phone", "email"]},
        },
        "allOf": [{"anyOf": [{"required": ["by"]}, {"required": ["address"]}]}],
        "if": {"properties": {"by": {"const": "phone"}}},
        "then": {"required": ["by"]},
        "else": {"required": ["address"]},
        "additionalProperties": False,
    },
}

RESOURCES: dict[str, Body] = {
    "test://static-text": {"mimeType": "text/plain", "text": "The text of a static MCP resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PIXEL},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}
TEMPLATE = "test://template/{id}/data"

PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}
CONTEXT = {"user_context": form("What context?", context="string")}


def said(*content: Body) -> Body:
    return {"messages": [{"role": "user", "content": one} for one in content]}


def schema(tool: str) -> Body | None:
    return SCHEMAS.get(tool, {"type": "object"}) if tool in TOOLS else None


async def list_tools(ctx: Any, params: Any) -> Body:
    def about(name: str) -> Body:
        return {"name": name, "description": f"Tests {name}.", "inputSchema": schema(name)}

    return {"tools": [about(name) for name in TOOLS]}


async def call_tool(ctx: Any, params: Any) -> Body:
    if params.name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name}.")
    return await TOOLS[params.name](ctx, params)


async def list_resources(ctx: Any, params: Any) -> Body:
    def about(uri: str) -> Body:
        kind = RESOURCES[uri]["mimeType"]
        return {"uri": uri, "name": uri, "description": "An MCP resource.", "mimeType": kind}

    return {"resources": [about(uri) for uri in RESOURCES]}


async def list_templates(ctx: Any, params: Any) -> Body:
    about = {"name": "by id", "description": "Data by its id.", "mimeType": "application/json"}
    return {"resourceTemplates": [{"uriTemplate": TEMPLATE, **about}]}


async def read_resource(ctx: Any, params: Any) -> Body:
    before, after = TEMPLATE.split("{id}")
    content = RESOURCES.get(params.uri)
    if params.uri.startswith(before) and params.uri.endswith(after):
        name = params.uri.removeprefix(before).removesuffix(after)
        content = {"mimeType": "application/json", "text": json.dumps({"id": name, "templateTest": True})}
    if content is None:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": params.uri})
    return {"contents": [{"uri": params.uri, **content}]}


async def list_prompts(ctx: Any, params: Any) -> Body:
    def about(name: str) -> Body:
        arguments = [{"name": one, "description": f"The {one}.", "required": True} for one in PROMPTS[name]]
        return {"name": name, "description": f"Tests {name}.", "arguments": arguments}

    return {"prompts": [about(name) for name in PROMPTS]}


async def get_prompt(ctx: Any, params: Any) -> Body:
    given: Body = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return said(text("A simple prompt."))
        case "test_prompt_with_arguments":
            return said(text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"))
        case "test_prompt_with_embedded_resource":
            return said(embedded(given["resourceUri"], "text/plain", "Embedded."), text("Look at it."))
        case "test_prompt_with_image":
            return said(IMAGE, text("Look at it."))
        case "test_input_required_result_prompt":
            return await asking(CONTEXT, stateful=False, done=said(text("In that context.")))(ctx, params)
        case _:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {params.name}.")


async def complete(ctx: Any, params: Any) -> Body:
    return {"completion": {"values": [f"{params.argument.value}-1"], "total": 1, "hasMore": False}}


async def nothing(ctx: Any, params: Any) -> Body:
    return {}


class Stored(EventStore):
    """What was sent on each stream, for clients that come back for the rest."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._sent.append((stream_id, message))
        return str(len(self._sent) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        stream = self._sent[int(last_event_id)][0]
        for number, (its, message) in enumerate(self._sent):
            if its == stream and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def whole(handle: Tool) -> Tool:
    """The handler, with the type that 2026-07-28 wants of every result; older versions are not sent it."""

    async def handle_whole(ctx: Any, params: Any) -> Body:
        return {"resultType": "complete", **await handle(ctx, params)}

    return handle_whole


def recorded(app: Any, record: Path) -> Any:
    """The application; each request is written down before it is served, and its scope has an event that says
    whether its answer has begun."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        begun = scope["begun"] = asyncio.Event()
        body = b""

        async def read() -> Any:
            nonlocal body
            message = await receive()
            if message["type"] == "http.request":
                body += message["body"]
                if body and not message["more_body"]:
                    write_down(record, scope["headers"], body)
            return message

        async def tell(message: Any) -> None:
            await send(message)
            if message.get("body"):
                begun.set()

        await app(scope, read, tell)

    return serve


def write_down(record: Path, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    message = json.loads(body)
    bearer = dict(headers).get(b"authorization", b"")
    line = {"method": message.get("method"), "credential": bearer.count(b".") == 2}
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def build() -> Server[Any]:
    hint = CacheHint(ttl_ms=60_000)
    cacheable = ("tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read")
    handlers: dict[str, Any] = {
        "get_tool_input_schema": schema,
        "cache_hints": dict.fromkeys(cacheable, hint),
        "on_list_tools": whole(list_tools),
        "on_call_tool": whole(call_tool),
        "on_list_resources": whole(list_resources),
        "on_list_resource_templates": whole(list_templates),
        "on_read_resource": whole(read_resource),
        "on_subscribe_resource": nothing,
        "on_unsubscribe_resource": nothing,
        "on_subscriptions_listen": ListenHandler(CHANGES),
        "on_list_prompts": whole(list_prompts),
        "on_get_prompt": whole(get_prompt),
        "on_completion": whole(complete),
        "on_set_logging_level": nothing,
    }
    server = Server[Any]("reference", version="1", **handlers)
    sealed = RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="reference")
    server.middleware[:] = [sealed]
    return server


def main() -> None:
    """Serve until stopped."""
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    app = recorded(build().streamable_http_app(event_store=Stored(), retry_interval=100), Path(sys.argv[1]))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, http="h11", log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
