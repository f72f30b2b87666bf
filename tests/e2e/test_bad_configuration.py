"""A configuration with mistakes: nothing starts, and what is wrong is said where a person looks for it."""

import pytest

from .project import HOPWARD, Project
from .running import Running

TYPOS = {
    'workflow = "trying"': ('workflwo = "trying"', "servers.recorder.workflwo", "workflow"),
    "[servers.recorder.tools]": ("[servers.recorder.tolls]", "servers.recorder.tolls", "tools"),
    "[workflows.trying]": ("[worfklows.trying]", "worfklows", "workflows"),
    "call_timeout_seconds = 50": (
        "call_timeout_secs = 60",
        "proxy.call_timeout_secs",
        "call_timeout_seconds",
    ),
    'credential = { by = "meta" }': (
        'credential = { by = "mete" }',
        "servers.recorder.credential.by",
        "meta",
    ),
    'issuer = "http://127.0.0.1:8700"': ('isuer = "http://127.0.0.1:8700"', "authority.isuer", "issuer"),
}
"""What stands in hopward.toml: what is typed instead, the key at fault, and what was meant."""


def refused(project: Project, *arguments: str) -> str:
    """What a command that must not start says, with nothing on its standard output: that is the client's."""
    started = Running([str(HOPWARD), *arguments], project.folder, talks=True)
    try:
        assert started.over() == 2
        assert started.stdout.read() == b""
        return started.said
    finally:
        started.end()


@pytest.mark.parametrize("right", TYPOS)
def test_a_typo_is_named_with_file_line_and_nearest_key_and_nothing_starts(
    project: Project, right: str
) -> None:
    wrong, key, meant = TYPOS[right]
    line = project.config.read_text("utf-8").split(right)[0].count("\n") + 1
    project.change(right, wrong)
    said = refused(project, "mcp", "run", "recorder")
    (named,) = [part for part in said.splitlines() if f"hopward.toml:{line}:" in part]
    assert key in named
    assert meant in named.replace(key, "")
    assert "Traceback" not in said
    assert project.received() == []
    assert project.rows() == []


def test_every_mistake_of_a_configuration_is_named_at_once(project: Project) -> None:
    text = project.config.read_text("utf-8")
    for right in ('workflow = "trying"', "call_timeout_seconds = 50", 'credential = { by = "meta" }'):
        text = text.replace(right, TYPOS[right][0])
    project.config.write_text(text, "utf-8")
    said = refused(project, "mcp", "run", "recorder")
    assert all(TYPOS[right][1] in said for right in ('workflow = "trying"', "call_timeout_seconds = 50"))
    assert TYPOS['credential = { by = "meta" }'][1] in said


def test_a_configuration_that_is_no_toml_is_named_with_its_line(project: Project) -> None:
    project.change('workflow = "trying"', "workflow = trying")
    assert "hopward.toml:" in refused(project, "mcp", "run", "recorder")


def test_a_policy_that_does_not_parse_is_named_with_its_line_and_nothing_starts(project: Project) -> None:
    policy = project.folder / "policies" / "own.cedar"
    policy.write_text('@id("own")\npermit (principal, action resource);\n', "utf-8")
    assert "own.cedar:2" in refused(project, "mcp", "run", "recorder")
    assert project.received() == []


def test_a_server_that_is_not_configured_is_refused_with_those_that_are(project: Project) -> None:
    assert "recorder" in refused(project, "mcp", "run", "recoder").replace("'recoder'", "")
