"""`make demo`: the story comes out as told, and a story that does not is a failure."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "support_desk" / "demo.py"
HOPWARD = Path(sys.executable).with_name("hopward")


def demo(folder: Path, script: Path = DEMO) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--folder", str(folder)]
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_demo_shows_every_part_of_its_story(tmp_path: Path) -> None:
    told = demo(tmp_path / "run")
    assert told.returncode == 0, told.stdout + told.stderr
    for part in (
        "aud        urn:example:support-desk",
        "scope      support_desk/read_ticket",
        'act        {"sub": "agent:support-agent"}',
        "60 s after iat",
        "The argument 'amount' must be a number of at least 0.01 and at most 50.",
        "The tool 'support_desk/delete_customer' is not granted.",
        "HTTP 401",
        "The task is completed.",
        "The decision log verifies",
        "does NOT verify",
        "hopward mcp run files",
    ):
        assert part in told.stdout, part


def test_the_demo_leaves_a_folder_it_did_not_make_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    told = demo(tmp_path)
    assert told.returncode == 1
    assert "is not the demo's" in told.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_demo_fails_when_a_call_is_permitted_that_should_not_be(tmp_path: Path) -> None:
    example = tmp_path / "example"
    example.mkdir()
    for path in DEMO.parent.glob("*.py"):
        (example / path.name).write_bytes(path.read_bytes())
    (example / "policies").mkdir()
    for path in (DEMO.parent / "policies").glob("*.cedar*"):
        (example / "policies" / path.name).write_bytes(path.read_bytes())
    (example / "hopward.toml").write_bytes((DEMO.parent / "hopward.toml").read_bytes())
    story = DEMO.read_text()
    assert story.count('"amount": 900.0') == 1
    (example / "demo.py").write_text(story.replace('"amount": 900.0', '"amount": 20.0'))
    told = demo(tmp_path / "run", example / "demo.py")
    assert told.returncode == 1, told.stdout
    assert "The demo failed: this is not how the story goes" in told.stdout
    assert "refund 1: 20.00 EUR" in told.stdout


def test_the_command_the_demo_ends_with_makes_a_project_that_starts(tmp_path: Path) -> None:
    line = next(line for line in DEMO.read_text().splitlines() if line.startswith("hopward init --agent"))
    made = subprocess.run(
        [str(HOPWARD), *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    checked = subprocess.run(
        [str(HOPWARD), "policy", "check"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
