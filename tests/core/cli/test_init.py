"""`hopward init`"""

import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from hopward import Guard, ToolCall
from hopward.config import read_settings
from hopward.osuser import os_user

from .shell import Shell, executable


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_init_writes_all_that_hopward_needs_and_doctor_finds_nothing_broken(shell: Shell) -> None:
    printed = shell("init")
    for name in ("hopward.toml", "policies/baseline.cedar", ".hopward/decisions.db", ".hopward/keys"):
        assert f"made  {name}\n" in printed.out
    assert "0 broken" in shell("doctor").out
    assert "policies fit the 0 classified tools" in shell("policy check").out
    assert "verifies: 0 rows" in shell("log verify").out


def test_a_server_named_on_the_command_line_is_guarded(shell: Shell) -> None:
    printed = shell("init --agent assistant --server files -- npx 'a server' --root \"C:\\\\x 'ü'\"")
    assert "hopward mcp classify files" in printed.err
    settings = read_settings(shell.folder / "hopward.toml")
    assert settings.servers["files"].command == ("npx", "a server", "--root", "C:\\x 'ü'")
    assert settings.workflows["files"].agent == "assistant"
    assert settings.agents["assistant"].key["kty"] == "EC"
    assert shell("task open --workflow files --json").json["state"] == "open"
    shell("policy check")


def test_an_http_server_named_on_the_command_line_gets_its_credential_in_the_authorization_header(
    shell: Shell,
) -> None:
    shell("init --agent assistant --server desk --url https://desk.example.com/mcp --owner ana@example.com")
    settings = read_settings(shell.folder / "hopward.toml")
    assert settings.servers["desk"].resource == "https://desk.example.com/mcp"
    assert settings.servers["desk"].credential.by == "authorization"
    assert settings.agents["assistant"].owner == "ana@example.com"


def test_what_init_grants_reads_and_does_nothing_else(shell: Shell) -> None:
    shell("init --agent assistant --server files -- server")
    settings = read_settings(shell.folder / "hopward.toml")
    granted = [*settings.workflows["files"].capabilities, *settings.agents["assistant"].ceiling]
    assert {action for capability in granted for action in capability.actions} == {"read"}
    assert settings.workflows["files"].budget.writes == 0
    assert settings.servers["files"].tools == {}


@pytest.mark.parametrize("line", ["init", "init --agent assistant --server files -- server"])
def test_everything_private_is_for_this_user_only(shell: Shell, line: str) -> None:
    shell(line)
    state = shell.folder / ".hopward"
    public = {state / "keys" / name for name in ("jwks.json", "proxy-public.json")}
    for path in {state, *state.rglob("*")} - public:
        assert path.stat().st_mode & 0o077 == 0, path
    assert (state / ".gitignore").read_text() == "*\n"


def test_a_second_init_keeps_and_names_everything_and_changes_nothing(shell: Shell) -> None:
    shell("init")
    before = everything_in(shell.folder)
    printed = shell("init")
    assert "made" not in printed.out
    assert "kept  hopward.toml\n" in printed.out
    assert "kept  .hopward/keys\n" in printed.out
    assert everything_in(shell.folder) == before


@pytest.mark.parametrize("name", ["baseline.cedar", "mine.cedar"])
def test_policies_that_are_there_stay_as_they_are_and_get_no_company(shell: Shell, name: str) -> None:
    mine = shell.write(f"policies/{name}", "forbid (principal, action, resource);\n")
    printed = shell("init")
    assert f"kept  policies/{name}\n" in printed.out
    assert mine.read_text() == "forbid (principal, action, resource);\n"
    assert [path.name for path in (shell.folder / "policies").glob("*.cedar")] == [name]


def test_after_a_clone_init_makes_this_machines_keys_and_log(desk: Shell) -> None:
    for path in sorted((desk.folder / ".hopward").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (desk.folder / ".hopward").rmdir()
    desk.fails("task list", status=2)
    printed = desk("init")
    assert "kept  hopward.toml\n" in printed.out
    assert "made  .hopward/keys\n" in printed.out
    desk("task list")


@pytest.mark.parametrize(
    "line",
    [
        "init --agent 'no name' --server files -- server",
        "init --agent assistant --server '../files' -- server",
        "init --agent assistant --server files -- --no-program",
        "init --agent assistant --server files --url http://files.example.com/",
    ],
)
def test_nothing_is_left_behind_when_the_result_could_not_be_used(shell: Shell, line: str) -> None:
    shell.fails(line, status=2)
    assert list(shell.folder.iterdir()) == []


def test_nothing_is_left_behind_when_a_file_cannot_be_written(shell: Shell) -> None:
    shell.write(".hopward", "in the way")
    assert "cannot be written: Not a directory" in shell.fails("init", status=2).err
    assert everything_in(shell.folder) == {".hopward": b"in the way"}


@pytest.mark.parametrize(
    "line",
    [
        "init --server files -- server",
        "init --agent assistant",
        "init -- server",
        "init --agent assistant --server files",
        "init --agent assistant --server files --url https://x.example -- server",
    ],
)
def test_half_a_server_is_wrong_usage(shell: Shell, line: str) -> None:
    shell.fails(line, status=2)
    assert list(shell.folder.iterdir()) == []


def test_a_server_is_not_silently_left_out_of_an_existing_file(desk: Shell) -> None:
    before = everything_in(desk.folder)
    printed = desk.fails("init --agent other --server files -- server", status=2)
    assert "exists already" in printed.err
    assert everything_in(desk.folder) == before


@pytest.mark.parametrize(
    ("how", "start"),
    [("-- server", "hopward mcp run files"), ("--url http://127.0.0.1:1/mcp", "hopward mcp serve")],
)
def test_what_to_start_depends_on_how_the_server_is_reached(shell: Shell, how: str, start: str) -> None:
    printed = shell(f"init --agent assistant --server files {how}")
    assert printed.err.endswith(f"{start}\n")


def test_init_writes_where_it_is_told_to(shell: Shell) -> None:
    shell("init --folder deep/er")
    assert (shell.folder / "deep/er/hopward.toml").is_file()
    assert "0 broken" in shell("--config deep/er/hopward.toml doctor").out


def test_the_examples_in_the_comments_are_valid(shell: Shell) -> None:
    shell("init")
    path = shell.folder / "hopward.toml"
    examples = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    start = next(number for number, line in enumerate(examples) if line.startswith("[workflows"))
    code = [line for line in examples[start:] if line.startswith("[") or " = " in line.split("#")[0]]
    ceiling = '{ tools = ["desk/*"], actions = ["read"], sensitivity = "public", destinations = ["desk"] }'
    agent = f'[agents.assistant]\nowner = "a"\npurpose = "b"\nceiling = [{ceiling}]\n'
    text = path.read_text() + "\n" + agent + "\n".join(code) + "\n"
    tomllib.loads(text)
    path.write_text(text)
    assert set(read_settings(path).servers) == {"desk", "search"}


def test_the_installed_command_does_the_same(tmp_path: Path) -> None:
    printed = executable(tmp_path, "init --agent assistant --server files -- server")
    assert printed.status == 0, printed.err
    assert executable(tmp_path, "policy check").status == 0


def test_whoever_is_alone_approves_in_what_init_has_written(shell: Shell) -> None:
    """The subject of `hopward mcp run` is whom `init` names as the one who approves."""
    shell("init --agent assistant --server files -- /bin/sh")
    path = shell.folder / "hopward.toml"
    text = (
        path.read_text()
        .replace('actions = ["read"]', 'actions = ["delete"]')
        .replace("writes = 0", "writes = 9")
    )
    remove = {"action": "delete", "sensitivity": "internal", "integrity": "trusted", "destination": "files"}
    table = "".join(f'{key} = "{value}"\n' for key, value in remove.items())
    path.write_text(f"{text}\n[servers.files.tools.remove]\n{table}")
    with closing(Guard.open(path)) as guard:
        chain = guard.enter(guard.open_task("files", os_user()).id)
        call = ToolCall(server="files", tool="remove", arguments={})
        decision = guard.authorize(call, chain)
        assert decision.verdict.name == "step-up", decision.verdict
        assert f"Approved {decision.approval}" in shell(f"approve {decision.approval} --yes").out
        assert guard.authorize(call, chain).permitted
    assert "Members of operators approve what is done in their own name" in shell("doctor").out
