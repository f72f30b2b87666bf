"""`hopward mcp wrap` and `unwrap`: the files of MCP clients, before and after."""

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hopward import ConfigError, StateError, read_settings
from hopward_mcp import wrapping
from hopward_mcp.client_config import read_client_config
from hopward_mcp.jsonc import parse

from .installation import environment, hopward
from .offering import OFFERING, run, words

COMMAND, *ARGS = words("good")

CLAUDE = f"""{{
\t// my servers
\t"mcpServers": {{
\t\t"notes": {{
\t\t\t"command": {json.dumps(COMMAND)},   // the interpreter
\t\t\t"args": {json.dumps(ARGS)},
\t\t\t"env": {{"NOTES_KEY": "sk-secret-1", "MODE": "${{input:mode}}"}},
\t\t\t"disabled": false,
\t\t}},
\t}},
\t"theme": "dark" /* mine */
}}"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation without a server or an agent."""
    path = tmp_path / "hopward.toml"
    assert run(path, "init").returncode == 0
    return path


def client(config: Path, text: str = CLAUDE, name: str = "mcp.json") -> Path:
    path = config.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def wrapped(config: Path, path: Path, *line: str) -> subprocess.CompletedProcess[str]:
    done = run(config, "mcp", "wrap", str(path), "--yes", *line)
    assert done.returncode == 0, done.stderr
    return done


def servers(path: Path, section: str = "mcpServers") -> dict[str, Any]:
    return parse(path.read_bytes().decode(), path.name).plain[section]


def files(folder: Path) -> dict[str, bytes]:
    """Every file of an installation but its log, which no command here writes to."""
    found = [path for path in folder.rglob("*") if path.is_file() and ".db" not in path.name]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def started(entry: dict[str, Any], config: Path, server: str) -> bool:
    line = ["--config", str(config), "mcp", "run", server]
    return Path(entry["command"]).name == "hopward" and entry["args"] == line


def test_a_wrapped_server_is_started_through_hopward_and_answers_there(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    entry = servers(path)["notes"]
    assert started(entry, config, "notes")
    assert (entry["env"], entry["disabled"]) == (
        {"NOTES_KEY": "sk-secret-1", "MODE": "${input:mode}"},
        False,
    )
    assert run(config, "mcp", "classify", "notes", "--accept-all").returncode == 0
    session = subprocess.run(
        [entry["command"], *entry["args"]],
        input='{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_note","arguments":{}}}\n',
        env=environment(**entry["env"]),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(json.loads(session.stdout)["result"]["content"][0]["text"])
    assert {"NOTES_KEY", "MODE"} <= set(told["names"])


def test_what_is_around_the_changed_words_stays_to_the_byte(config: Path) -> None:
    path = client(config, CLAUDE.replace("\n", "\r\n"))
    wrapped(config, path)
    after = path.read_bytes().decode()
    for kept in ("\t// my servers\r\n", ",   // the interpreter\r\n", '"theme": "dark" /* mine */\r\n}'):
        assert kept in after
    assert after.count("\r\n") == after.count("\n") == CLAUDE.count("\n")


def test_no_secret_reaches_hopward_toml_or_what_is_shown(config: Path) -> None:
    done = wrapped(config, client(config))
    assert "sk-secret-1" not in config.read_text() + done.stdout + done.stderr
    assert read_settings(config).servers["notes"].pass_environment == ("MODE", "NOTES_KEY")


def test_the_tables_grant_reading_to_the_agent_and_nothing_is_classified(config: Path) -> None:
    before = config.read_text()
    done = wrapped(config, client(config))
    settings = read_settings(config)
    server, workflow = settings.servers["notes"], settings.workflows["notes"]
    assert (server.command, server.workflow, server.tools) == ((COMMAND, *ARGS), "notes", {})
    assert workflow.agent == "assistant"
    assert [part.actions for part in workflow.capabilities] == [("read",)]
    assert [part.tools for part in settings.agents["assistant"].ceiling] == [("notes/*",)]
    assert config.read_text().startswith(before)
    assert "Nothing accepted. hopward mcp classify notes --accept NAME" in done.stderr
    assert "write_note" in done.stdout


def test_without_a_terminal_and_without_yes_the_change_is_shown_and_nothing_is_written(
    config: Path,
) -> None:
    path = client(config)
    before = files(config.parent)
    done = run(config, "mcp", "wrap", str(path), typed="y\n")
    assert done.returncode == 1
    assert "there is no terminal to ask at" in done.stderr
    assert '+            "args": ["--config"' in done.stdout
    assert "+[servers.notes]" in done.stdout
    assert files(config.parent) == before


@pytest.mark.parametrize(("typed", "status"), [(b"n\n", 1), (b"y\ny\nn\n", 0)])
def test_a_person_at_a_terminal_is_asked_about_the_change_and_each_tool(
    config: Path, typed: bytes, status: int
) -> None:
    path, before = client(config), CLAUDE.encode()
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    done = subprocess.run(
        hopward(config, "mcp", "wrap", str(path)),
        stdin=theirs,
        capture_output=True,
        env=environment(),
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == status, done.stderr
    assert (path.read_bytes() == before) is (status == 1)
    if status == 0:
        assert list(read_settings(config).servers["notes"].tools) == ["read_note"]


def test_unwrap_restores_the_file_byte_for_byte_and_again_is_no_change(config: Path) -> None:
    for text in (CLAUDE, CLAUDE.replace("\n", "\r\n"), "\ufeff" + CLAUDE + "\n\n"):
        path = client(config, text)
        wrapped(config, path)
        assert path.read_bytes() != text.encode()
        assert run(config, "mcp", "unwrap", str(path)).returncode == 0
        assert path.read_bytes() == text.encode()
        again = run(config, "mcp", "unwrap", str(path))
        assert (again.returncode, path.read_bytes()) == (0, text.encode())
        assert "Nothing in" in again.stdout
    assert list((config.parent / ".hopward" / "wrapped").iterdir()) == []


def test_wrapping_twice_changes_nothing_more(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    before = files(config.parent)
    done = wrapped(config, path)
    assert "Nothing to wrap" in done.stdout
    assert "Wrapped already: notes" in done.stderr
    assert files(config.parent) == before


def test_a_server_added_later_is_wrapped_and_unwrap_gives_back_both(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    more = f'\t"mcpServers": {{ "later": {{"command": "{OFFERING}"}},'
    path.write_text(path.read_text().replace('\t"mcpServers": {', more))
    wrapped(config, path)
    assert started(servers(path)["later"], config, "later")
    assert run(config, "mcp", "unwrap", str(path)).returncode == 0
    assert path.read_text() == CLAUDE.replace('\t"mcpServers": {', more)


def test_a_server_that_is_wrapped_again_keeps_its_tables_and_classification(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    run(config, "mcp", "classify", "notes", "--accept", "read_note")
    run(config, "mcp", "unwrap", str(path))
    before = config.read_text()
    other = client(config, CLAUDE, "other.json")
    wrapped(config, path)
    wrapped(config, other)
    assert config.read_text() == before
    assert started(servers(other)["notes"], config, "notes")


def test_another_server_of_the_same_name_gets_a_name_of_its_own(config: Path) -> None:
    wrapped(config, client(config))
    path = client(config, '{"mcpServers": {"notes": {"command": "cat"}}}', "other.json")
    wrapped(config, path)
    assert started(servers(path)["notes"], config, "notes-2")
    assert read_settings(config).servers["notes-2"].command == ("cat",)


def test_a_file_that_was_changed_since_is_refused_with_what_differs(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    path.write_text(path.read_text().replace('"dark"', '"light"').replace("sk-secret-1", "sk-secret-2"))
    before = files(config.parent)
    done = run(config, "mcp", "unwrap", str(path))
    assert done.returncode == 1
    assert "--- mcp.json (as wrapped)" in done.stdout
    assert '-    "theme": "dark"' in done.stdout
    assert '+    "theme": "light"' in done.stdout
    assert "sk-secret" not in done.stdout + done.stderr
    assert "--keep-changes" in done.stderr
    assert files(config.parent) == before


def test_a_change_of_a_secret_alone_is_told_without_showing_it(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    path.write_text(path.read_text().replace("sk-secret-1", "sk-secret-2"))
    done = run(config, "mcp", "unwrap", str(path))
    assert done.returncode == 1
    assert "in values of variables or headers" in done.stderr
    assert "sk-secret" not in done.stdout + done.stderr


def test_keep_changes_takes_back_the_servers_and_keeps_the_rest(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    path.write_text(path.read_text().replace('"dark"', '"light"'))
    assert run(config, "mcp", "unwrap", str(path), "--keep-changes").returncode == 0
    assert path.read_text() == CLAUDE.replace('"dark"', '"light"')


def test_keep_changes_refuses_where_a_wrapped_server_itself_was_changed(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    path.write_text(path.read_text().replace('"disabled": false', '"disabled": true'))
    before = files(config.parent)
    done = run(config, "mcp", "unwrap", str(path), "--keep-changes")
    assert done.returncode == 1
    assert "notes" in done.stderr
    assert files(config.parent) == before


def test_force_restores_the_file_also_where_it_cannot_be_read_any_more(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    path.write_text("{ broken")
    refused = run(config, "mcp", "unwrap", str(path))
    assert (refused.returncode, path.read_text()) == (1, "{ broken")
    assert "--force restores" in refused.stderr
    assert run(config, "mcp", "unwrap", str(path), "--force").returncode == 0
    assert path.read_text() == CLAUDE


def test_a_backup_that_was_tampered_with_is_not_restored(config: Path) -> None:
    path = client(config)
    wrapped(config, path)
    (original,) = (config.parent / ".hopward" / "wrapped").glob("*.original")
    original.write_text("{}")
    before = path.read_bytes()
    done = run(config, "mcp", "unwrap", str(path), "--force")
    assert done.returncode == 2
    assert "its digest is another one" in done.stderr
    assert path.read_bytes() == before


def test_a_wrapped_file_without_its_backup_is_told_and_left(config: Path, tmp_path: Path) -> None:
    path = client(config)
    wrapped(config, path)
    other = tmp_path / "elsewhere" / "hopward.toml"
    other.parent.mkdir()
    run(other, "init")
    done = run(other, "mcp", "unwrap", str(path))
    assert done.returncode == 1
    assert "no backup here" in done.stderr


def test_permissions_and_symbolic_links_stay_as_they_are(config: Path, tmp_path: Path) -> None:
    target = client(config, CLAUDE, "dotfiles/real.json")
    target.chmod(0o600)
    config.chmod(0o640)
    link = tmp_path / "mcp.json"
    link.symlink_to("dotfiles/real.json")
    wrapped(config, link)
    assert link.is_symlink()
    assert started(servers(target)["notes"], config, "notes")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert run(config, "mcp", "unwrap", str(target)).returncode == 0
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == (CLAUDE, 0o600)
    assert link.is_symlink()


def test_the_backup_can_be_read_by_its_owner_only(config: Path) -> None:
    wrapped(config, client(config))
    folder = config.parent / ".hopward" / "wrapped"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


VSCODE = f"""{{
  // Servers of this project
  "inputs": [{{"id": "key", "type": "promptString", "password": true}},],
  "servers": {{
    "notes": {{
      "type": "stdio",
      "command": {json.dumps(COMMAND)},
      "args": {json.dumps(ARGS)},
      "env": {{"NOTES_KEY": "${{input:key}}"}},
    }},
    "web": {{"type": "http", "url": "https://mcp.example.com/mcp"}},
  }},
}}
"""


def test_variables_for_the_python_of_a_server_do_not_reach_that_of_hopward(config: Path) -> None:
    text = '{"mcpServers": {"notes": {"command": "cat", "env": {"PYTHONPATH": "/srv/notes"}}}}'
    path = client(config, text)
    wrapped(config, path)
    entry = servers(path)["notes"]
    assert entry["args"][0] == "-I"
    assert started({"command": entry["args"][1], "args": entry["args"][2:]}, config, "notes")
    assert "Wrapped already: notes" in wrapped(config, path).stderr


def test_vs_code_keeps_its_inputs_and_its_servers_over_http(config: Path) -> None:
    path = client(config, VSCODE, ".vscode/mcp.json")
    done = wrapped(config, path)
    found = servers(path, "servers")
    assert started(found["notes"], config, "notes")
    assert (found["notes"]["type"], found["notes"]["env"]) == ("stdio", {"NOTES_KEY": "${input:key}"})
    assert found["web"] == {"type": "http", "url": "https://mcp.example.com/mcp"}
    assert "Left alone: web, because it is reached over HTTP" in done.stderr
    run(config, "mcp", "unwrap", str(path))
    assert path.read_text() == VSCODE


def test_servers_of_projects_inside_a_user_file_are_left_and_told(config: Path) -> None:
    inner = '{"/p": {"mcpServers": {"own": {"command": "x"}}}, "/q": {"mcpServers": {}}}'
    text = f'{{"projects": {inner}, "mcpServers": {{"notes": {{"command": "cat"}}}}}}'
    path = client(config, text, ".claude.json")
    done = wrapped(config, path)
    assert "the servers of project /p" in done.stderr
    assert "/q" not in done.stderr
    assert f'"projects": {inner}' in path.read_text()


def test_zed_keeps_the_rest_of_its_settings(config: Path) -> None:
    text = '{"theme": "One", "context_servers": {"notes": {"command": "cat", "args": [], "env": {}}}}'
    path = client(config, text, "settings.json")
    wrapped(config, path)
    assert started(servers(path, "context_servers")["notes"], config, "notes")


def test_a_server_of_a_project_is_started_in_the_folder_of_the_project(config: Path) -> None:
    text = '{"mcpServers": {"notes": {"command": "./serve"}, "docs": {"command": "./serve", "cwd": "docs"}}}'
    wrapped(config, client(config, text, "project/.mcp.json"))
    found = read_settings(config).servers
    project = config.parent / "project"
    assert (found["notes"].directory, found["docs"].directory) == (str(project), str(project / "docs"))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('{"url": "https://a.example/"}', "reached over HTTP"),
        ('{"serverUrl": "https://a.example/"}', "reached over HTTP"),
        ('{"type": "sse", "command": "x"}', "reached over HTTP"),
        ('{"command": "npx", "args": ["${workspaceFolder}"]}', "only the client can fill in"),
        ('{"command": "npx", "envFile": ".env"}', "`envFile`"),
        ('{"command": {"path": "x", "args": []}}', "`command` is no text"),
        ('{"command": "x", "args": [1]}', "no list of texts"),
        ('{"command": "x", "args": "y"}', "no list of texts"),
        ('{"command": "x", "env": {"A": 1}}', "no object of texts"),
        ('{"command": "x", "env": {"A B": "1"}}', "no name of a variable"),
        ('{"command": "x", "cwd": "sub"}', "only the client knows"),
        ('{"command": "x", "args": ["a\\nb"]}', "a control character"),
        ('{"command": "x", "args": ["\\ud800"]}', "a control character"),
        ('{"command": " "}', "blank"),
        ("{}", "`command` is no text"),
        ("7", "no object"),
    ],
)
def test_a_server_that_cannot_go_through_hopward_is_left_alone_with_the_reason(entry: str, why: str) -> None:
    (found,) = read_client_config(Path("mcp.json"), f'{{"mcpServers": {{"a": {entry}}}}}').entries
    assert why in found.why


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "mcp.json:1:2"),
        ('{"mcpServers": {"a": {"command": "x", "command": "y"}}}', "stands twice"),
        ("[]", "its format is not known"),
        ('{"mcp": {"servers": {}}}', "its format is not known"),
        ('{"mcpServers": {}, "servers": {}}', "more than one"),
        ('{"mcpServers": []}', "no object"),
    ],
)
def test_a_file_of_another_format_is_refused_and_nothing_is_written(
    config: Path, text: str, told: str
) -> None:
    path = client(config, text)
    before = files(config.parent)
    done = run(config, "mcp", "wrap", str(path), "--yes")
    assert done.returncode == 2
    assert told in done.stderr
    assert files(config.parent) == before


def test_bytes_that_are_no_text_and_a_file_that_is_not_there_are_refused(config: Path) -> None:
    path = config.parent / "mcp.json"
    path.write_bytes(b'{\n"a": "\xff"}')
    done = run(config, "mcp", "wrap", str(path), "--yes")
    assert (done.returncode, "mcp.json:2: is not UTF-8" in done.stderr) == (2, True)
    missing = run(config, "mcp", "wrap", str(config.parent / "none.json"), "--yes")
    assert (missing.returncode, "cannot be read" in missing.stderr) == (2, True)


def test_hostile_names_stay_texts_in_hopward_toml_and_on_the_terminal(config: Path) -> None:
    name = 'x"]\n[servers.evil]\u202e'
    text = json.dumps({"mcpServers": {name: {"command": "cat"}, 'a" b': {"command": 'c"at'}}})
    done = run(config, "mcp", "wrap", str(client(config, text)), "--yes")
    assert done.returncode == 0, done.stderr
    assert list(read_settings(config).servers) == ["a-b"]
    assert read_settings(config).servers["a-b"].command == ('c"at',)
    assert "\u202e" not in done.stdout + done.stderr


def test_what_fails_while_writing_leaves_everything_as_it_was(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client(config)
    before = files(config.parent)
    monkeypatch.setattr(sys, "argv", hopward(config))
    plan = wrapping.planned(config, path, "")
    path.write_text(CLAUDE + " ")
    with pytest.raises(StateError, match="changed by somebody else"):
        wrapping.carry_out(plan)
    path.write_text(CLAUDE)
    assert files(config.parent) == before


def test_servers_that_do_not_fit_into_hopward_toml_change_nothing(config: Path) -> None:
    path = client(config)
    config.write_text(config.read_text() + "\n[servers]\n")
    before = files(config.parent)
    done = run(config, "mcp", "wrap", str(path), "--yes", "--agent", "no such name")
    assert done.returncode == 2
    assert "do not fit into hopward.toml" in done.stderr
    assert files(config.parent) == before


def test_one_of_several_agents_has_to_be_named_and_its_ceiling_grows_by_reading(config: Path) -> None:
    path = client(config)
    wrapped(config, path, "--agent", "helper")
    ceiling = 'ceiling = [{ tools = ["notes/*"], actions = ["write"], sensitivity = "public", '
    second = f'\n[agents.second]\nowner = "o"\npurpose = "p"\n{ceiling}destinations = ["x"] }}]\n'
    config.write_text(config.read_text() + second)
    other = client(config, '{"mcpServers": {"files": {"command": "cat"}}}', "other.json")
    unsaid = run(config, "mcp", "wrap", str(other), "--yes")
    assert unsaid.returncode == 2
    assert "Registered agents: helper, second" in unsaid.stderr
    wrapped(config, other, "--agent", "second")
    granted = read_settings(config).agents["second"].ceiling
    assert [(part.tools, part.actions) for part in granted] == [
        (("notes/*",), ("write",)),
        (("files/*",), ("read",)),
    ]


def test_an_installation_without_its_state_is_told_before_anything_is_written(config: Path) -> None:
    path = client(config)
    plan = wrapping.planned
    config.write_text(config.read_text().replace('state = ".hopward"', 'state = "elsewhere"'))
    with pytest.raises(ConfigError, match="Run `hopward init` first"):
        wrapping.carry_out(plan(config, path, ""))
    assert path.read_text() == CLAUDE
