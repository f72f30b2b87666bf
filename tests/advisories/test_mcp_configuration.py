"""What stands in `hopward.toml`, or should: options, names, keys and programs that nobody looked at.

The rows of the advisories page this covers stand in the docstrings, with their published ids.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from proxies.fronting import front
from proxies.installation import (
    classified,
    environment,
    hopward,
    http_server,
    install,
    opened,
    rows,
    started,
    stdio_server,
)
from proxies.piping import INITIALIZE, Client
from proxies.processes import PROCESS, Processes, process_server
from proxies.recording_http import RecordingServer

from hopward import ConfigError, Guard, read_settings
from hopward.cli import verbs
from hopward_mcp.delivery import courier

from .shipped import ROOT, files

LISTING = ROOT / "tests" / "mcp" / "proxies" / "listing_stdio.py"
ACCEPTED = 'pins = "accepted"'

# Row 3: a secret that everybody has.

NO_SECRET = re.compile(
    r"""-----BEGIN [A-Z ]*PRIVATE KEY|"d"\s*:\s*"[\w-]{20,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"""
    r"""|\b(?:sk|pk|ghp|gho|xox[bap])[-_][A-Za-z0-9]{16,}|\bAKIA[A-Z0-9]{16}\b"""
    r"""|(?i:\b\w*(?:secret|password|passwd|api_?key)\w*)["']?\s*(?::\s*str\s*)?[=:]\s*["'][^"'{}<>$\s]{4,}["']"""
)
"""A private key, a token, a key of a known service, or a name of a secret with a text behind it."""


def test_no_default_secret_ships(tmp_path: Path) -> None:
    """Row 3, the other half: GHSA-g53w-w6mj-hrpp (`secret-api-key` was the default). What the wheels hold is
    the source folders as they are."""
    found = [
        f"{path.name}: {hit[0]}"
        for path in files()
        for hit in [NO_SECRET.search(path.read_bytes().decode("utf-8", "replace"))]
        if hit
    ]
    assert found == []
    for bad in ('api_key: str = "secret-api-key"', "password = 'hunter22'", '"d": "' + "x" * 43 + '"'):
        assert NO_SECRET.search(bad)
    made = [
        keys_of(install(tmp_path / name, stdio_server(tmp_path / "record")))
        for name in ("a", "b")
        if not (tmp_path / name).mkdir()
    ]
    assert made[0]
    assert made[0].isdisjoint(made[1])


def keys_of(config: Path) -> set[str]:
    """The private parts of every key of an installation."""
    keys = [json.loads(path.read_text()) for path in config.parent.rglob(".hopward/keys/**/*.json")]
    flat = [one for key in keys for one in (key.get("keys", [key]) if isinstance(key, dict) else key)]
    return {one["d"] for one in flat if isinstance(one, dict) and "d" in one}


# Row 10: a setting that becomes an option of some program.

OPTIONS = [
    ("command", '["--flag"]'),
    ("command", '["-c", "import os"]'),
    ("command", r'["python", "a\nb"]'),
    ("command", r'["python", "server.py\r--flag"]'),
    ("command", '["python", "x"]\ndirectory = "-x"'),
    ("command", r'["python", "x"]' + "\n" + r'directory = "a\nb"'),
    ("command", '["python", "x"]\nenvironment = { "-x" = "1" }'),
    ("command", r'["python", "x"]' + "\n" + r'environment = { "A\nB" = "1" }'),
    ("command", '["python", "x"]\npass_environment = ["--all"]'),
    ("url", '"--proxy=http://evil.example"'),
    ("url", r'"http://127.0.0.1/\nX: y"'),
    ("url", '"-http://127.0.0.1/"'),
]
KEYRING = ["-x/y", "service/-u", r"ser\nvice/user"]
NAMES = ["-x", "--config", r"a\nb"]


@pytest.mark.parametrize(("key", "value"), OPTIONS)
def test_a_server_setting_that_looks_like_an_option_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """Row 10: CVE-2026-55887, GO-2026-5604 (Docker MCP gateway)."""
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    text = commanded(config.read_text(), f"{key} = {value}")
    named = value.rpartition("\n")[2].partition(" = ")[0] if "\n" in value else key
    assert f"servers.desk.{named}" in refused(config, text)
    done = subprocess.run(hopward(config, "mcp", "run", "desk"), capture_output=True, check=False, timeout=60)
    assert done.returncode != 0
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_or_folder_that_looks_like_an_option_is_refused(tmp_path: Path, name: str) -> None:
    """Row 10: names of servers, agents and workflows become words of command lines, and parts of paths."""
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    good = config.read_text()
    for section, known in (("servers", "desk"), ("agents", "assistant"), ("workflows", "tickets")):
        assert "a name is 1 to 63" in refused(
            config, good.replace(f"[{section}.{known}", f'[{section}."{name}"')
        )
    for key in ("state", "policies"):
        told = refused(config, f'{key} = "{name}"\n{good}')
        assert f"{key}: looks like an option" in told or f"{key}: holds a newline" in told
    for entry in KEYRING:
        brokered = f'{{ by = "variable", name = "K", keyring = "{entry}" }}'
        told = refused(config, good.replace('{ by = "meta" }', brokered))
        assert "credential.keyring: looks like an option" in told


@pytest.mark.parametrize("entry", [{"command": "--flag"}, {"command": "x", "args": ["a\n--flag"]}], ids=str)
def test_wrap_takes_over_no_command_that_is_an_option(tmp_path: Path, entry: dict[str, object]) -> None:
    """Row 10: a client's configuration is written by others too, and ends up in `hopward.toml`."""
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    client = tmp_path / "mcp.json"
    client.write_text(json.dumps({"mcpServers": {"notes": entry}}))
    before = config.read_bytes(), client.read_bytes()
    line = hopward(config, "mcp", "wrap", str(client), "--yes")
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert "control character" in done.stderr or "an option" in done.stderr
    assert (config.read_bytes(), client.read_bytes()) == before


def commanded(text: str, line: str) -> str:
    """A configuration with this in place of its command."""
    return re.sub(r"^command = .*$", lambda _: line, text, flags=re.MULTILINE)


def refused(config: Path, text: str) -> str:
    """What is said about this text as hopward.toml."""
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(config)
    return "\n".join((str(caught.value), *caught.value.problems))


# Row 21: two names that are one to whoever reads them.

TOOL = '\n[servers.{server}.{section}."{name}"]\naction = "read"\nsensitivity = "internal"\n'
TOOL += 'integrity = "untrusted"\ndestination = "desk"\n'

ALIKE = [
    ("desk", "tools", "find_ticket", "desk", "Find_Ticket"),
    ("desk", "tools", "find_ticket", "desk", "find__ticket"),
    ("desk", "tools", "find_ticket", "desk", "find-ticket"),
    ("desk", "tools", "find.ticket", "desk", "find/ticket"),
    ("desk", "prompts", "summary_of", "desk", "summary\u200b_of"),
    ("desk", "prompts", "summary_of", "desk", "\uff33ummary_of"),
    ("desk", "prompts", "ﬁle", "desk", "file"),
    ("desk", "tools", "two_find", "desk_two", "find"),
    ("desk", "tools", "two.find", "desk-two", "Find"),
]


@pytest.mark.parametrize(("first", "section", "name", "second", "other"), ALIKE)
def test_two_tools_with_equal_looking_names_refuse_to_start(
    tmp_path: Path, first: str, section: str, name: str, second: str, other: str
) -> None:
    """Row 21: CVE-2026-30856, GO-2026-4638 (WeKnora)."""
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    more = "" if first == second else bare(second, tmp_path)
    good = config.read_text() + more + TOOL.format(server=first, section=section, name=name)
    config.write_text(good)
    read_settings(config)
    told = refused(config, good + TOOL.format(server=second, section=section, name=other))
    assert "cannot be told apart from" in told or "becomes the same as" in told
    assert hopward_fails(config, "mcp", "serve")


def test_servers_with_equal_looking_names_refuse_to_start(tmp_path: Path) -> None:
    """Row 21: the name of a server stands in front of its tools' names."""
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    good = config.read_text() + bare("my_desk", tmp_path)
    for name in ("My_Desk", "my-desk", "my__desk"):
        assert "cannot be told apart" in refused(config, good + bare(name, tmp_path))


def bare(name: str, folder: Path) -> str:
    """A server without classifications."""
    return stdio_server(folder / "record", name).replace(classified(name), "")


def hopward_fails(config: Path, *words: str) -> bool:
    """Whether a command ends with an error of its own, not with a traceback."""
    line = hopward(config, *words)
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60, env=environment())
    assert "Traceback" not in done.stderr
    return done.returncode != 0


# Row 24: what is started, and who says so.


def pinned(record: Path, *files: Path) -> str:
    """A server over stdio that starts only with these files."""
    found = [digest(path) for path in files]
    return stdio_server(record).replace("\nresource", f"\ndigests = {json.dumps(found)}\nresource", 1)


def digest(path: Path) -> str:
    """Of a file, as `digests` lists it."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def swapped(path: Path) -> None:
    """As an attacker who can write it would: the same size, one other byte."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("change", [None, "program", "script", "unlisted"])
def test_a_stdio_command_with_an_unlisted_digest_is_not_started(tmp_path: Path, change: str | None) -> None:
    """Row 24: CVE-2025-6514 (mcp-remote), CVE-2025-49596 (MCP Inspector), CVE-2026-30623."""
    record, script, program = tmp_path / "record", tmp_path / "server.py", tmp_path / "python"
    shutil.copy(ROOT / "tests/mcp/proxies/recording_stdio.py", script)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n#')
    program.chmod(0o755)
    text = pinned(record, program, *([] if change == "unlisted" else [script]))
    command = f"command = ['./python', 'server.py', '{record}']"
    text = commanded(text, command)
    config = install(tmp_path, text)
    if change in ("program", "script"):
        swapped(program if change == "program" else script)
    process = started(config, "mcp", "run", "desk")
    out, err = process.communicate(json.dumps({"jsonrpc": "2.0", **INITIALIZE}).encode() + b"\n", 60)
    if change is None:
        assert json.loads(out)["result"]["serverInfo"]["name"] == "recording"
        return
    assert (process.returncode, out) == (2, b"")
    path = program if change == "program" else script
    assert f"{path} has a digest that is not listed, sha256:" in err.decode()
    assert "digests" in err.decode()
    assert not record.exists()


async def test_a_command_that_is_swapped_while_the_proxy_runs_is_not_started_again(tmp_path: Path) -> None:
    """Row 24: every start is looked at, not only the first."""
    record, script = tmp_path / "record", tmp_path / "server.py"
    shutil.copy(ROOT / "tests/mcp/proxies/recording_process.py", script)
    digests = json.dumps([digest(Path(sys.executable)), digest(script)])
    text = process_server(record).replace(str(PROCESS), "server.py")
    text = text.replace("\nresource", f"\ndigests = {digests}\nresource", 1)
    async with asyncio.timeout(60), front(tmp_path, (), more=text) as running:
        served, token = Processes(running, record), running.token()
        assert (await served.call(token, "echo")).message["result"]["vendor"]
        swapped(script)
        os.kill(served.pids[0], signal.SIGKILL)
        while len(served.workers):
            await asyncio.sleep(0)
        before = len(served.received)
        answer = (await served.call(token, "echo")).message
        assert "error" in answer
        assert len(served.received) == before
        assert (
            "not started" in answer["error"]["message"] or "cannot be started" in answer["error"]["message"]
        )
        outcomes = [row.record["outcome"] for row in rows(running.guard, "outcome")]
        assert [(one["status"], one.get("error", "")) for one in outcomes] == [
            ("ok", ""),
            ("error", "not_started"),
        ]


def test_the_digest_of_a_program_on_the_path_is_that_of_what_is_started(tmp_path: Path) -> None:
    """Row 24: the first of that name on the PATH of the server, which may be another than ours."""
    shadow = tmp_path / "bin"
    shadow.mkdir()
    (shadow / "tool").write_text("#!/bin/sh\necho > started\n")
    (shadow / "tool").chmod(0o755)
    for listed, starts in (("sha256:" + "0" * 64, False), (digest(shadow / "tool"), True)):
        text = stdio_server(tmp_path / "record").replace(
            "\nresource", f'\ndigests = ["{listed}"]\nresource', 1
        )
        command = f"command = ['tool']\nenvironment = {{ PATH = '{shadow}' }}"
        text = commanded(text, command)
        folder = tmp_path / listed[-3:]
        folder.mkdir()
        process = started(install(folder, text), "mcp", "run", "desk")
        process.communicate(b"", 60)
        assert (folder / "started").exists() is starts


EXPOSED: list[tuple[str, int, Callable[[Path], Path]]] = [
    ("file", 0o646, lambda config: config),
    ("folder", 0o707, lambda config: config.parent),
    ("policy", 0o666, lambda config: next((config.parent / "policies").glob("*.cedar"))),
    ("policies", 0o757, lambda config: config.parent / "policies"),
]


@pytest.mark.parametrize(("which", "mode", "place"), EXPOSED, ids=[one[0] for one in EXPOSED])
def test_the_agent_cannot_write_the_configuration(
    tmp_path: Path, which: str, mode: int, place: Callable[[Path], Path]
) -> None:
    """Row 24: what an agent of another user could write is not read; see `hopward.exposure`."""
    folder = tmp_path / "installation"
    folder.mkdir(mode=0o755)
    config = install(folder, stdio_server(tmp_path / "record"))
    path = place(config)
    before = path.stat().st_mode
    path.chmod(mode)
    for words in (("mcp", "run", "desk"), ("mcp", "serve"), ("task", "open", "tickets", "--subject", "a")):
        assert hopward_fails(config, *words), words
    with pytest.raises(ConfigError, match=f"{path} can be changed by everyone"):
        Guard.open(config)
    assert "chmod go-w" in CliRunner().invoke(verbs, ["--config", str(config), "doctor"]).output
    assert not (tmp_path / "record").exists()
    if which in ("folder", "policies"):
        path.chmod(0o1777)
        with opened(config):
            pass
    path.chmod(before)
    with opened(config):
        pass


def test_a_link_to_a_file_that_everyone_may_change_is_not_read(tmp_path: Path) -> None:
    """Row 24: what counts is the file, and the folder it lies in."""
    real = tmp_path / "elsewhere"
    real.mkdir(mode=0o755)
    config = install(tmp_path, stdio_server(tmp_path / "record"))
    config.rename(real / "real.toml")
    config.symlink_to(real / "real.toml")
    read_settings(config)
    for path, mode in ((real / "real.toml", 0o666), (real, 0o777)):
        before = path.stat().st_mode
        path.chmod(mode)
        with pytest.raises(ConfigError, match="can be changed by everyone"):
            read_settings(config)
        path.chmod(before)


# Row 26: a key that is none.

STAND_INS = [
    *("changeme", "CHANGE-ME", "change_me", "secret", "secret-api-key", "password", "api-key", "my-api-key"),
    *("your-api-key-here", "YOUR_TOKEN", "<API KEY>", "<your-token>", "${API_KEY}", "{{ key }}", "%API_KEY%"),
    *("xxxxxxxxxxxx", "************", "000000000000", "placeholder", "test-key", "super-secret-key", "token"),
    *(
        "secret123",
        "password1234",
        "Bearer changeme",
        "Bearer YOUR_API_KEY",
        "null",
        "undefined",
        "short",
        "  ",
    ),
]


@pytest.mark.parametrize("key", STAND_INS)
def test_a_placeholder_secret_refuses_to_start(tmp_path: Path, key: str) -> None:
    """Row 26: GHSA-vgf8-3685-66j9, GHSA-8pcq-mx48-hjvj (IBM ContextForge)."""
    config = install(tmp_path, stdio_server(tmp_path / "record", credential=BROKERED))
    with pytest.raises(ConfigError, match=r"servers\.desk: environment variable DESK_KEY holds"):
        courier(read_settings(config), "desk", {"DESK_KEY": key})


BROKERED = '{ by = "variable", name = "API_KEY", environment = "DESK_KEY" }'


@pytest.mark.parametrize(
    "key", ["sk-" + "a1B2c3D4e5F6", "Bearer 0a1b2c3d4e5f", "key-of-the-desk", "tokenring-7781"]
)
def test_a_key_that_somebody_has_made_is_taken(tmp_path: Path, key: str) -> None:
    """Row 26: what looks like a key is one."""
    config = install(tmp_path, stdio_server(tmp_path / "record", credential=BROKERED))
    assert courier(read_settings(config), "desk", {"DESK_KEY": key}).environment == {"API_KEY": key}


async def test_with_a_placeholder_for_a_key_neither_proxy_starts(tmp_path: Path) -> None:
    """Row 26: as a process, over both transports; and no placeholder in the file itself."""
    async with RecordingServer() as server:
        header = BROKERED.replace('"variable"', '"header"')
        desk = stdio_server(tmp_path / "record", credential=BROKERED)
        config = install(tmp_path, desk + http_server(server.url, "other", header))
        for words in (("mcp", "run", "desk"), ("mcp", "run", "other"), ("mcp", "serve")):
            process = started(config, *words, DESK_KEY="changeme")
            _, err = process.communicate(b"", 60)
            assert process.returncode == 2
            assert b"placeholder" in err
            assert b"changeme" not in err
    assert server.received == []
    assert not (tmp_path / "record").exists()
    for value in ("CHANGE-ME", "<YOUR TOKEN>", "your-api-key"):
        more = f'environment = {{ TOKEN = "{value}" }}\nresource'
        assert "is a placeholder" in refused(config, config.read_text().replace("resource", more, 1))
        config.write_text(config.read_text().replace(more, "resource", 1))


# Row 25: an approval that outlives what was approved.


def test_a_definition_that_changes_by_one_byte_asks_again(tmp_path: Path) -> None:
    """Row 25: CVE-2025-54136 (Cursor, "MCPoison"): approval is bound to the digest of the definition."""
    file = tmp_path / "tools.json"
    tool = {"name": "echo", "description": "Says it again.", "inputSchema": {"type": "object"}}
    file.write_text(json.dumps([tool]))
    command = f"command = {json.dumps([sys.executable, str(LISTING), str(file)])}"
    server = re.sub(r"command = .*", lambda _: command, stdio_server(tmp_path), count=1)
    client = Client(tmp_path, settings=server.replace("[servers.desk]", f"[servers.desk]\n{ACCEPTED}", 1))
    words = ("mcp", "accept", "desk", "echo", "--yes", "--why", "read it")
    client.ask(INITIALIZE)

    def listed() -> list[str]:
        answer = client.ask({"id": "list", "method": "tools/list"})
        return [one["name"] for one in answer["result"]["tools"]]

    def refused() -> bool:
        return bool(client.call("echo")["result"].get("isError"))

    assert (listed(), refused()) == ([], True)
    subprocess.run(hopward(client.config, *words), env=environment(), check=True, capture_output=True)
    assert (listed(), refused()) == (["echo"], False)
    for changed in ({**tool, "description": "Says it again!"}, {**tool, "title": "x"}):
        file.write_text(json.dumps([changed]))
        assert (listed(), refused()) == ([], True)
    file.write_text(json.dumps([tool]))
    assert (listed(), refused()) == ([], True)
    client.end()
