"""Whatever bytes come in: no call reaches a server that was not decided and logged; the proxy serves on."""

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hopward import Guard
from hopward_mcp.lines import Lines, Overlong

from .conversation import Conversation
from .fronting import Fronted, modern_call
from .installation import opened
from .mangling import mangled, unlogged
from .piping import Client


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 400))
async def test_no_bytes_get_an_unlogged_call_forwarded(guard: Guard, seed: int, cut: int) -> None:
    """In memory, thousands of them: the client's lines cut anywhere, and the server answers with them too."""
    conversation, lines = Conversation(guard), Lines(4_096)
    stream = b"\n".join(mangled(random.Random(seed), 25))
    for start in range(0, len(stream), cut):
        for line in lines.feed(stream[start : start + cut]):
            if not isinstance(line, Overlong):
                conversation.client_says(line)
    before = len(conversation.to_server)
    for line in mangled(random.Random(seed + 1), 10):
        conversation.server_says(line)
    assert before
    assert unlogged(conversation.to_server[:before], list(guard.ledger.rows())) == []
    assert all("method" not in one for one in conversation.to_server[before:])


def test_no_bytes_on_stdin_get_an_unlogged_call_to_the_server(tmp_path: Path) -> None:
    """A real process and real pipes, and the bytes that the server has received."""
    client = Client(tmp_path, proxy="max_message_bytes = 4096\nmax_depth = 8")
    stream = b"\n".join(mangled(random.Random(4), 600)) + b"\n"
    last = {"jsonrpc": "2.0", "id": "last", "method": "tools/call", "params": {"name": "echo"}}
    out, err = client.process.communicate(stream + json.dumps(last).encode() + b"\n", timeout=60)
    assert client.process.returncode == 0, err
    answers = [json.loads(line) for line in out.splitlines()]
    assert [one["result"]["isError"] for one in answers if one.get("id") == "last"] == [False]
    received = client.received()
    assert len([one for one in received if one.get("method") == "tools/call"]) > 50
    with opened(client.config) as guard:
        assert unlogged(received, list(guard.ledger.rows())) == []
    assert b"Traceback" not in err


async def test_no_bytes_over_http_get_an_unlogged_call_to_the_server(fronted: Fronted) -> None:
    """Bodies, and headers that say something else, in both eras."""
    token, chance = fronted.token(), random.Random(5)
    session = {"Mcp-Session-Id": await fronted.initialize(token)}
    for body in mangled(chance, 300):
        _, said = modern_call(chance.choice(["echo", "echo", "hidden"]))
        headers = chance.choice([said, session, {}, {}, {**said, "Mcp-Method": "tools/list"}])
        answered = await fronted.post(token, body, headers)
        assert answered.status in (200, 202, 400, 403, 404), (body, answered)
    # Over HTTP the credential of a call is in a header.
    received = [
        with_credential(one.message, (one.header("authorization") or "").removeprefix("Bearer "))
        for one in fronted.servers["desk"].received
    ]
    assert len([one for one in received if one.get("method") == "tools/call"]) > 15
    assert unlogged(received, list(fronted.guard.ledger.rows())) == []
    assert (await fronted.call(fronted.token(), "echo")).status == 200


def with_credential(message: dict[str, Any], token: str) -> dict[str, Any]:
    """A message as `unlogged` looks at it."""
    params = message.get("params", {})
    return {**message, "params": {**params, "_meta": {"dev.hopward/credential": token}}}
