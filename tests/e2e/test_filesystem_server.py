"""npm's `@modelcontextprotocol/server-filesystem` behind `hopward mcp run`, for one folder."""

import asyncio
import re
from pathlib import Path

import pytest

from .clients import EVERY, Kind
from .project import Project
from .public import Session, guarded, installed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The server may touch everything under `files`; the task, what is under `files/work`."""
    command = installed("filesystem.sh")
    folder = tmp_path_factory.mktemp("filesystem")
    for name in ("work", "private"):
        (folder / "files" / name).mkdir(parents=True)
        (folder / "files" / name / "plan.txt").write_text(f"the {name} plan\n", "utf-8")
    made = guarded(folder, "filesystem", [*command, str(folder / "files")])
    # What overwrites is proposed as "delete"; the person who sets this project up calls it "write".
    text = re.sub(r'(tools\.write_file\].*\naction = )"delete"', r'\1"write"', made.config.read_text("utf-8"))
    text = text.replace('actions = ["read"]', 'actions = ["read", "write"]')
    made.config.write_text(text.replace("writes = 0", "writes = 1000"), "utf-8")
    root = folder / "files" / "work"
    within = f'constraints = {{ path = [{{ kind = "path_under", root = "{root}" }}] }}\n'
    made.change('destinations = ["filesystem"]\n\n', f'destinations = ["filesystem"]\n{within}\n')
    return made


@pytest.fixture(scope="module", params=EVERY, ids=str)
def session(project: Project, request: pytest.FixtureRequest) -> Session:
    kind: Kind = request.param
    work, private = project.folder / "files" / "work", project.folder / "files" / "private"
    calls = {
        "read": ("read_text_file", {"path": str(work / "plan.txt")}),
        "write": ("write_file", {"path": str(work / f"{kind}.txt"), "content": f"by {kind}\n"}),
        "read outside": ("read_text_file", {"path": str(private / "plan.txt")}),
        "write outside": ("write_file", {"path": str(private / "plan.txt"), "content": "changed\n"}),
        "walk out": ("read_text_file", {"path": f"{work}/../private/plan.txt"}),
        "a list of paths": ("read_multiple_files", {"paths": [str(private / "plan.txt")]}),
        "a list as path": ("read_text_file", {"path": [str(work / "plan.txt")]}),
        "list": ("list_directory", {"path": str(work)}),
    }
    return asyncio.run(Session(project, "filesystem", kind).run(calls))


def test_each_client_speaks_the_era_it_is_told_to_though_the_server_knows_one_only(session: Session) -> None:
    assert session.version == ("2025-11-25" if session.kind.mode == "legacy" else "2026-07-28")


def test_what_the_task_may_read_and_write_is_read_and_written(session: Session) -> None:
    assert session.answers["read"].text == "the work plan\n"
    assert session.answers["write"].is_error is False
    assert (folder(session) / "work" / f"{session.kind}.txt").read_text("utf-8") == f"by {session.kind}\n"
    assert f"{session.kind}.txt" in session.answers["list"].text


def folder(session: Session) -> Path:
    return session.project.folder / "files"


def test_the_server_was_sent_the_permitted_calls_only_each_with_a_credential_of_its_own(
    session: Session,
) -> None:
    assert [tool for tool, _ in session.calls] == ["read_text_file", "write_file", "list_directory"]
    claims = [claims for _, claims in session.calls]
    assert {one["aud"] for one in claims} == {"urn:hopward:filesystem"}
    assert [one["scope"] for one in claims] == [f"filesystem/{tool}" for tool, _ in session.calls]
    assert len({one["jti"] for one in claims}) == 3
    for one in claims:
        assert list(session.project.decision(one["decision"])) == ["decision", "credential", "outcome"]


@pytest.mark.parametrize(
    "name", ["read outside", "write outside", "walk out", "a list of paths", "a list as path"]
)
def test_a_path_outside_the_folder_of_the_task_is_refused_and_untouched(session: Session, name: str) -> None:
    assert session.refused(name) == "outside_task"
    assert "the private plan" not in session.answers[name].text
    assert (folder(session) / "private" / "plan.txt").read_text("utf-8") == "the private plan\n"


def test_only_what_the_task_may_call_is_listed(session: Session) -> None:
    assert {"read_text_file", "write_file", "list_directory"} <= session.shown
    assert session.unknown == -32601


def test_a_task_revoked_by_another_process_refuses_the_next_call(session: Session) -> None:
    assert session.refused("revoked") == "task_revoked"


def test_the_log_of_all_sessions_verifies(project: Project) -> None:
    assert "verifies" in project.hopward("log", "verify")
