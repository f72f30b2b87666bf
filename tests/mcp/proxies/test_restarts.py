"""A server's process that ends is started again, and the client's session goes on: real processes."""

import fcntl
import json
import os
import select
import signal
import sys
import termios
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from hopward_mcp.restarts import pause

from .installation import SERVER, classified, opened, rows
from .piping import INITIALIZE, Client

MORTAL = Path(__file__).with_name("mortal_stdio.py")
SUBSCRIBE: dict[str, Any] = {"method": "resources/subscribe", "params": {"uri": "ticket://1"}}
VERSION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


class Mortal(Client):
    """A client before a server whose processes do what `lives` says."""

    def __init__(self, folder: Path, *words: str, lives: list[dict[str, Any]], proxy: str = "") -> None:
        (folder / "lives").write_text(json.dumps(lives))
        command = [sys.executable, str(MORTAL), str(folder / "record"), str(folder / "lives")]
        transport = f"command = {json.dumps(command)}"
        settings = SERVER.format(name="desk", transport=transport, credential='{ by = "meta" }')
        settings += classified("desk")
        super().__init__(folder, *words, settings=settings, proxy=proxy)
        self.notifications: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        """The next message with an id; notifications before it are kept."""
        while "id" not in (message := self.read()):
            self.notifications.append(message)
        return message

    def tell(self, method: str, **params: Any) -> None:
        self.send({"method": method, "params": params})

    def request(self, message: dict[str, Any], message_id: Any) -> dict[str, Any]:
        self.send({"id": message_id, **message})
        return self.answer()

    def run(self, name: str, arguments: Any = None, message_id: Any = 1) -> dict[str, Any]:
        params = {"name": name, "arguments": arguments or {}}
        return self.request({"method": "tools/call", "params": params}, message_id)

    def greet(self) -> None:
        self.ask(INITIALIZE)
        self.tell("notifications/initialized")

    def comes_back(self) -> dict[str, Any]:
        """What a call is answered once a process takes it again."""
        while (told := self.read())["method"] != "notifications/tools/list_changed":
            self.notifications.append(told)
        self.notifications.append(told)
        return self.run("echo", message_id="again")

    def kept(self, kind: str) -> list[Any]:
        with opened(self.config) as guard:
            return rows(guard, kind)

    def lives(self) -> list[list[dict[str, Any]]]:
        """What each process has received."""
        lived: dict[int, list[dict[str, Any]]] = {}
        for line in self.received():
            lived.setdefault(line["pid"], []).append(line["message"])
        return list(lived.values())


def methods(life: list[dict[str, Any]]) -> list[str]:
    return [message.get("method", "answer") for message in life]


def pid(answer: dict[str, Any]) -> int:
    return json.loads(answer["result"]["content"][0]["text"])["pid"]


FLOOD = 10
PIPE = 65_536
"""Bytes that a pipe holds."""


@contextmanager
def flooded(client: Client) -> Iterator[threading.Thread]:
    """More calls than the pipes hold are being sent, to a server that reads nothing; they are stuck."""
    params = {"name": "slow", "arguments": {"text": "x" * 200_000}}
    calls = [{"id": number, "method": "tools/call", "params": params} for number in range(FLOOD)]
    sending = threading.Thread(target=lambda: [client.send(call) for call in calls])
    sending.start()
    assert client.process.stdin is not None
    unread, before = array("i", [0]), -1
    while unread[0] != before or before < PIPE:
        before = unread[0]
        select.select([], [], [], 0.2)
        fcntl.ioctl(client.process.stdin, termios.FIONREAD, unread)
    yield sending
    sending.join()


Start: TypeAlias = Callable[..., Mortal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts clients; none outlives the test."""
    running: list[Mortal] = []

    def start(*words: str, **how: Any) -> Mortal:
        running.append(Mortal(tmp_path, *words, **how))
        return running[-1]

    yield start
    for client in running:
        if client.process.poll() is None:
            client.process.kill()
        client.process.communicate()


def test_the_session_goes_on_in_a_new_process_that_is_told_what_the_first_was(start: Start) -> None:
    client = start(lives=[{}])
    client.greet()
    client.request({"method": "logging/setLevel", "params": {"level": "debug"}}, 2)
    client.request({"method": "logging/setLevel", "params": {"level": "error"}}, 3)
    client.request(SUBSCRIBE, 4)
    client.request({"method": "resources/subscribe", "params": {"uri": "ticket://2"}}, 5)
    client.request({"method": "resources/unsubscribe", "params": {"uri": "ticket://2"}}, 6)
    assert "exited with status 3" in client.run("die", message_id=7)["error"]["message"]
    client.comes_back()
    first, second = client.lives()
    assert methods(second)[:4] == [
        "initialize",
        "notifications/initialized",
        "logging/setLevel",
        "resources/subscribe",
    ]
    assert "tools/call" not in methods(second)[:4]
    told = {message["method"]: message for message in second[:4]}
    assert told["initialize"]["params"] == first[0]["params"]
    assert told["logging/setLevel"]["params"] == {"level": "error"}
    assert told["resources/subscribe"]["params"]["uri"] == "ticket://1"
    tokens = [m["params"]["_meta"]["dev.hopward/credential"] for m in (first[4], second[3])]
    assert tokens[0] != tokens[1]
    status, _, err = client.end()
    assert status == 0
    assert "the server exited with status 3; it is started again now" in err
    with opened(client.config) as guard:
        assert [row.reason for row in rows(guard, "outcome")][:3] == ["ok", "ok", "unknown"]
        assert len(rows(guard, "outcome")) == len(rows(guard, "decision"))


def test_the_client_is_told_to_list_anew_and_to_read_what_it_has_subscribed_to(start: Start) -> None:
    client = start(lives=[{}])
    client.greet()
    client.request(SUBSCRIBE, 2)
    client.run("die")
    client.comes_back()
    assert client.run("echo")["id"] == 1
    assert [told["method"] for told in client.notifications] == [
        "notifications/tools/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
    ]
    assert client.notifications[-1]["params"] == {"uri": "ticket://1"}


def test_what_was_under_way_is_lost_and_what_arrives_meanwhile_is_refused_without_a_decision(
    start: Start,
) -> None:
    client = start(lives=[{}, {"die": "start"}, {}])
    client.greet()
    client.send({"id": 8, "method": "tools/call", "params": {"name": "slow"}})
    lost = [client.run("die", message_id=9), client.answer()]
    assert sorted(answer["id"] for answer in lost) == [8, 9]
    assert all("exited with status 3" in answer["error"]["message"] for answer in lost)
    refused = client.run("echo", message_id=10)
    assert "started again" in refused["error"]["message"]
    decided = len(client.kept("decision"))
    client.comes_back()
    assert client.end()[0] == 0
    outcomes = client.kept("outcome")
    assert [row.record["outcome"]["error"] for row in outcomes[:2]] == ["server_lost"] * 2
    assert decided == 2
    assert {row.reason for row in client.kept("refusal")} == {"server_restarting"}
    assert len(client.kept("decision")) == len(outcomes) == 3


def test_a_server_that_has_never_answered_ends_the_session_at_once(start: Start) -> None:
    client = start(lives=[{"die": "initialize"}])
    assert "exited with status 3" in client.request(INITIALIZE, 0)["error"]["message"]
    assert client.process.wait(30) == 1
    assert "hopward: the server exited with status 3\n" in client.end()[2]
    assert len(client.lives()) == 1


def test_a_server_that_keeps_ending_is_given_up_with_status_1(start: Start) -> None:
    client = start(lives=[{}, {"die": "initialize"}], proxy="restarts = 2")
    client.greet()
    client.run("die")
    assert client.process.wait(30) == 1
    status, out, err = client.end()
    assert status == 1
    assert "exited with status 3, after it was started again 2 times without serving anything" in err
    assert [methods(life) for life in client.lives()[1:]] == [["initialize"]] * 2
    assert out == b""
    assert client.kept("task")[-1].record["event"] == "completed"


def test_a_server_that_serves_in_between_may_end_more_often_than_the_limit(start: Start) -> None:
    client = start(lives=[{}], proxy="restarts = 1")
    client.greet()
    for _ in range(4):
        assert "error" in client.run("die")
        client.comes_back()
    assert client.end()[0] == 0
    assert len(client.lives()) == 5


@pytest.mark.parametrize("what", ["error", "malformed"])
def test_a_process_that_does_not_take_up_the_session_counts_as_a_failure(start: Start, what: str) -> None:
    wrong: dict[str, Any] = {"error": {"code": -32603, "message": "not now"}}
    answers = {"initialize": wrong if what == "error" else {"jsonrpc": "2.0", "error": 1}}
    client = start(lives=[{}, {"answers": answers}, {}])
    client.greet()
    client.run("die")
    client.comes_back()
    assert "the server did not take up the session again; it is started again in 1 s" in client.end()[2]
    assert [methods(life)[0] for life in client.lives()] == ["initialize"] * 3


def test_a_process_that_never_answers_the_handshake_is_given_up_and_replaced(start: Start) -> None:
    client = start(lives=[{}, {"mute": "initialize"}, {}], proxy="call_timeout_seconds = 1")
    client.greet()
    client.run("die")
    client.comes_back()
    assert "did not take up the session again" in client.end()[2]


def test_a_process_of_another_protocol_version_ends_the_session(start: Start) -> None:
    other = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {}}
    client = start(lives=[{}, {"answers": {"initialize": other}}])
    client.greet()
    client.run("die")
    assert client.process.wait(30) == 1
    assert "hopward: the server came back with another protocol version" in client.end()[2]
    assert methods(client.lives()[1]) == ["initialize"]


def test_a_process_that_announces_other_things_is_told_on_stderr(start: Start) -> None:
    other = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "\x1b[2J"},
    }
    client = start(lives=[{}, {"answers": {"initialize": other}}])
    client.greet()
    client.run("die")
    client.comes_back()
    err = client.end()[2]
    assert "came back with other capabilities" in err
    assert "came back with other serverInfo" in err
    assert "\x1b" not in err


def test_for_a_task_that_has_ended_no_process_is_started(start: Start) -> None:
    client = start(lives=[{}])
    client.greet()
    server = pid(client.run("echo"))
    with opened(client.config) as guard:
        guard.revoke("task", guard.ledger.tasks()[0].id, by="ops", why="enough")
    os.kill(server, signal.SIGKILL)
    assert client.process.wait(30) == 1
    assert "was ended by signal 9, and what it would be started again for has ended" in client.end()[2]
    assert len(client.lives()) == 1


def test_a_subscription_is_not_restored_when_it_is_not_permitted_any_more(start: Start) -> None:
    client = start(lives=[{}])
    client.greet()
    client.request(SUBSCRIBE, 2)
    policy = client.config.parent / "policies" / "subscriptions.cedar"
    told = 'when { resource.name like "resource:*" }'
    policy.write_text(f'@id("none")\nforbid (principal, action, resource) {told};\n')
    read = {"method": "resources/read", "params": {"uri": "ticket://1"}}
    while "result" in client.request(read, 3):
        pass
    client.run("die")
    client.comes_back()
    assert "resources/subscribe could not be restored" in client.end()[2]
    assert "resources/subscribe" not in methods(client.lives()[1])
    assert "notifications/resources/updated" not in [told["method"] for told in client.notifications]


def test_the_clients_answer_to_a_process_that_has_ended_does_not_reach_the_next(start: Start) -> None:
    client = start(lives=[{}])
    client.greet()
    client.send({"id": 5, "method": "tools/call", "params": {"name": "ask"}})
    asked = client.answer()
    assert asked["method"] == "roots/list"
    assert "error" in client.run("die", message_id=6)
    client.answer()
    client.comes_back()
    client.send({"id": asked["id"], "result": {"roots": []}})
    client.run("echo")
    client.end()
    assert "answer" not in methods(client.lives()[1])
    (taken_back,) = [told for told in client.notifications if told["method"] == "notifications/cancelled"]
    assert taken_back["params"]["requestId"] == asked["id"]
    assert [row.reason for row in client.kept("refusal")][-1] == "unasked_answer"


def test_half_an_answer_of_a_process_that_ends_is_no_answer(start: Start) -> None:
    client = start(lives=[{"half": True}])
    client.greet()
    answer = client.run("die", message_id=4)
    assert (answer["id"], "error" in answer) == (4, True)
    client.comes_back()
    client.end()
    assert [row.reason for row in client.kept("outcome")] == ["unknown", "ok"]


def test_a_client_held_back_by_a_full_server_is_read_again_once_that_has_ended(start: Start) -> None:
    client = start(lives=[{"deaf": True}, {}])
    client.greet()
    server = client.received()[0]["pid"]
    with flooded(client) as sending:
        os.kill(server, signal.SIGKILL)
        sending.join()
        lost = [client.read() for _ in range(FLOOD)]
    assert sum("was ended by signal 9" in told.get("error", {}).get("message", "") for told in lost) > 0
    assert client.end()[0] == 0
    assert len(client.kept("outcome")) == len(client.kept("decision"))


def test_a_client_that_leaves_while_the_server_is_down_ends_the_session_at_once(start: Start) -> None:
    client = start(lives=[{}, {"die": "start"}])
    client.greet()
    client.run("die")
    while "is being" in client.run("echo")["error"]["message"]:
        pass
    assert client.end()[0] == 0
    assert client.kept("task")[-1].record["event"] == "completed"


def test_a_session_of_2026_07_28_goes_on_and_nothing_is_repeated(start: Start) -> None:
    client = start(lives=[{}])
    meta = {"_meta": {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
    client.send({"id": 1, "method": "subscriptions/listen", "params": {"notifications": {}, **meta}})
    assert client.read()["method"] == "notifications/subscriptions/acknowledged"
    call = {"method": "tools/call", "params": {"name": "echo", "arguments": {}, **meta}}
    server = pid(client.request(call, 2))
    os.kill(server, signal.SIGKILL)
    assert "was ended by signal 9" in client.answer()["error"]["message"]
    while "error" in (answer := client.request(call, 3)):
        assert "started again" in answer["error"]["message"]
    assert pid(answer) != server
    client.end()
    assert set(methods(client.lives()[1])) == {"tools/call"}
    assert client.notifications == []


def test_an_older_server_is_met_anew_for_a_client_of_2026_07_28(start: Start) -> None:
    older = {"answers": {"server/discover": {"error": {"code": -32601, "message": "?"}}}}
    client = start(lives=[older])
    meta = {"_meta": {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
    call = {"method": "tools/call", "params": {"name": "echo", "arguments": {}, **meta}}
    server = pid(client.request(call, 1))
    os.kill(server, signal.SIGKILL)
    while "error" in (answer := client.request(call, 2)):
        assert any(why in answer["error"]["message"] for why in ("started again", "by signal 9"))
    assert pid(answer) != server
    client.end()
    met = ["server/discover", "initialize", "notifications/initialized", "tools/call"]
    assert methods(client.lives()[1]) == met


def test_a_subscription_whose_task_has_ended_brings_nothing_more_and_the_server_is_told(
    start: Start,
) -> None:
    client = start(lives=[{}])
    meta = {"_meta": {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
    client.send({"id": 1, "method": "subscriptions/listen", "params": {"notifications": {}, **meta}})
    client.read()
    client.tell("notifications/roots/list_changed")
    updates = [client.read(), client.read()]
    assert [told["params"].get("_meta") for told in updates] == [{SUBSCRIPTION: 1}, None]
    with opened(client.config) as guard:
        guard.revoke("task", guard.ledger.tasks()[0].id, by="ops", why="enough")
    client.tell("notifications/roots/list_changed")
    ended = client.read()
    assert (ended["id"], ended["error"]["message"]) == (1, "What this stream stood on has ended.")
    assert "result" in client.request({"method": "ping"}, 2)
    received = [line["message"] for line in client.received()]
    assert client.end()[1] == b""
    (told,) = [message for message in received if message["method"] == "notifications/cancelled"]
    listened = next(one for one in received if one["method"] == "subscriptions/listen")
    assert told["params"]["requestId"] == listened["id"]


def test_a_session_of_2026_07_28_before_an_older_server_goes_on(start: Start) -> None:
    client = start(lives=[{"answers": {"server/discover": {"error": {"code": -32601, "message": "no"}}}}])
    meta = {"_meta": {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}
    call = {"method": "tools/call", "params": {"name": "echo", "arguments": {}, **meta}}
    server = pid(client.request(call, 2))
    os.kill(server, signal.SIGKILL)
    while "error" in (answer := client.request(call, 3)):
        assert "started again" in answer["error"]["message"] or "signal 9" in answer["error"]["message"]
    assert pid(answer) != server
    client.end()
    second = methods(client.lives()[1])
    assert second.count("tools/call") == 1
    assert "initialize" in second


def test_a_server_that_takes_too_long_is_told_to_give_up(start: Start) -> None:
    client = start(lives=[{"mute": "initialize"}], proxy="call_timeout_seconds = 1")
    assert client.request(INITIALIZE, 0)["error"]["code"] == -32001
    assert client.run("slow")["error"]["code"] == -32001
    client.end()
    first, call, told = [line["message"] for line in client.received()]
    assert (first["method"], told["method"]) == ("initialize", "notifications/cancelled")
    assert told["params"]["requestId"] == call["id"]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (9, 60), (500, 60)]
)
def test_the_pause_grows_to_a_minute_and_no_further(failures: int, seconds: float) -> None:
    assert pause(failures) == seconds
