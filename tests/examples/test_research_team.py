"""`examples/research_team`: the story of the team comes out as its page tells it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEAM = Path(__file__).parents[2] / "examples" / "research_team"


def story(program: str, folder: Path) -> str:
    command = [sys.executable, str(TEAM / program), "--folder", str(folder)]
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    told = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def lines(told: str, *parts: str) -> list[str]:
    """The lines of a story that hold all of these parts."""
    return [line for line in told.splitlines() if all(part in line for part in parts)]


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> str:
    return story("team.py", tmp_path_factory.mktemp("team"))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    return story("deep.py", tmp_path_factory.mktemp("deep"))


def test_one_task_is_drawn_with_a_branch_for_each_hop(nested: str) -> None:
    assert len(lines(nested, "├── hop lead -> researcher", "completed, 2 of 6 calls, 1 of 2 writes")) == 1
    assert len(lines(nested, "├── hop lead -> researcher", "completed, 0 of 6 calls")) == 1
    assert len(lines(nested, "├── hop lead -> payer", "completed, 1 of 2 calls")) == 1
    assert len(lines(nested, "(ines@desk.example -> lead)")) == 1


def test_the_call_behind_the_proxy_hangs_on_the_researchers_hop(nested: str) -> None:
    assert lines(nested, "│   ├── permit archive/search")
    assert lines(nested, "│   │   ├── credential token for urn:example:archive")


def test_the_injected_lead_gets_nobody_to_pay_and_its_run_goes_on(nested: str, deep: str) -> None:
    for told in (nested, deep):
        (refused,) = lines(told, "deny team/pay", "5000", "agent researcher does not cover it")
        assert refused.startswith("│   ├──")
        assert lines(told, "├── permit team/report")
        assert lines(told, "report: success: reported: Invoice 7 is settled.")


def test_the_payer_pays_what_its_hop_allows_and_no_more(nested: str) -> None:
    assert lines(nested, "deny team/pay", "5000", "at most 100")
    assert lines(nested, "permit team/pay", '"amount": 80')


def test_the_general_purpose_sub_agent_gets_nothing(deep: str) -> None:
    assert lines(deep, "task: error: team/task was not executed: No agent is registered")
    assert lines(deep, "├── refusal hop_unconfigured")
