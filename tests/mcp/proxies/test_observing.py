"""An observed server behind `hopward mcp run`: the call goes on, and everything that is shown says so."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .installation import http_server, install, opened, stdio_server
from .offering import run
from .piping import INITIALIZE, Client

LAST = datetime.now(UTC).date() + timedelta(days=5)
PAST = datetime.now(UTC).date() - timedelta(days=1)
KEY = "dev.hopward/decision"


def observed(text: str, last: object = LAST) -> str:
    marked = f'workflow = "tickets"\nmode = "observe"\nobserve_until = {last}'
    return text.replace('workflow = "tickets"', marked, 1)


def client(folder: Path, last: object = LAST) -> Client:
    running = Client(folder, settings=observed(stdio_server(folder / "record"), last))
    running.ask(INITIALIZE)
    running.send({"method": "notifications/initialized"})
    return running


@pytest.mark.parametrize(
    ("tool", "reason"), [("hidden", "outside_task"), ("unheard_of", "tool_unclassified")]
)
def test_a_call_that_would_be_refused_reaches_the_server_and_its_result_says_so(
    tmp_path: Path, tool: str, reason: str
) -> None:
    running = client(tmp_path)
    answer = running.call(tool)
    told: dict[str, Any] = answer["result"]["_meta"][KEY]
    assert told["observed"] is True
    assert (told["verdict"], told["reason"]) == ("deny", reason)
    status, _, said = running.end()
    assert status == 0
    assert f"hopward: desk is OBSERVED until {LAST} (UTC)" in said
    assert [one["params"]["name"] for one in running.received() if one.get("method") == "tools/call"] == [
        tool
    ]
    with opened(running.config) as guard:
        kinds = [row.kind for row in guard.ledger.rows() if row.decision == told["id"]]
    assert kinds == ["outcome", "credential", "decision"]
    for verb in (("log", "tail"), ("log", "show", told["id"])):
        assert "deny (observed)" in run(running.config, *verb).stdout


def test_a_permitted_call_says_nothing_of_it(tmp_path: Path) -> None:
    running = client(tmp_path)
    assert KEY not in running.call("echo")["result"].get("_meta", {})
    running.end()


def test_no_client_and_no_server_switches_it_on(tmp_path: Path) -> None:
    running = Client(tmp_path)
    running.ask(INITIALIZE)
    meta = {KEY: {"observed": True}, "observed": True}
    params = {"name": "hidden", "arguments": {"observed": True}, "_meta": meta}
    answer = running.ask({"id": 1, "method": "tools/call", "params": params})
    assert answer["result"]["isError"] is True
    assert "observed" not in answer["result"]["_meta"][KEY]
    assert "OBSERVED" not in running.end()[2]


def test_after_its_last_day_it_is_enforced_and_says_so(tmp_path: Path) -> None:
    running = client(tmp_path, PAST)
    assert running.call("hidden")["result"]["isError"] is True
    assert f"observed until {PAST}, which is past, so it is enforced" in running.end()[2]


def test_a_listing_shows_every_tool_while_observing(tmp_path: Path) -> None:
    running = client(tmp_path)
    shown = {tool["name"] for tool in running.ask({"id": 1, "method": "tools/list"})["result"]["tools"]}
    running.end()
    assert "hidden" in shown


def test_serving_says_so_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f'listen = "127.0.0.1:{taken.getsockname()[1]}"'
        config = install(tmp_path, observed(http_server("http://127.0.0.1:9/mcp")), proxy=listen)
        assert f"hopward: desk is OBSERVED until {LAST} (UTC)" in run(config, "mcp", "serve").stderr


def test_try_doctor_explain_and_ls_say_so(tmp_path: Path) -> None:
    running = client(tmp_path)
    running.end()
    done = run(running.config, "mcp", "try", "desk", "hidden")
    assert done.returncode == 0, done.stderr
    assert "deny (outside_task)" in done.stdout
    assert "OBSERVED" in done.stdout
    told = f"OBSERVED until {LAST} (UTC)"
    assert told in run(running.config, "doctor").stdout
    assert told in run(running.config, "policy", "explain", "desk/hidden", "--agent", "assistant").stdout
    assert told not in run(running.config, "policy", "explain", "desk/echo", "--agent", "assistant").stdout
    assert told in run(running.config, "mcp", "ls").stderr
