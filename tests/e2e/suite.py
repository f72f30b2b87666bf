"""The official MCP conformance suite, and a project through which it meets the reference server."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hopward.project import create

from . import reference
from .project import ROOT, Project
from .public import installed
from .running import PATIENCE, Running, environment
from .served import Serve, ended, free_port
from .token_relay import TokenRelay

Revision: TypeAlias = Literal["2025-11-25", "2026-07-28"]
REVISIONS: tuple[Revision, ...] = ("2025-11-25", "2026-07-28")

Results: TypeAlias = dict[tuple[str, str, int], str]
"""The status of each check by scenario, id, and number: a scenario may make the same check several times."""

ATTEMPTS = frozenset({"tools/call", "resources/read", "resources/subscribe", "prompts/get"})
"""The requests on which there is a decision each time."""

_PATIENCE = 300.0
_FOLDER = re.compile(r"(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z")

_CONFIGURATION = """\
[approvals.groups.operators]
members = ["local:carol"]

[authority]
issuer = "http://127.0.0.1:8700"

[proxy]
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
allowed_hosts = ["{relay}"]
allowed_origins = ["http://{relay}"]

[agents.suite]
owner = "ana@example.com"
purpose = "Tries everything"
ceiling = [{all}]

[workflows.everything]
agent = "suite"
purpose = "Run the conformance suite"
expires_in = 3600
budget = {{ calls = 1000000, writes = 1000000 }}
capabilities = [{task}]

[servers.reference]
url = "{url}"
resource = "urn:example:reference"
credential = {{ by = "authorization" }}
server_requests = {{ "elicitation/create" = {one}, "roots/list" = {one}, "sampling/createMessage" = {one} }}
mcp_resources = {{ "test://*" = {one} }}

[servers.reference.prompts]
{prompts}

[servers.reference.tools]
{tools}
"""
_ALL = """\
{ tools = ["TOOLS"], actions = ["read"], sensitivity = "internal", destinations = ["reference"] }"""
_ONE = '{ action = "read", sensitivity = "internal", integrity = "trusted", destination = "reference" }'


def run_suite(output: Path, url: str, revision: Revision) -> Results:
    """What the suite finds of the server at a URL, for all that a revision of the protocol requires."""
    _run("server", "--url", url, "--requirements", revision, "--output-dir", str(output))
    return results(output)


def run_suite_on_client(output: Path, how: str, scenario: str, revision: Revision) -> dict[str, set[str]]:
    """What the suite finds of a client that comes to it directly or through the proxy: the statuses of each
    check."""
    command = f"{sys.executable} -m tests.e2e.suite_client {how}"
    words = ["--command", command, "--scenario", scenario, "--spec-version", revision]
    _run("client", *words, "--timeout", str(int(PATIENCE * 1000)), "--output-dir", str(output))
    found: dict[str, set[str]] = {}
    for path in output.glob("*/checks.json"):
        for check in json.loads(path.read_text("utf-8")):
            found.setdefault(f"{check['id']} {check['name']}", set()).add(check["status"])
    # What is only told, such as each request, is told as often as there are requests.
    return {check: statuses for check, statuses in found.items() if statuses != {"INFO"}}


def _run(*words: str) -> None:
    done = subprocess.run(
        [*installed("conformance.sh"), *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_PATIENCE,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr


def results(output: Path) -> Results:
    """What the suite has written below a folder."""
    found: Results = {}
    for path in sorted(output.glob("*/checks.json")):
        name = _FOLDER.fullmatch(path.parent.name)
        assert name, path
        counted = Counter[str]()
        for check in json.loads(path.read_text("utf-8")):
            found[name[1], check["id"], counted[check["id"]]] = check["status"]
            counted[check["id"]] += 1
    return found


@dataclass(frozen=True)
class Reference:
    """The reference server, running."""

    url: str
    record: Path

    def received(self) -> list[dict[str, Any]]:
        """What it has been sent since it was asked last."""
        lines = self.record.read_text("utf-8").splitlines() if self.record.exists() else []
        self.record.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]


@contextmanager
def reference_server(folder: Path) -> Iterator[Reference]:
    """The reference server, for as long as the context lasts."""
    record = folder / "reference.jsonl"
    with ended(Running([sys.executable, reference.__file__, str(record)], folder)) as started:
        port = started.wait_for(r"^(\d+)\n")[1]
        yield Reference(f"http://127.0.0.1:{port}/mcp", record)


@dataclass(frozen=True)
class Guarded:
    """The reference server behind the proxy, and the URL at which it takes callers without a token."""

    project: Project
    relay: TokenRelay

    @property
    def url(self) -> str:
        return f"http://{self.relay.address}/reference/mcp"

    def attempted(self) -> int:
        """How often the callers got an answer, not just a status, to what needs a decision."""
        asked = [json.loads(body)["method"] for body, status in self.relay.exchanged if status == 200]
        return len([method for method in asked if method in ATTEMPTS])

    def decided(self, verdict: str) -> int:
        """The number of decisions on what callers asked for, not the server, with this verdict."""
        rows = self.project.rows(kind="decision")
        return sum(row.verdict == verdict and not row.tool.startswith("request:") for row in rows)


@contextmanager
def guarded_reference(
    folder: Path, server: Reference, *, policy: str = "", tools: str = "reference/*"
) -> Iterator[Guarded]:
    """`hopward mcp serve` in front of it, with one task for `tools`, and a policy in place of `init`'s."""
    with TokenRelay() as relay:
        project, port = Project(folder), free_port()
        project.config.write_text(_configuration(server, relay, port, tools), "utf-8")
        create(folder)
        if policy:
            for path in (folder / "policies").glob("*.cedar"):
                path.unlink()
            (folder / "policies" / "only.cedar").write_text(policy, "utf-8")
        with ended(Serve(project)):
            token = project.token(project.open_task("everything"), "reference")
            with relay.serving(port, token):
                yield Guarded(project, relay)


def _configuration(server: Reference, relay: TokenRelay, port: int, tools: str) -> str:
    return _CONFIGURATION.format(
        port=port,
        relay=relay.address,
        url=server.url,
        all=_ALL.replace("TOOLS", "reference/*"),
        task=_ALL.replace("TOOLS", tools),
        one=_ONE,
        prompts=_classified(reference.PROMPTS),
        tools=_classified(reference.TOOLS),
    )


def _classified(names: Any) -> str:
    return "\n".join(f"{name} = {_ONE}" for name in names)
