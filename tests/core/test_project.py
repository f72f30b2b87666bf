"""What `hopward init` and `hopward agent add` write: whole or not at all, and never over what is there."""

import stat
from pathlib import Path

import pytest

from hopward.config import read_settings
from hopward.errors import ConfigError, HopwardError
from hopward.keys import KeyRing
from hopward.project import NewAgent, NewServer, add_agent, create, schema_is_current, write_schema

READER = NewAgent(
    name="assistant",
    owner="ana@example.com",
    purpose='Reads "files" \\ and\tmore \U0001f4c1 \x7f',
    tools=("files/*",),
    actions=("read",),
    sensitivity="internal",
    destinations=("files",),
)
TRIAGE = NewAgent(
    name="triage",
    owner="bo@example.com",
    purpose="Sorts",
    tools=("files/read*",),
    actions=("read",),
    sensitivity="public",
    destinations=("files",),
)
FILES = NewServer("files", ("server", "--root", "a b"))


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in files}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The `hopward.toml` of a folder where one server is guarded."""
    create(tmp_path, FILES, READER)
    return tmp_path / "hopward.toml"


def test_what_is_given_stands_in_the_file_as_given(files: Path) -> None:
    settings = read_settings(files)
    assert settings.agents["assistant"].purpose == READER.purpose
    assert settings.servers["files"].command == FILES.command


def test_the_agents_key_pair_belongs_together(files: Path) -> None:
    settings = read_settings(files)
    key = KeyRing.open(settings.state / "keys").agent_key("assistant")
    assert settings.agents["assistant"].key == key.public_jwk()


def test_configured_folders_are_used(tmp_path: Path) -> None:
    authority = '[authority]\nissuer = "http://127.0.0.1:8700"\nalgorithm = "EdDSA"\n'
    (tmp_path / "hopward.toml").write_text(f'state = "var/state"\npolicies = "rules"\n{authority}')
    create(tmp_path)
    assert (tmp_path / "rules/baseline.cedar").is_file()
    assert stat.S_IMODE((tmp_path / "var/state").stat().st_mode) == 0o700
    assert KeyRing.open(tmp_path / "var/state/keys").signing.algorithm == "EdDSA"


def test_a_configuration_that_cannot_be_used_is_not_completed(tmp_path: Path) -> None:
    (tmp_path / "hopward.toml").write_text("[authority]\n")
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match=r"authority\.issuer"):
        create(tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["keys", "decisions.db"])
def test_what_another_run_or_person_put_there_is_never_taken_back(tmp_path: Path, name: str) -> None:
    (tmp_path / ".hopward").mkdir(mode=0o700)
    link = tmp_path / ".hopward" / name
    link.symlink_to("not there yet")
    with pytest.raises(HopwardError):
        create(tmp_path)
    assert link.is_symlink()
    assert not (tmp_path / "hopward.toml").exists()


def test_a_failure_half_way_takes_back_what_was_made_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/mine.cedar").write_text("permit (principal, action, resource);")
    before = snapshot(tmp_path)
    broken = NewServer("files", ("server", "new\nline"))
    with pytest.raises(ConfigError, match="newline"):
        create(tmp_path, broken, READER)
    assert snapshot(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policies"]


def test_an_interrupted_run_is_completed_by_the_next(tmp_path: Path) -> None:
    create(tmp_path)
    whole = {name for name, _ in snapshot(tmp_path).items()}
    (tmp_path / "hopward.toml").unlink()
    (tmp_path / ".hopward/decisions.db").unlink()
    keys = (tmp_path / ".hopward/keys/authority.json").read_bytes()
    done = create(tmp_path)
    assert {name for name, _ in snapshot(tmp_path).items()} == whole
    assert (tmp_path / ".hopward/keys/authority.json").read_bytes() == keys
    assert tmp_path / ".hopward/keys" in done.kept


def test_adding_an_agent_keeps_mode_and_link_of_the_file(files: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    files.rename(real)
    files.symlink_to(real)
    real.chmod(0o640)
    before = real.read_bytes()
    add_agent(files, TRIAGE)
    assert files.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_bytes().startswith(before)
    assert set(read_settings(files).agents) == {"assistant", "triage"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".hopward.toml")] == []


def test_a_file_that_names_its_agents_inline_is_left_alone(tmp_path: Path) -> None:
    create(tmp_path, FILES, READER)
    path = tmp_path / "hopward.toml"
    ceiling = '{ tools = ["files/*"], actions = ["read"], sensitivity = "public", destinations = ["files"] }'
    inline = f'agents = {{ assistant = {{ owner = "a", purpose = "b", ceiling = [{ceiling}] }} }}\n'
    head, _, tail = path.read_text().partition("[agents.assistant]")
    path.write_text(inline + head + tail[tail.index("[servers.files]") :])
    read_settings(path)
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError):
        add_agent(path, TRIAGE)
    assert snapshot(tmp_path) == before


def test_a_file_that_cannot_be_written_is_named_and_nothing_has_changed(files: Path, tmp_path: Path) -> None:
    agents = tmp_path / ".hopward/keys/agents"
    (agents / "assistant.json").unlink()
    agents.rmdir()
    agents.touch(mode=0o600)
    before = snapshot(tmp_path)
    with pytest.raises(ConfigError, match="keys/agents cannot be written"):
        add_agent(files, TRIAGE)
    assert snapshot(tmp_path) == before


def test_the_schema_file_is_written_once_and_replaced_whole(files: Path) -> None:
    settings = read_settings(files)
    assert not schema_is_current(settings, "schema")
    path = write_schema(settings, "schema")
    assert path.read_text() == "schema"
    write_schema(settings, "another")
    assert schema_is_current(settings, "another")
    assert not schema_is_current(settings, "schema")
