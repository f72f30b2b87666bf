"""npm's `@modelcontextprotocol/server-memory` behind `hopward mcp run`: it may learn, and forget nothing."""

import asyncio
import json
from pathlib import Path

import pytest

from .clients import EVERY, Kind
from .project import Project
from .public import Session, guarded, installed

GRAPH = "memory://knowledge-graph"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    command = installed("memory.sh")
    folder = tmp_path_factory.mktemp("memory")
    made = guarded(folder, "memory", command)
    text = made.config.read_text("utf-8")
    text = text.replace('actions = ["read"]', 'actions = ["read", "write"]').replace(
        "writes = 0", "writes = 1000"
    )
    made.config.write_text(text, "utf-8")
    variables = json.dumps(str(folder / "graph.jsonl"))
    made.change(
        'workflow = "memory" ', f'environment = {{ MEMORY_FILE_PATH = {variables} }}\nworkflow = "memory" '
    )
    may = '["memory/create_entities", "memory/read_graph", "memory/delete_entities"]'
    made.change(
        '[[workflows.memory.capabilities]]\ntools = ["memory/*"]',
        f"[[workflows.memory.capabilities]]\ntools = {may}",
    )
    return made


@pytest.fixture(scope="module", params=EVERY, ids=str)
def session(project: Project, request: pytest.FixtureRequest) -> Session:
    kind: Kind = request.param
    known = {"name": f"known to {kind}", "entityType": "fact", "observations": ["it stays"]}
    calls = {
        "create": ("create_entities", {"entities": [known]}),
        "delete": ("delete_entities", {"entityNames": [known["name"]]}),
        "observe": (
            "add_observations",
            {"observations": [{"entityName": known["name"], "contents": ["false"]}]},
        ),
        "search": ("search_nodes", {"query": "known"}),
        "read": ("read_graph", {}),
    }
    return asyncio.run(Session(project, "memory", kind).run(calls, [GRAPH]))


def kept(session: Session) -> list[dict[str, object]]:
    lines = Path(session.project.folder / "graph.jsonl").read_text("utf-8").splitlines()
    return [entity for entity in map(json.loads, lines) if entity["name"] == f"known to {session.kind}"]


def test_each_client_speaks_the_era_it_is_told_to_though_the_server_knows_one_only(session: Session) -> None:
    assert session.version == ("2025-11-25" if session.kind.mode == "legacy" else "2026-07-28")


def test_what_the_task_may_add_is_kept_and_read(session: Session) -> None:
    assert session.answers["create"].is_error is False
    assert f"known to {session.kind}" in session.answers["read"].text


def test_what_the_task_may_not_do_is_refused_and_changes_nothing(session: Session) -> None:
    assert (
        session.refused("delete") == session.refused("observe") == session.refused("search") == "outside_task"
    )
    assert [entity["observations"] for entity in kept(session)] == [["it stays"]]


def test_an_mcp_resource_outside_the_task_is_not_read(session: Session) -> None:
    assert "not executed" in session.texts[GRAPH]
    assert session.methods("resources/read") == []


def test_the_server_was_sent_the_permitted_calls_only_each_with_a_credential_of_its_own(
    session: Session,
) -> None:
    assert [tool for tool, _ in session.calls] == ["create_entities", "read_graph"]
    assert [claims["scope"] for _, claims in session.calls] == ["memory/create_entities", "memory/read_graph"]
    for _, claims in session.calls:
        assert list(session.project.decision(claims["decision"])) == ["decision", "credential", "outcome"]


def test_only_what_the_task_may_call_is_listed(session: Session) -> None:
    assert session.shown == {"create_entities", "read_graph"}


def test_a_task_revoked_by_another_process_refuses_the_next_call(session: Session) -> None:
    assert session.refused("revoked") == "task_revoked"
    assert len(kept(session)) == 1


def test_the_log_of_all_sessions_verifies(project: Project) -> None:
    assert "verifies" in project.hopward("log", "verify")
