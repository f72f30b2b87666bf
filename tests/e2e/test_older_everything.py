"""npm's `@modelcontextprotocol/server-everything`, which is of 2025-11-25, before clients of 2026-07-28."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import mcp_types as types
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from .everything import Person, Transport, connected, over_http, over_stdio
from .project import Project
from .public import installed
from .running import Running
from .served import Serve, ended, free_port

Connect: TypeAlias = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="module")
def commanded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Guards the server as a command."""
    yield from serving(over_stdio(tmp_path_factory.mktemp("commanded")))


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Guards the server at a URL."""
    folder, port = tmp_path_factory.mktemp("remote"), free_port()
    words = ["env", f"PORT={port}", *installed("everything.sh"), "streamableHttp"]
    with ended(Running(words, folder)) as running:
        running.wait_for("listening on port")
        yield from serving(over_http(folder, f"http://127.0.0.1:{port}/mcp"))


def serving(project: Project) -> Iterator[Project]:
    project.listen_at(free_port())
    with ended(Serve(project)):
        yield project


@pytest.fixture(params=["stdio-to-stdio", "http-to-stdio", "stdio-to-http", "http-to-http"])
def made(request: pytest.FixtureRequest) -> Project:
    way: str = request.param
    return request.getfixturevalue("commanded" if way.endswith("to-stdio") else "remote")


@pytest.fixture
def connect(made: Project, request: pytest.FixtureRequest) -> Connect:
    """Connects a person's client, over HTTP with a task of its own."""
    transport: Transport = "stdio" if "stdio-to" in request.node.callspec.id else "http"

    @asynccontextmanager
    async def opened(person: Person, **less: Any) -> AsyncIterator[Client]:
        token = ""
        if transport == "http":
            token = made.token(made.open_task(), "everything")
        async with connected(made, transport, person, token, **less) as client:
            yield client

    return opened


def record(project: Project) -> Path:
    """What a server that is a command has been sent."""
    return project.folder / "sent.jsonl"


def sent(project: Project) -> str:
    return record(project).read_text("utf-8") if record(project).exists() else ""


def text(result: types.CallToolResult) -> str:
    return "".join(getattr(block, "text", "") for block in result.content)


async def test_tools_resources_prompts_and_completion_work(connect: Connect) -> None:
    async with connect(Person()) as client:
        assert client.protocol_version == "2026-07-28"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"echo", "get-roots-list", "trigger-url-elicitation"} <= tools.keys()
        assert "simulate-research-query" not in tools, "it can only be called as a task"
        assert text(await client.call_tool("echo", {"message": "hello"})) == "Echo: hello"
        weather = await client.call_tool("get-structured-content", {"location": "Chicago"})
        assert weather.structured_content["conditions"]  # type: ignore[index]
        templates = (await client.list_resource_templates()).resource_templates
        assert "demo://resource/dynamic/text/{resourceId}" in {one.uri_template for one in templates}
        read = await client.read_resource("demo://resource/dynamic/text/1")
        assert "1" in read.contents[0].text  # type: ignore[union-attr]
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert prompts == {"simple-prompt", "args-prompt", "completable-prompt"}
        prompt = await client.get_prompt("args-prompt", {"city": "Rome"})
        assert "Rome" in prompt.messages[0].content.text  # type: ignore[union-attr]
        reference = types.PromptReference(type="ref/prompt", name="completable-prompt")
        completed = await client.complete(reference, {"name": "department", "value": "E"})
        assert completed.completion.values == ["Engineering"]


async def test_the_server_is_discovered_as_one_of_the_newer_era(connect: Connect) -> None:
    async with connect(Person()) as client:
        raw = await client.session.send_discover("2026-07-28")
        found = types.DiscoverResult.model_validate(raw)
        assert found.supported_versions == ["2026-07-28"]
        assert found.capabilities.resources.subscribe is True  # type: ignore[union-attr]
        assert found.instructions
        assert "tasks" not in raw["capabilities"]


async def test_what_the_server_asks_for_comes_with_the_next_round(connect: Connect) -> None:
    person = Person()
    async with connect(person) as client:
        assert "file:///work/of/ana" in text(await client.call_tool("get-roots-list", {}))
        sampled = await client.call_tool("trigger-sampling-request", {"prompt": "say something"})
        assert "a sampled sentence" in text(sampled)
        elicited = await client.call_tool("trigger-elicitation-request", {})
        assert "Ana" in text(elicited)
    assert person.asked[0] == "roots"
    assert person.asked[1].messages[0].content.text.endswith("say something")
    assert "name" in person.asked[2].requested_schema["properties"]


@pytest.mark.parametrize("answer", ["decline", "cancel"])
async def test_what_a_person_declines_reaches_the_server_as_that(connect: Connect, answer: str) -> None:
    async with connect(Person(answer=answer)) as client:
        elicited = text(await client.call_tool("trigger-elicitation-request", {}))
    assert {"decline": "declined", "cancel": "cancelled"}[answer] in elicited


@pytest.mark.parametrize("error_path", [False, True])
async def test_a_person_is_sent_to_a_url_whichever_way_the_server_asks(
    connect: Connect, error_path: bool
) -> None:
    person = Person()
    arguments = {"url": "https://example.com/consent", "message": "Agree", "errorPath": error_path}
    async with connect(person) as client:
        answered = text(await client.call_tool("trigger-url-elicitation", arguments))
    assert "accept" in answered
    assert person.asked[-1].url == "https://example.com/consent"
    assert len(person.asked) == (2 if error_path else 1)
    assert all(asked.mode == "url" for asked in person.asked)


async def test_a_client_is_asked_only_for_what_it_takes(connect: Connect) -> None:
    less = {"elicitation_callback": None, "sampling_callback": None, "list_roots_callback": None}
    async with connect(Person(), **less) as client:
        shown = {tool.name for tool in (await client.list_tools()).tools}
    assert "echo" in shown
    assert not {"get-roots-list", "trigger-sampling-request", "trigger-elicitation-request"} & shown


async def test_progress_reaches_the_call_it_belongs_to(connect: Connect) -> None:
    one, other = Person(), Person()
    arguments = {"duration": 0.4, "steps": 4}
    async with connect(one) as client:
        calls = [
            client.call_tool("trigger-long-running-operation", arguments, progress_callback=person.note)
            for person in (one, other)
        ]
        await asyncio.gather(*calls)
    assert one.progress == other.progress == [1, 2, 3, 4]


async def test_log_messages_come_to_who_asks_for_them(connect: Connect) -> None:
    quiet, curious = Person(), Person()
    async with connect(quiet) as client:
        await client.call_tool("toggle-simulated-logging", {})
        await client.call_tool("trigger-long-running-operation", {"duration": 0.2, "steps": 1})
    assert quiet.logged == []
    async with connect(curious, log_level="debug") as client:
        # The server says something at once, of a level it draws.
        await client.call_tool("toggle-simulated-logging", {})
        await client.call_tool("trigger-long-running-operation", {"duration": 0.2, "steps": 1})
    assert curious.logged


async def test_a_cancelled_call_ends_at_the_server(connect: Connect, made: Project) -> None:
    person = Person()
    async with connect(person) as client:
        before = sent(made).count("notifications/cancelled")
        arguments = {"duration": 1_200, "steps": 12_000}
        call = asyncio.create_task(
            client.call_tool("trigger-long-running-operation", arguments, progress_callback=person.note)
        )
        while not person.progress:
            await asyncio.sleep(0.01)
        call.cancel()
        while record(made).exists() and sent(made).count("notifications/cancelled") == before:
            await asyncio.sleep(0.01)
        assert text(await client.call_tool("echo", {"message": "still here"})) == "Echo: still here"


async def test_a_subscription_brings_updates_of_its_resources(connect: Connect, made: Project) -> None:
    uri = "demo://resource/dynamic/text/1"
    async with connect(Person()) as client:
        async with client.listen(resource_subscriptions=[uri], tools_list_changed=True) as subscription:
            assert subscription.honored.resource_subscriptions == [uri]
            assert subscription.honored.tools_list_changed is True
            before = sent(made).count("resources/unsubscribe")
            await client.call_tool("toggle-subscriber-updates", {})
            async for event in subscription:
                if getattr(event, "uri", None) == uri:
                    break
        while record(made).exists() and sent(made).count("resources/unsubscribe") == before:
            await asyncio.sleep(0.01)


async def test_methods_of_the_older_era_are_not_there(connect: Connect) -> None:
    async with connect(Person()) as client:
        for method in ("ping", "logging/setLevel", "initialize"):
            with pytest.raises(MCPError) as refused:
                await client.session.send_request(
                    types.Request(method=method, params=None), types.EmptyResult
                )
            assert refused.value.code == -32601, method
