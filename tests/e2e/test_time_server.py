"""`mcp-server-time` from PyPI behind `hopward mcp run`: it tells the time in one place."""

import asyncio
import json

import pytest

from .clients import EVERY, Kind
from .project import Project
from .public import Session, guarded, installed

CONVERSION = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = guarded(tmp_path_factory.mktemp("time"), "time", installed("time.sh"))
    within = 'constraints = { timezone = [{ kind = "one_of", values = ["Europe/Berlin", "Etc/UTC"] }] }\n'
    made.change('destinations = ["time"]\n\n', f'destinations = ["time"]\n{within}\n')
    return made


@pytest.fixture(scope="module", params=EVERY, ids=str)
def session(project: Project, request: pytest.FixtureRequest) -> Session:
    kind: Kind = request.param
    calls = {
        "here": ("get_current_time", {"timezone": "Europe/Berlin"}),
        "elsewhere": ("get_current_time", {"timezone": "Asia/Tokyo"}),
        "nowhere": ("get_current_time", {}),
        "a list": ("get_current_time", {"timezone": ["Europe/Berlin"]}),
        "conversion": ("convert_time", CONVERSION),
        "there": ("get_current_time", {"timezone": "Etc/UTC"}),
    }
    return asyncio.run(Session(project, "time", kind).run(calls))


def test_both_eras_are_spoken_to_a_server_that_speaks_both(session: Session) -> None:
    assert session.version == ("2025-11-25" if session.kind.mode == "legacy" else "2026-07-28")


def test_the_time_is_told_where_the_task_may_ask(session: Session) -> None:
    told = [json.loads(session.answers[name].text)["timezone"] for name in ("here", "there")]
    assert told == ["Europe/Berlin", "Etc/UTC"]


def test_the_server_was_sent_the_permitted_calls_only_each_with_a_credential_of_its_own(
    session: Session,
) -> None:
    assert [tool for tool, _ in session.calls] == ["get_current_time"] * 2
    claims = [claims for _, claims in session.calls]
    assert {(one["aud"], one["scope"]) for one in claims} == {("urn:hopward:time", "time/get_current_time")}
    assert {one["txn"] for one in claims} == {session.task}
    assert len({one["jti"] for one in claims}) == 2
    for one in claims:
        assert list(session.project.decision(one["decision"])) == ["decision", "credential", "outcome"]


@pytest.mark.parametrize("name", ["elsewhere", "nowhere", "a list", "conversion"])
def test_another_place_is_refused(session: Session, name: str) -> None:
    assert session.refused(name) == "outside_task"


def test_a_task_revoked_by_another_process_refuses_the_next_call(session: Session) -> None:
    assert session.refused("revoked") == "task_revoked"


def test_the_log_of_all_sessions_verifies(project: Project) -> None:
    assert "verifies" in project.hopward("log", "verify")
