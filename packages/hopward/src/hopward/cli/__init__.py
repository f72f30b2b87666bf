"""The `hopward` command.

Verbs are loaded when they are asked for, each from its own module; `hopward mcp run` is started anew by
every MCP client, so nothing here may import what only a human reader needs (rich, tomlkit, sqlite-utils).
Plugins add verbs through the entry point group `hopward.commands`.

Exit status: 0 done; 1 refused, failed, or something is broken; 2 wrong usage or configuration.
"""

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hopward.cli.session import Session
from hopward.errors import ConfigError, HopwardError
from hopward.harmless import harmless_lines

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_VERBS = {
    "init": (
        "hopward.cli.init:init",
        "Write hopward.toml, starter policies, keys and an empty decision log.",
    ),
    "task": ("hopward.cli.task:task", "Open, show, list and complete tasks; get a token for one."),
    "workflow": ("hopward.cli.workflow:workflow", "List, show, draw and check workflows."),
    "agent": ("hopward.cli.agent:agent", "Register agents, show them, stop them."),
    "revoke": ("hopward.cli.revoke:revoke", "Make a task, agent, subject, token or key stop counting, now."),
    "approve": ("hopward.cli.approve:approve", "Show what waits for a person, and say yes or no to it."),
    "quarantine": (
        "hopward.cli.quarantine:quarantine",
        "Keep an agent, task, tool, server or subject from acting until it is released.",
    ),
    "release": ("hopward.cli.quarantine:release", "Let something go on that is quarantined."),
    "stop": ("hopward.cli.stop:stop", "Refuse everything, in every process, until a person lifts it."),
    "risk": ("hopward.cli.risk:verbs", "Show how agents have been behaving, and why that is a risk."),
    "log": ("hopward.cli.log:log", "Read, follow and verify the decision log."),
    "policy": ("hopward.cli.policy:policy", "Check, test and explain policies."),
    "doctor": (
        "hopward.cli.doctor:doctor",
        "Say what is broken, missing or only good enough for development.",
    ),
}
_PLUGIN_GROUP = "hopward.commands"

_OUR_PLUGINS = {"mcp": "hopward_mcp.cli:mcp"}
"""Where to find a verb of ours without looking through every installed distribution, which takes a tenth of
the time that `hopward mcp run` has to start."""


class Verbs(click.Group):
    """The built-in verbs by name, then the plugins' verbs; none of them is imported before it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb there is."""
        return [*_VERBS, *sorted(entry.name for entry in _plugin_verbs())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One verb, imported now. A plugin cannot take the name of a built-in verb."""
        place = _VERBS[cmd_name][0] if cmd_name in _VERBS else _OUR_PLUGINS.get(cmd_name, "")
        module, _, attribute = place.partition(":")
        if module and find_spec(module.partition(".")[0]) is not None:
            return _command(_imported(module, attribute, cmd_name), cmd_name)
        for entry in _plugin_verbs():
            if entry.name == cmd_name:
                return _command(_loaded(entry), cmd_name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `hopward --help`, written without importing any verb."""
        rows = [(name, text) for name, (_, text) in _VERBS.items()]
        rows += sorted((entry.name, _summary(entry)) for entry in _plugin_verbs())
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """The error boundary: every error becomes a message on standard error and an exit status."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if ctx.params["debug"] or isinstance(error, _CLICKS_OWN):
                raise
            raise _told(error) from None


_CLICKS_OWN = (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError)
"""What click itself turns into an exit status."""


def _told(error: Exception) -> click.ClickException:
    match error:
        case ConfigError():
            return click.UsageError(harmless_lines(str(error)))
        case HopwardError():
            return click.ClickException(harmless_lines(str(error)))
        case OSError():
            told = f"{error.filename or 'The system'}: {error.strerror or error}"
            return click.ClickException(harmless_lines(told))
        case _:
            told = harmless_lines(f"This is a bug in Hopward: {type(error).__name__}: {error}")
            return click.ClickException(f"{told}\n  `hopward --debug ...` shows where; please report it.")


def _plugin_verbs() -> Iterator["EntryPoint"]:
    for entry in importlib.import_module("importlib.metadata").entry_points(group=_PLUGIN_GROUP):
        if entry.name not in _VERBS:
            yield entry


def _imported(module: str, attribute: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise _unloaded(name, module.partition(".")[0], error) from error


def _loaded(entry: "EntryPoint") -> Any:
    try:
        return entry.load()
    except ImportError as error:
        raise _unloaded(entry.name, _distribution(entry), error) from error


def _unloaded(name: str, where: str, error: ImportError) -> ConfigError:
    return ConfigError(
        f"The verb {name!r} of {where} cannot be loaded: {error}",
        advice="Install that package again, in the same version as hopward.",
    )


def _command(found: Any, name: str) -> click.Command:
    if not isinstance(found, click.Command):
        raise ConfigError(f"The verb {name!r} is not a click command.")
    return found


def _summary(entry: "EntryPoint") -> str:
    text = entry.dist.metadata["Summary"] if entry.dist else ""
    return f"{text} ({_distribution(entry)})"


def _distribution(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.value


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HOPWARD_CONFIG",
    help="The hopward.toml to use.  [default: the nearest one, from here upwards; or $HOPWARD_CONFIG]",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="hopward", prog_name="hopward")
@click.pass_context
def verbs(ctx: click.Context, config: Path | None, debug: bool) -> None:
    """Authorize every tool call of an AI agent, at every hop, and write it down.

    Start with `hopward init`, then `hopward doctor`.
    """
    ctx.obj = Session(config)


def main() -> None:
    """The console script."""
    # Output may hold any text; a terminal that cannot show a character gets an escape, never a traceback.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    verbs.main(prog_name="hopward")


if __name__ == "__main__":
    main()
