"""`hopward mcp`: a command is loaded only when it runs; a client waits for the stdio proxy to start."""

import importlib
from typing import cast

import click

_COMMANDS = {
    "accept": (
        "hopward_mcp.accept",
        "accept",
        "Look at what a server says of its tools, and accept it.",
    ),
    "classify": ("hopward_mcp.classify", "classify", "Propose a classification of a server's tools."),
    "ls": ("hopward_mcp.ls", "ls", "List the servers, and ask each of them what it offers."),
    "run": ("hopward_mcp.run", "run", "Guard one server over stdin and stdout."),
    "serve": ("hopward_mcp.serve", "serve", "Guard the servers over HTTP, each at /SERVER/mcp."),
    "try": ("hopward_mcp.trial", "trial", "Make one guarded call, and explain the decision."),
    "unwrap": ("hopward_mcp.unwrap", "unwrap", "Give an MCP client its own servers back."),
    "wrap": ("hopward_mcp.wrap", "wrap", "Put the servers of an MCP client behind Hopward."),
}
"""Name: module, attribute, one line of help."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are used; listing them imports nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        return cast("click.Command", getattr(importlib.import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name][2]) for name in sorted(_COMMANDS)])


@click.group(cls=_LazyGroup)
def mcp() -> None:
    """Guard MCP servers: every tools/call authorized, credentialed and logged on its way."""
