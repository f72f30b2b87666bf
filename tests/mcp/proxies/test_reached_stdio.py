"""A step-up at the pipes of `hopward mcp run`: whoever ends while a call waits for a person, it ends too."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .fronting import LEGACY, modern_call
from .installation import opened, rows, stdio_server
from .piping import Client
from .stepping import BOTH, GROUPS, KEY, held

INITIALIZE: dict[str, Any] = {
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": LEGACY, "capabilities": BOTH},
}
CALL: dict[str, Any] = {
    "id": 1,
    "method": "tools/call",
    "params": {"name": "refund", "arguments": {"amount": 5}},
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """An older client that has been led to the page, and waits."""
    held(tmp_path, "refund")
    running = Client(tmp_path, settings=stdio_server(tmp_path / "record") + GROUPS)
    running.ask(INITIALIZE)
    asked = running.ask(CALL)
    assert asked["method"] == "elicitation/create"
    running.send({"id": asked["id"], "result": {"action": "accept"}})
    # Answered in order: by now the other answer has been heard.
    assert running.ask({"id": 9, "method": "ping"})["id"] == 9
    yield running
    running.process.kill()
    running.process.communicate()


def methods(client: Client) -> list[str]:
    """What the server has got."""
    return [one["method"] for one in client.received()]


def test_once_somebody_has_approved_the_call_goes_on(client: Client) -> None:
    with opened(client.config) as guard:
        (found,) = guard.approvals.find()
        guard.approvals.approve(found.id, by="dora")
    assert client.read()["method"] == "notifications/elicitation/complete"
    assert client.read()["result"]["isError"] is False
    assert methods(client) == ["initialize", "ping", "tools/call"]


def test_a_client_that_closes_its_pipe_gets_the_refusal_at_once(client: Client) -> None:
    status, out, _ = client.end()
    assert status == 0
    assert b'"verdict":"step-up"' in out
    assert methods(client) == ["initialize", "ping"]


def test_told_to_end_the_call_is_answered(client: Client) -> None:
    client.process.send_signal(signal.SIGTERM)
    assert client.read()["error"]["message"] == "The server was stopped."
    assert client.end()[0] == 0


def test_killed_while_it_waits_nothing_has_happened_and_the_approval_is_still_there(client: Client) -> None:
    client.process.kill()
    client.end()
    with opened(client.config) as guard:
        assert rows(guard, "outcome") == []
        assert [row.verdict for row in rows(guard, "decision")] == ["step-up"]


def test_a_server_that_is_gone_answers_the_call_that_waits(client: Client) -> None:
    client.send({"id": 2, "method": "tools/call", "params": {"name": "die", "arguments": {}}})
    answers = {answer["id"]: answer for answer in (client.read(), client.read())}
    assert "exited" in answers[1]["error"]["message"]
    with opened(client.config) as guard:
        (found,) = guard.approvals.find(())
        assert found.state == "pending"


def test_a_client_of_2026_07_28_waits_the_same_way_and_may_give_up(tmp_path: Path) -> None:
    held(tmp_path, "refund")
    running = Client(tmp_path, settings=stdio_server(tmp_path / "record") + GROUPS)
    try:
        message, _ = modern_call("refund", {"amount": 5})
        meta = message["params"]["_meta"]
        meta["io.modelcontextprotocol/clientCapabilities"] = BOTH
        state = running.ask(message)["result"]["requestState"]
        answered = {"requestState": state, "inputResponses": {KEY: {"action": "accept"}}}
        running.send({**message, "id": 2, "params": {**message["params"], **answered}})
        running.send({"method": "notifications/cancelled", "params": {"requestId": 2}})
        with opened(running.config) as guard:
            (found,) = guard.approvals.find()
            guard.approvals.approve(found.id, by="dora")
        # Whoever makes the call again uses the approval up: nobody else has.
        again = running.ask({**message, "id": 3})
        assert (again["id"], again["result"]["isError"]) == (3, False)
        assert running.end()[1] == b""
    finally:
        running.process.kill()
        running.process.communicate()
