"""The stdio proxy as a client sees it: a real process before a real server that records every byte."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hopward.model import AgentState

from .installation import RECORDING, hopward, install, opened, rows, started, stdio_server
from .piping import INITIALIZE, Client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    running = Client(tmp_path, proxy="max_message_bytes = 200000")
    running.ask(INITIALIZE)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()


def test_a_session_is_one_task_from_start_to_end(client: Client) -> None:
    assert client.call("echo", {"x": 1})["result"]["vendor"] == {"kept": True}
    assert client.call("refund", {"amount": 100})["result"]["isError"] is True
    status, out, err = client.end()
    assert (status, out) == (0, b"")
    assert "desk is guarded; task task_" in err
    assert [sent["method"] for sent in client.received()] == ["initialize", "tools/call"]
    with opened(client.config) as guard:
        assert [task.state for task in guard.ledger.tasks()] == ["completed"]
        assert [row.reason for row in rows(guard, "outcome")] == ["ok"]
        assert len(rows(guard, "decision")) == 2


def test_what_the_server_gets_is_one_canonical_line_per_message(client: Client) -> None:
    client.ask(
        b'  { "jsonrpc" : "2.0", "id" : "x" , "method":"ping", "params":{ "v" : [1, 2.50, "\\u00e9"] } } \r'
    )
    line = client.record.read_bytes().splitlines()[-1]
    assert line == '{"jsonrpc":"2.0","id":2,"method":"ping","params":{"v":[1,2.5,"é"]}}'.encode()


@pytest.mark.parametrize("options", [["--workflow", "tickets", "--subject", "bob"], ["--subject", "bob"]])
def test_the_subject_and_workflow_can_be_named(tmp_path: Path, options: list[str]) -> None:
    client = Client(tmp_path, *options)
    client.ask(INITIALIZE)
    assert client.end()[0] == 0
    with opened(client.config) as guard:
        assert [(task.subject, task.workflow) for task in guard.ledger.tasks()] == [("bob", "tickets")]


def test_bad_input_of_every_kind_gets_a_clear_error_and_the_proxy_keeps_serving(client: Client) -> None:
    call = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%s}'
    bad: list[tuple[bytes, int, Any]] = [
        (b"{not json", -32700, None),
        (b"\xff\xfe", -32700, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"ping"', -32700, None),
        (b"[" * 100_000, -32700, None),
        (b'{"a":' * 500 + b"1" + b"}" * 500, -32600, None),
        (b"[" + (call % '{"name":"echo"}').encode() + b"]", -32600, None),
        ((call % '{"name":"echo","name":"hidden"}').encode(), -32600, 7),
        ((call % '{"name":"echo","Name":"hidden"}').encode(), -32600, 7),
        ((call % '{"name":"echo","arguments":{"x":1e400}}').encode(), -32600, 7),
        ((call % '{"name":"echo","arguments":{"x":"\\ud800"}}').encode(), -32700, None),
        ((call % '{"name":"echo","arguments":[]}').encode(), -32602, 7),
        ((call % '{"name":"echo"}').replace('"id":7', '"id":7.5').encode(), -32600, None),
        ((call % '{"name":"echo"}').replace('"id":7', '"id":null').encode(), -32600, None),
        ((call % '{"name":"echo"}').replace('"id":7', '"id":true').encode(), -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"vendor/x"}', -32601, 7),
        (b'"text"', -32600, None),
        (b"x" * 10_000_000, -32600, None),
    ]
    for raw, code, message_id in bad:
        answer = client.ask(raw)
        assert (answer["error"]["code"], answer["id"]) == (code, message_id), raw[:80]
        assert answer["error"]["message"]
        assert client.call("echo", message_id="still here")["id"] == "still here"
    assert [sent["method"] for sent in client.received()] == ["initialize", *["tools/call"] * len(bad)]
    client.end()
    with opened(client.config) as guard:
        assert len(rows(guard, "refusal")) == len(bad)


def test_blank_lines_and_notifications_nobody_knows_are_passed_over(client: Client) -> None:
    client.send(b"\n   \n\r")
    client.send({"method": "notifications/vendor/x"})
    client.send({"method": "tools/call", "params": {"name": "echo"}})
    assert client.call("echo")["id"] == 1
    assert len(client.received()) == 2


def test_a_server_that_writes_rubbish_is_answered_for_and_survives(client: Client) -> None:
    assert "after garbage" in json.dumps(client.call("garbage"))
    assert "proxy.max_message_bytes" in client.call("flood", message_id="big")["error"]["message"]
    answers = client.call("twice")
    assert "first" in json.dumps(answers)
    assert client.call("echo", message_id=9)["id"] == 9


def test_the_server_reaches_the_client_only_as_its_settings_say(client: Client) -> None:
    asked = client.call("ask", message_id=3)
    assert asked["method"] == "roots/list"
    assert client.read()["method"] == "notifications/message"
    assert client.read()["id"] == 3
    client.send({"id": asked["id"], "result": {"roots": []}})
    client.call("echo")
    received = client.received()
    assert {"jsonrpc": "2.0", "id": 1, "result": {"roots": []}} in received
    refusals = [sent["error"]["code"] for sent in received if "error" in sent]
    assert refusals == [-32601]


def test_a_call_may_become_a_task_whose_end_is_its_second_outcome(client: Client) -> None:
    params = {"name": "later", "arguments": {}, "task": {"ttl": 1000}}
    made = client.ask({"id": 1, "method": "tools/call", "params": params})
    assert made["result"]["task"]["taskId"] == "task-1"
    unknown = client.ask({"id": 2, "method": "tasks/result", "params": {"taskId": "task-2"}})
    assert unknown["error"]["code"] == -32602
    ended = client.ask({"id": 3, "method": "tasks/result", "params": {"taskId": "task-1"}})
    assert "task-1" in json.dumps(ended["result"])
    assert client.end()[0] == 0
    with opened(client.config) as guard:
        assert [row.reason for row in rows(guard, "outcome")] == ["unknown", "ok"]


def test_a_server_that_dies_fails_its_calls_clearly_and_the_proxy_ends_if_told_so(tmp_path: Path) -> None:
    client = Client(tmp_path, proxy="restarts = 0")
    client.ask(INITIALIZE)
    client.send({"id": 8, "method": "tools/call", "params": {"name": "slow"}})
    answers = [client.call("die", message_id=9), client.read()]
    assert sorted(answer["id"] for answer in answers) == [8, 9]
    assert all("exited with status 3" in answer["error"]["message"] for answer in answers)
    assert client.process.wait(30) == 1
    client.end()
    with opened(client.config) as guard:
        assert [row.reason for row in rows(guard, "outcome")] == ["unknown", "unknown"]
        assert [task.state for task in guard.ledger.tasks()] == ["completed"]


def test_a_call_without_an_answer_times_out_and_the_others_go_on(tmp_path: Path) -> None:
    client = Client(tmp_path, proxy="call_timeout_seconds = 1")
    client.ask(INITIALIZE)
    client.send({"id": 5, "method": "tools/call", "params": {"name": "slow"}})
    assert client.call("echo", message_id=6)["id"] == 6
    answer = client.read()
    assert (answer["id"], answer["error"]["code"]) == (5, -32001)
    client.end()
    with opened(client.config) as guard:
        assert [row.reason for row in rows(guard, "outcome")] == ["ok", "unknown"]


def test_a_signal_ends_the_session_and_completes_its_task(client: Client) -> None:
    client.send({"id": 5, "method": "tools/call", "params": {"name": "slow"}})
    client.call("echo", message_id=6)
    client.process.send_signal(signal.SIGTERM)
    answer = client.read()
    assert answer["id"] == 5
    assert client.process.wait(30) == 0
    with opened(client.config) as guard:
        assert [task.state for task in guard.ledger.tasks()] == ["completed"]


def test_answers_under_way_are_still_delivered_when_the_client_stops_sending(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    messages = [
        INITIALIZE,
        *({"id": n, "method": "tools/call", "params": {"name": "echo"}} for n in range(1, 21)),
    ]
    source = tmp_path / "requests.jsonl"
    source.write_text("\n".join(json.dumps({"jsonrpc": "2.0", **message}) for message in messages))
    process = started(config, "mcp", "run", "desk")
    out, _ = process.communicate(source.read_bytes(), timeout=30)
    assert sorted(json.loads(line)["id"] for line in out.splitlines()) == list(range(21))


def test_the_server_gets_an_environment_of_its_own_with_the_brokered_key_the_agent_never_sees(
    tmp_path: Path,
) -> None:
    brokered = '{ by = "variable", name = "DESK_KEY", environment = "REAL_KEY" }'
    settings = stdio_server(tmp_path / "record", credential=brokered)
    client = Client(tmp_path, settings=settings, REAL_KEY="key-of-the-desk", OTHER_SECRET="hands off")
    client.ask(INITIALIZE)
    shown = json.loads(client.call("env")["result"]["content"][0]["text"])
    assert "OTHER_SECRET" not in shown
    assert "REAL_KEY" not in shown
    assert shown["DESK_KEY"] == "[credential removed by Hopward]"
    assert "PATH" in shown
    client.end()
    with opened(client.config) as guard:
        assert "key-of-the-desk" not in json.dumps([row.record for row in guard.ledger.rows()])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nobody"], "There is no server 'nobody'"),
        (["web", "--carried"], "has a `url`"),
        (["desk", "--workflow", "nothing"], "There is no workflow 'nothing'"),
    ],
)
def test_what_cannot_be_run_is_refused_on_stderr_with_advice(
    tmp_path: Path, words: list[str], told: str
) -> None:
    web = '[servers.web]\nurl = "http://127.0.0.1:1/mcp"\nresource = "http://127.0.0.1:1/mcp"\n'
    web += 'credential = { by = "authorization" }\n'
    config = install(tmp_path, stdio_server(tmp_path / "record") + web)
    process = started(config, "mcp", "run", *words)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert out == b""
    assert told in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize("state", ["suspended", "retired"])
def test_a_stopped_agent_gets_no_session(tmp_path: Path, state: AgentState) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    with opened(config) as guard:
        guard.set_agent_state("assistant", state, by="ops", why="odd calls")
    process = started(config, "mcp", "run", "desk")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, b"")
    assert f"Agent assistant is {state}, so no task can be opened for it." in err.decode()
    assert "Traceback" not in err.decode()
    assert not (tmp_path / "record").exists()
    with opened(config) as guard:
        assert guard.ledger.tasks() == []


def test_a_server_that_cannot_be_started_is_told_and_its_task_completed(tmp_path: Path) -> None:
    settings = stdio_server(tmp_path / "record").replace(sys.executable, "no-such-command")
    config = install(tmp_path, settings)
    process = started(config, "mcp", "run", "desk")
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "no-such-command" in err.decode()
    with opened(config) as guard:
        assert [task.state for task in guard.ledger.tasks()] == ["completed"]


def test_nothing_but_protocol_is_ever_written_to_stdout(tmp_path: Path) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        f"import sys\nsys.stderr.write('from the server')\nexec(open({str(RECORDING)!r}).read())\n"
    )
    settings = stdio_server(tmp_path / "record").replace(str(RECORDING), str(noisy))
    client = Client(tmp_path, settings=settings)
    client.ask(INITIALIZE)
    status, out, err = client.end()
    assert (status, out) == (0, b"")
    assert "from the server" in err


def test_the_stdio_proxy_loads_nothing_of_the_http_side() -> None:
    heavy = ("mcp", "mcp_types", "aiohttp", "uvicorn", "uvloop", "starlette", "rich", "pydantic", "httpx")
    code = f"import hopward_mcp.run, sys; sys.exit(' '.join(m for m in {heavy!r} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_killed_proxy_leaves_no_server_running(client: Client) -> None:
    children = Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children").read_text().split()
    server = os.pidfd_open(int(children[0]))
    client.process.kill()
    ended, _, _ = select.select([server], [], [], 20)
    os.close(server)
    assert ended


def test_requests_from_a_file_are_answered_into_a_file(tmp_path: Path) -> None:
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    source, sink = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    call = {"id": 1, "method": "tools/call", "params": {"name": "echo"}}
    source.write_text("\n".join(json.dumps({"jsonrpc": "2.0", **message}) for message in (INITIALIZE, call)))
    with source.open("rb") as asked, sink.open("wb") as answered:
        done = subprocess.run(
            hopward(config, "mcp", "run", "desk"), stdin=asked, stdout=answered, check=False
        )
    assert done.returncode == 0
    assert [json.loads(line)["id"] for line in sink.read_bytes().splitlines()] == [0, 1]


LEAVES_BEHIND = """
import subprocess
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
left = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
left.stdout.readline()
print(left.pid, file=open(sys.argv[1] + ".pid", "w"), flush=True)
"""

CLOSES_ITS_OUTPUT = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), file=open(sys.argv[1] + ".pid", "w"), flush=True)
def handle(message):
    answer(message["id"], {})
    os.close(1)
    signal.pause()
"""


@pytest.mark.parametrize(("does", "status"), [(LEAVES_BEHIND, 0), (CLOSES_ITS_OUTPUT, 1)])
def test_nothing_a_server_has_started_outlives_the_session(tmp_path: Path, does: str, status: int) -> None:
    script = tmp_path / "server.py"
    script.write_text(RECORDING.read_text().replace('if __name__ == "__main__":', does + "if True:"))
    settings = stdio_server(tmp_path / "record").replace(str(RECORDING), str(script))
    client = Client(tmp_path, settings=settings, proxy="restarts = 0")
    client.ask(INITIALIZE)
    process = os.pidfd_open(int((tmp_path / "record.pid").read_text()))
    if status == 0:
        client.end()
    assert client.process.wait(30) == status
    ended, _, _ = select.select([process], [], [], 10)
    if not ended:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)
    client.process.communicate()
    assert ended
