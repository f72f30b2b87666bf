"""The text of docs/reference/cli.md about every command: what the command itself says with --help."""

import re
from collections.abc import Iterator

import click

from hopward.cli import verbs

WIDTH = 100

_REGION = re.compile(r"(?<=<!-- commands: begin -->\n).*(?=<!-- commands: end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """The page with the help of every command as it is now."""
    written = "".join(_section(name, command, context) for name, command, context in commands())
    return _REGION.sub(lambda _: f"\n{written}", text)


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command and group, in the order in which the help lists them, with a context to ask it in."""
    yield from _below("hopward", verbs, None)


def _below(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    simple = name.rpartition(" ")[2]
    context = click.Context(
        command, parent, info_name=simple, terminal_width=WIDTH, max_content_width=WIDTH, color=False
    )
    context.help_option_names = ["-h", "--help"]
    yield name, command, context
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            found = command.get_command(context, verb)
            assert found is not None
            yield from _below(f"{name} {verb}", found, context)


def _section(name: str, command: click.Command, context: click.Context) -> str:
    depth = "##" if name.count(" ") < 2 else "###"
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"{depth} {name}\n\n```text\n{text}\n```\n\n"
