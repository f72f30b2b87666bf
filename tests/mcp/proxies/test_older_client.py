"""Clients of the era of sessions before a server that speaks 2026-07-28 alone: nothing of theirs is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference

from .modern_server import STATE
from .placing import PAIRS, Pair, Person, Place, fastmcp_client, placed, sdk_client, shown

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
"""Of what 2026-07-28 no longer has, and these clients use."""


@pytest.fixture(params=PAIRS, ids="-".join)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    pair: Pair = request.param
    async with asyncio.timeout(90), placed(tmp_path, pair) as running:
        yield running


async def test_an_older_client_is_greeted_and_served_as_by_a_server_of_its_era(place: Place) -> None:
    async with sdk_client(place, Person()) as client:
        assert client.protocol_version == "2025-11-25"
        assert client.server_info is not None
        assert (client.server_info.name, client.instructions) == ("modern", "Be brief.")
        assert client.server_capabilities.resources is not None
        assert client.server_capabilities.resources.subscribe is True
        await client.send_ping()
        assert len((await client.list_tools()).tools) == 12
        arguments = {"x": 1, "region": "eu"}
        assert shown(await client.call_tool("echo", arguments))["arguments"] == arguments
        assert (await client.list_resources()).resources[0].uri == "ticket://1"
        templates = (await client.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["ticket://{number}"]
        assert (await client.read_resource("ticket://1")).contents[0].uri == "ticket://1"
        assert [one.name for one in (await client.list_prompts()).prompts] == ["summary"]
        assert len((await client.get_prompt("summary")).messages) == 1
        completed = await client.complete(PromptReference(name="summary"), {"name": "a", "value": "o"})
        assert completed.completion.values == ["one"]
        await client.send_roots_list_changed()
    assert place.log() == [
        ("echo", "ok"),
        ("resource:ticket://1", "ok"),
        ("prompt:summary", "ok"),
    ]


async def test_what_the_server_wants_to_know_the_client_is_asked_as_in_its_era(place: Place) -> None:
    person = Person()
    async with sdk_client(place, person) as client:
        answered = shown(await client.call_tool("form", {}))
        assert answered["answers"]["form"]["content"] == {"name": "bo"}
        assert answered["state"] == STATE
        answered = shown(await client.call_tool("all", {}))
        assert set(answered["answers"]) == {"form", "sample", "roots"}
        assert answered["answers"]["sample"]["content"]["text"] == "hi"
        assert shown(await client.call_tool("visit", {}))["answers"]["visit"]["action"] == "accept"
        assert person.asked[-1].elicitation_id
        assert shown(await client.call_tool("later", {}))["state"] == "3"
        assert (await client.read_resource("ticket://ask")).contents
        assert (await client.get_prompt("summary", {"ask": "yes"})).messages
    assert place.log() == [
        *[("form", "ok")] * 2,
        *[("all", "ok")] * 2,
        *[("visit", "ok")] * 2,
        *[("later", "ok")] * 4,
        *[("resource:ticket://ask", "ok")] * 2,
        *[("prompt:summary", "ok")] * 2,
    ]
    first, again = place.params("tools/call")[:2]
    assert "inputResponses" not in first
    assert again["requestState"] == STATE


async def test_progress_log_messages_and_cancellation_find_their_way(place: Place) -> None:
    person, steps = Person(), list[float]()

    async def stepped(progress: float, _total: float | None, _message: str | None) -> None:
        steps.append(progress)

    async with sdk_client(place, person) as client:
        await client.call_tool("steps", {}, progress_callback=stepped)
        assert steps == [1, 2, 3, 4, 5]
        await client.call_tool("chatter", {})
        assert person.logged == []
        await client.set_logging_level("info")
        await client.call_tool("chatter", {})
        assert person.logged == ["smoke"]
        with pytest.raises(MCPError):
            await client.call_tool("slow", {}, read_timeout_seconds=2)
        await place.until({"cancelled": "slow"})
        assert shown(await client.call_tool("echo", {}))["arguments"] == {}
    assert ("slow", "cancelled") in place.log()
    assert "?" not in [ended for _, ended in place.log()]


async def test_a_client_hears_of_what_it_has_subscribed_to_and_of_lists(place: Place) -> None:
    person = Person()
    async with sdk_client(place, person) as client:
        await place.until({"method": "subscriptions/listen"})
        await client.subscribe_resource("ticket://1")
        await client.call_tool("touch", {})
        await person.until("notifications/resources/updated ticket://1")
        await person.until("notifications/tools/list_changed")
        assert "notifications/resources/updated ticket://2" not in person.heard
        await client.unsubscribe_resource("ticket://1")
        await client.subscribe_resource("ticket://2")
        person.heard.clear()
        await client.call_tool("touch", {})
        await person.until("notifications/resources/updated ticket://2")
        assert "notifications/resources/updated ticket://1" not in person.heard
        with pytest.raises(MCPError):
            await client.subscribe_resource("secret://1")
        person.heard.clear()
        await client.call_tool("touch", {})
        await person.until("notifications/resources/updated ticket://2")
    wanted: list[dict[str, Any]] = [one["notifications"] for one in place.params("subscriptions/listen")]
    assert [one.get("resourceSubscriptions") for one in wanted] == [
        None,
        ["ticket://1"],
        None,
        ["ticket://2"],
        ["ticket://2"],
    ]
    assert all(one["toolsListChanged"] for one in wanted)


async def test_the_client_of_fastmcp_is_served_too(place: Place) -> None:
    person, steps = Person(), list[float]()

    async def stepped(progress: float, _total: float | None, _message: str | None) -> None:
        steps.append(progress)

    async with fastmcp_client(place, person) as client:
        assert len(await client.list_tools()) == 12
        assert set(shown(await client.call_tool("all", {}))["answers"]) == {"form", "sample", "roots"}
        await client.call_tool("steps", {}, progress_handler=stepped)
        assert steps == [1, 2, 3, 4, 5]
        assert (await client.read_resource("ticket://1"))[0].uri == "ticket://1"
        assert (await client.get_prompt("summary")).messages
        await client.set_logging_level("warning")
        await client.call_tool("chatter", {})
        assert person.logged == ["smoke"]
