"""Whatever is sent, nothing reaches the server that was not decided and written down first."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward import Guard
from hopward_mcp.endings import lost
from hopward_mcp.methods import CLIENT_REQUESTS

from .bridged import Bridged
from .conversation import Conversation
from .installation import rows

names = st.sampled_from(["echo", "hidden", "refund", "summary", "unknown", "prompt:summary", "", "a b"])
uris = st.sampled_from(["ticket://1", "ticket://../1", "secret://1", ""])
methods = st.sampled_from(
    [*CLIENT_REQUESTS, "vendor/x", "tasks/get", "TOOLS/CALL", "notifications/cancelled"]
)
ids = st.sampled_from([1, 2, "1", "a"]) | st.none() | st.floats(allow_nan=False) | st.booleans()
params = st.fixed_dictionaries(
    {},
    optional={
        "name": names | st.integers(),
        "Name": names,
        "uri": uris,
        "arguments": st.dictionaries(st.sampled_from(["amount", "x"]), st.integers(0, 99), max_size=2)
        | st.none(),
        "requestId": ids,
        "notifications": st.fixed_dictionaries(
            {},
            optional={
                "toolsListChanged": st.booleans(),
                "resourceSubscriptions": st.lists(uris.filter(bool), max_size=3) | uris | st.none(),
            },
        )
        | st.none(),
        "_meta": st.just({"dev.hopward/credential": "forged"}) | st.just({}),
    },
)
messages = st.fixed_dictionaries(
    {"method": methods}, optional={"id": ids, "params": params | st.none(), "result": st.just({})}
)
well_formed = st.builds(
    lambda number, name, uri, amount: [
        {"id": number, "method": "tools/call", "params": {"name": name, "arguments": {"amount": amount}}},
        {"id": number, "method": "resources/read", "params": {"uri": uri}},
        {"id": number, "method": "prompts/get", "params": {"name": name}},
        {"method": "notifications/cancelled", "params": {"requestId": number}},
        {
            "id": number,
            "method": "subscriptions/listen",
            "params": {"notifications": {"resourceSubscriptions": [uri, "ticket://2"]}},
        },
    ],
    st.integers(1, 6),
    names,
    uris,
    st.integers(0, 99),
).flatmap(st.sampled_from)
GUARDED = {"tools/call", "resources/read", "resources/subscribe", "prompts/get"}


def listened(sent: list[dict[str, Any]]) -> int:
    """How many MCP resources have been subscribed to with `subscriptions/listen`."""
    asked = [one["params"]["notifications"] for one in sent if one.get("method") == "subscriptions/listen"]
    return sum(len(set((wanted or {}).get("resourceSubscriptions") or [])) for wanted in asked)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(messages | well_formed, max_size=12))
async def test_no_sequence_of_messages_gets_an_undecided_call_to_the_server(
    guard: Guard, sent: list[dict[str, Any]]
) -> None:
    before = len([row for row in rows(guard, "decision") if row.verdict == "permit"])
    conversation = Conversation(guard)
    for message in sent:
        conversation.client_says(message)
    forwarded = [one for one in conversation.to_server if one.get("method") in GUARDED]
    permits = [row for row in rows(guard, "decision") if row.verdict == "permit"][before:]
    cancelled = [row for row in rows(guard, "outcome") if row.record["outcome"]["error"] == "not_forwarded"]
    assert len(permits) == len(forwarded) + listened(conversation.to_server) + len(cancelled)
    for one in forwarded:
        assert "id" in one
        assert one["params"]["_meta"]["dev.hopward/credential"] != "forged"
    assert "forged" not in json.dumps(conversation.to_server)


ROOTS = {"method": "roots/list"}
answers = st.sampled_from(
    [
        {"result": {"resultType": "complete", "content": []}},
        {"result": {"resultType": "input_required", "inputRequests": {"a": ROOTS}, "requestState": "s"}},
        {"result": {"resultType": "input_required", "inputRequests": {"a": ROOTS, "b": ROOTS}}},
        {
            "result": {
                "resultType": "input_required",
                "inputRequests": {"a": {"method": "sampling/createMessage"}},
            }
        },
        {"result": {"resultType": "task"}},
        {"error": {"code": -1, "message": "no"}},
    ]
)
replies = st.sampled_from([{"result": {"roots": []}}, {"error": {"code": -1, "message": "no"}}])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.just("client"), messages | well_formed)
        | st.tuples(st.just("server"), answers)
        | st.tuples(st.just("answer"), replies),
        max_size=20,
    )
)
async def test_no_sequence_of_rounds_gets_an_undecided_call_to_the_server(
    guard: Guard, steps: list[tuple[str, dict[str, Any]]]
) -> None:
    seen = len(rows(guard, "decision"))
    bridge = Bridged(guard)
    bridge.greet(roots={})
    answered: set[Any] = set()
    for who, said in steps:
        asked = [
            one for one in bridge.to_server if one.get("method") in GUARDED and one["id"] not in answered
        ]
        waiting = [one for one in bridge.to_client if one.get("method") == "roots/list"]
        if who == "client":
            bridge.client_says(said)
        elif who == "server" and asked:
            answered.add(asked[0]["id"])
            bridge.server_says({"id": asked[0]["id"], **said})
        elif who == "answer" and waiting:
            bridge.client_says({"id": waiting[-1]["id"], **said})
    bridge.footing.leave()
    bridge.session.endings.fail_all(lost("The server has ended."), bridge.from_endings)
    bridge.turn.flush()
    forwarded = [one for one in bridge.to_server if one.get("method") in GUARDED]
    permits = [row for row in rows(guard, "decision")[seen:] if row.verdict == "permit"]
    own = [row for row in permits if not row.tool.startswith("request:")]
    ended = {row.decision: row.record["outcome"]["error"] for row in rows(guard, "outcome")}
    assert {row.decision for row in permits} <= ended.keys()
    unsent = [row for row in own if ended[row.decision] == "not_forwarded"]
    assert len(own) == len(forwarded) + listened(bridge.to_server) + len(unsent)
    assert "forged" not in json.dumps(bridge.to_server)
