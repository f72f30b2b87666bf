"""`hopward authority`: a real process, a real port, and a key rotated under it."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from socket import create_server
from threading import Thread
from typing import Any

import httpx2
import pytest

from hopward import ConfigError, Guard, ToolCall
from hopward.assertion import client_assertion
from hopward.keys import KeyRing
from hopward.project import create
from hopward_authority.cli import listening

CONFIG = """
state = ".hopward"
policies = "policies"
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:{port}"
listen = "127.0.0.1:{port}"
"""
HELD = '@id("held") @step_up("operators") forbid (principal, action in Hopward::Action::"pay", resource);'
DESK = """
[agents.helper]
owner = "ops"
purpose = "tickets"
ceiling = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", destinations = ["desk"] }]
[servers.desk]
command = ["desk-mcp"]
resource = "urn:example:desk"
credential = { by = "meta" }
[servers.desk.tools.refund]
action = "pay"
sensitivity = "internal"
integrity = "trusted"
destination = "desk"
[workflows.tickets]
agent = "helper"
purpose = "answer a ticket"
expires_in = 600
budget = { calls = 9, writes = 9 }
capabilities = [{ tools = ["desk/*"], actions = ["pay"], sensitivity = "internal", destinations = ["desk"] }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = tmp_path / "hopward.toml"
    path.write_text(CONFIG.format(port=port))
    create(tmp_path)
    return path


def an_asking_desk(config: Path, hook: str) -> Guard:
    """A desk beside the authority, whose refunds people approve."""
    text = config.read_text()
    issuer = text.partition('issuer = "')[2].partition('"')[0]
    approvals = (
        f'[approvals]\npage = "{issuer}"\n[approvals.webhook]\nurl = "{hook}"\n'
        'secret_file = "hook.secret"\n[approvals.groups.operators]\nmembers = ["lena"]\n'
    )
    group = '[approvals.groups.operators]\nmembers = ["local:carol"]\n'
    config.write_text(text.replace(group, approvals) + DESK)
    (config.parent / "policies" / "held.cedar").write_text(HELD)
    subprocess.run(hopward(config, "authority", "secret"), capture_output=True, check=True)
    return Guard.open(config)


@contextmanager
def receiving(received: Queue[dict[str, Any]]) -> Generator[str]:
    """A webhook's receiver at a real port: its address. What it hears is put into `received`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hopward(config: Path, *words: str) -> list[str]:
    program = "from hopward.cli import main; main()"
    return [sys.executable, "-c", program, "--config", str(config), *words]


@contextmanager
def serving(config: Path) -> Generator[str]:
    """The address of an authority that listens."""
    process = subprocess.Popen(hopward(config, "authority", "serve"), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith("Hopward authority http://127.0.0.1:"), told + process.stderr.read()
        yield told.split()[2]
    finally:
        process.terminate()
        process.communicate()


def test_the_authority_is_served_and_its_key_rotated_while_it_runs(config: Path) -> None:
    proxy = KeyRing.open(config.parent / ".hopward" / "keys").proxy
    with serving(config) as address:
        document = httpx2.get(f"{address}/.well-known/oauth-authorization-server").json()
        assert document["issuer"] == address
        before = httpx2.get(document["jwks_uri"]).json()["keys"]
        done = subprocess.run(
            hopward(config, "authority", "rotate"), capture_output=True, text=True, check=True
        )
        after = httpx2.get(document["jwks_uri"]).json()["keys"]
        assert [key["kid"] for key in after][1:] == [key["kid"] for key in before]
        assert after[0]["kid"] in done.stdout
        assert f"hopward revoke key {before[0]['kid']}" in done.stderr
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": client_assertion("hopward-proxy", address, proxy),
            "token": "x",
        }
        answer = httpx2.post(document["introspection_endpoint"], data=form)
        assert (answer.status_code, answer.json()) == (200, {"active": False})
        assert "server" not in answer.headers
        assert httpx2.get(f"{address}/jwks", headers={"Host": "evil.example"}).status_code == 403


def test_a_person_is_paired_answers_in_a_browser_and_the_webhook_is_told(config: Path) -> None:
    """All of it for real: three processes, a receiver, and the agent's call that waits."""
    received: Queue[dict[str, Any]] = Queue()
    with receiving(received) as hook, closing(an_asking_desk(config, hook)) as guard:
        task = guard.open_task("tickets", "ines")
        call = ToolCall(server="desk", tool="refund", arguments={"amount": 45})
        with serving(config) as address:
            guard.ledger.take_waiting(0, 0)
            decision = guard.authorize(call, guard.enter(task.id))
            pair = hopward(config, "authority", "pair", "lena")
            code = subprocess.run(pair, capture_output=True, text=True, check=True).stdout
            origin = {"Origin": address}
            with httpx2.Client(base_url=address, headers=origin) as browser:
                assert browser.post("/pair", data={"code": code, "label": "phone"}).status_code == 303
                path = f"/approvals/{decision.approval}"
                assert decision.verdict.sentence.count(f"{address}{path}") == 1
                token = browser.get(path).text.partition('name="token" value="')[2][:64]
                form = {"token": token, "answer": "yes", "why": "late"}
                assert browser.post(path, data=form).status_code == 303
            told = [received.get(), received.get()]
        assert [one["type"] for one in told] == ["approval.asked", "approval.approved"]
        assert told[1]["data"]["by"] == "lena"
        assert guard.authorize(call, guard.enter(task.id)).permitted


def test_an_address_that_is_taken_is_told_as_such(config: Path) -> None:
    with serving(config):
        done = subprocess.run(
            hopward(config, "authority", "serve"), capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_a_remote_authority_is_not_served_here(config: Path) -> None:
    text = config.read_text().replace(
        "[authority]", '[authority]\nmode = "remote"\ntoken_endpoint = "https://a.example/t"'
    )
    config.write_text(text)
    done = subprocess.run(hopward(config, "authority", "serve"), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "elsewhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "listen", ["", "8700", ":8700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "a:-1"]
)
def test_an_address_to_listen_on_has_a_host_and_a_port(listen: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        listening(listen)
    assert listening("[::1]:8700") == ("::1", 8700)
    assert listening("localhost:0") == ("localhost", 0)
