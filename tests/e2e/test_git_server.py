"""`mcp-server-git` from PyPI behind `hopward mcp run`: it reads one repository and changes none."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from .clients import EVERY, Kind
from .project import Project
from .public import Session, guarded, installed

READING = {"git_status", "git_diff_unstaged", "git_diff_staged", "git_diff", "git_log", "git_show"}


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ana", "-c", "user.email=ana@example.com")
    command = ["git", "-C", str(repository), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two repositories, `open` and `closed`; the task is for the first."""
    command = installed("git.sh")
    folder = tmp_path_factory.mktemp("git")
    for name in ("open", "closed"):
        repository = folder / name
        repository.mkdir()
        git(repository, "init", "--quiet")
        (repository / "notes.txt").write_text(f"{name} notes\n", "utf-8")
        git(repository, "add", "notes.txt")
        git(repository, "commit", "--quiet", "--message", f"The first of {name}")
        (repository / "notes.txt").write_text("changed\n", "utf-8")
    made = guarded(folder, "git", command)
    within = f'constraints = {{ repo_path = [{{ kind = "equals", value = "{folder / "open"}" }}] }}\n'
    made.change('destinations = ["git"]\n\n', f'destinations = ["git"]\n{within}\n')
    return made


@pytest.fixture(scope="module", params=EVERY, ids=str)
def session(project: Project, request: pytest.FixtureRequest) -> Session:
    kind: Kind = request.param
    repository, closed = str(project.folder / "open"), str(project.folder / "closed")
    calls = {
        "log": ("git_log", {"repo_path": repository, "max_count": 5}),
        "commit": ("git_commit", {"repo_path": repository, "message": "Not asked for"}),
        "add": ("git_add", {"repo_path": repository, "files": ["notes.txt"]}),
        "other": ("git_log", {"repo_path": closed, "max_count": 5}),
        "no path": ("git_log", {"max_count": 5}),
        "status": ("git_status", {"repo_path": repository}),
    }
    return asyncio.run(Session(project, "git", kind).run(calls))


def test_both_eras_are_spoken_to_a_server_that_speaks_both(session: Session) -> None:
    assert session.version == ("2025-11-25" if session.kind.mode == "legacy" else "2026-07-28")


def test_reading_the_repository_of_the_task_returns_what_git_says(session: Session) -> None:
    assert "The first of open" in session.answers["log"].text
    assert "notes.txt" in session.answers["status"].text


def test_the_server_was_sent_the_permitted_calls_only_each_with_a_credential_of_its_own(
    session: Session,
) -> None:
    assert [tool for tool, _ in session.calls] == ["git_log", "git_status"]
    claims = [claims for _, claims in session.calls]
    assert [one["aud"] for one in claims] == ["urn:hopward:git"] * 2
    assert [one["scope"] for one in claims] == ["git/git_log", "git/git_status"]
    assert {one["txn"] for one in claims} == {session.task}
    assert len({one["jti"] for one in claims}) == 2
    rows = [session.project.decision(one["decision"]) for one in claims]
    assert [row["decision"].verdict for row in rows] == ["permit", "permit"]
    assert [row["outcome"].reason for row in rows] == ["ok", "ok"]


def test_what_changes_a_repository_is_refused_and_changes_nothing(session: Session) -> None:
    assert session.refused("commit") == session.refused("add") == "outside_task"
    repository = session.project.folder / "open"
    assert git(repository, "rev-list", "--count", "HEAD").strip() == "1"
    assert git(repository, "diff", "--cached", "--name-only") == ""


def test_another_repository_or_none_is_refused(session: Session) -> None:
    assert session.refused("other") == session.refused("no path") == "outside_task"
    assert "The first of closed" not in session.answers["other"].text


def test_only_what_the_task_may_call_is_listed(session: Session) -> None:
    assert session.shown == READING


def test_an_unknown_method_reaches_no_server(session: Session) -> None:
    assert session.unknown == -32601
    assert "tools/erase" not in [message.get("method") for message in session.sent]


def test_a_task_revoked_by_another_process_refuses_the_next_call(session: Session) -> None:
    assert session.refused("revoked") == "task_revoked"


def test_the_log_of_all_sessions_verifies(project: Project) -> None:
    assert "verifies" in project.hopward("log", "verify")
