"""The oldest supported release of LangChain: every test of the programs, run by its own interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "servers" / "langchain.sh"


@pytest.fixture(scope="module")
def python() -> str:
    found = subprocess.run([SCRIPT, "--if-present"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("the older LangChain is not installed; to install it: tests/servers/langchain.sh")
    return found.stdout.strip()


def test_everything_holds_with_the_oldest_supported_release(python: str) -> None:
    """Also that the adapters of mcp 1.x carry chains to a proxy, which runs where these tests do."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/langchain/programs"]
    environment = os.environ | {"HOPWARD_BIN": str(Path(sys.executable).parent)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    for page in ("test_adapters.py", "test_handoff_packages.py", "test_standard.py"):
        assert page not in done.stdout, "skipped"
