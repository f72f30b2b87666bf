"""The official MCP conformance suite, with and without the proxy in between.

The suite sends no token, so a relay adds one; see `token_relay.py`.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .suite import (
    ATTEMPTS,
    REVISIONS,
    Guarded,
    Reference,
    Results,
    Revision,
    guarded_reference,
    reference_server,
    run_suite,
    run_suite_on_client,
)

EXPLAINED: Results = {
    # The proxy knows whose MCP tasks there are, and answers itself for those that are not the caller's.
    ("tasks-dispatch-and-envelope", "sep-2663-tasks-get-invalid-task-id-32602", 0): "SUCCESS",
}
"""What a check finds through the proxy where that is not what it finds without."""

EXTENSION = "tasks-"
"""Scenarios of the extension `io.modelcontextprotocol/tasks`, which the reference server does not have: its
`tasks/...` requests fail in both runs."""


@dataclass(frozen=True)
class Runs:
    """The suite on the server itself, and through the proxy."""

    revision: Revision
    direct: Results
    proxied: Results
    received: list[dict[str, Any]]
    guarded: Guarded

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """What the server was sent through the proxy of that on which there is a decision."""
        return [message for message in self.received if message["method"] in ATTEMPTS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    with reference_server(tmp_path_factory.mktemp("reference")) as started:
        yield started


@pytest.fixture(scope="module", params=REVISIONS)
def runs(server: Reference, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Runs:
    folder, revision = tmp_path_factory.mktemp("runs"), request.param
    direct = run_suite(folder / "direct", server.url, revision)
    server.received()
    with guarded_reference(folder, server) as guarded:
        proxied = run_suite(folder / "proxied", guarded.url, revision)
        return Runs(revision, direct, proxied, server.received(), guarded)


def test_the_reference_server_has_all_that_the_revision_asks_for(runs: Runs) -> None:
    """Otherwise much of the suite would compare one refusal with another."""
    failed = {scenario for (scenario, *_), status in runs.direct.items() if status == "FAILURE"}
    assert [scenario for scenario in failed if not scenario.startswith(EXTENSION)] == []
    passed = Counter(runs.direct.values())["SUCCESS"]
    assert passed >= {"2025-11-25": 84, "2026-07-28": 164}[runs.revision]


def test_each_check_has_the_same_result_through_the_proxy(runs: Runs) -> None:
    explained = {check: status for check, status in EXPLAINED.items() if check in runs.direct}
    assert runs.proxied == runs.direct | explained


def test_whatever_reached_the_server_was_permitted_and_carried_a_credential(runs: Runs) -> None:
    assert {message["method"] for message in runs.attempts} >= ATTEMPTS - {"resources/subscribe"}
    assert all(message["credential"] for message in runs.attempts)
    assert len(runs.attempts) == runs.guarded.decided("permit")
    assert "verifies" in runs.guarded.project.hopward("log", "verify")


FORBIDDEN = "forbid (principal, action, resource);\npermit (principal, action, resource);\n"
UNMENTIONED = 'permit (principal == Hopward::Agent::"nobody", action, resource);\n'


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "how",
    [{"policy": FORBIDDEN}, {"policy": UNMENTIONED}, {"tools": "reference/none"}],
    ids=["forbidden", "not permitted", "not in the task"],
)
def test_where_nothing_is_permitted_nothing_reaches_the_server(
    server: Reference, tmp_path: Path, how: dict[str, str], revision: Revision
) -> None:
    with guarded_reference(tmp_path, server, **how) as guarded:
        server.received()
        run_suite(tmp_path / "output", guarded.url, revision)
        assert ATTEMPTS.isdisjoint(message["method"] for message in server.received())
        assert guarded.decided("permit") == 0
        assert guarded.decided("deny") == guarded.attempted() > 0


SCENARIOS: list[tuple[str, Revision]] = [
    *((name, "2025-11-25") for name in ("initialize", "tools_call", "elicitation-sep1034-client-defaults")),
    *((name, "2025-11-25") for name in ("sse-retry", "json-schema-2020-12-preservation")),
    *((name, "2026-07-28") for name in ("tools_call", "request-metadata", "sep-2322-client-request-state")),
    *((name, "2026-07-28") for name in ("http-standard-headers", "http-custom-headers")),
    *((name, "2026-07-28") for name in ("http-invalid-tool-headers", "json-schema-ref-no-deref")),
    ("json-schema-2020-12-preservation", "2026-07-28"),
]
"""All for clients but `auth/...`: those are about signing in to a server, which Hopward does not do."""


@pytest.mark.parametrize(("scenario", "revision"), SCENARIOS)
def test_a_client_is_found_the_same_through_the_proxy_over_either_transport(
    tmp_path: Path, scenario: str, revision: Revision
) -> None:
    """The proxy is the client of the suite's server here, over HTTP in front of it and over stdio."""

    def found(how: str) -> dict[str, set[str]]:
        return run_suite_on_client(tmp_path / how, how, scenario, revision)

    with ThreadPoolExecutor() as pool:
        direct, served, run = pool.map(found, ("direct", "serve", "run"))
    assert set.union(*direct.values()) <= {"SUCCESS", "SKIPPED"}
    assert "SUCCESS" in set.union(*direct.values())
    assert served == run == direct
