"""Whatever is sent, nothing reaches the server that was not decided and written down first."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward import Guard
from hopward_mcp.methods import CLIENT_REQUESTS

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
    ],
    st.integers(1, 6),
    names,
    uris,
    st.integers(0, 99),
).flatmap(st.sampled_from)
GUARDED = {"tools/call", "resources/read", "resources/subscribe", "prompts/get"}


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
    assert len(permits) == len(forwarded) + len(cancelled)
    for one in forwarded:
        assert "id" in one
        assert one["params"]["_meta"]["dev.hopward/credential"] != "forged"
    assert "forged" not in json.dumps(conversation.to_server)
