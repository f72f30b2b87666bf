"""npm's `@modelcontextprotocol/server-everything` behind `hopward mcp run`: tools, MCP resources, prompts."""

import asyncio

import pytest

from .clients import EVERY, Kind
from .project import Project
from .public import Session, guarded, installed

STATIC = "demo://resource/static/document/"
DYNAMIC = "demo://resource/dynamic/text/1"
MAY = f"""\
[[workflows.everything.capabilities]]
tools = ["everything/get-sum", "everything/resource:{STATIC}*", "everything/prompt:args-prompt"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = guarded(tmp_path_factory.mktemp("everything"), "everything", installed("everything.sh"))
    made.change('[[workflows.everything.capabilities]]\ntools = ["everything/*"]\n', MAY)
    return made


@pytest.fixture(scope="module", params=EVERY, ids=str)
def session(project: Project, request: pytest.FixtureRequest) -> Session:
    kind: Kind = request.param
    calls = {
        "sum": ("get-sum", {"a": 2, "b": 3.5}),
        "environment": ("get-env", {}),
        "logging": ("toggle-simulated-logging", {}),
        "file": ("gzip-file-as-resource", {"data": "data:text/plain,private"}),
        "nothing": ("no-such-tool", {}),
    }
    prompts = {"args-prompt": {"city": "Berlin"}, "simple-prompt": {}}
    return asyncio.run(
        Session(project, "everything", kind).run(calls, [f"{STATIC}features.md", DYNAMIC], prompts)
    )


def test_each_client_speaks_the_era_it_is_told_to_though_the_server_knows_one_only(session: Session) -> None:
    assert session.version == ("2025-11-25" if session.kind.mode == "legacy" else "2026-07-28")


def test_what_the_task_may_call_read_and_get_is_called_read_and_got(session: Session) -> None:
    assert "5.5" in session.answers["sum"].text
    assert session.texts[f"{STATIC}features.md"].startswith("# ")
    assert "Berlin" in session.texts["args-prompt"]


@pytest.mark.parametrize("name", ["environment", "logging", "file"])
def test_what_the_task_does_not_name_is_refused(session: Session, name: str) -> None:
    assert session.refused(name) == "outside_task"


def test_a_tool_that_nobody_has_classified_is_refused(session: Session) -> None:
    assert session.refused("nothing") == "tool_unclassified"


@pytest.mark.parametrize("name", [DYNAMIC, "simple-prompt"])
def test_another_mcp_resource_or_prompt_is_refused(session: Session, name: str) -> None:
    assert "not executed" in session.texts[name]


def test_the_server_was_sent_what_is_permitted_only_each_with_a_credential_of_its_own(
    session: Session,
) -> None:
    assert session.methods("tools/call", "resources/read", "prompts/get") == [
        "get-sum",
        f"{STATIC}features.md",
        "args-prompt",
    ]
    ((_, claims),) = session.calls
    assert (claims["aud"], claims["scope"]) == ("urn:hopward:everything", "everything/get-sum")
    assert list(session.project.decision(claims["decision"])) == ["decision", "credential", "outcome"]


def test_only_what_the_task_may_call_is_listed(session: Session) -> None:
    assert session.shown == {"get-sum"}


def test_a_task_revoked_by_another_process_refuses_the_next_call(session: Session) -> None:
    assert session.refused("revoked") == "task_revoked"


def test_the_log_of_all_sessions_verifies(project: Project) -> None:
    assert "verifies" in project.hopward("log", "verify")
