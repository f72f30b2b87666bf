"""`hopward mcp ls` before servers that answer, hang, crash, and let nobody in."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

from hopward import read_settings
from hopward_mcp.roster import Entry, roster

from .installation import environment, hopward, opened
from .offering import entry, installed, offering, run, stdio, words
from .recording_http import RecordingServer

IN_PROCESS = """
[servers.program]
in_process = true
resource = "urn:example:program"
credential = { by = "context" }
"""


def listed(config: Path, *line: str) -> dict[str, dict[str, Any]]:
    done = run(config, "mcp", "ls", "--json", *line)
    assert "Traceback" not in done.stderr, done.stderr
    return {one["server"]: one for one in map(json.loads, done.stdout.splitlines())}


async def http(folder: Path, url: str, credential: str) -> Entry:
    config = installed(folder, offering("desk", f'url = "{url}"', credential))
    (found,) = await roster(read_settings(config), 20, lambda: None)
    return found


def test_a_server_is_shown_with_its_era_and_what_is_classified(tmp_path: Path) -> None:
    config = installed(tmp_path, stdio("notes", "good"), entry("notes", "read_note"), entry("notes", "gone"))
    done = run(config, "mcp", "ls")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header.split()[:4] == ["server", "transport", "reached", "era"]
    assert row.split()[0:2] == ["notes", "stdio"]
    assert row.split()[-5:] == ["2025-11-25", "2", "2", "1", "ok"]
    assert "hopward mcp classify notes" in done.stderr
    assert "not offered by notes: gone" in done.stderr


def test_json_names_the_tools_and_what_nobody_has_classified(tmp_path: Path) -> None:
    config = installed(tmp_path, stdio("notes", "good"), entry("notes", "read_note"))
    assert listed(config)["notes"] == {
        "server": "notes",
        "transport": "stdio",
        "reached": " ".join(words("good")),
        "era": "2025-11-25",
        "tools": ["read_note", "write_note"],
        "classified": ["read_note"],
        "unclassified": ["write_note"],
        "ok": True,
        "health": "ok",
        "observed": "",
        "pins": {},
    }


def test_servers_that_hang_crash_or_are_not_there_do_not_stop_the_others(tmp_path: Path) -> None:
    config = installed(
        tmp_path,
        stdio("silent", "silent"),
        stdio("endless", "endless"),
        stdio("crashed", "crash"),
        offering("missing", 'command = ["no-such-program"]'),
        offering("closed", 'url = "http://127.0.0.1:9/mcp"', '{ by = "authorization" }'),
        stdio("notes", "good"),
    )
    done = run(config, "mcp", "ls", "--json", "--timeout", "4")
    found = {one["server"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert list(found) == ["silent", "endless", "crashed", "missing", "closed", "notes"]
    assert found["notes"]["health"] == "ok"
    assert found["silent"]["health"] == "did not answer within 4 s"
    assert found["endless"]["health"] == "The list of its tools does not end"
    assert found["crashed"]["health"].endswith("it printed: there is no database\x1b[2J")
    assert found["missing"]["health"] == "did not answer: no-such-program: No such file or directory"
    assert found["closed"]["ok"] is False
    assert found["silent"]["tools"] is found["silent"]["unclassified"] is None


def test_what_a_server_printed_last_does_not_reach_the_terminal_as_it_is(tmp_path: Path) -> None:
    done = run(installed(tmp_path, stdio("crashed", "crash")), "mcp", "ls")
    assert "there is no database\\x1b[2J" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_no_server_is_left_running_after_the_list(tmp_path: Path) -> None:
    config = installed(tmp_path, stdio("silent", "silent", str(tmp_path)))
    run(config, "mcp", "ls", "--timeout", "1")
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"silent {tmp_path}" not in left


def test_offline_connects_to_nobody(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    started = offering("notes", f"command = ['touch', '{marker}']")
    found = listed(installed(tmp_path, started, entry("notes", "read_note")), "--offline")["notes"]
    assert (found["ok"], found["health"], found["era"], found["tools"]) == (None, "not asked", "", None)
    assert found["classified"] == ["read_note"]
    assert not marker.exists()


def test_offline_shows_a_dash_for_what_only_a_server_can_say(tmp_path: Path) -> None:
    done = run(
        installed(tmp_path, stdio("notes", "good"), entry("notes", "read_note")), "mcp", "ls", "--offline"
    )
    assert done.stdout.splitlines()[1].split()[-6:] == ["-", "-", "1", "-", "not", "asked"]
    assert "--offline asks no server" in done.stderr


def test_the_tools_of_a_program_are_listed_and_not_asked(tmp_path: Path) -> None:
    found = listed(installed(tmp_path, IN_PROCESS))["program"]
    assert (found["transport"], found["ok"]) == ("in-process", None)
    assert found["health"] == "not asked: its tools run in a program"


def test_a_configuration_without_servers_says_how_to_add_one(tmp_path: Path) -> None:
    config = tmp_path / "hopward.toml"
    run(config, "init")
    done = run(config, "mcp", "ls")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Add a [servers.NAME]" in done.stderr


def test_an_api_key_that_is_not_there_is_told_in_the_row_of_its_server(tmp_path: Path) -> None:
    brokered = '{ by = "variable", name = "NOTES_KEY", environment = "NO_SUCH_KEY" }'
    keyed = offering("keyed", f"command = {json.dumps(words('good'))}", brokered)
    found = listed(installed(tmp_path, keyed, stdio("notes", "good")))
    assert "NO_SUCH_KEY holds no API key" in found["keyed"]["health"]
    assert found["notes"]["ok"] is True


def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    config = installed(tmp_path, stdio("notes", "good"))
    ours, theirs = pty.openpty()
    done = subprocess.run(
        hopward(config, "mcp", "ls"), stdout=subprocess.PIPE, stderr=theirs, env=environment(), check=True
    )
    os.close(theirs)
    assert b"asked 1 of 1 servers" in os.read(ours, 4_096)
    os.close(ours)
    assert b"asked" not in done.stdout


async def test_a_server_over_http_is_asked_where_its_url_says(tmp_path: Path) -> None:
    async with RecordingServer() as server:
        url = server.url
        found = await http(tmp_path, url, '{ by = "authorization" }')
    assert (found.transport, found.reached, found.ok, found.era) == ("http", url, True, "2026-07-28")
    assert found.tools == ("echo", "stream", "hidden")


async def test_a_server_that_wants_a_credential_is_alive_and_lists_nothing(tmp_path: Path) -> None:
    async with RecordingServer() as server:
        server.statuses[""] = 401
        found = await http(tmp_path, server.url, '{ by = "authorization" }')
    assert (found.ok, found.health, found.tools) == (
        True,
        "ok; it lists nothing without a credential",
        None,
    )


async def test_an_api_key_goes_to_the_server_it_is_for_and_its_refusal_is_told(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DESK_KEY", "key-123456")
    async with RecordingServer() as server:
        server.statuses[""] = 403
        found = await http(
            tmp_path, server.url, '{ by = "header", name = "X-Key", environment = "DESK_KEY" }'
        )
    assert {one.header("x-key") for one in server.received} == {"key-123456"}
    assert (found.ok, found.health) == (False, "refused the API key (HTTP 403)")


def test_what_is_contained_is_said_first(tmp_path: Path) -> None:
    config = installed(tmp_path, stdio("notes", "good"), entry("notes", "read_note"))
    with opened(config) as guard:
        guard.quarantine("tool", "notes/read_note", by="carol", why="an incident")
        guard.stop_all(by="carol", why="an incident")
    done = run(config, "mcp", "ls", "--offline")
    assert "Tool notes/read_note is quarantined: hopward quarantine says why." in done.stderr
    assert "EVERYTHING IS STOPPED" in done.stderr
    assert done.stdout.splitlines()[1].startswith("notes")
