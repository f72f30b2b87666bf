"""A server built with the mcp SDK that speaks 2026-07-28 alone, and keeps what its handlers are asked.

    modern_server.py RECORD stdio
    modern_server.py RECORD http PORT

A line of RECORD is `{"method": ..., "params": ...}`, `{"cancelled": TOOL}` or `{"pid": ...}`, the first. A
tool's name says what it does.
"""

import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import uvicorn
from mcp.server import runner
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    CompleteResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListRootsRequest,
    ListToolsResult,
    Prompt,
    PromptMessage,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SamplingMessage,
    TextContent,
    TextResourceContents,
    Tool,
)

BUS = InMemorySubscriptionBus()
STATE = 'state:\u00e9\u2028 with "quotes", \\ and spaces  '
TOOLS = (
    "echo",
    "steps",
    "slow",
    "chatter",
    "form",
    "visit",
    "sample",
    "roots",
    "all",
    "endless",
    "later",
    "touch",
)
QUESTION = ElicitRequestFormParams(
    message="Your name?", requested_schema={"type": "object", "properties": {"name": {"type": "string"}}}
)
ASKED: dict[str, Any] = {
    "form": ElicitRequest(params=QUESTION),
    "visit": ElicitRequest(
        params=ElicitRequestURLParams(message="Sign in", url="https://idp.example/consent")
    ),
    "sample": CreateMessageRequest(
        params=CreateMessageRequestParams(
            messages=[SamplingMessage(role="user", content=TextContent(text="Say hi"))], max_tokens=9
        )
    ),
    "roots": ListRootsRequest(),
}


def text(value: Any) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=json.dumps(value))])


def wanted(name: str, params: CallToolRequestParams) -> InputRequiredResult | None:
    """What a tool wants before it answers."""
    given = params.input_responses or {}
    if name == "endless":
        return InputRequiredResult(input_requests={"again": ASKED["form"]}, request_state=STATE)
    if name == "later":
        rounds = int(params.request_state or 0) + 1
        return InputRequiredResult(request_state=str(rounds)) if rounds < 4 else None
    names = ("form", "sample", "roots") if name == "all" else (name,)
    missing = {one: ASKED[one] for one in names if one in ASKED and one not in given}
    return InputRequiredResult(input_requests=missing, request_state=STATE) if missing else None


class Desk:
    """The handlers."""

    def __init__(self, record: str) -> None:
        self._record = record

        self.note({"pid": os.getpid()})

    def note(self, entry: dict[str, Any]) -> None:
        with open(self._record, "a") as file:
            file.write(json.dumps(entry) + "\n")

    async def seen(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Middleware: keep what comes."""
        self.note(
            {"method": ctx.method, "params": json.loads(json.dumps(dict(ctx.params or {}), default=str))}
        )
        return await call_next(ctx)

    async def call(self, ctx: Any, params: CallToolRequestParams) -> Any:
        name = params.name
        needed = wanted(name, params)
        if needed is not None:
            return needed
        if name == "steps":
            for step in range(1, 6):
                await ctx.session.report_progress(step, 5)
        elif name == "slow":
            await self.wait()
        elif name == "chatter":
            await ctx.session.send_log_message("warning", "smoke", related_request_id=ctx.request_id)
            await ctx.session.send_log_message("debug", "dust", related_request_id=ctx.request_id)
        elif name == "touch":
            await BUS.publish(ResourceUpdated("ticket://1"))
            await BUS.publish(ResourceUpdated("ticket://2"))
            await BUS.publish(ToolsListChanged())
        answers = {key: one.model_dump(mode="json") for key, one in (params.input_responses or {}).items()}
        return text({"arguments": params.arguments, "answers": answers, "state": params.request_state})

    async def wait(self) -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.note({"cancelled": "slow"})
            raise

    async def tools(self, _ctx: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[Tool(name=name, input_schema=schema(name)) for name in TOOLS])

    async def resources(self, _ctx: Any, _params: Any) -> ListResourcesResult:
        return ListResourcesResult(resources=[Resource(uri="ticket://1", name="one")])

    async def templates(self, _ctx: Any, _params: Any) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(
            resource_templates=[ResourceTemplate(uri_template="ticket://{number}", name="any")]
        )

    async def read(self, _ctx: Any, params: Any) -> Any:
        if params.uri == "ticket://ask" and not params.input_responses:
            return InputRequiredResult(input_requests={"form": ASKED["form"]})
        return ReadResourceResult(contents=[TextResourceContents(uri=params.uri, text="a ticket")])

    async def prompts(self, _ctx: Any, _params: Any) -> ListPromptsResult:
        return ListPromptsResult(prompts=[Prompt(name="summary")])

    async def prompt(self, _ctx: Any, params: Any) -> Any:
        if (params.arguments or {}).get("ask") and not params.input_responses:
            return InputRequiredResult(input_requests={"form": ASKED["form"]})
        return GetPromptResult(messages=[PromptMessage(role="user", content=TextContent(text="sum up"))])

    async def complete(self, _ctx: Any, _params: Any) -> CompleteResult:
        return CompleteResult(completion=Completion(values=["one"]))

    def server(self) -> Server[Any]:
        built: Server[Any] = Server(
            "modern",
            version="7",
            instructions="Be brief.",
            on_call_tool=self.call,
            on_list_tools=self.tools,
            get_tool_input_schema=schema,
            on_list_resources=self.resources,
            on_list_resource_templates=self.templates,
            on_read_resource=self.read,
            on_list_prompts=self.prompts,
            on_get_prompt=self.prompt,
            on_completion=self.complete,
            on_subscriptions_listen=ListenHandler(BUS),
        )
        built.middleware[:] = [self.seen]
        return built


def schema(name: str) -> dict[str, Any]:
    """What a tool takes; `echo` wants its region repeated in a header."""
    region = {"type": "string", "x-mcp-header": "Region"}
    return {"type": "object", "properties": {"region": region} if name == "echo" else {}}


async def over_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write), server.lifespan(server) as state:
        await runner._serve_modern_stream(server, read, write, lifespan_state=state, raise_exceptions=False)


def over_http(server: Server[Any], port: int) -> None:
    manager = StreamableHTTPSessionManager(server)
    refused = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"2026-07-28 only"}}'

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif dict(scope["headers"]).get(b"mcp-protocol-version") == b"2026-07-28":
            await manager.handle_request(scope, receive, send)
        else:
            while (await receive()).get("more_body", False):
                pass
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": refused})

    async def lifespan(receive: Any, send: Any) -> None:
        await receive()
        async with manager.run():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    server = Desk(sys.argv[1]).server()
    if sys.argv[2] == "stdio":
        anyio.run(over_stdio, server)
    else:
        over_http(server, int(sys.argv[3]))


if __name__ == "__main__":
    main()
