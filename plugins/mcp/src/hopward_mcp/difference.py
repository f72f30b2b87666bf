"""What changes in a file, as a unified diff."""

import difflib
import os
import sys

import click

from hopward_mcp.display import harmless

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def show_difference(before: str, after: str, name: str, labels: tuple[str, str] = ("now", "new")) -> bool:
    """Print what changes in a file, and say whether anything does. Colours only on a
    terminal, and without `NO_COLOR`."""
    old, new = (f"{name} ({label})" for label in labels)
    lines = list(
        difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), old, new)
    )
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        shown = harmless(line[:1] + line[1:].rstrip("\r\n").expandtabs(4))
        click.echo(click.style(shown, _COLOURS.get(shown[:1])) if coloured else shown)
    return bool(lines)
