"""`hopward mcp classify` against the real support desk."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DESK = Path(__file__).parents[2] / "examples" / "support_desk"
HOPWARD = str(Path(sys.executable).with_name("hopward"))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    shutil.copytree(DESK, folder, ignore=shutil.ignore_patterns("__pycache__", ".hopward", "policies"))
    config = folder / "hopward.toml"
    kept = [
        line for line in config.read_text().splitlines() if not line.startswith(("refund =", "draft_reply"))
    ]
    config.write_text("\n".join(kept).replace('"python"', json.dumps(sys.executable)) + "\n")
    return folder


def classify(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HOPWARD, "mcp", "classify", "support_desk", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_not_classified_yet_is_proposed_and_nothing_else(desk: Path) -> None:
    done = classify(desk, "--json")
    assert done.returncode == 0, done.stderr
    proposed = {entry["name"]: entry for entry in map(json.loads, done.stdout.splitlines())}
    assert proposed.keys() == {"refund", "draft_reply"}
    assert proposed["refund"]["action"] == "pay"
    assert proposed["refund"]["arguments"]["amount"] == "decimal"
    assert proposed["draft_reply"]["kind"] == "prompts"


def test_nothing_is_written_until_a_person_accepts(desk: Path) -> None:
    before = (desk / "hopward.toml").read_text()
    done = classify(desk)
    assert "refund" in done.stdout
    assert "Nothing accepted" in done.stderr
    assert (desk / "hopward.toml").read_text() == before
    assert classify(desk, "--accept", "refund").returncode == 0
    assert classify(desk, "--accept-all").returncode == 0
    assert "Everything support_desk offers is classified." in classify(desk).stdout


def test_a_server_that_does_not_answer_is_an_error_with_advice(desk: Path) -> None:
    config = desk / "hopward.toml"
    config.write_text(config.read_text().replace('"server.py", "--stdio"', '"missing.py", "--stdio"'))
    done = classify(desk)
    assert done.returncode == 1
    assert "The server support_desk did not answer" in done.stderr
    assert "servers.support_desk" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_server_or_proposal_is_told_with_the_known_ones(desk: Path) -> None:
    done = subprocess.run(
        [HOPWARD, "mcp", "classify", "desk"], cwd=desk, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "support_desk" in done.stderr
    assert "There is no proposal for nothing" in classify(desk, "--accept", "nothing").stderr
