"""The tools of a program are no MCP server: the proxy says so instead of trying to reach one."""

from pathlib import Path

import pytest

from .installation import install, started

IN_PROCESS = """
[servers.app]
in_process = true
resource = "urn:example:app"
credential = { by = "context" }
"""


@pytest.mark.parametrize("command", [("run", "app"), ("classify", "app")], ids=" ".join)
def test_the_tools_of_a_program_are_neither_run_nor_asked_what_they_are(
    tmp_path: Path, command: tuple[str, str]
) -> None:
    process = started(install(tmp_path, IN_PROCESS), "mcp", *command)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "servers.app is in_process: its tools run in a program" in err.decode()
    assert "langchain-hopward" in err.decode()
    assert "Traceback" not in err.decode()


def test_the_tools_of_a_program_are_not_served_over_http(tmp_path: Path) -> None:
    process = started(install(tmp_path, IN_PROCESS), "mcp", "serve")
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "app is the tools of a program (in_process), not served" in err.decode()
    assert "nothing to serve over HTTP" in err.decode()
