"""The guarded support desk with clients from npm: MCP Inspector and two generations of the TypeScript SDK."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest

from .desk import Desk, open_desk
from .project import HOPWARD
from .public import installed
from .running import PATIENCE, environment

Call: TypeAlias = tuple[str, dict[str, Any]]
Side: TypeAlias = Literal["stdio", "http"]

PERMITTED: Call = ("read_ticket", {"ticket_id": "T-1041"})
REFUSED: dict[str, Call] = {
    "outside_task": ("refund", {"ticket_id": "T-1041", "amount": 900.5, "reason": "broken"}),
    "approval_required": ("refund", {"ticket_id": "T-1041", "amount": 45.5, "reason": "broken"}),
}
CALLS = [PERMITTED, *REFUSED.values()]
OFFERED = {"read_ticket", "search_customers", "send_email", "refund"}

SCRIPT = Path(__file__).with_name("typescript.cjs")


@dataclass(frozen=True)
class Kind:
    """A client, the era it is told to speak, and its transport."""

    client: Literal["inspector", "typescript-1", "typescript-2"]
    era: Literal["legacy", "auto", "modern"]
    side: Side

    def __str__(self) -> str:
        return f"{self.client}-{self.era}-{self.side}"


CLIENTS = [
    *((client, era) for client in ("inspector", "typescript-2") for era in ("legacy", "auto", "modern")),
    ("typescript-1", "legacy"),
]
KINDS = [Kind(client, era, side) for client, era in CLIENTS for side in ("stdio", "http")]


@dataclass(frozen=True)
class Seen:
    """What a client saw: the tools, and the results of `CALLS`; what the server had to show for it."""

    desk: Desk
    kind: Kind
    tools: set[str]
    results: list[dict[str, Any]]
    opened: list[dict[str, Any]]
    states: list[Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture(scope="module", params=KINDS, ids=str)
def seen(made: Desk, request: pytest.FixtureRequest) -> Seen:
    kind: Kind = request.param
    before, states = len(made.opened_by()), [made.state()]
    use = inspected if kind.client == "inspector" else scripted
    tools, results = use(made, kind)
    states.append(made.state())
    return Seen(made, kind, set(tools), results, made.opened_by()[before:], states)


def inspected(made: Desk, kind: Kind) -> tuple[list[str], list[dict[str, Any]]]:
    """The Inspector makes one request each time it is started."""
    inspector = [*installed("inspector.sh"), "--cli", "--format", "json", "--protocol-era", kind.era]
    where = ["--", *command(made)]
    if kind.side == "http":
        header = f"Authorization: Bearer {token(made)}"
        where = [
            "--transport",
            "http",
            "--server-url",
            made.endpoint("support_desk_http"),
            "--header",
            header,
        ]

    def ask(*words: str) -> dict[str, Any]:
        return json.loads(ran(made, [*inspector, *words, *where]))["result"]

    tools = [tool["name"] for tool in ask("--method", "tools/list")["tools"]]
    results: list[dict[str, Any]] = []
    for tool, arguments in CALLS:
        pairs = [word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")]
        results.append(ask("--method", "tools/call", "--tool-name", tool, *pairs))
    return tools, results


def scripted(made: Desk, kind: Kind) -> tuple[list[str], list[dict[str, Any]]]:
    node, where = installed("typescript.sh")
    plan: dict[str, Any] = {"generation": int(kind.client[-1]), "era": kind.era, "calls": CALLS}
    if kind.side == "stdio":
        plan["command"] = command(made)
    else:
        plan |= {"url": made.endpoint("support_desk_http"), "token": token(made)}
    told = json.loads(ran(made, [node, str(SCRIPT), where, json.dumps(plan)]))
    return told["tools"], told["answers"]


def command(made: Desk) -> list[str]:
    return [str(HOPWARD), "--config", str(made.config), "mcp", "run", "support_desk", "--workflow", "support"]


def token(made: Desk) -> str:
    return made.token(made.open_task("support"), "support_desk_http")


def ran(made: Desk, words: list[str]) -> str:
    """What a client prints. The Inspector's exit status says whether a call was refused; its home is ours."""
    done = subprocess.run(
        words,
        cwd=made.folder,
        env={**environment(), "HOME": str(made.folder)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.stdout


def test_only_what_the_task_may_call_is_listed(seen: Seen) -> None:
    assert seen.tools == OFFERED


def test_a_permitted_call_returns_what_the_server_says(seen: Seen) -> None:
    result, *_ = seen.results
    assert not result.get("isError")
    assert result["structuredContent"]["customer"]["name"] == "Ines Aramburu"


def test_a_refused_call_is_a_tool_error_with_a_reason_and_the_decision(seen: Seen) -> None:
    for reason, result in zip(REFUSED, seen.results[1:], strict=True):
        decision, text = result["_meta"]["dev.hopward/decision"], result["content"][0]["text"]
        assert result["isError"] is True
        assert decision["reason"] == reason
        assert decision["id"] in text
        assert "not executed" in text
        (row,) = seen.desk.rows(decision=decision["id"], kind="decision")
        assert row.verdict == decision["verdict"] != "permit"


def test_what_was_refused_had_no_effect_on_the_server(seen: Seen) -> None:
    assert [one["name"] for one in seen.opened] == ["read_ticket"]
    assert seen.states[0] == seen.states[1]


def test_the_server_received_a_credential_for_this_call_and_no_other(seen: Seen) -> None:
    (claims,) = [one["claims"] for one in seen.opened]
    server = "support_desk" if seen.kind.side == "stdio" else "support_desk_http"
    assert (claims["aud"], claims["scope"]) == (seen.desk.resource(server), f"{server}/read_ticket")
    assert list(seen.desk.decision(claims["decision"])) == ["decision", "credential", "outcome"]


def test_the_log_of_all_sessions_verifies(made: Desk) -> None:
    assert "verifies" in made.hopward("log", "verify")
