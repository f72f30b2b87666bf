"""The `hopward` command itself: which file it uses, how it fails, how plugins add verbs, how it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .shell import Shell, executable

BUILT_IN = ["init", "task", "agent", "revoke", "log", "policy", "doctor"]


def test_help_lists_every_verb(shell: Shell) -> None:
    printed = shell("--help").out
    for verb in BUILT_IN:
        assert f"\n  {verb} " in printed


@pytest.mark.parametrize("verb", BUILT_IN)
def test_every_verb_has_help(shell: Shell, verb: str) -> None:
    assert "Usage: hopward" in shell(f"{verb} --help").out


def test_the_nearest_configuration_upwards_is_used(desk: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = desk.folder / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert "assistant" in desk("agent list").out


def test_the_configuration_can_be_named_by_option_or_variable(
    desk: Shell, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = desk.folder / "hopward.toml"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "hopward init" in desk.fails("agent list", status=2).err
    assert "assistant" in desk(f"--config '{config}' agent list").out
    monkeypatch.setenv("HOPWARD_CONFIG", str(config))
    assert "assistant" in desk("agent list").out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_configuration_of_another_user_is_used_only_when_it_is_named(desk: Shell) -> None:
    config = desk.folder / "hopward.toml"
    os.chown(config, 65534, 65534)
    assert "belongs to another user" in desk.fails("policy check", status=2).err
    desk(f"--config {config} policy check")


def test_a_mistake_in_the_configuration_is_told_with_its_line_and_exit_status_2(desk: Shell) -> None:
    path = desk.folder / "hopward.toml"
    path.write_text(path.read_text().replace("resource =", "resorce ="))
    printed = desk.fails("task list", status=2)
    assert 'hopward.toml:16: servers.desk.resorce: unknown key; did you mean "resource"?' in printed.err
    assert printed.out == ""


def test_a_refusal_has_exit_status_1_and_advice(desk: Shell) -> None:
    printed = desk.fails("task show task_404")
    assert printed.err.startswith("Error: There is no task")
    assert printed.out == ""


def test_an_unknown_verb_is_wrong_usage(shell: Shell) -> None:
    assert "No such command 'tsk'" in shell.fails("tsk", status=2).err


def test_debug_shows_the_traceback(desk: Shell) -> None:
    printed = executable(desk.folder, "--debug task show task_404")
    assert "Traceback" in printed.err
    assert "Traceback" not in executable(desk.folder, "task show task_404").err


PLUGIN = """\
import click

@click.command()
@click.option("--how", default="well")
@click.pass_obj
def greet(session, how):
    if how == "not":
        raise ZeroDivisionError("by zero")
    if how == "missing":
        raise FileNotFoundError(2, "No such file or directory", "x.txt")
    click.echo(f"greeted {how} with {session.config.name}")

not_a_command = 3
"""


@pytest.fixture
def plugin(desk: Shell, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """The support desk, and an installed distribution that adds verbs."""
    site = tmp_path_factory.mktemp("site")
    about = site / "greeter-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\nSummary: Greets.\n")
    verbs = (
        "greet = greeter_plugin:greet",
        "task = greeter_plugin:greet",
        "gone = no_such_module:verb",
        "three = greeter_plugin:not_a_command",
    )
    (about / "entry_points.txt").write_text("[hopward.commands]\n" + "\n".join(verbs))
    (site / "greeter_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "greeter_plugin", raising=False)
    return desk


def test_a_plugin_adds_a_verb_that_sees_the_configuration(plugin: Shell) -> None:
    assert plugin("greet --how kindly").out == "greeted kindly with hopward.toml\n"


def test_a_plugin_is_not_imported_before_its_verb_is_used(plugin: Shell) -> None:
    assert "Greets. (greeter)" in plugin("--help").out
    plugin("agent list")
    assert "greeter_plugin" not in sys.modules


def test_a_plugin_cannot_take_over_a_built_in_verb(plugin: Shell) -> None:
    assert "No tasks." in plugin("task list").err


def test_a_plugin_that_cannot_be_loaded_is_named(plugin: Shell) -> None:
    assert "'gone' of greeter cannot be loaded" in plugin.fails("gone", status=2).err
    assert "'three' is not a click command" in plugin.fails("three", status=2).err


def test_a_bug_is_told_without_a_traceback(plugin: Shell) -> None:
    printed = plugin.fails("greet --how not")
    assert "This is a bug in Hopward: ZeroDivisionError: by zero" in printed.err
    assert "--debug" in printed.err


def test_what_the_operating_system_refuses_is_not_called_a_bug(plugin: Shell) -> None:
    assert plugin.fails("greet --how missing").err == "Error: x.txt: No such file or directory\n"


SLOW = {"rich", "tomlkit", "sqlite_utils", "asyncio"}


@pytest.mark.parametrize("line", ["greet", "--help", "--version"])
def test_what_only_a_reader_needs_is_not_imported_on_the_way_to_a_plugin(plugin: Shell, line: str) -> None:
    """`hopward mcp run` is started anew by every MCP client; its start-up is part of the product."""
    steps = f"from hopward.cli import verbs; verbs.main({line.split()!r}, standalone_mode=False)"
    assert not SLOW.intersection(_imported(plugin, steps))


def test_what_only_a_reader_needs_is_not_imported_by_an_open_guard(plugin: Shell) -> None:
    steps = "import hopward; hopward.Guard.open('hopward.toml').close()"
    assert not SLOW.intersection(_imported(plugin, steps))


def _imported(plugin: Shell, steps: str) -> list[str]:
    """The packages a new process has imported after some steps."""
    program = f"import sys; {steps}; print(*{{name.split('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=plugin.folder,
        env={"PYTHONPATH": sys.path[0]},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.split()


def test_a_closed_pipe_ends_the_command_quietly(desk: Shell) -> None:
    hopward = Path(sys.executable).with_name("hopward")
    for number in range(30):
        desk(f"task open --workflow tickets --subject s{number}")
    with subprocess.Popen(
        [str(hopward), "log", "tail", "-n", "1000", "--json"],
        cwd=desk.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as printing:
        assert printing.stdout is not None
        assert printing.stderr is not None
        printing.stdout.close()
        assert printing.stderr.read() == ""
