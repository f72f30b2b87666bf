"""A client on the MCP SDK, which the conformance suite starts against a server of its own for each scenario.

    python -m tests.e2e.suite_client (direct | serve | run) URL

It lists what the server has and uses all of it: at the server itself, through `hopward mcp serve`, or through
`hopward mcp run`, with a project in which everything is permitted. The suite judges what its server receives.
"""

import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitRequestFormParams, ElicitResult

from hopward.project import create

from .project import HOPWARD, Project
from .served import Serve, ended, free_port

RICH = "json_schema_2020_12_tool"
TOOLS = (
    *("add_numbers", "test_client_elicitation_defaults", "test_reconnection", "valid_tool"),
    *("test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_unrelated", "test_mrtr_no_result_type"),
    *(RICH, "json_schema_echo"),
    *("test_headers", "my-hyphenated-tool", "test_custom_headers", "test_custom_headers_null"),
)

CONFIGURATION = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[proxy]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"

[agents.client]
owner = "ana@example.com"
purpose = "Uses whatever there is"
ceiling = [{all}]

[workflows.everything]
agent = "client"
purpose = "Use whatever there is"
expires_in = 3600
budget = {{ calls = 1000, writes = 1000 }}
capabilities = [{all}]

[servers.suite]
url = "{url}"
resource = "urn:example:suite"
credential = {{ by = "authorization" }}
workflow = "everything"
server_requests = {{ "elicitation/create" = {one} }}
mcp_resources = {{ "file:///*" = {one} }}
prompts = {{ test_prompt = {one} }}

[servers.suite.tools]
{tools}
"""
ALL = """\
{ tools = ["suite/*"], actions = ["read"], sensitivity = "internal", destinations = ["suite"] }"""
ONE = '{ action = "read", sensitivity = "internal", integrity = "trusted", destination = "suite" }'


def guarded(folder: Path, url: str) -> Project:
    """A new project that guards the suite's server."""
    project = Project(folder)
    tools = "\n".join(f'"{name}" = {ONE}' for name in TOOLS)
    text = CONFIGURATION.format(port=free_port(), all=ALL, one=ONE, url=url, tools=tools)
    project.config.write_text(text, "utf-8")
    create(folder)
    return project


async def transport(how: str, url: str, stack: AsyncExitStack) -> Any:
    """The way to the suite's server."""
    if how == "direct":
        return streamable_http_client(url)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    project = guarded(folder, url)
    if how == "run":
        words = ["--config", str(project.config), "mcp", "run", "suite"]
        return stdio_client(StdioServerParameters(command=str(HOPWARD), args=words))
    stack.enter_context(ended(Serve(project)))
    token = project.token(project.open_task("everything"), "suite")
    headers = {"Authorization": f"Bearer {token}"}
    http = await stack.enter_async_context(create_mcp_http_client(headers=headers))
    return streamable_http_client(project.endpoint("suite"), http_client=http)


async def elicited(context: Any, params: Any) -> ElicitResult:
    """Accept, with the defaults of the form, or with yes."""
    content: dict[str, Any] = {}
    if isinstance(params, ElicitRequestFormParams):
        properties: dict[str, Any] = params.requested_schema.get("properties", {})
        content = {name: one.get("default", True) for name, one in properties.items()}
    return ElicitResult(action="accept", content=content)


def filled(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments that a schema asks for."""
    values = {"number": 5, "integer": 5, "boolean": True}
    properties: dict[str, Any] = schema.get("properties", {})
    return {name: values.get(one.get("type"), "eu") for name, one in properties.items()}


async def use(client: Any) -> None:
    """Everything that the server offers, in order; what it does not answer is left."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    schemas = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    calls = [(one["name"], one["arguments"]) for one in context.get("toolCalls", ())]
    for tool, arguments in calls or [(tool, filled(schema)) for tool, schema in schemas.items()]:
        # Wants to be sent what has been received of the schema of the other tool.
        told = {"schema": schemas[RICH]} if tool == "json_schema_echo" else arguments
        with suppress(MCPError):
            await client.call_tool(tool, told)
    declared = client.server_capabilities
    if declared.resources:
        for resource in (await client.list_resources()).resources:
            await client.read_resource(str(resource.uri))
    if declared.prompts:
        for prompt in (await client.list_prompts()).prompts:
            await client.get_prompt(prompt.name, {})


async def main() -> None:
    how, url = sys.argv[1:]
    mode = "auto" if os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] == "2026-07-28" else "legacy"
    async with AsyncExitStack() as stack:
        way = await transport(how, url, stack)
        await use(await stack.enter_async_context(Client(way, mode=mode, elicitation_callback=elicited)))


if __name__ == "__main__":
    asyncio.run(main())
