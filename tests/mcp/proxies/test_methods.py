"""The method table: what is forwarded, authorized, filtered or refused, in both eras."""

from typing import Any

import mcp_types.methods as sdk
import pytest

from hopward.config import methods as reserved
from hopward_mcp.jsonrpc import Message, MessageError
from hopward_mcp.methods import (
    CLIENT_NOTIFICATIONS,
    CLIENT_REQUESTS,
    SERVER_NOTIFICATIONS,
    SERVER_REQUESTS,
    is_modern,
    is_name,
    is_uri,
    references,
    target,
)

TASKS = {"tasks/get", "tasks/result", "tasks/list", "tasks/cancel", "tasks/update"}
"""Of 2025-11-25, and of the extension of 2026-07-28; the SDK leaves both out."""


def request(method: str, params: dict[str, Any]) -> Message:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return Message("request", 1, method, params, body)


def test_every_request_a_client_may_send_in_either_era_stands_in_the_table() -> None:
    assert {method for method, _ in sdk.CLIENT_REQUESTS} | TASKS == set(CLIENT_REQUESTS)


def test_every_notification_of_either_era_stands_in_an_allow_list() -> None:
    told = {method for method, _ in sdk.CLIENT_NOTIFICATIONS}
    assert told | {"notifications/tasks/status"} == CLIENT_NOTIFICATIONS
    told = {method for method, _ in sdk.SERVER_NOTIFICATIONS}
    assert told | {"notifications/tasks/status", "notifications/tasks"} == SERVER_NOTIFICATIONS


def test_no_request_method_stands_in_a_notification_allow_list() -> None:
    requests = {method for method, _ in sdk.CLIENT_REQUESTS} | {method for method, _ in sdk.SERVER_REQUESTS}
    assert not requests & (CLIENT_NOTIFICATIONS | SERVER_NOTIFICATIONS)


def test_no_name_of_the_protocol_can_be_classified_as_a_vendors() -> None:
    assert [method for method in CLIENT_REQUESTS if not reserved.wrong_vendor_method(method)] == []
    own = CLIENT_NOTIFICATIONS | SERVER_NOTIFICATIONS
    assert [method for method in own if not reserved.wrong_vendor_notification(method)] == []
    assert {method for method, _ in sdk.SERVER_REQUESTS} == SERVER_REQUESTS | reserved.OF_SERVERS


def test_reads_and_prompts_are_named_apart_from_tools() -> None:
    assert target(request("tools/call", {"name": "a", "arguments": {"x": 1}})) == ("a", {"x": 1})
    assert target(request("tools/call", {"name": "a"})) == ("a", {})
    assert target(request("prompts/get", {"name": "a", "arguments": {"x": "1"}})) == ("prompt:a", {"x": "1"})
    assert target(request("resources/read", {"uri": "t://1", "arguments": {"x": 1}})) == (
        "resource:t://1",
        {},
    )
    assert target(request("resources/subscribe", {"uri": "t://1"})) == ("resource:t://1", {})


@pytest.mark.parametrize(
    "name", ["", "a b", "prompt:x", "resource:x", "é", "a\n", "a*", "x" * 129, None, 1, ["a"]]
)
def test_a_name_that_may_be_read_in_two_ways_is_refused(name: object) -> None:
    assert not is_name(name)
    with pytest.raises(MessageError):
        target(request("tools/call", {"name": name}))


@pytest.mark.parametrize("arguments", [None, [], "x", 1, True])
def test_arguments_that_are_no_object_are_refused(arguments: object) -> None:
    with pytest.raises(MessageError):
        target(request("tools/call", {"name": "a", "arguments": arguments}))


@pytest.mark.parametrize(
    "uri",
    [
        "file:///data/../etc/passwd",
        "file:///data/./x",
        "file:///data/%2e%2e/etc",
        "file:///data/%252e%252e/etc",
        "file:///data/..",
        "file:///data\\..\\etc",
        "file:///data/%5c..",
        "no-scheme",
        "",
        "file:///a b",
        "file:///a\n",
        None,
        "a:" + "x" * 5000,
    ],
)
def test_a_uri_that_walks_out_of_its_prefix_is_refused(uri: object) -> None:
    assert not is_uri(uri)
    with pytest.raises(MessageError):
        target(request("resources/read", {"uri": uri}))


@pytest.mark.parametrize(
    "uri", ["file:///data/a..b/.hidden", "ticket://1041", "urn:x:y", "https://h/p?q=1#f"]
)
def test_an_ordinary_uri_passes(uri: str) -> None:
    assert is_uri(uri)


def test_completion_refers_to_the_prompt_or_resource_it_completes() -> None:
    prompt = {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "x", "value": ""}}
    assert references(request("completion/complete", prompt)) == ["prompt:p"]
    template = {"ref": {"type": "ref/resource", "uri": "t://{id}"}}
    assert references(request("completion/complete", template)) == ["resource:t://{id}"]


@pytest.mark.parametrize(
    "ref", [None, {}, {"type": "ref/prompt"}, {"type": "ref/prompt", "name": "a b"}, {"name": "p"}]
)
def test_completion_of_something_unnamed_is_refused(ref: object) -> None:
    with pytest.raises(MessageError):
        references(request("completion/complete", {"ref": ref}))


def test_listening_refers_to_every_resource_it_subscribes_to() -> None:
    wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["t://1", "t://2"]}}
    assert references(request("subscriptions/listen", wanted)) == ["resource:t://1", "resource:t://2"]
    assert references(request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})) == []
    for wrong in ("t://1", [1], ["../x"]):
        with pytest.raises(MessageError):
            references(request("subscriptions/listen", {"notifications": {"resourceSubscriptions": wrong}}))
    with pytest.raises(MessageError):
        references(request("subscriptions/listen", {"notifications": ["t://1"]}))


def test_the_per_request_envelope_tells_the_modern_era() -> None:
    modern = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
    assert is_modern(request("tools/call", modern))
    assert not is_modern(request("tools/call", {"_meta": {"progressToken": 1}}))
